"""The asset that looks for what is due."""

import datetime
from collections import Counter

import dagster as dg

from pipelines import freshness, markdown
from pipelines.defs import resources
from storage import due

PREVIEW_ROWS = 10
MAX_RUNTIME_SECONDS = 240
"""Less than the schedule's usual interval: a run that hangs is stopped before the next one starts."""


@dg.asset(
    group_name="reminders",
    kinds={"python", "postgres"},
    owners=["team:operations"],
    deps=["transactions", "reminders"],
    pool="due_reminders",
    freshness_policy=freshness.OFTEN,
    description=(
        "Looks for debts whose due date is near and for reminders whose time has come, and puts a message for each into the "
        "outbox. Nothing is sent here. It looks 24 hours back every time: after a downtime nothing is lost, and nothing is "
        "put in twice. Settled debts are left out."
    ),
)
def due_reminders(database: resources.Database) -> dg.MaterializeResult[None]:
    """One look at everything that came due in the last 24 hours."""
    now = datetime.datetime.now(datetime.UTC)
    candidates, by_kind, preview = 0, Counter[str](), list[due.Enqueued]()
    with database.begin() as connection:
        wanted = due.asked(connection, now)
    for source in due.SOURCES:
        cursor: due.Cursor | None = None
        is_first = True
        while is_first or cursor is not None:
            with database.begin() as connection:
                page = due.enqueue_page(connection, source, now=now, wanted=wanted, cursor=cursor)
            cursor, is_first = page.following, False
            candidates += page.candidates
            by_kind.update(f"{entry.due.kind}_{entry.due.channel}" for entry in page.enqueued)
            preview += page.enqueued[: PREVIEW_ROWS - len(preview)]
    return dg.MaterializeResult(metadata=_metadata(candidates, by_kind, preview))


def _metadata(candidates: int, by_kind: Counter[str], preview: list[due.Enqueued]) -> dict[str, dg.MetadataValue]:
    kinds = [f"{kind}_{channel}" for kind in ("due", "reminder") for channel in ("email", "push")]
    return {
        "dagster/row_count": dg.MetadataValue.int(by_kind.total()),
        "looked_at": dg.MetadataValue.int(candidates),
        **{kind: dg.MetadataValue.int(by_kind[kind]) for kind in kinds},
        "preview": dg.MetadataValue.md(_table(preview)),
    }


def _table(preview: list[due.Enqueued]) -> str:
    rows = []
    for entry in preview:
        why = f"{entry.due.offset_days:+d} days of the due date" if entry.due.kind == "due" else "asked for"
        rows.append((why, entry.due.channel, f"{entry.due.at:%F %T}Z", f"{entry.next_at:%F %T}Z"))
    return markdown.table(["why", "channel", "was due at", "goes out from"], rows, otherwise="Nothing new was due.")
