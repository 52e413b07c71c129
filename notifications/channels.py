"""Chooses the channels by the settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from notifications.channel import Channel
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
    """Mail goes to the server of SMTP_URL or, where that is unset or empty, to `data_dir`/mail; pushes to `data_dir`/push.

    MAIL_FROM is the sender. Opens no connection. Raises SettingError.
    """
    sender = mailbox("MAIL_FROM", environ.get("MAIL_FROM") or DEFAULT_SENDER)
    url = environ.get("SMTP_URL")
    mail: Channel = SmtpMail(parse_url(url), sender=sender) if url else FilesMail(data_dir / MAIL_FOLDER, sender=sender)
    return Channels(email=mail, push=FilesPush(data_dir / PUSH_FOLDER))
