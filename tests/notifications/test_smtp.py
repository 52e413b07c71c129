"""The SMTP channel against real servers on loopback: the contract in each mode, and what each answer means."""

import socket
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from notifications.channel import ChannelDown, Outcome, Permanent, Sent, Transient, Unknown
from notifications.message import EmailTarget
from notifications.smtp import Server, SmtpMail
from tests.fakes.smtp import DROP, HANG, Certificate, FakeSmtp, RawServer, make_certificate, script
from tests.notifications.contract import MAIL, NOW, Delivery, MailContract, delivery, parse

SENDER = EmailTarget("debitum@example.net", "Debitum")
GREETING = ("220 raw.test", "250 raw.test")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def plain() -> Iterator[FakeSmtp]:
    with FakeSmtp() as fake:
        yield fake


def send(fake: FakeSmtp | RawServer, *, timeout_seconds: float = 5.0, **server: object) -> Outcome:
    given = {"host": "127.0.0.1", "port": fake.port, "security": "none", "timeout_seconds": timeout_seconds} | server
    return SmtpMail(msgspec.convert(given, Server), sender=SENDER).send(MAIL, now=NOW)


class SmtpContract(MailContract):
    @pytest.fixture
    def mails(self, fake: FakeSmtp) -> Callable[[], list[EmailMessage]]:
        return lambda: [parse(mail.original_content or b"") for mail in fake.mails]

    @pytest.fixture
    def delivered(self, mails: Callable[[], list[EmailMessage]]) -> Callable[[], list[Delivery]]:
        return lambda: [delivery(mail) for mail in mails()]

    def test_the_envelope_is_the_mailboxes_and_one_connection_is_made(self, channel: SmtpMail, fake: FakeSmtp) -> None:
        channel.send(MAIL, now=NOW)
        assert [(mail.mail_from, mail.rcpt_tos) for mail in fake.mails] == [("debitum@example.net", ["hana@example.org"])]
        assert fake.connections == 1

    def test_a_local_part_in_any_script(self, channel: SmtpMail, fake: FakeSmtp) -> None:
        outcome = channel.send(msgspec.structs.replace(MAIL, to=EmailTarget("花@example.org", "Hana")), now=NOW)
        assert isinstance(outcome, Sent), outcome
        assert [mail.rcpt_tos for mail in fake.mails] == [["花@example.org"]]


class TestPlain(SmtpContract):
    @pytest.fixture
    def fake(self, plain: FakeSmtp) -> FakeSmtp:
        return plain

    @pytest.fixture
    def channel(self, fake: FakeSmtp) -> SmtpMail:
        return SmtpMail(Server("127.0.0.1", fake.port, "none"), sender=SENDER)


class TestStartTls(SmtpContract):
    @pytest.fixture
    def fake(self, certificate: Certificate) -> Iterator[FakeSmtp]:
        with FakeSmtp("starttls", certificate, users={"debitum": "gehéim"}) as fake:
            yield fake

    @pytest.fixture
    def channel(self, fake: FakeSmtp, certificate: Certificate) -> SmtpMail:
        server = Server("127.0.0.1", fake.port, "starttls", "debitum", "gehéim", ca_file=certificate.file)
        return SmtpMail(server, sender=SENDER)


class TestTls(SmtpContract):
    @pytest.fixture
    def fake(self, certificate: Certificate) -> Iterator[FakeSmtp]:
        with FakeSmtp("tls", certificate, users={"debitum": "secret"}) as fake:
            yield fake

    @pytest.fixture
    def channel(self, fake: FakeSmtp, certificate: Certificate) -> SmtpMail:
        return SmtpMail(Server("127.0.0.1", fake.port, "tls", "debitum", "secret", ca_file=certificate.file), sender=SENDER)


