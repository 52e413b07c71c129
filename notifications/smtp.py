"""Mail through an SMTP server: plain, with STARTTLS, or in TLS from the first byte."""

import base64
import contextlib
import re
import smtplib
import socket
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from notifications import mime
from notifications.channel import TIMEOUT_SECONDS, ChannelDown, Outcome, Permanent, Sent, SettingError, Transient, Unknown
from notifications.deadline import Deadline
from notifications.formats import one_line
from notifications.message import EmailTarget, Message

Security = Literal["none", "starttls", "tls"]
Stage = Literal["connect", "tls", "login", "sender", "recipient", "data", "content"]
"""How far a conversation has come; from `content` on the server has the whole mail and may have accepted it."""

_SCHEMES: dict[str, tuple[Security, int]] = {"smtp": ("none", 25), "smtp+starttls": ("starttls", 587), "smtps": ("tls", 465)}
"""What SMTP_URL may begin with, and the port where it names none (RFC 8314)."""
_LONGEST_TIMEOUT_SECONDS = 50.0
"""Below half of the outbox's lease of 120 s, or another process would send the same mail meanwhile."""
_DETAIL_CHARACTERS = 300
_LOGIN_REFUSED = frozenset({530, 534, 535, 538})
_TOO_LARGE = 552


@dataclass(frozen=True)
class Server:
    """Where mail is handed in, and how. `ca_file`: whom to trust instead of the system's authorities (PEM)."""

    host: str
    port: int
    security: Security
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS
    ca_file: Path | None = None


