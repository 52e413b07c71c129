"""The SendGrid channel against an HTTP server on loopback: the contract, and what each answer means."""

import email.header
import email.policy
import email.utils
import gc
import logging
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path
from typing import Any

import msgspec
import pytest

from notifications.channel import ChannelDown, Outcome, Permanent, Sent, Transient, Unknown
from notifications.http import DETAIL_CHARACTERS
from notifications.message import EmailTarget
from notifications.sendgrid import SendGridMail
from tests.fakes.http import DRIBBLE, HANG, RESET, Answer, Asked, FakeHttp, Reply
from tests.fakes.smtp import Certificate, RawServer, make_certificate
from tests.notifications.contract import MAIL, NOW, Delivery, MailContract, delivery, parse

SENDER = EmailTarget("debitum@example.net", "Debitum")
KEY = "SG.a-secret-key"
QUEUED = Answer(202, b"", {"X-Message-Id": "4711"})


@pytest.fixture
def sendgrid() -> Iterator[FakeHttp]:
    with FakeHttp(lambda _: QUEUED) as fake:
        yield fake


def mail_of(asked: Asked) -> EmailMessage:
    """The mail that SendGrid makes of a request."""
    body = asked.json
    mail = MIMEMultipart("alternative")
    mail["From"], mail["To"] = _mailbox(body["from"]), _mailbox(body["personalizations"][0]["to"][0])
    mail["Subject"] = email.header.Header(body["subject"], "utf-8", header_name="Subject").encode(linesep="\n")
    for name, value in body["headers"].items():
        mail[name] = value
    for part in body["content"]:
        mail.attach(MIMEText(part["value"], part["type"].partition("/")[2], "utf-8"))
    return parse(mail.as_bytes(policy=email.policy.compat32.clone(max_line_length=0)))


def _mailbox(person: dict[str, str]) -> str:
    name = person.get("name", "")
    shown = name if name.isascii() else email.header.Header(name, "utf-8", maxlinelen=10_000).encode()
    return email.utils.formataddr((shown, person["email"])) if name.isascii() else f"{shown} <{person['email']}>"


class TestSendGrid(MailContract):
    dated = False

    @pytest.fixture
    def channel(self, sendgrid: FakeHttp) -> SendGridMail:
        return SendGridMail(KEY, sender=SENDER, host=sendgrid.url)

    @pytest.fixture
    def mails(self, sendgrid: FakeHttp) -> Callable[[], list[EmailMessage]]:
        return lambda: [mail_of(asked) for asked in sendgrid.asked]

    @pytest.fixture
    def delivered(self, mails: Callable[[], list[EmailMessage]]) -> Callable[[], list[Delivery]]:
        return lambda: [delivery(mail) for mail in mails()]

    def test_a_request_is_what_the_api_wants(self, channel: SendGridMail, sendgrid: FakeHttp) -> None:
        assert channel.send(MAIL, now=NOW) == Sent("202 4711")
        [asked] = sendgrid.asked
        assert (asked.method, asked.path) == ("POST", "/v3/mail/send")
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        assert asked.json["personalizations"] == [{"to": [{"email": "hana@example.org", "name": "Hana"}]}]
        assert asked.json["custom_args"]["debitum_kind"] == "due"
        assert asked.json["tracking_settings"] == {"click_tracking": {"enable": False}, "open_tracking": {"enable": False}}


def send(fake: FakeHttp, reply: Reply, *, timeout_seconds: float = 5.0) -> Outcome:
    fake.answer = lambda _: reply
    return SendGridMail(KEY, sender=SENDER, host=fake.url, timeout_seconds=timeout_seconds).send(MAIL, now=NOW)


def errors(message: str) -> dict[str, Any]:
    return {"errors": [{"message": message, "field": None}]}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, Unknown),
        (400, Permanent),
        (401, ChannelDown),
        (403, ChannelDown),
        (404, ChannelDown),
        (405, ChannelDown),
        (408, Transient),
        (413, Permanent),
        (415, Permanent),
        (429, Transient),
        (500, Unknown),
        (502, Unknown),
        (503, Transient),
        (504, Unknown),
    ],
)
def test_what_a_status_means(sendgrid: FakeHttp, status: int, kind: type[Outcome]) -> None:
    outcome = send(sendgrid, Answer(status, errors("what hana@EXAMPLE.org got")))
    assert isinstance(outcome, kind)
    assert outcome.detail.startswith(str(status))
    assert "hana@" not in outcome.detail.lower()
    assert len(sendgrid.asked) == 1


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("before", range(DETAIL_CHARACTERS - 30, DETAIL_CHARACTERS, 5))
def test_nothing_is_left_of_an_address_where_words_are_cut(sendgrid: FakeHttp, status: int, before: int) -> None:
    outcome = send(sendgrid, Answer(status, b"x" * before + b"hana@example.org is no address"))
    assert "hana" not in outcome.detail


