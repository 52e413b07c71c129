"""Reads of reminders: one, and a page of them by their next occurrence.

SQL knows remind_at and snoozed_until. When a rule next happens is computed here, for the repeating reminders of the one
ledger that is asked about, and handed to the query as a list: it sorts, filters and pages by what is then one column.
"""

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Select, Uuid, bindparam, case, cast, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import reminders
from storage import recipients, tables
from storage.pages import Page, Record, Rows, read_page

MAX_REPEATING: Final = 2_000
"""Rules that are evaluated for one list, the oldest reminders first; the others are listed by remind_at and snooze alone.

Nobody has so many; they bound what a request may cost (some 60 µs each, in a thread of its own).
"""

_reminders = tables.reminders
_LEDGER = bindparam("ledger", type_=Uuid)
_ID = bindparam("id", type_=Uuid)
_NOW = bindparam("now", type_=DateTime(timezone=True))


Coming = Mapping[UUID, datetime.datetime]
"""When repeating reminders next happen, by their ids."""


@dataclass(frozen=True)
class Filter:
    """Which reminders, by state and by the time of the next occurrence (remind_at, where none is to come)."""

    state: Literal["pending", "sent", "done"] | None = None
    first: datetime.datetime | None = None
    last: datetime.datetime | None = None


async def one(connection: AsyncConnection, ledger_id: UUID, reminder_id: UUID, *, now: datetime.datetime) -> Record | None:
    """A reminder, live or deleted: its columns, `next_at` and `state` at `now`."""
    parameters = {"ledger": ledger_id, "now": now, "id": reminder_id}
    row = (await connection.execute(_ONE, parameters | _comings({}))).first()
    if row is None or row.repeat is None:
        return row
    return (await connection.execute(_ONE, parameters | _comings(_next([row._mapping], now)))).one()


async def coming(connection: AsyncConnection, ledger_id: UUID, *, now: datetime.datetime) -> Coming:
    """When the live repeating reminders of a ledger next happen after `now`."""
    yesterday = now.date() - datetime.timedelta(days=1)  # somewhere it is still that
    rows = (await connection.execute(_REPEATING, {"ledger": ledger_id, "yesterday": yesterday})).mappings().all()
    return await asyncio.to_thread(_next, rows, now) if rows else {}


async def listed(
    connection: AsyncConnection,
    ledger_id: UUID,
    wanted: Filter,
    page: Page,
    *,
    now: datetime.datetime,
    known: Coming | None = None,
) -> Rows:
    """A page of live reminders, the next ones first; columns as of `one`. `known`: what `coming` says, for many pages."""
    query = _LIVE
    if wanted.state is not None:
        query = query.where(_state == wanted.state)
    if wanted.first is not None:
        query = query.where(_next_at >= wanted.first)
    if wanted.last is not None:
        query = query.where(_next_at <= wanted.last)
    known = await coming(connection, ledger_id, now=now) if known is None else known
    return await read_page(connection, query, _next_at, _reminders.c.id, page, ledger=ledger_id, now=now, **_comings(known))


def _next(rows: Sequence[Mapping[Any, Any]], now: datetime.datetime) -> dict[UUID, datetime.datetime]:
    """When the repeating reminders of `rows` next happen."""
    found = ((row["id"], reminders.next_occurrence(recipients.reminder_of(row), after=now)) for row in rows)
    return {reminder_id: at for reminder_id, at in found if at is not None}


def _comings(coming: Mapping[UUID, datetime.datetime]) -> dict[str, Any]:
    return {"coming_ids": list(coming), "coming_times": list(coming.values())}


def _all() -> Select[*tuple[Any, ...]]:
    columns = _reminders.c
    times = DateTime(timezone=True)
    coming = (
        func.unnest(
            cast(bindparam("coming_ids", type_=ARRAY(Uuid)), ARRAY(Uuid)),
            cast(bindparam("coming_times", type_=ARRAY(times)), ARRAY(times)),
        )
        .table_valued("id", "at", name="coming")
        .render_derived()
    )
    over = or_(columns.done_at.is_not(None), columns.deleted_seq.is_not(None))
    moments: list[ColumnElement[Any]] = [columns.remind_at, columns.snoozed_until, coming.c.at]
    next_at = case((over, None), else_=func.least(*(case((moment > _NOW, moment)) for moment in moments)))
    state = case((columns.done_at.is_not(None), "done"), (next_at.is_not(None), "pending"), else_="sent")
    return (
        select(_reminders, next_at.label("next_at"), state.label("state"))
        .outerjoin(coming, coming.c.id == columns.id)
        .where(columns.ledger_id == _LEDGER)
    )


_ALL = _all()
_ONE = _ALL.where(_reminders.c.id == _ID)
_LIVE = _ALL.where(_reminders.c.deleted_seq.is_(None))
_state: ColumnElement[Any] = _LIVE.selected_columns["state"]
_next_at = func.coalesce(_LIVE.selected_columns["next_at"], _reminders.c.remind_at)
_REPEATING = (
    select(_reminders)
    .where(
        _reminders.c.ledger_id == _LEDGER,
        _reminders.c.repeat.is_not(None),
        _reminders.c.deleted_seq.is_(None),
        _reminders.c.done_at.is_(None),
        or_(_reminders.c.repeat_until.is_(None), _reminders.c.repeat_until >= bindparam("yesterday")),
    )
    .order_by(_reminders.c.created_seq, _reminders.c.id)
    .limit(MAX_REPEATING)
)
