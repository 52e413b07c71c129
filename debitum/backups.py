"""Backups by hand: one is made beside whatever runs, and put back where nothing does."""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Final

from debitum import database, folders, instance, rings, schema
from debitum.commands import Say
from debitum.database import Database
from debitum.settings import Settings
from pipelines.defs.erasure import erasing
from storage import engine, roles
from storage.backup import aftermath, dumping, erased, restoring, shelf
from storage.backup.container import Opened, Secrets
from storage.backup.dumping import Made
from storage.backup.erased import Erased
from storage.backup.errors import BackupError
from storage.backup.restoring import Found
from storage.encryption import KeyRing
from storage.engine import Begin
from storage.snapshots.places import Root

LONGEST_TRANSACTION: Final = datetime.timedelta(hours=1)
"""More than any of the API's: a request is over after seconds."""


def make(settings: Settings, say: Say, file: Path | None, passphrase: str | None) -> Path:
    """Back the database up into `file`, by default one of the data folder, and read it again. Raises BackupError and others."""
    folders.make(settings.data_dir)
    with database.borrowed(settings) as found:
        made = _dump(settings, found, say, file, passphrase)
    holds = f"{made.end.ledgers} ledgers, {made.end.facts} facts"
    say(f"{made.path}: {holds}, {made.bytes:,} bytes, as of {_time(made.head.began_at)}")
    if made.head.stretch is None:
        say(f"sealed by {made.head.sealed_by()}, which is not in it: keep the keys elsewhere too, or set a passphrase")
    else:
        say("sealed by the passphrase; the keys are in it")
    return made.path


def latest(settings: Settings) -> Path:
    """The newest backup of the data folder. Raises BackupError."""
    found = shelf.backups(settings.data_dir / shelf.FOLDER)
    if not found:
        raise BackupError(f"there is no backup in {settings.data_dir / shelf.FOLDER}")
    return found[0].path


def check(settings: Settings, say: Say, path: Path, passphrase: str | None) -> Opened:
    """Read all of a backup and say what it is. Raises BackupError."""
    backup = Opened.of(path, Secrets(passphrase, rings.ring(settings)))
    say(
        f"{path}: {backup.end.ledgers} ledgers, {backup.end.facts} facts, as of {_time(backup.head.began_at)}, by Debitum "
        f"{backup.head.version}, schema {backup.head.revision}, PostgreSQL {backup.head.postgres}, sealed by "
        f"{backup.head.sealed_by()}"
    )
    backup.prove()
    say("it is whole: every byte is what was written")
    return backup


def restore(settings: Settings, say: Say, path: Path, passphrase: str | None, *, replace: bool) -> None:
    """Put a backup back: database and keys; whoever was erased since is erased again, and files of days since are thrown away.

    Nothing may run on the data folder or the database meanwhile. Raises BackupError, AlreadyRunningError, DatabaseError.
    """
    folders.make(settings.data_dir)
    with instance.claim(settings.data_dir):
        backup = check(settings, say, path, passphrase)
        ring = _ring_to_put(settings, backup)
        with database.started(settings) as started:
            _require_room(settings, started, backup, say, passphrase, replace=replace)
            if ring is not None:
                folders.put_ring(settings.data_dir, ring)
                say(f"the keys are in {settings.data_dir / 'secrets'}")
            _put_back(settings, started, backup, say)
    say("start it again: devices that knew more are told so, and bring back what they hold of their own")


def recovered(settings: Settings, say: Say, moment: datetime.datetime) -> None:
    """What `restore` does after the database is back, for one that was put back to `moment` by other means.

    Nothing may run meanwhile. Raises BackupError, AlreadyRunningError, DatabaseError.
    """
    folders.make(settings.data_dir)
    with instance.claim(settings.data_dir), database.started(settings) as started:
        _require_silence(restoring.look(started.url))
        schema.require(started)
        with engine.temporary(started.url, dumping.APPLICATION_NAME) as opened, opened.begin() as connection:
            restoring.tell(connection, erased.read(settings.data_dir / shelf.FOLDER))
        root = Root.of(settings.data_dir, settings.snapshot_url)
        # Who was at work at the moment may have recorded as of the day before it.
        first = (moment.astimezone(datetime.UTC) - LONGEST_TRANSACTION).date()
        _clear_up(started, root, first, aftermath.forget_days(root, first), say)


# --- before ---------------------------------------------------------------------------------------------------------