def test_an_address_is_masked_as_dns_has_it_too(sendgrid: FakeHttp) -> None:
    sendgrid.answer = lambda _: Answer(400, errors("hana@xn--bcher-kva.example is no address"))
    channel = SendGridMail(KEY, sender=SENDER, host=sendgrid.url)
    outcome = channel.send(msgspec.structs.replace(MAIL, to=EmailTarget("hana@bücher.example")), now=NOW)
    assert "(recipient) is no address" in outcome.detail


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "30"}, 30),
        ({"Retry-After": "Sun, 22 Nov 2026 20:01:04 GMT"}, 60),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) + 90)}, 90),
        ({"Retry-After": "30", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 90)}, 90),
        ({"Retry-After": "soon", "X-RateLimit-Reset": "-1"}, None),
        ({"Retry-After": "9" * 40, "X-RateLimit-Reset": "9" * 40}, 86_400),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_it_is_asked_no_earlier_than_it_wants(
    sendgrid: FakeHttp, status: int, headers: dict[str, str], seconds: int | None
) -> None:
    outcome = send(sendgrid, Answer(status, errors("busy"), headers))
    assert isinstance(outcome, Transient)
    assert outcome.retry_at == (None if seconds is None else NOW + timedelta(seconds=seconds))


def test_what_is_left_open_is_unknown(sendgrid: FakeHttp) -> None:
    assert send(sendgrid, RESET) == Unknown("ConnectionResetError: the connection broke")
    assert len(sendgrid.asked) == 1


@pytest.mark.parametrize("reply", [HANG, DRIBBLE])
def test_the_whole_attempt_has_a_limit(sendgrid: FakeHttp, reply: Reply) -> None:
    began = time.monotonic()
    assert send(sendgrid, reply, timeout_seconds=0.4) == Unknown("no end after 0.4 s")
    assert time.monotonic() - began < 5
    assert len(sendgrid.asked) == 1


def test_whoever_is_not_reached_has_nothing(sendgrid: FakeHttp) -> None:
    nobody = SendGridMail(KEY, sender=SENDER, host="http://127.0.0.1:1")
    assert nobody.send(MAIL, now=NOW) == Transient("ConnectionRefusedError: the connection broke")
    nowhere = SendGridMail(KEY, sender=SENDER, host="http://sendgrid.invalid")
    assert isinstance(nowhere.send(MAIL, now=NOW), ChannelDown | Transient)


class TestTls:
    """What breaks below HTTP, with a server that speaks TLS."""

    @pytest.fixture(autouse=True)
    def certificate(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificate:
        made = make_certificate(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(made.file))  # urllib's trust
        return made

    def outcome(self, talk: Callable[[socket.socket], None]) -> Outcome:
        with RawServer(talk) as raw:
            return SendGridMail(KEY, sender=SENDER, host=f"https://127.0.0.1:{raw.port}").send(MAIL, now=NOW)

    def test_a_handshake_that_fails_has_sent_nothing(self) -> None:
        assert self.outcome(lambda connection: connection.sendall(b"HTTP/1.1 400 no TLS\r\n\r\n")) == Transient(
            "SSLError: the connection broke"
        )

    def test_of_a_reply_that_nobody_can_read_nobody_knows(self, certificate: Certificate) -> None:
        def talk(connection: socket.socket) -> None:
            secret = certificate.context().wrap_socket(connection.dup(), server_side=True)
            asked = b""
            while KEY.encode() not in asked or not asked.endswith(b"}"):
                asked += secret.recv(10_000)
            connection.sendall(b"no record of TLS's")
            secret.close()

        assert self.outcome(talk) == Unknown("SSLError: the connection broke")


def test_the_key_reaches_no_log(sendgrid: FakeHttp, caplog: pytest.LogCaptureFixture) -> None:
    """The library writes headers and bodies at DEBUG."""
    with caplog.at_level(logging.DEBUG):
        send(sendgrid, QUEUED)
        send(sendgrid, Answer(401, errors("no")))
    assert KEY not in caplog.text
    assert "hana" not in caplog.text


def test_a_name_may_be_left_out(sendgrid: FakeHttp) -> None:
    channel = SendGridMail(KEY, sender=EmailTarget("debitum@example.net"), host=sendgrid.url)
    channel.send(msgspec.structs.replace(MAIL, to=EmailTarget("hana@example.org")), now=datetime.now(UTC))
    assert sendgrid.asked[0].json["from"] == {"email": "debitum@example.net"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # urllib leaves the connection to the collector
def test_a_redirection_to_nowhere_is_an_answer_that_nobody_understands(sendgrid: FakeHttp) -> None:
    outcome = send(sendgrid, Answer(302, b"", {"Location": "http://["}))
    assert outcome == Unknown("an answer that is none (ValueError)")
    gc.collect()
