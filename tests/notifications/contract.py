"""What every channel promises, whichever provider is behind it: each has a test class that inherits one of these."""

import email
import email.policy
import email.utils
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.header import decode_header, make_header
from email.message import EmailMessage
from uuid import UUID

import msgspec
import pytest

from domain.delivery import Channel as ChannelKind
from notifications.channel import Channel, Permanent, Sent
from notifications.message import EmailTarget, Message, PushTarget

NOW = datetime(2026, 11, 22, 20, 0, 4, tzinfo=UTC)
NAMES = ("Łucja", "Hana 花", "Nour نور", 'Zoë, "Z" O\'Brien <x>', "🦊" * 40, "Ana Lucía " * 15)

MAIL = Message(
    id=UUID("01234567-89ab-7def-8123-456789abcdef"),
    key="due:4be0643f-1d98-573b-97cd-ca98a65347dd:2026-11-22:0:email",
    kind="due",
    to=EmailTarget("hana@example.org", "Hana"),
    subject="Ana Lucía owes you €12.50, due today",
    text="Hello Hana,\n\n.a line with a dot\nAna Lucía owes you €12.50, due today.\n",
    html="<!doctype html><p>Ana Lucía owes you €12.50, due today.</p>\n",
    created_at=NOW - timedelta(minutes=3),
)
PUSH = msgspec.structs.replace(
    MAIL,
    key="due:4be0643f-1d98-573b-97cd-ca98a65347dd:2026-11-22:0:push",
    to=PushTarget(UUID(int=1), UUID(int=2)),
    html=None,
)


@dataclass(frozen=True)
class Delivery:
    """What has arrived at the other end."""

    identity: str
    title: str
    text: str


class ChannelContract:
    """A class that inherits it has the fixtures `channel` and `delivered`."""

    kind: ChannelKind
    message: Message

    def test_it_says_what_it_is(self, channel: Channel) -> None:
        assert channel.kind == self.kind
        assert re.fullmatch("[a-z]+", channel.name)
        assert channel.local == (channel.name == "files")

    def test_a_message_arrives_once_and_whole(self, channel: Channel, delivered: Callable[[], list[Delivery]]) -> None:
        outcome = channel.send(self.message, now=NOW)
        assert isinstance(outcome, Sent), outcome
        assert outcome.detail
        [delivery] = delivered()
        assert (delivery.title, delivery.text) == (self.message.subject, self.message.text)

    @pytest.mark.parametrize("name", NAMES)
    def test_any_name_arrives(self, channel: Channel, delivered: Callable[[], list[Delivery]], name: str) -> None:
        subject, text = f"{name.strip()} owes you €12.50", f"Hello {name.strip()}!\n"
        assert isinstance(channel.send(msgspec.structs.replace(self.message, subject=subject, text=text), now=NOW), Sent)
        [delivery] = delivered()
        assert (delivery.title, delivery.text) == (subject, text)

    def test_a_second_attempt_has_the_identity_of_the_first(
        self, channel: Channel, delivered: Callable[[], list[Delivery]]
    ) -> None:
        channel.send(self.message, now=NOW)
        channel.send(self.message, now=NOW + timedelta(minutes=5))
        assert len({delivery.identity for delivery in delivered()}) == 1

    def test_two_messages_have_two_identities(self, channel: Channel, delivered: Callable[[], list[Delivery]]) -> None:
        channel.send(self.message, now=NOW)
        channel.send(msgspec.structs.replace(self.message, id=UUID(int=7)), now=NOW)
        assert len({delivery.identity for delivery in delivered()}) == 2

    def test_the_wrong_target_is_permanent(self, channel: Channel, delivered: Callable[[], list[Delivery]]) -> None:
        other = PUSH if self.kind == "email" else MAIL
        assert isinstance(channel.send(msgspec.structs.replace(self.message, to=other.to), now=NOW), Permanent)
        assert delivered() == []

    def test_text_that_is_no_unicode_is_permanent(self, channel: Channel, delivered: Callable[[], list[Delivery]]) -> None:
        assert isinstance(channel.send(msgspec.structs.replace(self.message, text="\ud800"), now=NOW), Permanent)
        assert delivered() == []

    def test_it_can_be_closed_twice(self, channel: Channel) -> None:
        channel.close()
        channel.close()


