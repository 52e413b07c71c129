"""Which supervisor holds a data folder: a lock that dies with its process, and a note for whoever comes second."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, TextIO

from debitum import folders

LOOKED_AT_SECONDS: Final = 0.5
"""How long `claim` waits for the lock: `holder`, which only looks, has it for a moment."""


@dataclass(frozen=True)
class Note:
    """What up.json says: who runs, since when (ISO 8601, UTC), where it is reached, by name of the part; and its keys' ids."""

    pid: int
    started_at: str
    addresses: Mapping[str, str] = field(default_factory=dict)
    key_ids: Sequence[str] = field(default_factory=list)


class AlreadyRunningError(Exception):
    """Another supervisor holds the data folder; `note` is what it wrote, None while it is only just starting."""

    def __init__(self, note: Note | None) -> None:
        super().__init__("another supervisor runs on this data folder")
        self.note = note


class Claim:
    """The hold on a data folder; `unclean` says that the last holder did not get to end by itself."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / "up.json"
        self.unclean = self._file.exists()

    def write(self, note: Note) -> None:
        """Tell others what runs here. Readers see the old note or the new one, never half of one. Raises folders.FolderError."""
        temporary = self._file.with_suffix(".new")
        try:
            temporary.touch(mode=0o600)
            temporary.write_text(json.dumps(asdict(note)))
            os.replace(temporary, self._file)
        except OSError as error:
            raise folders.unwritable(self._file.parent, error) from error

    def forget(self) -> None:
        """Nothing runs here any more."""
        self._file.unlink(missing_ok=True)


@contextmanager
def claim(data_dir: Path) -> Iterator[Claim]:
    """Hold `data_dir` alone. The kernel lets go of it when the process ends, however it ends.

    Raises AlreadyRunningError, folders.FolderError.
    """
    with _lock_file(data_dir) as lock:
        if not _locked(lock):
            raise AlreadyRunningError(_read(data_dir))
        held = Claim(data_dir)
        try:
            yield held
        finally:
            held.forget()


def _locked(lock: TextIO) -> bool:
    """Whether `lock` is ours alone now."""
    deadline = time.monotonic() + LOOKED_AT_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)  # flock knows no limit of time
        else:
            return True


def _lock_file(data_dir: Path) -> TextIO:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        return os.fdopen(os.open(data_dir / "up.lock", os.O_WRONLY | os.O_CREAT, 0o600), "w")
    except OSError as error:
        raise folders.unwritable(data_dir, error) from error


def holder(data_dir: Path) -> Note | None:
    """The note of the supervisor that runs on `data_dir`, None where none does, or nobody may look."""
    try:
        opened = (data_dir / "up.lock").open()
    except OSError:
        return None
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(data_dir)
    return None


def _read(data_dir: Path) -> Note | None:
    try:
        return Note(**json.loads((data_dir / "up.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
