"""The channels that write files: every mail and every push of a machine that has no provider yet."""

import contextlib
import errno
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from notifications import mime
from notifications.channel import ChannelDown, Outcome, Permanent, Sent, Transient
from notifications.message import EmailTarget, Message, PushTarget, fingerprint

_TEMPORARY = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EINTR, errno.EMFILE, errno.ENFILE})
"""Errors of a machine in trouble. Any other (no permission, a file in the folder's place) lasts until someone acts."""


class FilesMail:
    """Writes each mail to `folder` as one .eml, which any mail program opens."""

    name = "files"
    kind: Literal["email"] = "email"
    local = True

    def __init__(self, folder: Path, *, sender: EmailTarget) -> None:
        self._folder = folder
        self._sender = sender

    def send(self, message: Message, *, now: datetime) -> Outcome:
        """Write one mail; see Channel."""
        try:
            mail = mime.compose(message, sender=self._sender, now=now)
        except mime.UnsendableError as error:
            return Permanent(str(error))
        return _store(self._folder / f"{_stem(message)}.eml", mail.content)

    def close(self) -> None:
        """Nothing is held open."""


class Push(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a file of a push holds. The registration is a secret of the device and stays out of it."""

    key: str
    kind: str
    user_id: str
    title: str
    body: str
    language: str
    written_at: datetime
    device_id: str | None = None
    collapse_key: str | None = None
    link: str | None = None


class FilesPush:
    """Writes each push to `folder` as one JSON file."""

    name = "files"
    kind: Literal["push"] = "push"
    local = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, message: Message, *, now: datetime) -> Outcome:
        """Write one push; see Channel."""
        if not isinstance(message.to, PushTarget):
            return Permanent("the target is not a device")
        push = Push(
            key=message.key,
            kind=message.kind,
            user_id=str(message.to.user_id),
            title=message.subject,
            body=message.text,
            language=message.language,
            written_at=now,
            device_id=None if message.to.device_id is None else str(message.to.device_id),
            collapse_key=message.collapse_key,
            link=message.link,
        )
        try:
            content = msgspec.json.format(msgspec.json.encode(push), indent=2) + b"\n"
        except UnicodeEncodeError:
            return Permanent("the text is not well-formed Unicode")
        return _store(self._folder / f"{_stem(message)}.json", content)

    def close(self) -> None:
        """Nothing is held open."""


def _stem(message: Message) -> str:
    # Made of the outbox row alone: an attempt that is made again after a crash replaces its own file and no other.
    return f"{message.created_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{fingerprint(message)[:12]}"


def _store(path: Path, content: bytes) -> Outcome:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(path, content)
    except OSError as error:
        detail = f"{errno.errorcode.get(error.errno or 0, 'OSError')}: {path.parent.name}/ cannot be written"
        return Transient(detail) if error.errno in _TEMPORARY else ChannelDown(detail)
    return Sent(f"{path.parent.name}/{path.name}")


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put the folder itself on the disk: or a power cut may undo what was written or removed, though the outbox says sent."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
