"""Who was erased, told beside the backups: a backup that is older than an erasure would bring them back.

One line for each, only ever appended, before anything of theirs is removed: a SHA-256 of the ledger's id and when it was due. It
names nobody, and has to live as long as the oldest backup. What the table `erasures` has and the list has not is added to it.
"""

import datetime
import fcntl
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, DateTime, LargeBinary, text

from storage.backup.errors import BackupError

FILE: Final = "erasures.jsonl"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Erased(msgspec.Struct, frozen=True):
    """A ledger that was erased, or is just about to be: nobody can change their mind once it is due.

    `ledger` is the SHA-256 of the 16 bytes of its id, in hexadecimal digits, as the table `erasures` has it.
    """

    ledger: str
    due_at: datetime.datetime

    @classmethod
    def of(cls, ledger_id: UUID, due_at: datetime.datetime) -> "Erased":
        """Of a ledger that is to be erased now."""
        return cls(hashlib.sha256(ledger_id.bytes).hexdigest(), due_at)


def read(folder: Path) -> list[Erased]:
    """What is told in `folder`, nothing where there is no list. Raises BackupError where a line is none.

    What a power cut left of a last line is left out: the next `note` tells it again.
    """
    file = folder / FILE
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    try:
        found = [msgspec.json.decode(line, type=Erased) for line in lines if line]
    except msgspec.DecodeError as error:
        raise BackupError(f"{file} has a line that tells of no erasure: {error}") from None
    if wrong := [one for one in found if not _DIGEST.fullmatch(one.ledger)]:
        raise BackupError(f"{file} has {len(wrong)} lines without a digest of 64 hexadecimal digits")
    return found


def note(connection: Connection, folder: Path) -> int:
    """Add to the list what the table `erasures` has and the list has not; how many that were. Safe to repeat."""
    rows = connection.execute(_ERASURES).all()
    return add(folder, [Erased(bytes(row.ledger_digest).hex(), row.due_at) for row in rows])


def add(folder: Path, erased: Iterable[Erased]) -> int:
    """Add those that are not in the list yet; how many that were. They are on the disk when this returns."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _cut_half_a_line(file.fileno())
        known = {one.ledger for one in read(folder)}
        lines = {one.ledger: msgspec.json.encode(one) + b"\n" for one in erased if one.ledger not in known}
        file.write(b"".join(lines.values()))
        file.flush()
        os.fsync(file.fileno())
    return len(lines)


def _cut_half_a_line(descriptor: int) -> None:
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    os.ftruncate(descriptor, content.rfind(b"\n") + 1)


_ERASURES = text("select ledger_digest, due_at from debitum.erasures order by erased_at").columns(
    ledger_digest=LargeBinary, due_at=DateTime(timezone=True)
)