@pytest.mark.parametrize(
    ("command", "reply", "outcome"),
    [
        ("MAIL", "451 4.3.0 try later", Transient("451 4.3.0 try later")),
        ("MAIL", "550 5.7.1 not from here", ChannelDown("550 5.7.1 not from here")),
        ("MAIL", "552 5.3.4 too large", Permanent("552 5.3.4 too large")),
        ("MAIL", "530 5.7.0 log in first", ChannelDown("530 5.7.0 log in first")),
        ("RCPT", "450 4.2.0 grey-listed", Transient("450 4.2.0 grey-listed")),
        ("RCPT", "421 4.7.0 too many mails", Transient("421 4.7.0 too many mails")),
        ("RCPT", "550 5.1.1 <hana@EXAMPLE.org> unknown", Permanent("550 5.1.1 <(recipient)> unknown")),
        ("RCPT", "251 will forward", Sent("250 OK queued as 4711")),
        ("DATA", "250 2.0.0 queued", Sent("250 2.0.0 queued")),
        ("DATA", "452 4.3.1 disk full", Transient("452 4.3.1 disk full")),
        ("DATA", "554 5.6.0 looks like spam", Permanent("554 5.6.0 looks like spam")),
        ("DATA", "399 what?", Unknown("399 what?")),
        ("RCPT", "999 what?", Transient("999 what?")),
        ("MAIL", DROP, Transient("Connection unexpectedly closed (at sender)")),
        ("RCPT", DROP, Transient("Connection unexpectedly closed (at recipient)")),
        ("DATA", DROP, Unknown("Connection unexpectedly closed (at content)")),
    ],
)
def test_what_a_reply_means(plain: FakeSmtp, command: str, reply: str, outcome: Outcome) -> None:
    plain.replies[command] = reply
    told = send(plain)
    # A reset instead of an end carries the words of the operating system.
    assert told == outcome or (reply == DROP and type(told) is type(outcome) and told.detail.endswith(outcome.detail[-13:]))
    assert plain.connections == 1


@pytest.mark.parametrize(("command", "kind"), [("MAIL", Transient), ("RCPT", Transient), ("DATA", Unknown)])
def test_a_server_that_hangs(plain: FakeSmtp, command: str, kind: type[Outcome]) -> None:
    plain.replies[command] = HANG
    started = time.monotonic()
    outcome = send(plain, timeout_seconds=0.3)
    assert time.monotonic() - started < 5
    assert isinstance(outcome, kind)
    assert outcome.detail.startswith("no end after 0.3 s")


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        (("554 no service here",), ChannelDown("554 no service here")),
        (("421 too busy",), Transient("421 too busy")),
        (("what is this",), Transient),
        ((*GREETING, "250 ok", "250 ok", "554 5.5.1 no valid recipients"), Permanent("554 5.5.1 no valid recipients")),
        ((*GREETING, "250 ok", "250 ok", "354 go on", "2"), Unknown),
        ((*GREETING, "250 ok", "250 ok", "354 go on", "451 later"), Transient("451 later")),
        ((*GREETING, "250 ok", "250 ok", "354 go on", "250 ok"), Sent("250 ok")),
    ],
)
def test_servers_that_speak_otherwise(replies: tuple[str, ...], outcome: Outcome | type[Outcome]) -> None:
    with RawServer(script(*replies)) as raw:
        told = send(raw)
    assert told == outcome or type(told) is outcome


def test_a_server_that_drips_is_given_no_more_time() -> None:
    def drip(connection: socket.socket) -> None:
        for _ in range(200):
            connection.sendall(b"2")
            time.sleep(0.05)

    with RawServer(drip) as raw:
        started = time.monotonic()
        outcome = send(raw, timeout_seconds=0.3)
        assert time.monotonic() - started < 5
    assert outcome == Transient("no end after 0.3 s (at connect)")


def test_a_server_that_hangs_in_the_handshake(certificate: Certificate) -> None:
    def swallow(connection: socket.socket) -> None:
        while connection.recv(10_000):
            pass

    with RawServer(swallow) as raw:
        outcome = send(raw, timeout_seconds=0.3, security="tls", ca_file=certificate.file)
    assert outcome == Transient("no end after 0.3 s (at connect)")


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert isinstance(SmtpMail(Server("127.0.0.1", port, "none"), sender=SENDER).send(MAIL, now=NOW), Transient)


