"""Balances along two axes (what was known when, and what was effective when), what explains them, and how old they are."""

import datetime
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Date, DateTime, Integer, Text, Uuid, bindparam, case, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import allocation, tables
from storage.pages import Page, Record, Rows, cut


@dataclass(frozen=True)
class Point:
    """A place on both axes; None: now, and every date. `as_of` is inclusive: what was recorded at that moment is known."""

    as_of: datetime.datetime | None = None
    effective_on: datetime.date | None = None

    def bound(self, ledger_id: UUID) -> dict[str, Any]:
        """The values of the statements here."""
        return {"ledger": ledger_id, "as_of": self.as_of, "effective_on": self.effective_on}


NOW = Point()


async def balances(connection: AsyncConnection, ledger_id: UUID, point: Point) -> list[Record]:
    """Rows (contact_id, currency, amount, version, materialized_version, is_future), those that are not 0.

    `version` is the newest fact that was known; `is_future`: the point lies after Postgres's clock and the head. There
    is always one row; where nothing is owed it has no contact.
    """
    statement, bound = BALANCES[point.as_of is not None, point.effective_on is not None], point.bound(ledger_id)
    if point.effective_on is None:
        del bound["effective_on"]
    await connection.execute(_PLAN_ANEW)
    return list((await connection.execute(statement, bound)).all())


async def explanation(
    connection: AsyncConnection, ledger_id: UUID, contact_id: UUID, point: Point, page: Page, *, currency: str | None = None
) -> Rows:
    """A page of what made a contact's balances, oldest first; the sort key counts the items from 1.

    Rows (seq, event_id, transaction_id, amount, currency, effective_date, recorded_at, running_total): what an event did
    to one transaction in one currency, reversals and new effects in one sum; those that sum to 0 changed no balance.
    """
    bound = point.bound(ledger_id) | {
        "contact": contact_id,
        "currency": currency,
        "after": page.after[0] if page.after else 0,
        "limit": page.limit + 1,
    }
    await connection.execute(_PLAN_ANEW)
    return cut((await connection.execute(_EXPLANATION, bound)).all(), page, "number", "transaction_id")


async def statement(
    connection: AsyncConnection, ledger_id: UUID, contact_id: UUID, first: datetime.date, last: datetime.date
) -> list[Record]:
    """What happened between a user and a contact from `first` to `last` by effective date, as known now.

    Rows (currency, effective_date, transaction_id, description, amount) by currency, date and seq; one a currency has no
    date and holds what was owed before.
    """
    bound = {"ledger": ledger_id, "contact": contact_id, "first": first, "last": last}
    return list((await connection.execute(_STATEMENT, bound)).all())


async def ageing(connection: AsyncConnection, ledger_id: UUID, today: datetime.date) -> list[Record]:
    """What is open of money by how long it is overdue at `today`, in minor units.

    Rows (currency, direction, not_due, days_1_30, days_31_60, days_61_90, days_over_90, total); without a due date: not due.
    """
    return list((await connection.execute(_AGEING, {"ledger": ledger_id, "today": today})).all())


_PLAN_ANEW = text("set local plan_cache_mode = force_custom_plan")
"""A plan for the ledger that is asked about: one for the average ledger sorts where a large one has to hash."""

POINT = (
    bindparam("ledger", type_=Uuid),
    bindparam("as_of", type_=DateTime(timezone=True)),
    bindparam("effective_on", type_=Date),
)

_KNOWN = """
    with recursive search (low, high) as (
        select case when :as_of >= recorded_at or :as_of is null then version else 0 end, version
        from debitum.ledgers where id = :ledger
        union all
        select case when event.recorded_at <= :as_of then middle.seq else low end,
               case when event.recorded_at <= :as_of then high else middle.seq - 1 end
        from search
        cross join lateral (select (low + high + 1) / 2 as seq) middle
        cross join lateral (
            select recorded_at from debitum.events where ledger_id = :ledger and events.seq = middle.seq limit 1
        ) event
        where low < high
    ), known as materialized (select max(low) as version from search where low = high)
"""
"""The newest fact recorded at or before `as_of`, in some twenty look-ups: recorded_at never decreases along seq."""


