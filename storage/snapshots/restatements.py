"""The table of restatements: what an event of the day changed of what days before it had been said to be, by effective date."""

from typing import Final

from storage.snapshots.schema import COMMON, CONTACT, CURRENCY, LEDGER, Column, Table

RESTATEMENTS: Final = Table(
    "restatements",
    "What an event that was recorded on the day changed of the days before it. A balance by effective date is the sum of all "
    "postings up to that date; an event with an earlier date, or that corrects an earlier one, makes it another for "
    "`restated_day` and, by the same difference, for each day from there to `restated_until`. Days before the ledger was made "
    "were never said to be anything, and are not restated.",
    {
        "ledger_id": LEDGER,
        "contact_id": CONTACT,
        "currency": CURRENCY,
        "restated_day": Column("DATE", "the first day that is another now"),
        "restated_until": Column("DATE", "the last day that is another now, by the same difference"),
        "old_amount": Column("BIGINT", "minor units: the balance by effective date of that day, before the event"),
        "new_amount": Column("BIGINT", "minor units: the same after the event"),
        "seq": Column("BIGINT", "the place in its ledger of the event that did it"),
        **COMMON,
    },
    ("ledger_id", "contact_id", "currency", "seq", "restated_day"),
    """
    with day as (
        select ledger_id, contact_id, currency, seq, amount,
               greatest(effective_date, (created_at at time zone 'UTC')::date) as restated_day,
               (postings.recorded_at at time zone 'UTC')::date as recorded_day
        from debitum.postings join debitum.ledgers on ledgers.id = postings.ledger_id
        where postings.recorded_at >= %(start)s and postings.recorded_at < %(end)s
    ), late as (
        select distinct ledger_id, contact_id, currency from day where restated_day < recorded_day
    )
    select ledger_id, contact_id, currency, seq, restated_day, amount, restated_day < recorded_day
    from day join late using (ledger_id, contact_id, currency)
    union all
    select ledger_id, contact_id, currency, 0, effective_date, sum(amount)::bigint, false
    from late join debitum.postings using (ledger_id, contact_id, currency)
    where recorded_at < %(start)s group by ledger_id, contact_id, currency, effective_date
    """,
    "currency",
    fold=(
        """
        create or replace view today as
        with lines as (
            select ledger_id, contact_id, currency, seq, restated_day, sum(amount)::bigint as change
            from taken where is_late group by all
        ), late as (
            select * replace (sum(change) over event as change),
                   coalesce(lead(restated_day) over event, getvariable('day')) - 1 as restated_until
            from lines window event as (partition by ledger_id, contact_id, currency, seq order by restated_day)
        ), told as (
            select late.*, coalesce(sum(amount), 0)::bigint as old_amount
            from late left join taken
              on taken.ledger_id = late.ledger_id and taken.contact_id = late.contact_id and taken.currency = late.currency
             and taken.restated_day <= late.restated_day and taken.seq < late.seq
            where change <> 0 group by all
        )
        select *, (old_amount + change)::bigint as new_amount from told
        """,
    ),
    day_columns={
        "ledger_id": "VARCHAR",
        "contact_id": "VARCHAR",
        "currency": "VARCHAR",
        "seq": "BIGINT",
        "restated_day": "DATE",
        "amount": "BIGINT",
        "is_late": "BOOLEAN",
    },
)
