"""Deletes what has outlived its horizon: in batches, each a short transaction, until a batch is not full."""

import datetime
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, TextClause, text

from domain import retention
from domain.retention import Horizons, Kind
from storage import batching
from storage.batching import Drained
from storage.engine import Begin

LEDGERS: Final = 100
"""Whose rejections are counted in one transaction: of each at most one more than it may keep."""
NOTHING_BEFORE: Final = UUID(int=0)
"""No id comes before this one."""
FIRST_TIME: Final = datetime.datetime.min.replace(tzinfo=datetime.UTC)
"""Nor any time before this one."""


@dataclass(frozen=True)
class Removed:
    """How many of a kind are gone, in how many transactions; `before` is None where the setting keeps them for ever.

    Not `complete`: some that have outlived their horizon are left to the next run.
    """

    kind: Kind
    before: datetime.datetime | None
    rows: int
    batches: int
    complete: bool = True


def remove(begin: Begin, horizons: Horizons, now: datetime.datetime, *, most_rows: int = batching.MOST_ROWS) -> list[Removed]:
    """Remove rows that have outlived their horizon at `now`, a report per kind. Safe to kill at any point, and to run twice."""
    return [_remove_kind(begin, kind, retention.before(kind, horizons, now), most_rows) for kind in retention.ROWS]


def report(kind: Kind, before: datetime.datetime | None, done: Drained) -> Removed:
    """What became of a kind."""
    return Removed(kind, before, done.rows, done.batches, done.complete)


def _remove_kind(begin: Begin, kind: Kind, before: datetime.datetime | None, most_rows: int) -> Removed:
    if before is None:
        return report(kind, None, batching.NOTHING)
    done = _remove_all(begin, _OLD[kind], {"before": before, "after": FIRST_TIME}, most_rows)
    if kind is retention.REJECTIONS:
        done += _remove_surplus(begin, most_rows)
    return report(kind, before, done)


def _remove_surplus(begin: Begin, most_rows: int) -> Drained:
    done, after = batching.NOTHING, NOTHING_BEFORE
    while True:
        ledgers = _read(begin, _COUNTED, {"after": after, "most": retention.REJECTIONS_PER_LEDGER, "ledgers": LEDGERS})
        for ledger in (each.ledger_id for each in ledgers if each.crowded):
            for first in _read(begin, _FIRST_SURPLUS, {"ledger": ledger, "most": retention.REJECTIONS_PER_LEDGER}):
                bound = {"ledger": ledger, "at": first.at, "event_id": first.event_id, "after": NOTHING_BEFORE}
                done += _remove_all(begin, _SURPLUS, bound, most_rows)
        if len(ledgers) < LEDGERS:
            return done
        after = ledgers[-1].ledger_id


def _read(begin: Begin, statement: TextClause, bound: dict[str, Any]) -> list[Row[Any]]:
    """Of a transaction of its own, which locks no row."""
    with begin() as connection:
        return list(connection.execute(statement, bound))


def _remove_all(begin: Begin, statement: TextClause, bound: dict[str, Any], most_rows: int) -> Drained:
    """Until a batch is not full. `after` moves on, so that no batch walks over what others have left in the index."""
    after = bound["after"]

    def one(limit: int) -> int:
        nonlocal after
        with batching.short(begin) as connection:
            removed = connection.execute(statement, {**bound, "after": after, "batch": limit}).scalars().all()
        after = max(removed, default=after)
        return len(removed)

    return batching.drain(one, most_rows=most_rows)


# The condition stands twice: between the choice and the delete a row may have changed (a suppressed message is revived by its
# key), and only the outer condition is looked at again.