def parse_url(url: str) -> Server:
    """Read SMTP_URL: `smtp|smtp+starttls|smtps://[user:password@]host[:port][?timeout=seconds&ca=file]`.

    User and password are percent-encoded. Raises SettingError.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingError(
            "SMTP_URL: the host or port is not well formed; a / ? # or @ in a password is percent-encoded"
        ) from None
    if parts.scheme not in _SCHEMES:
        raise SettingError(f"SMTP_URL: must begin with one of {', '.join(f'{scheme}://' for scheme in _SCHEMES)}")
    if not parts.hostname:
        raise SettingError("SMTP_URL: names no host")
    if parts.path not in ("", "/") or parts.fragment:
        raise SettingError("SMTP_URL: nothing but ?timeout= and ?ca= may follow the port")
    if (parts.username is None) != (parts.password is None):
        raise SettingError("SMTP_URL: user and password belong together: user:password@host")
    security, usual_port = _SCHEMES[parts.scheme]
    timeout_seconds, ca_file = _options(parts.query)
    return Server(
        host=parts.hostname,
        port=port or usual_port,
        security=security,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        timeout_seconds=timeout_seconds,
        ca_file=ca_file,
    )


class SmtpMail:
    """Hands each mail to one server, over a connection of its own. Raises SettingError where `ca_file` cannot be read."""

    name = "smtp"
    kind: Literal["email"] = "email"
    local = False

    def __init__(self, server: Server, *, sender: EmailTarget) -> None:
        self._server = server
        self._sender = sender
        try:
            self._tls = ssl.create_default_context(cafile=server.ca_file)
        except OSError as error:
            raise SettingError(f"SMTP_URL: ca={server.ca_file} is not a readable PEM file") from error

    def send(self, message: Message, *, now: datetime) -> Outcome:
        """Hand in one mail; see Channel."""
        try:
            mail = mime.compose(message, sender=self._sender, now=now)
        except mime.UnsendableError as error:
            return Permanent(str(error))
        with Deadline(self._server.timeout_seconds) as deadline:
            conversation = _Conversation(self._server, mail, deadline, self._tls)
            try:
                return conversation.hold()
            finally:
                conversation.close()

    def close(self) -> None:
        """Nothing is held open."""


class _Conversation(smtplib.SMTP):
    """One mail, one connection; smtplib speaks, this class knows how far it came and what an answer means."""

    def __init__(self, server: Server, mail: mime.Mail, deadline: Deadline, tls: ssl.SSLContext) -> None:
        # If it is given no name, smtplib looks up that of this machine, which may take longer than the whole attempt may.
        super().__init__(local_hostname=mail.sender.rpartition("@")[2], timeout=server.timeout_seconds)
        self._host = server.host  # whose certificate smtplib asks for in STARTTLS
        self._server = server
        self._mail = mail
        self._deadline = deadline
        self._tls = tls
        self._stage: Stage = "connect"

    def hold(self) -> Outcome:
        """Say all that is to be said; what goes wrong on the way is an outcome too."""
        try:
            self._greet()
            self._log_in()
            return self._hand_in()
        except smtplib.SMTPNotSupportedError as error:
            return ChannelDown(str(error))
        except smtplib.SMTPResponseException as error:
            return self._judge(error.smtp_code, error.smtp_error)
        except (ssl.SSLError, socket.gaierror) as error:
            return self._unreachable(error)
        except OSError as error:  # smtplib's own exceptions among them: the connection broke
            return self._broken(error)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection = self._deadline.connect(host, port)
        if self._server.security != "tls":
            return connection
        return self._tls.wrap_socket(connection, server_hostname=host)

    def getreply(self) -> tuple[int, bytes]:
        """The next reply of the server; half a line that the deadline cut off is none."""
        reply = super().getreply()
        if self._deadline.expired:
            raise TimeoutError
        return reply

    def _greet(self) -> None:
        code, text = self.connect(self._server.host, self._server.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
        self.ehlo_or_helo_if_needed()
        if self._server.security == "starttls":
            self._stage = "tls"
            code, text = self.starttls(context=self._tls)
            if code != 220:
                raise smtplib.SMTPResponseException(code, text)
            self.ehlo_or_helo_if_needed()

    def _log_in(self) -> None:
        if self._server.user is None or self._server.password is None:
            return
        self._stage = "login"
        if not self.has_extn("auth"):
            raise smtplib.SMTPNotSupportedError("the server offers no log-in; remove user and password from SMTP_URL")
        # Not SMTP.login, which tries one mechanism after the other: three wrong passwords a mail lock an account.
        offered = self.esmtp_features["auth"].upper().split()
        if "PLAIN" in offered:
            lines = ["AUTH PLAIN " + _base64(f"\0{self._server.user}\0{self._server.password}")]
        elif "LOGIN" in offered:
            lines = ["AUTH LOGIN", _base64(self._server.user), _base64(self._server.password)]
        else:
            raise smtplib.SMTPNotSupportedError("the server offers neither PLAIN nor LOGIN")
        for line in lines[:-1]:
            self._require(334, line)
        self._require(235, lines[-1])

    def _require(self, expected: int, command: str) -> None:
        code, text = self.docmd(command)
        if code != expected:
            raise smtplib.SMTPResponseException(code, text)

    def _hand_in(self) -> Outcome:
        options = [f"size={len(self._mail.content)}"] if self.has_extn("size") else []
        if self._mail.international:
            if not self.has_extn("smtputf8"):
                return Permanent("the server takes only addresses in ASCII")
            options += ["SMTPUTF8", "BODY=8BITMIME"]
        self._stage = "sender"
        if (refusal := self._refusal(self.mail(self._mail.sender, options), 250)) is not None:
            return refusal
        self._stage = "recipient"
        if (refusal := self._refusal(self.rcpt(self._mail.recipient), 250, 251)) is not None:
            return refusal
        self._stage = "data"
        if (refusal := self._refusal(self.docmd("DATA"), 354)) is not None:
            return refusal
        return self._hand_over()

    def _hand_over(self) -> Outcome:
        content = re.sub(rb"(?m)^\.", b"..", self._mail.content)
        # If this fails, the final dot has not left: the server drops what it has got so far.
        self.send((content if content.endswith(b"\r\n") else content + b"\r\n") + b".\r\n")
        self._stage = "content"
        code, text = self.getreply()
        outcome = self._judge(code, text) if not 200 <= code <= 299 else Sent(self._detail(code, text))
        with contextlib.suppress(OSError):
            self.putcmd("QUIT")  # its reply is not waited for: the mail is theirs already
        return outcome

    def _refusal(self, reply: tuple[int, bytes], *expected: int) -> Outcome | None:
        code, text = reply
        return None if code in expected else self._judge(code, text)

    def _judge(self, code: int, text: bytes | str) -> Outcome:
        detail = self._detail(code, text)
        if code in _LOGIN_REFUSED:
            return ChannelDown(detail)
        if 400 <= code <= 499:
            return Transient(detail)
        if 500 <= code <= 599:
            about_this_mail = self._stage in ("recipient", "data", "content") or code == _TOO_LARGE
            return Permanent(detail) if about_this_mail else ChannelDown(detail)
        return Unknown(detail) if self._stage == "content" else Transient(detail)

    def _unreachable(self, error: ssl.SSLError | socket.gaierror) -> Outcome:
        if isinstance(error, ssl.SSLCertVerificationError):
            return ChannelDown(f"the server's certificate is not trusted: {error.verify_message}")
        if isinstance(error, socket.gaierror):
            detail = f"the host's name is not resolved: {error.strerror}"
            return ChannelDown(detail) if error.errno == socket.EAI_NONAME else Transient(detail)
        if self._deadline.expired or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return self._broken(error)
        return ChannelDown(f"no TLS with this server: {error.reason}")

    def _broken(self, error: OSError) -> Outcome:
        timed_out = self._deadline.expired or isinstance(error, TimeoutError)
        why = f"no end after {self._server.timeout_seconds:g} s" if timed_out else one_line(str(error)) or type(error).__name__
        detail = f"{why} (at {self._stage})"
        return Unknown(detail) if self._stage == "content" else Transient(detail)

    def _detail(self, code: int, text: bytes | str) -> str:
        words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        # The detail is kept and shown to operators, who need not know to whom a user's mails go.
        anonymous = re.sub(re.escape(self._mail.recipient), "(recipient)", one_line(words), flags=re.IGNORECASE)
        return f"{code} {anonymous}"[:_DETAIL_CHARACTERS]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _options(query: str) -> tuple[float, Path | None]:
    timeout_seconds, ca_file = TIMEOUT_SECONDS, None
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "timeout":
            timeout_seconds = _seconds(value)
        elif name == "ca":
            ca_file = Path(value)
        else:
            raise SettingError(f"SMTP_URL: unknown option {name}; there are timeout and ca")
    return timeout_seconds, ca_file


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_TIMEOUT_SECONDS:
        raise SettingError(f"SMTP_URL: timeout is a number of seconds up to {_LONGEST_TIMEOUT_SECONDS:g}")
    return seconds
