"""The outbox as an operator sees it: what waits, what failed and why; and the two things that can be done about it."""

import datetime
from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true, update

from domain.delivery import Channel
from storage import outbox, outbox_keys, tables

OPEN: Final[tuple[outbox.State, ...]] = ("pending", "leased", "dead")
"""States in which an operator may have to look at a message."""
DROPPED: Final = "dropped"
"""The reason of a message that an operator dropped."""
_outbox, _attempts = tables.outbox.c, tables.delivery_attempts.c


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A message, without what it says and to whom; `provider`, `outcome` and `detail` are those of its last attempt."""

    id: UUID
    kind: str
    channel: Channel
    state: outbox.State
    attempts: int
    created_at: datetime.datetime
    next_at: datetime.datetime
    reason: str | None
    provider: str | None
    outcome: str | None
    detail: str | None


def counted(connection: Connection) -> dict[tuple[str, str], int]:
    """How many messages there are, by (channel, state)."""
    counts = select(_outbox.channel, _outbox.state, func.count()).group_by(_outbox.channel, _outbox.state)
    return {(row[0], row[1]): row[2] for row in connection.execute(counts.order_by(_outbox.channel, _outbox.state))}


def listed(connection: Connection, states: Sequence[outbox.State], *, limit: int) -> list[Row]:
    """Up to `limit` messages in `states`, those that have waited longest first."""
    last = (
        select(_attempts.provider, _attempts.outcome, _attempts.detail)
        .where(_attempts.ledger_id == _outbox.ledger_id, _attempts.outbox_id == _outbox.id)
        .order_by(_attempts.attempt.desc())
        .limit(1)
        .lateral("last")
    )
    own = [name for name in Row.__struct_fields__ if name in _outbox]
    query = (
        select(*(_outbox[name] for name in own), last.c.provider, last.c.outcome, last.c.detail)
        .select_from(tables.outbox.outerjoin(last, true()))
        .where(_outbox.state.in_(states))
        .order_by(_outbox.next_at, _outbox.id)
        .limit(limit)
    )
    return [Row(**row) for row in connection.execute(query).mappings()]


def retry(connection: Connection, ids: Collection[UUID] | None, *, now: datetime.datetime) -> int:
    """Have messages sent now that wait or were given up, as if nobody had tried.

    `ids` None: all that were given up, but for what an operator dropped.
    """
    which = and_(_outbox.state == "dead", _outbox.reason.is_distinct_from(DROPPED))
    if ids is not None:
        which = and_(_outbox.id.in_(ids), _outbox.state.in_(("dead", "pending")))
    again = {"state": "pending", "next_at": now, "attempts": 0, "finished_at": None, "reason": None, "fence": _outbox.fence + 1}
    return _change(connection, which, again)


def drop(connection: Connection, ids: Collection[UUID], *, now: datetime.datetime) -> int:
    """Give messages up that wait, or whose sender may be dead: its finish finds that they are not its own any more."""
    open_ = or_(_outbox.state == "pending", _outbox.state == "leased")
    given_up = {"state": "dead", "finished_at": now, "reason": DROPPED, "lease_until": None, "fence": _outbox.fence + 1}
    return _change(connection, and_(_outbox.id.in_(ids), open_), given_up)


def _change(connection: Connection, which: ColumnElement[bool], values: dict[str, Any]) -> int:
    """How many rows are `which`; the pushes in whose place some of them stand follow."""
    columns = [_outbox[name] for name in outbox.Claimed.__struct_fields__]
    of_devices = connection.execute(select(*columns).where(which, _outbox.payload.has_key("device_id"))).mappings()
    wholes = {whole for row in of_devices for whole in outbox.Claimed(**row).wholes}
    outbox_keys.hold(connection, wholes)
    changed = connection.execute(update(tables.outbox).where(which).values(values)).rowcount
    outbox_keys.settle(connection, wholes)
    return changed
