"""Keys of the outbox: the order in which rows are locked, and what becomes of a push to all devices when it ends for one.

Such a push, a whole, has a row, and in its place stands one more for each device, whose key is the whole's with the device's
id behind it. The whole counts as sent while any device may still be told or has been; else the same key may revive it.
"""

from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    TableValuedAlias,
    Update,
    and_,
    case,
    collate,
    exists,
    func,
    not_,
    or_,
    select,
    update,
)

from storage import arrays, tables

Key = tuple[UUID, str]
"""(ledger_id, dedupe_key)."""
FANNED_OUT: Final = "fanned_out"
"""The reason of a push in whose place there is one for each device; as such it is sent."""

_outbox = tables.outbox


def is_named(given: TableValuedAlias) -> ColumnElement[bool]:
    """Whether a row is one that `given` names, by ledger_id and dedupe_key."""
    return and_(given.c.ledger_id == _outbox.c.ledger_id, given.c.dedupe_key == _outbox.c.dedupe_key)


def by_key(rows: FromClause) -> tuple[ColumnElement[Any], ...]:
    """The order in which rows are locked: two batches that overlap wait for each other, and never in a circle.

    A whole stands before its devices.
    """
    return (rows.c.ledger_id, collate(rows.c.dedupe_key, "C"))


def as_rows(keys: Collection[Key]) -> dict[str, str]:
    """The parameter of statements that are given rows by their keys."""
    named = [{"ledger_id": ledger_id, "dedupe_key": key} for ledger_id, key in keys]
    return {"rows": msgspec.json.encode(named).decode()}


def hold(connection: Connection, wholes: Collection[Key]) -> None:
    """Have everybody else who ends a device's row of these wait; before the caller locks one.

    Two that end the last two devices at once would each see the other's still under way, and nobody would look again.
    """
    if wholes:
        connection.execute(_HOLD, as_rows(wholes))


def _hold() -> Select[UUID]:
    wanted = arrays.given(_outbox.c.ledger_id, _outbox.c.dedupe_key)
    named = select(_outbox.c.id).join(wanted, is_named(wanted))
    return named.order_by(*by_key(_outbox)).with_for_update(of=_outbox)


_HOLD: Final = _hold()


def settle(connection: Connection, wholes: Collection[Key]) -> None:
    """Suppress those of `wholes`, which the caller holds, that reached no device, are on their way to none, and can be revived.

    That is so where at least one device's row is suppressed; what all devices refused is over, as a mail would be. One that
    was suppressed counts as sent again where a device's row was taken up once more, or its sender succeeded after all.
    """
    if wholes:
        connection.execute(_SETTLE, as_rows(wholes))


def _settle() -> Update:
    ended = arrays.given(_outbox.c.ledger_id, _outbox.c.dedupe_key)
    device = _outbox.alias("device")
    is_its = and_(
        device.c.ledger_id == _outbox.c.ledger_id, func.starts_with(device.c.dedupe_key, _outbox.c.dedupe_key.concat(":"))
    )
    reached = exists().where(is_its, device.c.state.in_(("pending", "leased", "sent")))
    # Of several reasons one, and always the same.
    reason = select(func.min(device.c.reason)).where(is_its, device.c.state == "suppressed").scalar_subquery()
    fanned_out = and_(_outbox.c.state == "sent", _outbox.c.reason == FANNED_OUT)
    is_over = and_(fanned_out, not_(reached), reason.is_not(None))
    is_told = and_(_outbox.c.state == "suppressed", reached)
    changed = update(_outbox).where(is_named(ended), or_(is_over, is_told))
    return changed.values(state=case((is_told, "sent"), else_="suppressed"), reason=case((is_told, FANNED_OUT), else_=reason))


_SETTLE: Final = _settle()
