"""The asset whose materialisation is an audit, with the check that fails where something does not follow from the log."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final
from uuid import UUID

import dagster as dg

from pipelines import freshness, markdown
from pipelines.defs import resources
from pipelines.defs.alerts import runbook
from storage.audit import auditing
from storage.audit.auditing import Audited, Finding
from storage.encryption import KeyRingError

CHECK: Final = "the_log_explains_everything"
SHOWN: Final = 50
"""Findings that the check lists; it counts all."""
DIGEST_DIGITS: Final = 16


@dg.asset(
    group_name="upkeep",
    kinds={"parquet", "duckdb"},
    owners=["team:operations"],
    deps=["events", "contacts", "transactions", "reminders", "postings", "balances"],
    pool="snapshots",  # who is erased must not leave the copy of the log while it is read
    freshness_policy=freshness.DAILY,
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset="ledger_audit",
            description=runbook.described(
                CHECK,
                "Is every hash, contact, debt, reminder, conflict, posting and balance what a replay of the log says, and the "
                "log what it was when its days were copied? Names ledgers by the digits of a digest, and the first seq.",
            ),
        )
    ],
    description=(
        "Copies the log of the days that are over to Parquet, replays all of it with DuckDB, which shares no code with what "
        "wrote the tables, and compares. The copy is nobody's but the audit's. Safe to start at any time."
    ),
)
def ledger_audit(database: resources.Database, data_folder: resources.DataFolder) -> Iterator[dg.MaterializeResult[None]]:
    """Audit and report."""
    if (keys := resources.key_ring()) is None:
        raise KeyRingError("DEBITUM_KEYS is not set: facts that are sealed cannot be read")
    started = time.monotonic()
    done = auditing.audit(database.begin, database.snapshot, data_folder.root, keys)
    yield dg.MaterializeResult(
        metadata={
            "dagster/row_count": done.facts,
            "ledgers": done.ledgers,
            "days_copied": len(done.copied),
            "findings": len(done.findings),
            "seconds": round(time.monotonic() - started, 3),
        },
        check_results=[_result(done)],
    )


def digest(ledger_id: str) -> str:
    """A name that means nothing once the ledger is erased: the beginning of what the table erasures knows it by."""
    return hashlib.sha256(UUID(ledger_id).bytes).hexdigest()[:DIGEST_DIGITS]


def _result(done: Audited) -> dg.AssetCheckResult:
    ledgers = {one.ledger_id for one in done.findings}
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=not ledgers,
        description=_summary(done.findings, len(ledgers)),
        metadata={
            "ledgers": len(ledgers),
            "findings": len(done.findings),
            "preview": dg.MetadataValue.md(_table(done.findings)),
        },
    )


def _summary(findings: list[Finding], ledgers: int) -> str:
    if not findings:
        return "Everything follows from the log."
    first, name = findings[0], digest(findings[0].ledger_id)
    return (
        f"Ledgers that are not what their logs say: {ledgers}. The first is {name}: {first.table}, from seq {first.seq} on. "
        f"debitum verify --ledger {name} says more."
    )


def _table(findings: list[Finding]) -> str:
    if not findings:
        return "No difference."
    counts = Counter(one.table for one in findings)
    tables = ", ".join(f"{table} ({count})" for table, count in sorted(counts.items()))
    rows = [(digest(one.ledger_id), one.table, one.seq) for one in findings[:SHOWN]]
    return f"In all: {tables}.\n\n" + markdown.table(["ledger", "table", "first seq"], rows)
