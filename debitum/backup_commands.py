"""The commands `backup`, `restore` and `recovered`; what they need is imported when they run."""

import argparse
import datetime
import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from debitum.commands import DATA_DIR, OK, RUNNING_ALREADY, WRONG, Command, complain, say

if TYPE_CHECKING:
    from debitum.settings import Settings

LATEST: Final = "latest"
OLDEST_YEAR: Final = 2000


def _backup(loaded: "Settings", parsed: argparse.Namespace) -> int:
    from debitum import backups

    def act() -> None:
        phrase = _new_passphrase() if parsed.ask_passphrase else loaded.backup_passphrase
        backups.make(loaded, say, Path(parsed.file) if parsed.file else None, phrase)

    return _exit_code(act)


def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="?", help="default backups/debitum-<time>.backup of the data folder")
    parser.add_argument(
        "--ask-passphrase", action="store_true", help="seal it by a passphrase that is asked for; the keys go in with it"
    )


def _restore(loaded: "Settings", parsed: argparse.Namespace) -> int:
    from debitum import backups

    def act() -> None:
        path = backups.latest(loaded) if parsed.file == LATEST else Path(parsed.file)
        phrase = _known_passphrase(path, loaded.backup_passphrase)
        if parsed.check:
            backups.check(loaded, say, path, phrase)
        else:
            backups.restore(loaded, say, path, phrase, replace=parsed.replace)

    return _exit_code(act)


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help=f"a backup, or `{LATEST}`: the newest of the data folder")
    parser.add_argument("--check", action="store_true", help="only read all of it, and say what it is and whether it is whole")
    parser.add_argument(
        "--replace", action="store_true", help="into a database that is not empty; what is there is backed up before"
    )


def _recovered(loaded: "Settings", parsed: argparse.Namespace) -> int:
    from debitum import backups

    return _exit_code(lambda: backups.recovered(loaded, say, parsed.moment))


def _moment(given: str) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(given)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{given!r} is not a time like 2026-11-28T19:10:00Z") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError("needs a zone, as in 2026-11-28T19:10:00Z")
    if not OLDEST_YEAR <= moment.year < datetime.MAXYEAR:  # the last ones have no UTC
        raise argparse.ArgumentTypeError(f"{given!r} is no time that a database of Debitum's was ever at")
    return moment


def _recovered_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("moment", metavar="TIME", type=_moment, help="what it was put back to, as 2026-11-28T19:10:00Z")


def _exit_code(act: Callable[[], object]) -> int:
    """Act, and say in words what went wrong."""
    from debitum import database, folders, instance
    from storage import encryption, migrations
    from storage.backup.errors import BackupError

    try:
        act()
    except instance.AlreadyRunningError as error:
        complain(f"Debitum runs on this data folder{f', pid {error.note.pid}' if error.note else ''}: stop it first")
        return RUNNING_ALREADY
    except (
        BackupError,
        database.DatabaseError,
        folders.FolderError,
        encryption.KeyRingError,
        migrations.KeysNeededError,
    ) as error:
        complain(str(error))
        return WRONG
    return OK


def _known_passphrase(path: Path, known: str | None) -> str | None:
    """Ask for it where the backup needs one, none is set, and somebody is there."""
    from storage.backup import container

    if known is None and container.peek(path).stretch is not None and sys.stdin.isatty():
        return getpass.getpass("Passphrase of the backup: ")
    return known


def _new_passphrase() -> str:
    from storage.backup import passphrase
    from storage.backup.errors import BackupError

    if not sys.stdin.isatty():
        raise BackupError(f"there is no terminal to ask at: set {passphrase.FILE_SETTING}")
    try:
        given = passphrase.judged(getpass.getpass("Passphrase of the backup: "))
    except ValueError as error:
        raise BackupError(str(error)) from None
    if getpass.getpass("Again: ") != given:
        raise BackupError("these were two different ones: nothing was written")
    return given


COMMANDS: Final = (
    Command("backup", "write everything that people recorded into one sealed file", _backup, (DATA_DIR,), _backup_arguments),
    Command("restore", "put a backup back, while nothing runs", _restore, (DATA_DIR,), _restore_arguments),
    Command(
        "recovered",
        "after a database was put back by other means: erase again who was erased since, have days made anew",
        _recovered,
        (DATA_DIR,),
        _recovered_arguments,
    ),
)