_OLD: Final = {
    retention.OUTBOX: text("""
        delete from debitum.outbox using (
            select ledger_id, id, finished_at from debitum.outbox
            where finished_at >= :after and finished_at < :before order by finished_at limit :batch
        ) old
        where outbox.ledger_id = old.ledger_id and outbox.id = old.id and outbox.finished_at < :before
        returning old.finished_at
    """),
    retention.ATTEMPTS: text("""
        delete from debitum.delivery_attempts using (
            select made.ledger_id, made.outbox_id, made.attempt, made.started_at
            from debitum.delivery_attempts made
            join debitum.outbox on outbox.ledger_id = made.ledger_id and outbox.id = made.outbox_id
            where made.started_at >= :after and made.started_at < :before and outbox.finished_at is not null
            order by made.started_at limit :batch
        ) old
        where delivery_attempts.ledger_id = old.ledger_id and delivery_attempts.outbox_id = old.outbox_id
          and delivery_attempts.attempt = old.attempt
        returning old.started_at
    """),
    retention.SESSIONS: text("""
        delete from debitum.sessions using (
            select id, expires_at from debitum.sessions
            where expires_at >= :after and expires_at < :before order by expires_at limit :batch
        ) old
        where sessions.id = old.id and sessions.expires_at < :before
        returning old.expires_at
    """),
    retention.REFRESH_TOKENS: text("""
        delete from debitum.refresh_tokens using (
            select hash, expires_at from debitum.refresh_tokens
            where expires_at >= :after and expires_at < :before order by expires_at limit :batch
        ) old
        where refresh_tokens.hash = old.hash
        returning old.expires_at
    """),
    retention.ONE_TIME_TOKENS: text("""
        delete from debitum.one_time_tokens using (
            select hash, expires_at from debitum.one_time_tokens
            where expires_at >= :after and expires_at < :before order by expires_at limit :batch
        ) old
        where one_time_tokens.hash = old.hash
        returning old.expires_at
    """),
    retention.REJECTIONS: text("""
        delete from debitum.rejections using (
            select ledger_id, event_id, at from debitum.rejections
            where at >= :after and at < :before order by at limit :batch
        ) old
        where rejections.ledger_id = old.ledger_id and rejections.event_id = old.event_id and rejections.at < :before
        returning old.at
    """),
    retention.LOGIN_ATTEMPTS: text("""
        delete from debitum.login_attempts using (
            select key, last_at from debitum.login_attempts
            where last_at >= :after and last_at < :before order by last_at limit :batch
        ) old
        where login_attempts.key = old.key and login_attempts.last_at < :before
        returning old.last_at
    """),
    retention.INVITES: text("""
        delete from debitum.invites using (
            select hash, expires_at from debitum.invites
            where expires_at >= :after and expires_at < :before order by expires_at limit :batch
        ) old
        where invites.hash = old.hash
        returning old.expires_at
    """),
    retention.PERSONAL_TOKENS: text("""
        delete from debitum.personal_tokens using (
            select id, expires_at from debitum.personal_tokens
            where expires_at >= :after and expires_at < :before order by expires_at limit :batch
        ) old
        where personal_tokens.id = old.id
        returning old.expires_at
    """),
    retention.MAIL_EVENTS: text("""
        delete from debitum.mail_events using (
            select id, at from debitum.mail_events
            where at >= :after and at < :before order by at limit :batch
        ) old
        where mail_events.id = old.id
        returning old.at
    """),
}

_COUNTED = text("""
    select id as ledger_id, exists (
        select from debitum.rejections kept where kept.ledger_id = ledger.id offset :most
    ) as crowded
    from debitum.ledgers ledger where id > :after order by id limit :ledgers
""")
"""Looks one key up for each ledger there is, rather than counting the rejections of all."""

_FIRST_SURPLUS = text("""
    select at, event_id from debitum.rejections where ledger_id = :ledger order by at desc, event_id offset :most limit 1
""")

_SURPLUS = text("""
    delete from debitum.rejections using (
        select ledger_id, event_id from debitum.rejections
        where ledger_id = :ledger and event_id >= :after and (at < :at or (at = :at and event_id >= :event_id))
        order by event_id limit :batch
    ) old
    where rejections.ledger_id = old.ledger_id and rejections.event_id = old.event_id
    returning old.event_id
""")
