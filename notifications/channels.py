"""Chooses the channels by the settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from domain.delivery import Channel as ChannelKind
from notifications.channel import Channel
from notifications.files import FilesMail, FilesPush
from notifications.message import EmailTarget
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
    sender = mailbox("MAIL_FROM", environ.get("MAIL_FROM") or DEFAULT_SENDER)
    return tuple(_mail(name, environ, data_dir, sender) for name in names(environ)["email"])


def _mail(name: str, environ: Mapping[str, str], data_dir: Path, sender: EmailTarget) -> Channel:
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
