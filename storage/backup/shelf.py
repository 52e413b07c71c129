"""The folder of backups: their names, which is the newest, and which are thrown away."""

import datetime
import fcntl
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from domain import rotation
from storage.backup import container
from storage.backup.container import Opened, Secrets
from storage.backup.errors import BackupError

FOLDER: Final = "backups"
_STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
_NAME: Final = re.compile(r"debitum-(\d{8}T\d{6}\.\d{6}Z)\.backup")


@dataclass(frozen=True, order=True)
class Kept:
    """A file of the folder that has the name of a backup: `at` is when it was asked for, UTC."""

    at: datetime.datetime
    path: Path


def name(at: datetime.datetime) -> str:
    """What a backup that is asked for at this moment is called."""
    return f"debitum-{at.astimezone(datetime.UTC):{_STAMP}}.backup"


def name_before_restore(at: datetime.datetime) -> str:
    """What holds what a restore is about to replace is called: by another name, so that no rotation takes it."""
    return f"before-restore-{at.astimezone(datetime.UTC):{_STAMP}}.backup"


def backups(folder: Path) -> list[Kept]:
    """Those in the folder, the newest first. Files with other names are not looked at, and never thrown away."""
    names = ((path, _NAME.fullmatch(path.name)) for path in folder.glob("debitum-*.backup"))
    return sorted((Kept(_at(match[1]), path) for path, match in names if match), reverse=True)


def _at(stamp: str) -> datetime.datetime:
    return datetime.datetime.strptime(stamp, _STAMP).replace(tzinfo=datetime.UTC)


def newest_whole(folder: Path, secrets: Secrets, *, now: datetime.datetime) -> tuple[Opened | None, list[str]]:
    """The newest backup that opens and has its end, None where none does; and what is wrong with those that are newer.

    One that was asked for after `now` comes from a clock that was wrong: how old it is, nobody knows.
    """
    wrong: list[str] = []
    for one in backups(folder):
        if one.at > now:
            wrong.append(f"{one.path} is dated in the future")
            continue
        try:
            return Opened.of(one.path, secrets), wrong
        except BackupError as error:
            wrong.append(str(error))
    return None, wrong


def rotate(folder: Path, *, now: datetime.datetime) -> list[Path]:
    """Throw away the backups whose time is over, and what backups that were killed left; the former.

    Those that are dated after `now` stay, and none goes for them: seven of them would take the place of all that is made today.
    """
    found = [one for one in backups(folder) if one.at <= now]
    keep = rotation.kept(one.at for one in found)
    gone = [one.path for one in found if one.at not in keep]
    for path in gone:
        path.unlink(missing_ok=True)
    for path in folder.glob(f"{container.MAKING}*"):
        _unlink_unless_it_is_written(path)
    return gone


def _unlink_unless_it_is_written(path: Path) -> None:
    """Whoever writes it holds its lock, which the kernel lets go of when the process ends, however it ends."""
    with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
