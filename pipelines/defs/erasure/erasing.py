"""The order of an erasure: snapshots, then mails and pushes, then the database, which is what says that there is something to do.

Before all of it stands a line in the list beside the backups: an older one that is put back brings nobody back.
Killed anywhere, the next run finds the same users due and does the same again.
"""

import datetime
from collections import Counter
from dataclasses import dataclass, field

import structlog

from notifications import channels
from notifications import erasure as kept_files
from storage import erasure
from storage.backup import erased, shelf
from storage.backup.erased import Erased
from storage.engine import Begin
from storage.snapshots import erasure as snapshot_erasure
from storage.snapshots.places import Root

_log = structlog.get_logger(__name__)


@dataclass
class Done:
    """What a run did. `resurrected`: ledgers that came back out of a backup; `failed`: by reason, how many users it left."""

    resurrected: int = 0
    users: int = 0
    rows: int = 0
    files: int = 0
    snapshot_files: int = 0
    failed: Counter[str] = field(default_factory=Counter)


def erase_all(begin: Begin, root: Root, *, now: datetime.datetime) -> Done:
    """Erase everybody who is due, in Postgres and under `root`: one user at a time, whatever becomes of the others.

    Not while a snapshot is being written. Never says whom: neither ids nor addresses, in its answer, its logs or its errors.
    """
    done = Done()
    backups = root.data / shelf.FOLDER
    with begin() as connection:
        erased.note(connection, backups)
        done.resurrected = len(erasure.resurrected(connection))
    with begin() as connection:
        users = erasure.due(connection)
    erased.add(backups, [Erased.of(user.ledger_id, user.due_at) for user in users])
    in_snapshots = snapshot_erasure.erase(root, {user.ledger_id for user in users})
    done.snapshot_files = sum(in_snapshots.values())
    for user in users:
        _erase_one(begin, root, user, in_snapshots.get(user.ledger_id, 0), now, done)
    with begin() as connection:
        done.rows += erasure.sweep(connection)
    erasure.renew_statistics(begin)
    return done


def _erase_one(begin: Begin, root: Root, user: erasure.Due, snapshot_files: int, now: datetime.datetime, done: Done) -> None:
    try:
        with begin() as connection:
            calls = erasure.calls(connection, user.ledger_id)
        files = kept_files.erase(
            root.data / channels.MAIL_FOLDER,
            root.data / channels.PUSH_FOLDER,
            address=user.email,
            user_id=user.user_id,
            now=now,
        )
        done.files += files
        with begin() as connection:
            removed = erasure.erase(connection, user.user_id, calls_seen=calls, files=files, snapshot_files=snapshot_files)
    except Exception as error:
        # An error's own text may name the user: their address is in keys, their id in parameters.
        reason = str(error) if isinstance(error, erasure.NotNow) else type(error).__name__
        _log.error("erasure_failed", reason=reason)
        done.failed[reason] += 1
        return
    if removed is not None:
        done.users += 1
        done.rows += sum(rows for name, rows in removed.items() if name not in erasure.FILES)
