"""Removes what the channels that write files have kept of one person, however long ago they wrote it."""

import contextlib
import email.errors
import email.parser
import email.policy
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from notifications import mime
from notifications.files import Push, sync_folder
from notifications.message import EmailTarget

UNFINISHED: Final = timedelta(hours=1)
"""A file that is older, and still has its temporary name, was left by a killed process, and goes whosever it is."""


def erase(mails: Path, pushes: Path, *, address: str, user_id: UUID, now: datetime) -> int:
    """Remove the mails to `address` and the pushes to the devices of `user_id`; how many files.

    `now` is aware. Safe to kill at any point, and to repeat. Raises OSError where a file can be neither read nor removed.
    """
    return _remove(mails, ".eml", lambda content: _is_to(content, address), now) + _remove(
        pushes, ".json", lambda content: _is_of(content, user_id), now
    )


def _remove(folder: Path, suffix: str, is_theirs: Callable[[bytes], bool], now: datetime) -> int:
    if not folder.is_dir():
        return 0
    removed = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has been renamed meanwhile
            if path.name.startswith("."):
                gone = datetime.fromtimestamp(path.stat().st_mtime, now.tzinfo) < now - UNFINISHED
            else:
                gone = path.suffix == suffix and is_theirs(path.read_bytes())
            if gone:
                path.unlink()
                removed += 1
    sync_folder(folder)  # before anybody forgets that there was something to remove
    return removed


def _is_to(content: bytes, address: str) -> bool:
    """Whether it is a mail to this mailbox; of what is no mail of ours, whether it names it."""
    text = content.decode("utf-8", "surrogateescape")
    try:
        written = mime.recipient(EmailTarget(address))
    except mime.UnsendableError:
        written = address
    head = email.parser.HeaderParser(policy=email.policy.SMTP).parsestr(text)
    try:
        [to] = head["To"].addresses
        return str(to.addr_spec) == written
    except (AttributeError, ValueError, IndexError, email.errors.MessageError):
        return address in text or written in text


def _is_of(content: bytes, user_id: UUID) -> bool:
    """Whether it is a push to this user; of what is no push of ours, whether it names them."""
    try:
        push = msgspec.json.decode(content, type=Push)
    except msgspec.MsgspecError:
        return str(user_id).encode() in content
    return push.user_id == str(user_id)