def test_no_such_host() -> None:
    # A label that is too long is refused before any server is asked.
    outcome = SmtpMail(Server("a" * 64 + ".invalid", 25, "none"), sender=SENDER).send(MAIL, now=NOW)
    assert outcome == ChannelDown("the host's name is not resolved: not a host name")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(None, Sent), ("535 5.7.8 no", ChannelDown), ("534 5.7.9 weak", ChannelDown), ("454 4.7.0 try later", Transient)],
)
def test_log_in(reply: str | None, kind: type[Outcome]) -> None:
    with FakeSmtp(users={"debitum": "secret"}, replies={"AUTH": reply} if reply else {}) as fake:
        outcome = send(fake, user="debitum", password="secret")
        assert isinstance(outcome, kind), outcome
        assert len(fake.logins) == 1


def test_a_wrong_password_is_tried_once() -> None:
    with FakeSmtp(users={"debitum": "secret"}) as fake:
        outcome = send(fake, user="debitum", password="wrong")
        assert isinstance(outcome, ChannelDown)
        assert fake.logins == [("PLAIN", False)]
        assert fake.mails == []


def test_a_server_that_knows_login_alone() -> None:
    replies = (
        "220 raw",
        "250-raw\r\n250 AUTH LOGIN",
        "334 VXNlcg==",
        "334 UGFzcw==",
        "235 ok",
        "250 ok",
        "250 ok",
        "354 go",
        "250 ok",
    )
    with RawServer(script(*replies)) as raw:
        assert send(raw, user="debitum", password="secret") == Sent("250 ok")


@pytest.mark.parametrize("offered", ["250 raw", "250-raw\r\n250 AUTH GSSAPI"])
def test_a_server_without_a_log_in(offered: str) -> None:
    with RawServer(script("220 raw", offered)) as raw:
        assert isinstance(send(raw, user="debitum", password="secret"), ChannelDown)


def test_log_in_is_asked_for(plain: FakeSmtp) -> None:
    plain.users["debitum"] = "secret"
    assert send(plain) == ChannelDown("530 5.7.0 Authentication required")


def test_without_starttls_nothing_is_sent_in_the_clear(plain: FakeSmtp) -> None:
    plain.users["debitum"] = "secret"
    outcome = send(plain, security="starttls", user="debitum", password="secret")
    assert isinstance(outcome, ChannelDown)
    assert "STARTTLS" in outcome.detail
    assert (plain.mails, plain.logins) == ([], [])


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_vouches_for(security: Literal["starttls", "tls"], certificate: Certificate) -> None:
    with FakeSmtp(security, certificate) as fake:
        outcome = send(fake, security=security)
        assert isinstance(outcome, ChannelDown)
        assert outcome.detail.startswith("the server's certificate is not trusted")
        assert fake.mails == []


def test_a_certificate_of_another_host(tmp_path: Path) -> None:
    other = make_certificate(tmp_path, "127.0.0.2")
    with FakeSmtp("tls", other) as fake:
        outcome = send(fake, security="tls", ca_file=other.file)
    assert isinstance(outcome, ChannelDown)
    assert "127.0.0.1" in outcome.detail


def test_tls_towards_a_port_without_it(plain: FakeSmtp) -> None:
    outcome = send(plain, security="tls")
    assert isinstance(outcome, ChannelDown)
    assert outcome.detail.startswith("no TLS with this server")


def test_a_server_that_knows_ascii_alone() -> None:
    with FakeSmtp(smtputf8=False) as fake:
        channel = SmtpMail(Server("127.0.0.1", fake.port, "none"), sender=SENDER)
        outcome = channel.send(msgspec.structs.replace(MAIL, to=EmailTarget("花@example.org")), now=NOW)
    assert outcome == Permanent("the server takes only addresses in ASCII")
