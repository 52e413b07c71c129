"""Puts a backup back into a server that is there for nothing else, and proves every ledger of it."""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from storage import embedded, engine, migrations, roles, verify
from storage.backup import restoring
from storage.backup.container import Opened
from storage.backup.dumping import Say
from storage.backup.erased import Erased
from storage.backup.errors import BackupError
from storage.backup.restoring import Restored
from storage.encryption import KeyRing

FOLDER = "rehearsal"
"""Where that server lives, in the data folder: on a disk that has room for it, and passable for Postgres's user."""


@dataclass(frozen=True)
class Rehearsed:
    """What came back, and how many findings a proof of every ledger had. `seconds`: from the first byte to the last ledger."""

    restored: Restored
    findings: int
    seconds: float


def rehearse(
    backup: Opened,
    erased: Iterable[Erased],
    data: Path,
    *,
    ring: KeyRing | None,
    say: Say = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> Rehearsed:
    """Restore `backup` into a server of its own below the data folder `data`, and fold every log anew.

    The keys are those in the backup, or else `ring`. Nothing of it is left at the end. Not twice at once. Raises BackupError,
    EmbeddedServerError.
    """
    inside = backup.keys.ring
    keys = ring if inside is None else KeyRing.parse(inside)
    if keys is None:
        raise BackupError("DEBITUM_KEYS is not set, and the keys are not in the backup: what is sealed in it cannot be read")
    began = clock()
    backup.prove()
    with _scratch(data / FOLDER) as url:
        there = restoring.look(url)
        restoring.require_fitting(backup, there)
        restored = restoring.restore(url, backup, erased, postgres=there.postgres, say=say, clock=clock)
        findings = prove(url, keys)
    return Rehearsed(restored, findings, clock() - began)


def prove(url: str, keys: KeyRing) -> int:
    """Bring what was restored to this code's schema, and fold every log of it; how many findings there are."""
    with engine.temporary(url, "debitum-rehearsal") as database:
        with database.connect() as connection:
            migrations.migrate(connection, keys)
        snapshots = database.execution_options(isolation_level="REPEATABLE READ")
        begin = partial(roles.transaction, snapshots, roles.JOBS)
        findings = 0
        for ledger_id in verify.ledgers(begin):
            with begin() as connection:
                findings += sum(1 for _ in verify.verify(connection, ledger_id, keys))
        return findings


@contextmanager
def _scratch(folder: Path) -> Iterator[str]:
    """A server that nobody else knows; one that a killed rehearsal left goes first."""
    _clear(folder)
    try:
        yield embedded.start(folder).url
    finally:
        _clear(folder)


def _clear(folder: Path) -> None:
    if (folder / "pgdata").exists():
        embedded.stop(folder, mode="immediate")
    shutil.rmtree(folder, ignore_errors=True)