def _balances(*conditions: str) -> Any:
    """A statement for each combination of axes: one for all would be planned for none of them."""
    statement = f"""{_KNOWN}, sums as (
        select contact_id, currency, sum(amount)::bigint as amount
        from debitum.postings where ledger_id = :ledger {" ".join(conditions)}
        group by contact_id, currency having sum(amount) <> 0
    )
    select sums.contact_id, sums.currency, sums.amount, known.version,
           coalesce((select covered_seq from debitum.projection_marks where ledger_id = :ledger), 0) as materialized_version,
           coalesce(:as_of > greatest(clock_timestamp(), ledger.recorded_at), false) as is_future
    from known join debitum.ledgers ledger on ledger.id = :ledger
    left join sums on true
    order by sums.contact_id, sums.currency"""  # noqa: S608  # our own text; every value is bound
    used = [parameter for parameter in POINT if f":{parameter.key}" in statement]
    types = {"contact_id": Uuid, "currency": Text, "amount": BigInteger}
    return text(statement).bindparams(*used).columns(**types, version=BigInteger, materialized_version=BigInteger)


_AS_OF, _EFFECTIVE_ON = "and seq <= (select version from known)", "and effective_date <= :effective_on"
BALANCES = {
    (True, True): _balances(_AS_OF, _EFFECTIVE_ON),
    (True, False): _balances(_AS_OF),
    (False, True): _balances(_EFFECTIVE_ON),
    (False, False): _balances(),
}
"""By whether as_of and effective_on are given."""

_EXPLANATION = text(
    _KNOWN  # noqa: S608  # our own text; every value is bound
    + """
    , effects as (
        select seq, transaction_id, currency, sum(amount)::bigint as amount,
               (array_agg(effective_date order by line desc))[1] as effective_date, min(recorded_at) as recorded_at
        from debitum.postings
        where ledger_id = :ledger and contact_id = :contact and seq <= (select version from known)
          and (:effective_on is null or effective_date <= :effective_on) and (:currency is null or currency = :currency)
        group by seq, transaction_id, currency having sum(amount) <> 0
    ), items as (
        select effects.*, row_number() over (order by seq, transaction_id, currency) as number,
               sum(amount) over (partition by currency order by seq, transaction_id)::bigint as running_total
        from effects
    )
    select items.*, event.event_id
    from items join debitum.events event on event.ledger_id = :ledger and event.seq = items.seq
    where number > :after order by number limit :limit
"""
).bindparams(
    *POINT,
    bindparam("contact", type_=Uuid),
    bindparam("currency", type_=Text),
    bindparam("after", type_=BigInteger),
    bindparam("limit", type_=Integer),
)

_STATEMENT = text("""
    with before as (
        select currency, sum(amount)::bigint as amount from debitum.postings
        where ledger_id = :ledger and contact_id = :contact and effective_date < :first group by currency
    ), movements as (
        select currency, effective_date, transaction_id, min(seq) as seq, sum(amount)::bigint as amount from debitum.postings
        where ledger_id = :ledger and contact_id = :contact and effective_date between :first and :last
        group by currency, effective_date, transaction_id having sum(amount) <> 0
    )
    select currency, null::date as effective_date, null::uuid as transaction_id, null as description, amount, 0 as seq
    from before where amount <> 0
    union all
    select movements.currency, effective_date, movements.transaction_id, debt.description, movements.amount, movements.seq
    from movements join debitum.transactions debt on debt.ledger_id = :ledger and debt.id = movements.transaction_id
    order by currency, effective_date nulls first, seq
""").bindparams(
    bindparam("ledger", type_=Uuid),
    bindparam("contact", type_=Uuid),
    bindparam("first", type_=Date),
    bindparam("last", type_=Date),
)


def _ageing() -> Any:
    ledger, today = bindparam("ledger", type_=Uuid), bindparam("today", type_=Date)
    debts = tables.transactions.c
    opened = allocation.open_amounts(ledger_id=ledger).subquery("opened")
    days: Any = func.coalesce(today - debts.due_date, 0)
    amount = opened.c.open_amount

    def between(first: int, last: int) -> Any:
        return func.sum(case((days.between(first, last), amount), else_=0)).cast(BigInteger)

    return (
        select(
            debts.currency,
            debts.direction,
            func.sum(case((days <= 0, amount), else_=0)).cast(BigInteger).label("not_due"),
            between(1, 30).label("days_1_30"),
            between(31, 60).label("days_31_60"),
            between(61, 90).label("days_61_90"),
            func.sum(case((days > 90, amount), else_=0)).cast(BigInteger).label("days_over_90"),
            func.sum(amount).cast(BigInteger).label("total"),
        )
        .join(opened, opened.c.transaction_id == debts.id)
        .where(debts.ledger_id == ledger, debts.type == "money", amount > 0)
        .group_by(debts.currency, debts.direction)
        .order_by(debts.currency, debts.direction)
    )


_AGEING = _ageing()
