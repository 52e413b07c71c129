"""Everything of one ledger, row by row in one snapshot, without ever holding all of it."""

from collections.abc import AsyncIterator
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Select, Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import allocation, events, projections, tables
from storage.pages import Record

Section = Literal["contacts", "transactions", "reminders", "conflicts", "events"]
FETCH_ROWS: Final = 500
_ALL_ROWS: Final = "set local cursor_tuple_fraction = 1; set local enable_nestloop = off"
"""Every row is wanted, not the first ones soon; and a ledger that was just imported is larger than the planner knows."""
_LEDGER = bindparam("ledger", type_=Uuid)


async def rows(connection: AsyncConnection, section: Section, ledger_id: UUID) -> AsyncIterator[Record]:
    """The rows of a section, deleted ones too, in the order of their creation; `connection` stays in one transaction.

    They are read by a cursor of Postgres's rather than the driver's: it ends with the transaction, however that ends.

    contacts: columns of projections.contact. transactions: of projections.transaction, and open_amount. reminders: their
    columns. conflicts: event_id, resolved_by. events: seq and those of sealing.StoredFact.
    """
    query = _COMPILED[section]
    await connection.exec_driver_sql(_ALL_ROWS)
    await connection.exec_driver_sql(
        f"declare {section} no scroll cursor for {query}", query.construct_params({"ledger": ledger_id})
    )
    while found := (await connection.exec_driver_sql(f"fetch {FETCH_ROWS} from {section}")).all():
        for row in found:
            yield row
    await connection.exec_driver_sql(f"close {section}")


def _transactions() -> Select[*tuple[Any, ...]]:
    opened, columns = allocation.open_amounts(ledger_id=_LEDGER).subquery("opened"), tables.transactions.c
    return (
        projections.TRANSACTIONS.add_columns(func.coalesce(opened.c.open_amount, 0).label("open_amount"))
        .outerjoin(opened, opened.c.transaction_id == columns.id)
        .order_by(columns.created_seq)
    )


_REMINDERS = select(tables.reminders).where(tables.reminders.c.ledger_id == _LEDGER).order_by(tables.reminders.c.created_seq)
_CONFLICTS = (
    select(tables.conflicts.c.event_id, tables.conflicts.c.resolved_by)
    .where(tables.conflicts.c.ledger_id == _LEDGER)
    .order_by(tables.conflicts.c.seq)
)
_EVENTS = (
    select(tables.events.c.seq, *events.STORED_FACT).where(tables.events.c.ledger_id == _LEDGER).order_by(tables.events.c.seq)
)
_QUERIES: Final[dict[Section, Select[*tuple[Any, ...]]]] = {
    "contacts": projections.CONTACTS.order_by(tables.contacts.c.created_seq),
    "transactions": _transactions(),
    "reminders": _REMINDERS,
    "conflicts": _CONFLICTS,
    "events": _EVENTS,
}
_DIALECT = psycopg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
_COMPILED: Final = {section: query.compile(dialect=_DIALECT) for section, query in _QUERIES.items()}
