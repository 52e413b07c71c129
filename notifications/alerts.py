"""Tells the operator that something is wrong: by mail and webhook, at once and past the outbox, which may be what is wrong."""

import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import msgspec
import structlog

from notifications import channels
from notifications.channel import Channel, Sent, SettingError
from notifications.message import EmailTarget, Message
from notifications.mime import mailbox

TIMEOUT_SECONDS: Final = 10.0
_log = structlog.get_logger(__name__)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """`what` is wrong in a few words, `text` says more; `link` shows it, `runbook` says what to do. No word of an exception."""

    what: str
    text: str
    link: str | None
    runbook: str


def tell(alert: Alert, environ: Mapping[str, str], data_dir: Path, *, now: datetime) -> dict[str, bool]:
    """Tell OPERATOR_EMAIL and OPERATOR_WEBHOOK, each where it is set; whether it was taken, by the name of the way.

    What keeps one of them from working, a setting that is wrong for instance, may be what the alert is about.
    """
    ways: dict[str, Callable[[], bool]] = {}
    if address := environ.get("OPERATOR_EMAIL"):
        ways["mail"] = lambda: _mail(alert, mailbox("OPERATOR_EMAIL", address), environ, data_dir, now)
    if url := environ.get("OPERATOR_WEBHOOK"):
        ways["webhook"] = lambda: posted(url, msgspec.to_builtins(alert))
    return {name: _taken(name, way) for name, way in ways.items()}


def _taken(name: str, way: Callable[[], bool]) -> bool:
    """Whether the way took it. An alert is told once: nothing that one way meets may keep it from the next."""
    try:
        return way()
    except SettingError as error:
        _log.error("mail_not_set_up", reason=str(error))
    except Exception as error:
        _log.error("alert_failed", provider=name, exc_info=error)
    return False


def posted(url: str, body: Mapping[str, object]) -> bool:
    """Whether `url` took a POST of this JSON. `text` is what chat programs show."""
    try:
        return httpx.post(url, json=body, timeout=TIMEOUT_SECONDS).is_success
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
        return False


def reached(url: str) -> bool:
    """Whether a GET of `url` was answered well."""
    try:
        return httpx.get(url, timeout=TIMEOUT_SECONDS).is_success
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
        return False


def _mail(alert: Alert, to: EmailTarget, environ: Mapping[str, str], data_dir: Path, now: datetime) -> bool:
    """By the first provider that takes it."""
    made = uuid.uuid4()
    lines = [alert.text, *([alert.link] if alert.link else []), f"What to do: {alert.runbook}"]
    mail = Message(
        id=made,
        key=f"alert:{made}",
        kind="alert",
        to=to,
        subject=f"Debitum: {alert.what}",
        text="\n\n".join(lines) + "\n",
        created_at=now,
    )
    with ExitStack() as stack:
        ways = [stack.enter_context(closing(way)) for way in channels.mail_up_or_down(environ, data_dir)]
        return any(_taken(way.name, partial(_sent, way, mail, now)) for way in ways)


def _sent(way: Channel, mail: Message, now: datetime) -> bool:
    if isinstance(way, channels.Down):
        _log.error("mail_not_set_up", provider=way.name, reason=way.reason)
    return isinstance(way.send(mail, now=now), Sent)
