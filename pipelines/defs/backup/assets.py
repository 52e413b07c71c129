"""The assets whose materialisation is a backup, and the rehearsal that puts the last one back."""

import datetime
import os
import time
from collections.abc import Iterator
from importlib import metadata
from typing import Final

import dagster as dg

from pipelines import freshness
from pipelines.defs import resources
from pipelines.defs.alerts import runbook
from storage.backup import dumping, erased, passphrase, rehearsing, shelf
from storage.backup.container import Opened, Secrets
from storage.backup.errors import BackupError, RefusedError
from storage.backup.rehearsing import Rehearsed

RESTORES: Final = "last_backup_restores"


def secrets() -> Secrets:
    """What seals and opens backups, by the settings. Raises ValueError, KeyRingError."""
    return Secrets(passphrase.read(os.environ), resources.key_ring())


@dg.asset(
    group_name="upkeep",
    kinds={"postgres"},
    owners=["team:operations"],
    deps=["events", "contacts", "transactions", "reminders", "postings", "balances", "outbox"],
    pool="backups",
    freshness_policy=freshness.DAILY,
    description=(
        "Writes everything that people recorded into one sealed file of the folder backups, reads it again, and throws away "
        "those whose time is over: kept is the newest of each of the last seven days and four weeks. With a passphrase "
        "(DEBITUM_BACKUP_PASSPHRASE_FILE) the keys are in the file; without one it is sealed by the first key of DEBITUM_KEYS, "
        "which is not in it and has to be kept elsewhere. Dagster's own tables are left out. Safe to start at any time."
    ),
)
def backup(database: resources.Database, data_folder: resources.DataFolder) -> dg.MaterializeResult[None]:
    """Back up, prove, rotate."""
    started, folder = time.monotonic(), data_folder.root / shelf.FOLDER
    with database.begin() as connection:
        erased.note(connection, folder)
    try:
        made = dumping.dump(
            os.environ.get("DATABASE_DIRECT_URL") or database.url,  # pg_dump would leave its role in a pooler's session
            folder / shelf.name(datetime.datetime.now(datetime.UTC)),
            secrets(),
            version=metadata.version("debitum"),
            ring=os.environ.get("DEBITUM_KEYS"),
        )
    except BackupError as error:
        raise dg.Failure(f"no backup was made: {error}") from None
    gone = shelf.rotate(folder, now=datetime.datetime.now(datetime.UTC))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": made.end.facts,
            "ledgers": made.end.ledgers,
            "bytes": made.bytes,
            "as_of": made.head.began_at.isoformat(),
            "keys": "in it, sealed by the passphrase"
            if made.head.stretch
            else f"not in it: it is sealed by the key {made.head.key_id}, keep DEBITUM_KEYS elsewhere",
            "kept": len(shelf.backups(folder)),
            "thrown_away": len(gone),
            "path": dg.MetadataValue.path(made.path),
            "seconds": round(time.monotonic() - started, 3),
        }
    )


@dg.asset(
    group_name="upkeep",
    kinds={"postgres"},
    owners=["team:operations"],
    deps=["backup"],
    pool="rehearsals",
    freshness_policy=freshness.MONTHLY,
    check_specs=[
        dg.AssetCheckSpec(
            RESTORES,
            asset="rehearsal_report",
            description=runbook.described(
                RESTORES,
                "Can the newest backup be put back, with as many ledgers and facts as it was made of, and does everything in it "
                "follow from its logs?",
            ),
        )
    ],
    description=(
        "Puts the newest backup back into a Postgres of its own in the folder rehearsal, which takes as much room as the "
        "database, folds every log anew, compares, and throws all of it away. Safe to start at any time."
    ),
)
def rehearsal_report(data_folder: resources.DataFolder) -> Iterator[dg.MaterializeResult[None]]:
    """Rehearse and report."""
    folder, known = data_folder.root / shelf.FOLDER, secrets()
    try:
        found, wrong = shelf.newest_whole(folder, known, now=datetime.datetime.now(datetime.UTC))
        if found is None:
            raise BackupError("; ".join(wrong) or f"there is no backup in {folder}")
        done = rehearsing.rehearse(found, erased.read(folder), data_folder.root, ring=known.ring)
    except BackupError as error:
        yield dg.MaterializeResult(metadata={"rehearsed": False}, check_results=[_result(False, _said(error))])
        return
    yield dg.MaterializeResult(
        metadata={
            "rehearsed": True,
            "path": dg.MetadataValue.path(found.path),
            "as_of": found.head.began_at.isoformat(),
            "dagster/row_count": done.restored.facts,
            "ledgers": done.restored.ledgers,
            "erased_since": done.restored.resurrected,
            "findings": done.findings,
            "seconds": round(done.seconds, 3),
        },
        check_results=[_result(not done.findings, _told(found, done))],
    )


def _result(passed: bool, description: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(check_name=RESTORES, passed=passed, description=description)


def _said(error: BackupError) -> str:
    """What Postgres says of a dump may be values of a row, which are nothing for Dagster to keep."""
    if isinstance(error, RefusedError):
        return "Postgres refused the dump: `debitum restore` into an empty data folder says what."
    return f"{error}."


def _told(found: Opened, done: Rehearsed) -> str:
    if done.findings:
        return f"{found.path.name} came back, but {done.findings} rows do not follow from the logs."
    return f"{found.path.name} came back whole in {done.seconds:.0f} s: {done.restored.facts} facts."