class MailContract(ChannelContract):
    """What every e-mail channel promises; `mails` gives what has arrived, parsed."""

    kind = "email"
    message = MAIL
    dated = True
    """Whether the mail's date is ours to set."""

    def test_a_mail_has_both_parts_and_the_headers_that_are_promised(
        self, channel: Channel, mails: Callable[[], list[EmailMessage]]
    ) -> None:
        further = (("List-Unsubscribe", f"<https://debitum.example/u/{'a' * 90}>"),)
        channel.send(msgspec.structs.replace(self.message, headers=further), now=NOW)
        [mail] = mails()
        assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
        assert {part.get_content_charset() for part in mail.walk() if not part.is_multipart()} == {"utf-8"}
        assert body(mail, "html") == self.message.html
        assert mail["From"] == "Debitum <debitum@example.net>"
        assert mail["To"] == "Hana <hana@example.org>"
        assert not self.dated or mail["Date"].datetime == NOW
        assert mail["X-Debitum-Key"] == self.message.key
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["Content-Language"] == "en"
        assert re.fullmatch("<[0-9a-f]{32}@example.net>", mail["Message-ID"])
        assert mail["List-Unsubscribe"] == further[0][1]

    def test_a_subject_cannot_break_out_of_its_header(self, channel: Channel, mails: Callable[[], list[EmailMessage]]) -> None:
        to = EmailTarget("hana@example.org", "Hana\r\nBcc: eve@example.org")
        channel.send(msgspec.structs.replace(self.message, subject="Hi\r\nBcc: eve@example.org\n\nbody", to=to), now=NOW)
        [mail] = mails()
        assert mail["Bcc"] is None
        assert mail["Subject"] == "Hi Bcc: eve@example.org body"
        assert [address.addr_spec for address in mail["To"].addresses] == ["hana@example.org"]

    @pytest.mark.parametrize("name", [*NAMES, "نور " * 40])
    def test_any_name_stands_in_the_header(self, channel: Channel, mails: Callable[[], list[EmailMessage]], name: str) -> None:
        name = name.strip()
        channel.send(msgspec.structs.replace(self.message, to=EmailTarget("hana@example.org", name), subject=name), now=NOW)
        [mail] = mails()
        assert [address.addr_spec for address in mail["To"].addresses] == ["hana@example.org"]
        assert mail["Subject"] == name
        # Not the display name of Python's new parser, which puts blanks between the parts of a long one.
        shown, _ = email.utils.parseaddr(dict(mail.raw_items())["To"])
        assert str(make_header(decode_header(shown))) == name

    def test_no_encoded_word_is_smuggled_in(self, channel: Channel, mails: Callable[[], list[EmailMessage]]) -> None:
        name = "=?utf-8?q?Eve=0ABcc:_x@example.org?="
        channel.send(msgspec.structs.replace(self.message, to=EmailTarget("hana@example.org", name), subject=name), now=NOW)
        [mail] = mails()
        assert mail["Subject"] == "= ?utf-8?q?Eve=0ABcc:_x@example.org?="
        assert mail["To"].addresses[0].display_name == "= ?utf-8?q?Eve=0ABcc:_x@example.org?="

    def test_a_header_with_a_line_break_is_permanent(self, channel: Channel, mails: Callable[[], list[EmailMessage]]) -> None:
        headers = (("X-Test", "a\r\nBcc: eve@example.org"),)
        assert isinstance(channel.send(msgspec.structs.replace(self.message, headers=headers), now=NOW), Permanent)
        assert mails() == []

    @pytest.mark.parametrize("address", ["", "hana", "hana@", "a@b@c", "a b@example.org", "a@example.org\r\nDATA", "<a@b.c>"])
    def test_an_address_that_is_none_is_permanent(
        self, channel: Channel, mails: Callable[[], list[EmailMessage]], address: str
    ) -> None:
        assert isinstance(channel.send(msgspec.structs.replace(self.message, to=EmailTarget(address)), now=NOW), Permanent)
        assert mails() == []

    @pytest.mark.parametrize(
        ("domain", "written"),
        [
            ("bücher.example", "xn--bcher-kva.example"),
            ("Bücher.example", "xn--bcher-kva.example"),
            ("faß.example", "xn--fa-hia.example"),  # and not fass.example, which is somebody else's
        ],
    )
    def test_a_domain_in_any_script_is_written_in_ascii(
        self, channel: Channel, mails: Callable[[], list[EmailMessage]], domain: str, written: str
    ) -> None:
        assert isinstance(channel.send(msgspec.structs.replace(self.message, to=EmailTarget(f"hana@{domain}")), now=NOW), Sent)
        [mail] = mails()
        assert mail["To"] == f"hana@{written}"


def parse(content: bytes) -> EmailMessage:
    """A mail as a mail program reads it."""
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    assert mail.defects == []
    return mail


def body(mail: EmailMessage, subtype: str) -> str:
    """The text of one part, with the line ends of Python."""
    part = mail.get_body((subtype,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def delivery(mail: EmailMessage) -> Delivery:
    """The mail in the terms of the contract."""
    return Delivery(mail["Message-ID"], mail["Subject"], body(mail, "plain"))
