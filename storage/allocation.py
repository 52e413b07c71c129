"""What is still open: the closed form of `domain.allocation`, as one window query over whole contacts, and of one transaction."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, BindParameter, ColumnElement, FromClause, Select, and_, case, cast, func, select, tuple_

from storage import tables


def open_amounts(
    *,
    source: FromClause = tables.transactions,
    ledger_id: UUID | ColumnElement[UUID] | None = None,
    contact_ids: Collection[UUID] | BindParameter[Any] | None = None,
    contacts: Select[UUID, UUID] | None = None,
) -> Select[UUID, UUID, int]:
    """Rows (ledger_id, transaction_id, open_amount) of every live transaction in scope; join it as a subquery.

    Money: what `domain.allocation.open_amounts` gives, in minor units. Items: the quantity until they are returned, then 0.
    The scope is whole contacts, because repayments are allocated among all of a contact's transactions: those of one ledger
    (`ledger_id`), of some of them (`contact_ids`), and of a query of (ledger_id, contact_id) pairs (`contacts`). `source` is
    whatever has the columns that the query names, also in another engine.
    """
    scope: list[ColumnElement[bool]] = [source.c.deleted_seq.is_(None)]
    if ledger_id is not None:
        scope.append(source.c.ledger_id == ledger_id)
    if contact_ids is not None:
        scope.append(source.c.contact_id.in_(contact_ids))
    if contacts is not None:
        scope.append(tuple_(source.c.ledger_id, source.c.contact_id).in_(contacts))
    return _allocated(_unlinked(_linked(source, scope)))


def open_amount(its: str, *, balance: str) -> str:
    """SQL for what is open of one live money transaction: `its` names its row, with `ripe`; `balance` is its contact's amount.

    Repayments settle the oldest debts first, so that a contact's balance is made of the youngest: what is open of a transaction
    is the balance less the younger ones in its direction, between 0 and its amount. They are found by the index of contacts by
    age, and what is older is not looked at.
    """
    account = "contact_id", "ledger_id"
    of_it, of_others = (", ".join(f"{one}.{name}" for name in account) for one in (its, "younger"))
    # Its account from its age on, as two ends of one stretch of that index: asked for the ledger, Postgres may read all of it,
    # for until it knows the table it takes each index for as good as another (docs/decisions/0007).
    younger = f"""
        coalesce((
            select sum({_free("younger")})
            from (select *, {ripe("its")} as ripe from debitum.transactions its) younger
            where ({of_others}, younger.ripe) >= ({of_it}, {its}.ripe) and ({of_others}) <= ({of_it})
              and {_comparable("younger", its)} and younger.direction = {its}.direction
              and ({_aged("younger")}) > ({_aged(its)})
        ), 0)
    """  # noqa: S608 - our own names
    signed = f"case {its}.direction when 'lent' then {balance} else -{balance} end"
    return f"greatest(0, least({_free(its)}, {signed} - {younger}))"


def ripe(its: str) -> str:
    """The date that its age counts from, as the index of contacts by age has it (no `coalesce`: see storage/balances.py)."""
    return f"case when {its}.due_date is null then {its}.transaction_date else {its}.due_date end"


def _free(its: str) -> str:
    """What the links leave of a transaction, as `_unlinked` has it."""
    return f"""
        ({its}.amount - case when {its}.repays is null then least({its}.amount, coalesce((
            select sum(link.amount) from debitum.transactions link
            where link.repays = {its}.id and {_same_account("link", its)} and link.direction <> {its}.direction
        ), 0)) else coalesce((
            select least({its}.amount, greatest(0, debt.amount - coalesce((
                select sum(link.amount)
                from (select *, {ripe("its")} as ripe from debitum.transactions its) link
                where link.repays = debt.id and {_same_account("link", "debt")} and link.direction <> debt.direction
                  and ({_aged("link")}) < ({_aged(its)})
            ), 0)))
            from debitum.transactions debt
            where debt.id = {its}.repays and debt.repays is null and {_same_account("debt", its)}
              and debt.direction <> {its}.direction
        ), 0) end)
    """  # noqa: S608 - our own names


def _same_account(one: str, its: str) -> str:
    """`one` is live money of the same ledger, contact and currency; it is found by something else (`is true` is no key)."""
    return f"{one}.ledger_id = {its}.ledger_id and ({one}.contact_id = {its}.contact_id) is true and {_comparable(one, its)}"


def _comparable(one: str, its: str) -> str:
    return f"{one}.currency = {its}.currency and {one}.type = 'money' and {one}.deleted_seq is null"


def _aged(its: str) -> str:
    return f"{its}.ripe, {its}.created_seq, {its}.id"


def _linked(source: FromClause, scope: list[ColumnElement[bool]]) -> CTE:
    """The live transactions, each with `debt_amount` of the debt that its link counts against; null where it does not count.

    A debt and what names it are one window, in which only the debt names nothing. A self-join would say the same, but its
    planner cannot tell how many rows there are, and takes a nested loop over them.
    """
    family = (*_pocket(source), func.coalesce(source.c.repays, source.c.id))
    names_nothing = source.c.repays.is_(None)
    debt_amount = func.max(source.c.amount).filter(names_nothing).over(partition_by=family)
    debt_direction = func.max(source.c.direction).filter(names_nothing).over(partition_by=family)
    live = (
        select(
            *source.c,
            func.coalesce(source.c.due_date, source.c.transaction_date).label("ripe"),
            debt_amount.label("named_amount"),
            debt_direction.label("named_direction"),
        )
        .where(*scope)
        .cte("live")
    )
    counts = and_(live.c.repays.is_not(None), live.c.named_direction != live.c.direction)
    return select(*live.c, case((counts, live.c.named_amount)).label("debt_amount")).cte("linked")


def _unlinked(linked: CTE) -> CTE:
    """`linked` with `free`: what the links leave of each transaction; of a debt's links the last ones carry the excess."""
    is_link = linked.c.debt_amount.is_not(None)
    family = (*_pocket(linked), case((is_link, linked.c.repays), else_=linked.c.id))
    links = func.sum(linked.c.amount).filter(is_link)
    all_links = func.coalesce(links.over(partition_by=family), 0)
    earlier_links = func.coalesce(links.over(partition_by=family, order_by=_age(linked), rows=(None, -1)), 0)
    applied: ColumnElement[Any] = case(
        (is_link, func.least(linked.c.amount, func.greatest(linked.c.debt_amount - earlier_links, 0))),
        else_=func.least(linked.c.amount, all_links),
    )
    return select(*linked.c, (linked.c.amount - applied).label("free")).cte("unlinked")


def _allocated(unlinked: CTE) -> Select[UUID, UUID, int]:
    """`free` of each direction pays the other's, oldest first; items have no part in it."""
    pocket = _pocket(unlinked)
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


def _pocket(source: FromClause) -> tuple[ColumnElement[Any], ...]:
    """What repayments are allocated within; items have pockets of their own, where nothing comes of it."""
    return (source.c.ledger_id, source.c.contact_id, source.c.type, source.c.currency)


def _age(source: FromClause) -> tuple[ColumnElement[Any], ...]:
    return (source.c.ripe, source.c.created_seq, source.c.id)
