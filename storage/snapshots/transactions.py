"""The table of debts, repayments and things lent: each day is yesterday's file with the changes of the day's facts.

A fact says what every field was and became, so that the fold needs no rules: of each field the last change holds. What is still
open is asked by the same query as in Postgres, of the contacts that something happened to; all others keep what they had. What
is closed is in the file of the day that closed it, and is looked up there when its contact is touched again
(docs/decisions/0019).
"""

from typing import Final

from sqlalchemy import column, table
from sqlalchemy.dialects import postgresql

from storage import allocation
from storage.snapshots.schema import COMMON, CONTACT, LEDGER, Column, Growth, Table

_FIELDS: Final = {
    "contact_id": "VARCHAR",
    "type": "VARCHAR",
    "direction": "VARCHAR",
    "currency": "VARCHAR",
    "amount": "BIGINT",
    "transaction_date": "DATE",
    "due_date": "DATE",
    "repays": "VARCHAR",
    "returned_at": "TIMESTAMP WITH TIME ZONE",
}
"""What is taken of a change, with its type here. Not what people wrote: neither descriptions nor names of things."""


_SHAPE: Final = ", ".join(f'"{name}": ["VARCHAR"]' for name in (*_FIELDS, "deleted_at"))


def _last(name: str) -> str:
    """What the day's last change of a field made of it, as text: null where there was none, empty where it became null."""
    became = f"fields.{name}[2]"
    return f"arg_max(coalesce({became}, ''), (seq::hugeint << 32) + place) filter (where fields.{name} is not null) as {name}"


def _now(name: str, kind: str) -> str:
    return f"case when told.{name} is null then before.{name} else nullif(told.{name}, '')::{kind} end as {name}"


_TOLD: Final = f"""
    create or replace table told as
    select ledger_id, transaction_id, min(seq) filter (where op = 'create') as seq,
           min(day) filter (where op = 'create') as opened_on, {", ".join(map(_last, (*_FIELDS, "deleted_at")))}
    from (select * replace (from_json(fields, '{{{_SHAPE}}}') as fields) from taken) group by ledger_id, transaction_id
"""  # noqa: S608 - our own names
"""What the day's facts say, a row for each debt or thing."""
_WERE_OPEN: Final = "create or replace view were_open as from yesterday where status = 'open'"
_NEWEST: Final = "qualify row_number() over (partition by ledger_id, transaction_id order by day desc) = 1"
_BEFORE: Final = f"""
    create or replace table before as
    from were_open semi join told using (ledger_id, transaction_id)
    union all by name
    select * exclude day
    from (from earlier where not carried and status <> 'open')
    semi join (from told anti join were_open using (ledger_id, transaction_id) where told.seq is null)
        using (ledger_id, transaction_id)
    {_NEWEST}
"""  # noqa: S608 - our own names
"""Those of them that were there before, as they were: open, or as the day left them that closed them."""
_CHANGED: Final = f"""
    create or replace table changed as
    select ledger_id, transaction_id, coalesce(told.seq, before.seq) as seq,
           coalesce(told.opened_on, before.opened_on) as opened_on,
           {", ".join(_now(name, kind) for name, kind in _FIELDS.items())},
           case when told.contact_id <> before.contact_id then before.contact_id end as left_contact, before.settled_on,
           case when told.deleted_at is null then before.status = 'deleted'
                else told.deleted_at <> '' end as deleted
    from told left join before using (ledger_id, transaction_id)
"""  # noqa: S608 - our own names
"""The same as they are now."""
_TOUCHED: Final = """
    create or replace table touched as
    select ledger_id, contact_id from changed union select ledger_id, contact_id from before
"""
"""The contacts that something happened to."""
_CLOSED: Final = f"""
    create or replace table closed as
    with images as (
        from (from earlier where not carried and status <> 'open') semi join touched using (ledger_id, contact_id)
        union
        from (from earlier where moved_from is not null) earlier
        semi join touched on touched.ledger_id = earlier.ledger_id and touched.contact_id = earlier.moved_from
    ), newest as (select * exclude day from images {_NEWEST})
    from newest semi join touched using (ledger_id, contact_id)
    anti join were_open using (ledger_id, transaction_id) where status <> 'open'
"""  # noqa: S608 - our own names
"""What is closed of these contacts: the newest row of each, unless that says that it is open, or another contact's, by now."""
_AFFECTED: Final = f"""
    create or replace table affected as
    select *, true as told from changed
    union all by name
    select ledger_id, transaction_id, seq, opened_on, {", ".join(_FIELDS)}, settled_on, status = 'deleted' as deleted,
           false as told
    from (from were_open semi join touched using (ledger_id, contact_id) union all by name from closed)
    anti join changed using (ledger_id, transaction_id)
"""  # noqa: S608 - our own names
"""All of these contacts: repayments are counted among it."""
_POCKETS: Final = """
    create or replace view pockets as
    select *, transaction_id as id, seq as created_seq, case when deleted then seq end as deleted_seq from affected
"""
_SOURCE: Final = table("pockets", *map(column, ("ledger_id", "id", "created_seq", "deleted_seq", *_FIELDS)))
_OPEN: Final = allocation.open_amounts(source=_SOURCE).compile(
    dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]  # SQLAlchemy says nothing of it
    compile_kwargs={"literal_binds": True},
)
_TODAY: Final = f"""
    create or replace view today as
    with opened as ({_OPEN}), judged as (
        select affected.* exclude (deleted, settled_on, left_contact), coalesce(opened.open_amount, 0) as open_amount,
               case when deleted then 'deleted' when opened.open_amount > 0 then 'open' else 'settled' end as status,
               left_contact as moved_from, affected.settled_on as settled_before, were_open.open_amount as open_before
        from affected left join opened using (ledger_id, transaction_id)
        left join were_open using (ledger_id, transaction_id)
    )
    select * exclude (settled_before, open_before, told),
           case when status = 'settled' then coalesce(settled_before, getvariable('day')) end as settled_on,
           not told and status = 'open' and open_amount is not distinct from open_before as carried
    from judged where told or status = 'open' or open_before is not null
    union all by name
    select * replace (null as moved_from, true as carried) from were_open anti join affected using (ledger_id, transaction_id)
"""  # noqa: S608 - our own names

