"""What is still open, as one window query: the closed form of `domain.allocation` over any number of contacts."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, Select, and_, case, cast, func, select, tuple_

from storage import tables

_transactions = tables.transactions


def open_amounts(
    *,
    ledger_id: UUID | ColumnElement[UUID] | None = None,
    contact_ids: Collection[UUID] | None = None,
    contacts: Select[tuple[UUID, UUID]] | None = None,
) -> Select[tuple[UUID, UUID, int]]:
    """Rows (ledger_id, transaction_id, open_amount) of every live transaction in scope; join it as a subquery.

    Money: what `domain.allocation.open_amounts` gives, in minor units. Items: the quantity until they are returned, then 0.
    The scope is whole contacts, because repayments are allocated among all of a contact's transactions: those of one ledger
    (`ledger_id`), of some of them (`contact_ids`), and of a query of (ledger_id, contact_id) pairs (`contacts`).
    """
    scope: list[ColumnElement[bool]] = [_transactions.c.deleted_seq.is_(None)]
    if ledger_id is not None:
        scope.append(_transactions.c.ledger_id == ledger_id)
    if contact_ids is not None:
        scope.append(_transactions.c.contact_id.in_(contact_ids))
    if contacts is not None:
        scope.append(tuple_(_transactions.c.ledger_id, _transactions.c.contact_id).in_(contacts))
    return _allocated(_unlinked(_linked(scope)))


def _linked(scope: list[ColumnElement[bool]]) -> CTE:
    """The live transactions, each with the debt that its link counts against, if it counts."""
    live = select(_transactions).where(*scope).cte("live")
    debt = live.alias("debt")
    counts = and_(
        debt.c.ledger_id == live.c.ledger_id,
        debt.c.id == live.c.repays,
        debt.c.type == "money",
        debt.c.contact_id == live.c.contact_id,
        debt.c.currency == live.c.currency,
        debt.c.direction != live.c.direction,
        debt.c.repays.is_(None),
    )
    columns = [live.c[name] for name in ("ledger_id", "id", "contact_id", "type", "direction", "currency", "amount")]
    return (
        select(
            *columns,
            live.c.returned_at,
            live.c.created_seq.label("seq"),
            func.coalesce(live.c.due_date, live.c.transaction_date).label("ripe"),
            debt.c.id.label("debt_id"),
            debt.c.amount.label("debt_amount"),
        )
        .select_from(live.outerjoin(debt, counts))
        .cte("linked")
    )


def _unlinked(linked: CTE) -> CTE:
    """`linked` with `free`: what the links leave of each transaction; of a debt's links the last ones carry the excess."""
    is_link = linked.c.debt_id.is_not(None)
    family = (linked.c.ledger_id, func.coalesce(linked.c.debt_id, linked.c.id))
    links = func.sum(linked.c.amount).filter(is_link)
    all_links = func.coalesce(links.over(partition_by=family), 0)
    earlier_links = func.coalesce(links.over(partition_by=family, order_by=_age(linked), rows=(None, -1)), 0)
    applied: ColumnElement[Any] = case(
        (is_link, func.least(linked.c.amount, func.greatest(linked.c.debt_amount - earlier_links, 0))),
        else_=func.least(linked.c.amount, all_links),
    )
    return select(*linked.c, (linked.c.amount - applied).label("free")).cte("unlinked")


def _allocated(unlinked: CTE) -> Select[tuple[UUID, UUID, int]]:
    """`free` of each direction pays the other's, oldest first; items have no part in it."""
    pocket = (unlinked.c.ledger_id, unlinked.c.contact_id, unlinked.c.type, unlinked.c.currency)
    free = unlinked.c.free
    pool = case(
        (unlinked.c.direction == "lent", func.sum(free).filter(unlinked.c.direction == "owed").over(partition_by=pocket)),
        else_=func.sum(free).filter(unlinked.c.direction == "lent").over(partition_by=pocket),
    )
    up_to_here = func.sum(free).over(partition_by=(*pocket, unlinked.c.direction), order_by=_age(unlinked), rows=(None, 0))
    of_money = func.least(free, func.greatest(up_to_here - func.coalesce(pool, 0), 0))
    of_items = case((unlinked.c.returned_at.is_(None), unlinked.c.amount), else_=0)
    return select(
        unlinked.c.ledger_id,
        unlinked.c.id.label("transaction_id"),
        cast(case((unlinked.c.type == "money", of_money), else_=of_items), tables.transactions.c.amount.type).label(
            "open_amount"
        ),
    )


def _age(source: CTE) -> tuple[ColumnElement[Any], ...]:
    return (source.c.ripe, source.c.seq, source.c.id)
