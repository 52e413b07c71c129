"""Deletes what has outlived its horizon: in batches, each a short transaction, until a batch is not full."""

import datetime
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, Table, TextClause, text

from domain import retention
from domain.retention import Horizons, Kind
from storage import batching, tables
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


def _old(table: Table, at: str) -> TextClause:
    """A batch of those rows whose `at` lies before the horizon goes, the oldest first.

    The condition stands twice: between the choice and the delete a row may have changed (a suppressed message is revived by
    its key), and only the outer condition is looked at again.
    """
    name, keys = table.name, [column.name for column in table.primary_key]
    same = " and ".join(f"{name}.{key} = old.{key}" for key in keys)
    chosen = f"select {', '.join(keys)}, {at} from debitum.{name} where {at} >= :after and {at} < :before"  # noqa: S608  # our names
    chosen = f"{chosen} order by {at} limit :batch"
    return text(f"delete from debitum.{name} using ({chosen}) old where {same} and {name}.{at} < :before returning old.{at}")  # noqa: S608  # our names


_OLD: Final = {
    retention.OUTBOX: _old(tables.outbox, "finished_at"),
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
        with gone as (
            delete from debitum.sessions using (
                select id, expires_at from debitum.sessions where expires_at >= :after and expires_at < :before
                order by expires_at limit :batch
            ) old
            where sessions.id = old.id and sessions.expires_at < :before
            returning sessions.user_id, sessions.device_id, old.expires_at
        ), silenced as (
            update debitum.devices set push_kind = null, push_value = null, push_fingerprint = null from gone
            where devices.user_id = gone.user_id and devices.id = gone.device_id and push_value is not null and not exists (
                select from debitum.sessions its
                where its.user_id = devices.user_id and its.device_id = devices.id
                  and its.revoked_at is null and its.expires_at >= :before
            )
        )
        select expires_at from gone
    """),  # nothing is pushed to a device on which nobody is signed in any more, as where a session is ended
    retention.REFRESH_TOKENS: _old(tables.refresh_tokens, "expires_at"),
    retention.ONE_TIME_TOKENS: _old(tables.one_time_tokens, "expires_at"),
    retention.REJECTIONS: _old(tables.rejections, "at"),
    retention.LOGIN_ATTEMPTS: _old(tables.login_attempts, "last_at"),
    retention.INVITES: _old(tables.invites, "expires_at"),
    retention.PERSONAL_TOKENS: _old(tables.personal_tokens, "expires_at"),
    retention.MAIL_EVENTS: _old(tables.mail_events, "at"),
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