_CLOSED_OF_TAKEN: Final = """
    select (select count(*) from taken) * count(*) // greatest(approx_count_distinct(contact_id), 1)
    from earlier where not carried
"""
"""As if every row of the day concerned another contact, with a past like everybody's."""

TRANSACTIONS: Final = Table(
    "transactions",
    "Every debt, repayment and thing lent that was open at the end of the day, or that something happened to on the day: made, "
    "edited, settled, deleted. What had been closed before is in the day that closed it. What is open is what is left when "
    "repayments are counted against what they repay, then against what is oldest. A repayment is a debt in the other direction. "
    "`debts` and `items` are views of it.",
    {
        "ledger_id": LEDGER,
        "transaction_id": Column("VARCHAR", "the debt, repayment or thing lent: a pseudonym"),
        "contact_id": CONTACT,
        "type": Column("VARCHAR", "money, or item: a thing"),
        "direction": Column("VARCHAR", "lent: they owe the user; owed: the user owes them"),
        "currency": Column("VARCHAR", "ISO 4217 code; null of a thing"),
        "amount": Column("BIGINT", "minor units of the currency; of a thing how many"),
        "open_amount": Column("BIGINT", "how much of it was not repaid or returned"),
        "status": Column("VARCHAR", "open, settled (repaid or returned; of a repayment: counted against something), or deleted"),
        "transaction_date": Column("DATE", "the date that the user gave it"),
        "due_date": Column("DATE", "until when it is to come back; null: not agreed"),
        "opened_on": Column("DATE", "the UTC day on which it was recorded"),
        "settled_on": Column("DATE", "the UTC day at whose end nothing was open any more; null while something is"),
        "repays": Column("VARCHAR", "the debt that a repayment names"),
        "returned_at": Column("TIMESTAMP WITH TIME ZONE", "when the user said that a thing came back"),
        "seq": Column("BIGINT", "the place in its ledger of the event that recorded it"),
        "moved_from": Column("VARCHAR", "the contact that it was with on the day before, where it was moved on the day"),
        "carried": Column("BOOLEAN", "nothing happened to it on the day: it is open, and as it was on the day before"),
        **COMMON,
    },
    ("ledger_id", "transaction_id"),
    """
    select ledger_id, seq, place, change ->> 'aggregate_id', change ->> 'op', (recorded_at at time zone 'UTC')::date,
           (change -> 'fields') - array['item', 'description']
    from debitum.events cross join lateral jsonb_array_elements(fact::jsonb -> 'changes') with ordinality changes (change, place)
    where recorded_at >= coalesce(%(start)s::timestamptz, '-infinity') and recorded_at < %(end)s
      and change ->> 'aggregate_type' = 'transaction'
    """,
    "status",
    fold=(_TOLD, _WERE_OPEN, _BEFORE, _CHANGED, _TOUCHED, _CLOSED, _AFFECTED, _POCKETS, _TODAY),
    looks_up=_CLOSED_OF_TAKEN,
    day_columns={
        "ledger_id": "VARCHAR",
        "seq": "BIGINT",
        "place": "BIGINT",
        "transaction_id": "VARCHAR",
        "op": "VARCHAR",
        "day": "DATE",
        "fields": "JSON",
    },
    growth=Growth.STEPS,
    last="carried",
    version=2,
)
