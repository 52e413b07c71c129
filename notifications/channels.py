"""Chooses the channels by the settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from domain.delivery import Channel as ChannelKind
from notifications.channel import Channel, ChannelDown, Outcome, SettingError
from notifications.files import FilesMail, FilesPush
from notifications.message import Message
from notifications.mime import mailbox
from notifications.smtp import SmtpMail, parse_url

MAIL_FOLDER: Final = "mail"
PUSH_FOLDER: Final = "push"
DEFAULT_SENDER = "Debitum <debitum@localhost>"
_MAIL_PROVIDERS: Final = (("sendgrid", "SENDGRID_API_KEY"), ("smtp", "SMTP_URL"))
"""The providers of mail in the order in which they are asked, and the setting that turns each on."""


@dataclass(frozen=True)
class Channels:
    """The providers of each kind, the one to ask first in front; closes them at the end of a `with`."""

    email: tuple[Channel, ...]
    push: tuple[Channel, ...]

    def __getitem__(self, kind: ChannelKind) -> tuple[Channel, ...]:
        return self.email if kind == "email" else self.push

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close every channel; may be called twice."""
        for channel in (*self.email, *self.push):
            channel.close()


def names(environ: Mapping[str, str]) -> dict[ChannelKind, tuple[str, ...]]:
    """The names of the providers that `from_environment` would give, without what they need."""
    mail = tuple(name for name, setting in _MAIL_PROVIDERS if environ.get(setting))
    return {"email": mail or ("files",), "push": ("fcm",) if environ.get("FCM_CREDENTIALS") else ("files",)}


def from_environment(environ: Mapping[str, str], data_dir: Path) -> Channels:
    """Mail goes by SENDGRID_API_KEY and SMTP_URL, pushes by FCM_CREDENTIALS; without them into `data_dir`.

    MAIL_FROM is the sender; SENDGRID_HOST and FCM_ENDPOINT stand in the providers' place. Opens no connection.
    Raises SettingError.
    """
    return Channels(email=mail(environ, data_dir), push=(_push(environ, data_dir),))


def mail(environ: Mapping[str, str], data_dir: Path) -> tuple[Channel, ...]:
    """Those of mail alone, for whoever pushes nothing. Raises SettingError."""
    return tuple(_mail(name, environ, data_dir) for name in names(environ)["email"])


def up_or_down(environ: Mapping[str, str], data_dir: Path) -> Channels:
    """The same as `from_environment`, for whoever sends: a provider whose settings cannot be used is down, the others are up."""
    push = tuple(_or_down(name, "push", partial(_push, environ, data_dir)) for name in names(environ)["push"])
    return Channels(email=mail_up_or_down(environ, data_dir), push=push)


def mail_up_or_down(environ: Mapping[str, str], data_dir: Path) -> tuple[Channel, ...]:
    """Those of mail alone."""
    return tuple(_or_down(name, "email", partial(_mail, name, environ, data_dir)) for name in names(environ)["email"])


@dataclass(frozen=True)
class Down:
    """Stands for a provider whose settings cannot be used; `reason` says why."""

    name: str
    kind: ChannelKind
    reason: str

    @property
    def local(self) -> bool:
        """As the provider would be: a message is not to be given up for an address that files may be written to."""
        return self.name == "files"

    def send(self, message: Message, *, now: datetime) -> Outcome:
        """No message is accepted; see Channel."""
        return ChannelDown(self.reason)

    def close(self) -> None:
        """Nothing is held open."""


def _or_down(name: str, kind: ChannelKind, build: Callable[[], Channel]) -> Channel:
    try:
        return build()
    except SettingError as error:
        return Down(name, kind, str(error))


def _mail(name: str, environ: Mapping[str, str], data_dir: Path) -> Channel:
    sender = mailbox("MAIL_FROM", environ.get("MAIL_FROM") or DEFAULT_SENDER)
    if name == "sendgrid":
        from notifications.sendgrid import HOST, SendGridMail  # the libraries of a provider load slowly

        return SendGridMail(environ["SENDGRID_API_KEY"], sender=sender, host=environ.get("SENDGRID_HOST") or HOST)
    if name == "smtp":
        return SmtpMail(parse_url(environ["SMTP_URL"]), sender=sender)
    return FilesMail(data_dir / MAIL_FOLDER, sender=sender)


def _push(environ: Mapping[str, str], data_dir: Path) -> Channel:
    if not (file := environ.get("FCM_CREDENTIALS")):
        return FilesPush(data_dir / PUSH_FOLDER)
    from notifications.fcm import FcmPush

    return FcmPush(Path(file), endpoint=environ.get("FCM_ENDPOINT") or None)
