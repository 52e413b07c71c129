"""Deletes what has outlived its horizon: in batches, each a short transaction, until a batch is not full."""

import datetime
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import TextClause, text

from domain import retention
from domain.retention import Horizons, Kind
from storage.engine import Begin

BATCH_ROWS: Final = 1_000
"""Rows a transaction: its locks are gone after milliseconds."""


@dataclass(frozen=True)
class Removed:
    """How many rows of a kind are gone, in how many transactions; `before` is None where the setting keeps them for ever."""

    kind: Kind
    before: datetime.datetime | None
    rows: int
    batches: int


def remove(begin: Begin, horizons: Horizons, now: datetime.datetime, *, batch_rows: int = BATCH_ROWS) -> list[Removed]:
    """Remove what has outlived its horizon at `now`, a report per kind. Safe to kill at any point, and to run twice."""
    return [_remove_kind(begin, kind, retention.before(kind, horizons, now), batch_rows) for kind in retention.KINDS]


def _remove_kind(begin: Begin, kind: Kind, before: datetime.datetime | None, batch_rows: int) -> Removed:
    if before is None:
        return Removed(kind, None, 0, 0)
    rows, batches = _remove_all(begin, _OLD[kind], {"before": before}, batch_rows)
    if kind is retention.REJECTIONS:
        more_rows, more_batches = _remove_surplus(begin, batch_rows)
        rows, batches = rows + more_rows, batches + more_batches
    return Removed(kind, before, rows, batches)


def _remove_surplus(begin: Begin, batch_rows: int) -> tuple[int, int]:
    rows = batches = 0
    with begin() as connection:
        crowded = connection.execute(_CROWDED, {"most": retention.REJECTIONS_PER_LEDGER}).scalars().all()
    for ledger in crowded:
        bound = {"ledger": ledger, "most": retention.REJECTIONS_PER_LEDGER}
        more_rows, more_batches = _remove_all(begin, _SURPLUS, bound, batch_rows)
        rows, batches = rows + more_rows, batches + more_batches
    return rows, batches


def _remove_all(begin: Begin, statement: TextClause, bound: dict[str, Any], batch_rows: int) -> tuple[int, int]:
    rows = batches = 0
    while True:
        with begin() as connection:
            removed = connection.execute(statement, {**bound, "batch": batch_rows}).rowcount
        rows, batches = rows + removed, batches + 1
        if removed < batch_rows:
            return rows, batches


# The condition stands twice: between the choice and the delete a row may have changed (a suppressed message is revived by its
# key), and only the outer condition is looked at again.

_OLD: Final = {
    retention.OUTBOX: text("""
        delete from debitum.outbox using (
            select ledger_id, id from debitum.outbox where finished_at < :before order by finished_at limit :batch
        ) old
        where outbox.ledger_id = old.ledger_id and outbox.id = old.id and outbox.finished_at < :before
    """),
    retention.ATTEMPTS: text("""
        delete from debitum.delivery_attempts using (
            select made.ledger_id, made.outbox_id, made.attempt
            from debitum.delivery_attempts made
            join debitum.outbox on outbox.ledger_id = made.ledger_id and outbox.id = made.outbox_id
            where made.started_at < :before and outbox.finished_at is not null
            order by made.started_at limit :batch
        ) old
        where delivery_attempts.ledger_id = old.ledger_id and delivery_attempts.outbox_id = old.outbox_id
          and delivery_attempts.attempt = old.attempt
    """),
    retention.SESSIONS: text("""
        delete from debitum.sessions using (
            select id from debitum.sessions where expires_at < :before order by expires_at limit :batch
        ) old
        where sessions.id = old.id and sessions.expires_at < :before
    """),
    retention.REFRESH_TOKENS: text("""
        delete from debitum.refresh_tokens using (
            select hash from debitum.refresh_tokens where expires_at < :before order by expires_at limit :batch
        ) old
        where refresh_tokens.hash = old.hash
    """),
    retention.ONE_TIME_TOKENS: text("""
        delete from debitum.one_time_tokens using (
            select hash from debitum.one_time_tokens where expires_at < :before order by expires_at limit :batch
        ) old
        where one_time_tokens.hash = old.hash
    """),
    retention.REJECTIONS: text("""
        delete from debitum.rejections using (
            select ledger_id, event_id from debitum.rejections where at < :before order by at limit :batch
        ) old
        where rejections.ledger_id = old.ledger_id and rejections.event_id = old.event_id and rejections.at < :before
    """),
    retention.LOGIN_ATTEMPTS: text("""
        delete from debitum.login_attempts using (
            select key from debitum.login_attempts where last_at < :before order by last_at limit :batch
        ) old
        where login_attempts.key = old.key and login_attempts.last_at < :before
    """),
    retention.INVITES: text("""
        delete from debitum.invites using (
            select hash from debitum.invites where expires_at < :before order by expires_at limit :batch
        ) old
        where invites.hash = old.hash
    """),
    retention.PERSONAL_TOKENS: text("""
        delete from debitum.personal_tokens using (
            select id from debitum.personal_tokens where expires_at < :before order by expires_at limit :batch
        ) old
        where personal_tokens.id = old.id
    """),
    retention.MAIL_EVENTS: text("""
        delete from debitum.mail_events using (
            select id from debitum.mail_events where at < :before order by at limit :batch
        ) old
        where mail_events.id = old.id
    """),
}

_CROWDED = text("select ledger_id from debitum.rejections group by ledger_id having count(*) > :most order by ledger_id")

_SURPLUS = text("""
    delete from debitum.rejections using (
        select ledger_id, event_id from debitum.rejections
        where ledger_id = :ledger order by at desc, event_id offset :most limit :batch
    ) old
    where rejections.ledger_id = old.ledger_id and rejections.event_id = old.event_id
""")
