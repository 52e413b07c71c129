"""The table of debts, repayments and things lent: each day is yesterday's file with the changes of the day's facts.

A fact says what every field was and became, so that the fold needs no rules: of each field the last change holds. What is still
open is asked by the same query as in Postgres, of the contacts that something happened to; all others keep what they had.
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
    return f"case when told.{name} is null then yesterday.{name} else nullif(told.{name}, '')::{kind} end as {name}"


_CHANGED: Final = f"""
    create or replace table changed as
    with told as (
        select ledger_id, transaction_id, min(seq) filter (where op = 'create') as seq,
               min(day) filter (where op = 'create') as opened_on, {", ".join(map(_last, (*_FIELDS, "deleted_at")))}
        from (select * replace (from_json(fields, '{{{_SHAPE}}}') as fields) from taken) group by ledger_id, transaction_id
    )
    select ledger_id, transaction_id, coalesce(told.seq, yesterday.seq) as seq,
           coalesce(told.opened_on, yesterday.opened_on) as opened_on,
           {", ".join(_now(name, kind) for name, kind in _FIELDS.items())},
           yesterday.settled_on,
           case when told.deleted_at is null then yesterday.status = 'deleted'
                else told.deleted_at <> '' end as deleted
    from told left join yesterday using (ledger_id, transaction_id)
"""  # noqa: S608 - our own names
_AFFECTED: Final = f"""
    create or replace table affected as
    with contacts as (
        select ledger_id, contact_id from changed
        union
        select ledger_id, contact_id from yesterday semi join changed using (ledger_id, transaction_id)
    )
    from changed
    union all by name
    select ledger_id, transaction_id, seq, opened_on, {", ".join(_FIELDS)}, settled_on, status = 'deleted' as deleted
    from yesterday semi join contacts using (ledger_id, contact_id) anti join changed using (ledger_id, transaction_id)
"""  # noqa: S608 - our own names
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
        select affected.* exclude (deleted, settled_on), coalesce(open_amount, 0) as open_amount,
               case when deleted then 'deleted' when open_amount > 0 then 'open' else 'settled' end as status,
               settled_on as settled_before
        from affected left join opened using (ledger_id, transaction_id)
    )
    select * exclude (settled_before),
           case when status = 'settled' then coalesce(settled_before, getvariable('day')) end as settled_on
    from judged
    union all by name
    select * from yesterday anti join affected using (ledger_id, transaction_id)
"""  # noqa: S608 - our own names

TRANSACTIONS: Final = Table(
    "transactions",
    "Every debt, repayment and thing lent as it was at the end of the day, deleted ones too, and what was still open of it when "
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
    fold=(_CHANGED, _AFFECTED, _POCKETS, _TODAY),
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
)
