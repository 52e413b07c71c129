"""Chooses the channels by the settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from notifications.channel import Channel, SettingError
from notifications.files import FilesMail, FilesPush
from notifications.message import ChannelKind
from notifications.mime import mailbox
from notifications.smtp import SmtpMail, parse_url

MAIL_FOLDER: Final = "mail"
PUSH_FOLDER: Final = "push"
DEFAULT_SENDER = "Debitum <debitum@localhost>"


@dataclass(frozen=True)
class Channels:
    """The channel of each kind; closes them at the end of a `with`."""

    email: Channel
    push: Channel

    def __getitem__(self, kind: ChannelKind) -> Channel:
        return self.email if kind == "email" else self.push

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close every channel; may be called twice."""
        self.email.close()
        self.push.close()


def from_environment(environ: Mapping[str, str], data_dir: Path) -> Channels:
    """Mail goes by SENDGRID_API_KEY or SMTP_URL, pushes by FCM_CREDENTIALS; without them into `data_dir`.

    MAIL_FROM is the sender; SENDGRID_HOST and FCM_ENDPOINT stand in the providers' place. Opens no connection.
    Raises SettingError.
    """
    return Channels(email=_mail(environ, data_dir), push=_push(environ, data_dir))


def _mail(environ: Mapping[str, str], data_dir: Path) -> Channel:
    sender = mailbox("MAIL_FROM", environ.get("MAIL_FROM") or DEFAULT_SENDER)
    url, key = environ.get("SMTP_URL"), environ.get("SENDGRID_API_KEY")
    if url and key:
        raise SettingError("SENDGRID_API_KEY and SMTP_URL: mail goes one way; unset one of them")
    if key:
        from notifications.sendgrid import HOST, SendGridMail  # the libraries of a provider load slowly

        return SendGridMail(key, sender=sender, host=environ.get("SENDGRID_HOST") or HOST)
    return SmtpMail(parse_url(url), sender=sender) if url else FilesMail(data_dir / MAIL_FOLDER, sender=sender)


def _push(environ: Mapping[str, str], data_dir: Path) -> Channel:
    if not (file := environ.get("FCM_CREDENTIALS")):
        return FilesPush(data_dir / PUSH_FOLDER)
    from notifications.fcm import FcmPush

    return FcmPush(Path(file), endpoint=environ.get("FCM_ENDPOINT") or None)