def _require_room(
    settings: Settings, started: Database, backup: Opened, say: Say, passphrase: str | None, *, replace: bool
) -> None:
    """Refuse what does not fit, or is in use, or would be lost; with `replace` that is backed up."""
    there = restoring.look(started.url)
    restoring.require_fitting(backup, there)
    _require_silence(there)
    if there.empty:
        return
    what = f"{there.users} users and {there.ledgers} ledgers"
    if not replace:
        raise BackupError(f"this database holds {what}: restore into an empty one, or with --replace, which backs them up first")
    say(f"this database holds {what}, which are backed up before they are replaced")
    try:
        aside = settings.data_dir / shelf.FOLDER / shelf.name_before_restore(datetime.datetime.now(datetime.UTC))
        made = _dump(settings, started, say, aside, passphrase)
    except BackupError as error:
        raise BackupError(
            f"they could not be backed up ({error}): restore into another --data-dir, or an empty database"
        ) from error
    say(f"they are in {made.path}, which is never thrown away: delete it when nobody needs it any more")


def _require_silence(there: Found) -> None:
    if there.sessions:
        raise BackupError(f"the database is in use by {', '.join(there.sessions)}: stop them first, on every host")


def _ring_to_put(settings: Settings, backup: Opened) -> str | None:
    """The text of the key ring that the data folder is to have; None: what is there opens everything. Raises BackupError."""
    inside, known = backup.keys.ring, rings.ring(settings)
    if inside is None or known is None:
        return inside
    wanted = KeyRing.parse(inside).keys
    if others := [name for name, key in wanted.items() if known.keys.get(name, key) != key]:
        remedy = "unset it" if settings.keys else "move it away"
        raise BackupError(
            f"{rings.place(settings)} has another key named {', '.join(others)} than the backup, and one of the two would "
            f"be lost: {remedy}, if nothing is sealed by it"
        )
    if not wanted.keys() - known.keys.keys():
        return None
    if settings.keys:
        raise BackupError("DEBITUM_KEYS lacks keys that are in the backup: unset it, and they are put into the data folder")
    text = folders.key_ring(settings.data_dir)
    rest = [part for part in text.split(",") if part.strip().partition(":")[0] not in wanted]
    return ",".join([inside, *rest])


def _dump(settings: Settings, found: Database, say: Say, file: Path | None, passphrase: str | None) -> Made:
    """A backup, and before it a list of the erased that knows all that the database does."""
    folder = settings.data_dir / shelf.FOLDER
    with begins(found) as begin, begin() as connection:
        erased.note(connection, folder)
    return dumping.dump(
        found.url,
        file or folder / shelf.name(datetime.datetime.now(datetime.UTC)),
        Secrets(passphrase, rings.ring(settings)),
        version=metadata.version("debitum"),
        ring=settings.keys or folders.known_key_ring(settings.data_dir),
        say=say,
    )


# --- the way back ---------------------------------------------------------------------------------------------------


def _put_back(settings: Settings, started: Database, backup: Opened, say: Say) -> None:
    root = Root.of(settings.data_dir, settings.snapshot_url)
    gone = aftermath.forget_days(root, backup.head.settled_at.date())
    postgres = database.check(started.url).major
    restored = restoring.restore(started.url, backup, _erased(settings, backup), postgres=postgres, say=say)
    say(f"{restored.ledgers} ledgers and {restored.facts} facts are back, as of {_time(backup.head.began_at)}")
    if restored.resurrected:
        say(f"{restored.resurrected} of the ledgers had been erased since")
    schema.migrate(started, rings.required(settings))
    _clear_up(started, root, backup.head.settled_at.date(), gone, say)


def _clear_up(started: Database, root: Root, first: datetime.date, gone: int, say: Say) -> None:
    """Erase whoever is due, and bring what lies outside Postgres to what it knows; `gone` files from `first` on are."""
    with begins(started) as begin:
        done = erasing.erase_all(begin, root, now=datetime.datetime.now(datetime.UTC))
        strangers = aftermath.forget_strangers(begin, root)
    say(f"erased: {done.users} users, whose time had come or who had been erased since")
    for reason, count in done.failed.items():
        say(f"not erased yet: {count} ({reason}); the job `erasure` tries again every night")
    say(f"files of days from {first} on: {gone} thrown away, to be written anew by Dagster")
    if strangers:
        say(f"{strangers} ledgers that the backup does not know were taken out of what tells of deliveries")


def _erased(settings: Settings, backup: Opened) -> list[Erased]:
    """Whoever is told to be erased, in the data folder or beside the backup, which may lie elsewhere."""
    lists = {(settings.data_dir / shelf.FOLDER).resolve(), backup.path.parent.resolve()}
    return list({one.ledger: one for folder in sorted(lists) for one in erased.read(folder)}.values())


@contextmanager
def begins(found: Database) -> Iterator[Begin]:
    """Opens transactions of the jobs role on the database, as erasures need them."""
    with engine.temporary(found.url, dumping.APPLICATION_NAME) as opened:
        yield partial(roles.transaction, opened, roles.JOBS)


def _time(moment: datetime.datetime) -> str:
    return f"{moment.astimezone(datetime.UTC):%F %T}Z"
