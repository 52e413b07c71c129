"""Mail through SendGrid's v3 API: one call an attempt, and the outbox does the waiting."""

import http.client
import logging
import re
import socket
import ssl
import urllib.error
from datetime import datetime
from typing import Any, Final, Literal

import sendgrid
from python_http_client.exceptions import HTTPError

from notifications import mime
from notifications.channel import TIMEOUT_SECONDS, ChannelDown, Outcome, Permanent, Sent, Transient, Unknown
from notifications.deadline import within
from notifications.http import api_key, base_url, judge, told
from notifications.message import EmailTarget, Message, fingerprint

HOST: Final = "https://api.sendgrid.com"
ACCEPTED: Final = 202
"""What queues a mail; SendGrid's sandbox answers 200 and sends nothing."""
_NOT_CONNECTED = (ConnectionRefusedError, socket.gaierror, ssl.SSLError)
"""What says that nothing was sent, where urllib wraps it: it wraps what happens until the whole request is on its way."""

# At DEBUG the library writes every header and body into the log, the API key among them.
logging.getLogger("python_http_client").setLevel(logging.WARNING)


class SendGridMail:
    """Hands each mail to SendGrid. `host` is the base of its API, for the EU or for tests.

    Raises SettingError where `key` or `host` cannot be used.
    """

    name = "sendgrid"
    kind: Literal["email"] = "email"
    local = False

    def __init__(
        self,
        key: str,
        *,
        sender: EmailTarget,
        host: str = HOST,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._sender, self._timeout_seconds = sender, timeout_seconds
        self._api = sendgrid.SendGridAPIClient(api_key("SENDGRID_API_KEY", key), host=base_url("SENDGRID_HOST", host))
        self._api.client.timeout = timeout_seconds  # the library has none by itself; it counts anew with every byte

    def send(self, message: Message, *, now: datetime) -> Outcome:
        """Hand in one mail; see Channel."""
        try:
            body = _body(message, self._sender, now)
        except mime.UnsendableError as error:
            return Permanent(str(error))
        try:
            response = within(self._timeout_seconds, lambda: self._api.client.mail.send.post(request_body=body))
        except HTTPError as error:
            words = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else str(error.body)
            return judge(error.status_code, told(error.status_code, _anonymous(words, message)), error.headers, now=now)
        except TimeoutError:
            return Unknown(f"no end after {self._timeout_seconds:g} s")
        except (OSError, http.client.HTTPException) as error:
            return _broken(error)
        except ValueError as error:  # an answer that the library cannot read, such as a redirection to nowhere
            return Unknown(f"an answer that is none ({type(error).__name__})")
        if response.status_code != ACCEPTED:
            words = response.body.decode("utf-8", "replace")
            return Unknown(told(response.status_code, _anonymous(words, message)))
        return Sent(f"{ACCEPTED} {response.headers.get('X-Message-Id', '')}".strip())

    def close(self) -> None:
        """Nothing is held open."""


def _body(message: Message, sender: EmailTarget, now: datetime) -> dict[str, Any]:
    """The mail as SendGrid wants it. Raises mime.UnsendableError for whatever would be none as a mail."""
    mail = mime.compose(message, sender=sender, now=now)
    assert isinstance(message.to, EmailTarget)
    content = [{"type": "text/plain", "value": message.text}]
    if message.html is not None:
        content.append({"type": "text/html", "value": message.html})
    return {
        "personalizations": [{"to": [_person(EmailTarget(mail.recipient, message.to.name))]}],
        "from": _person(EmailTarget(mail.sender, sender.name)),
        "subject": mime.plain(message.subject),
        "content": content,
        "headers": {**mime.headers(message, mail.sender.rpartition("@")[2]), **dict(message.headers)},
        "custom_args": {"debitum_id": fingerprint(message), "debitum_kind": message.kind},
        # Neither rewrites links, which would show who repaid whom to somebody who watches the line, nor adds a picture.
        "tracking_settings": {"click_tracking": {"enable": False}, "open_tracking": {"enable": False}},
    }


def _person(target: EmailTarget) -> dict[str, str]:
    person = {"email": target.address}
    return person | {"name": name} if (name := mime.plain(target.name)) else person


def _broken(error: OSError | http.client.HTTPException) -> Outcome:
    """A conversation that broke: whoever was never reached has nothing; of whoever was, nobody knows."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return ChannelDown(f"the server's certificate is not trusted: {reason.verify_message}")
    if isinstance(reason, socket.gaierror):
        detail = f"the host's name is not resolved: {reason.strerror}"
        return ChannelDown(detail) if reason.errno == socket.EAI_NONAME else Transient(detail)
    detail = f"{type(reason).__name__}: the connection broke"
    return Transient(detail) if reason is not error and isinstance(reason, _NOT_CONNECTED) else Unknown(detail)


def _anonymous(detail: str, message: Message) -> str:
    """Operators who read the detail need not know to whom a user's mails go."""
    if not isinstance(message.to, EmailTarget):
        return detail
    ways = "|".join(re.escape(address) for address in (message.to.address, mime.recipient(message.to)))  # as DNS has it, too
    return re.sub(ways, "(recipient)", detail, flags=re.IGNORECASE)
