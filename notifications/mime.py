"""Writes a message as a mail: RFC 5322 with a text part and, where there is one, an HTML part."""

import email.policy
import email.utils
import re
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.headerregistry import Address, AddressHeader
from email.message import EmailMessage

from domain import addresses
from notifications.channel import SettingError
from notifications.formats import one_line
from notifications.message import EmailTarget, Message, fingerprint

_ADDRESS = re.compile(r'[^\s@<>()\[\]\\,;:"\x00-\x1f\x7f]+@[^\s@<>()\[\]\\,;:"\x00-\x1f\x7f]+')
"""One mailbox without quoting; stricter than RFC 5322, as every address here came through a sign-up."""
_ENCODED = frozenset({"from", "to", "subject"})
"""The headers that hold people's words, which alone may be encoded."""
_LONGEST_LINE = 998
"""Of a header, without its line end (RFC 5322, 2.1.1)."""


class UnsendableError(Exception):
    """The message cannot be written as a mail; the text says why, without the address."""


class _Policy(email.policy.EmailPolicy):
    """Folds headers where the standard library's way harms them (seen in 3.11).

    It loses blanks between words that are not ASCII, and it encodes what is too long for a line even where only
    people's words may be encoded: a List-Unsubscribe of that kind is none to a mail program.
    """

    def fold_binary(self, name: str, value: str) -> bytes:
        line = f"{name}: {value}"
        if name.lower() not in _ENCODED:
            if line.isascii() and len(line) <= _LONGEST_LINE:
                return f"{line}\r\n".encode("ascii")
            return super().fold_binary(name, value)
        if line.isascii():
            return super().fold_binary(name, value)
        if name.lower() == "subject":
            return f"{name}: {_encoded(str(value), name)}\r\n".encode("ascii")
        assert isinstance(value, AddressHeader)
        [address] = value.addresses
        return f"{name}: {_encoded(address.display_name, name)}\r\n <{address.addr_spec}>\r\n".encode()


def plain(text: str) -> str:
    """One line of words for a header: what looks like an encoded word is decoded by readers, and could hide anything."""
    return one_line(text).replace("=?", "= ?")


def _encoded(words: str, header: str) -> str:
    return Header(words, "utf-8", header_name=header).encode(linesep="\r\n")


@dataclass(frozen=True)
class Mail:
    """A mail and its envelope. `content` has CRLF line ends; `international` mails need a server with SMTPUTF8."""

    sender: str
    recipient: str
    content: bytes
    international: bool


def compose(message: Message, *, sender: EmailTarget, now: datetime) -> Mail:
    """The mail of a message, dated `now`. All else is the same at every attempt, the Message-ID too.

    Raises UnsendableError where the target is no mailbox or a header would break.
    """
    if not isinstance(message.to, EmailTarget):
        raise UnsendableError("the target is not a mailbox")
    mail_from, mail_to = _address(sender), _address(message.to)
    international = not (mail_from.addr_spec + mail_to.addr_spec).isascii()
    mail = EmailMessage(_Policy(linesep="\r\n", cte_type="7bit", utf8=international))
    try:
        mail["From"], mail["To"], mail["Subject"] = mail_from, mail_to, plain(message.subject)
        mail["Date"] = email.utils.format_datetime(now)
        own = headers(message, mail_from.domain)
        language = own.pop("Content-Language")
        for name, value in (*own.items(), *message.headers):
            mail[name] = value
        mail.set_content(message.text)
        if message.html is not None:
            mail.add_alternative(message.html, subtype="html")
            mail.set_boundary(f"=_{fingerprint(message)}")
        mail["Content-Language"] = language  # last: the parts would take it along
        content = mail.as_bytes()
    except ValueError as error:  # a line break in a header, a lone surrogate in the text
        raise UnsendableError(f"not a well-formed mail ({type(error).__name__})") from error
    return Mail(mail_from.addr_spec, mail_to.addr_spec, content, international)


def headers(message: Message, domain: str) -> dict[str, str]:
    """The headers by which a mail says what it is; `domain` is the sender's. The same at every attempt."""
    return {
        "Message-ID": f"<{fingerprint(message)}@{domain}>",
        "X-Debitum-Key": message.key,
        "Auto-Submitted": "auto-generated",  # so that no out-of-office note answers it (RFC 3834)
        "Content-Language": message.language,
    }


def mailbox(setting: str, text: str) -> EmailTarget:
    """Read `Name <address>` or a bare address. Raises SettingError, which names `setting`."""
    name, address = email.utils.parseaddr(text)
    if not _ADDRESS.fullmatch(address):
        raise SettingError(f'{setting}: "{one_line(text)}" is not a mailbox such as "Debitum <debitum@example.org>"')
    return EmailTarget(address, one_line(name))


def recipient(target: EmailTarget) -> str:
    """The mailbox as the To of a mail has it. Raises UnsendableError where it is none."""
    return _address(target).addr_spec


def _address(target: EmailTarget) -> Address:
    if not _ADDRESS.fullmatch(target.address):
        raise UnsendableError("the address is not well formed")
    local, _, domain = target.address.rpartition("@")
    try:
        return Address(plain(target.name), local, addresses.ascii_domain(domain))
    except UnicodeError as error:
        raise UnsendableError("the domain of the address is not well formed") from error
