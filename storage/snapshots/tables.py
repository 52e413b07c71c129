"""The tables that analysts read, and what stands beside the days."""

from typing import Final

from storage.snapshots.restatements import RESTATEMENTS
from storage.snapshots.schema import COMMON, CONTACT, CURRENCY, LEDGER, TRANSACTION, Column, Growth, Table
from storage.snapshots.transactions import TRANSACTIONS

BALANCES: Final = Table(
    "balances",
    "What each contact owed, or was owed, in each currency at the end of the day, as it was known then. A row is there from the "
    "first posting on; what is settled stays with amount 0. Things lent have no amounts and are not in it.",
    {
        "ledger_id": LEDGER,
        "contact_id": CONTACT,
        "currency": CURRENCY,
        "amount": Column("BIGINT", "minor units of the currency; positive: they owe the user; 0: settled"),
        "open_debts": Column("BIGINT", "how many debts, of either direction, something was still open of"),
        "postings": Column("BIGINT", "how many postings the amount is the sum of"),
        **COMMON,
    },
    ("ledger_id", "contact_id", "currency"),
    """
    select ledger_id, contact_id, currency, sum(amount)::bigint, count(*)
    from debitum.postings
    where recorded_at >= coalesce(%(start)s::timestamptz, '-infinity') and recorded_at < %(end)s
    group by ledger_id, contact_id, currency
    """,
    "currency",
    fold=(
        """
        create or replace view today as
        with sums as (
            select ledger_id, contact_id, currency, sum(amount)::bigint as amount, sum(postings)::bigint as postings
            from (from taken union all by name select * exclude open_debts from yesterday)
            group by ledger_id, contact_id, currency
        ), opened as (
            select ledger_id, contact_id, currency, count(*) as open_debts
            from transactions where status = 'open' group by ledger_id, contact_id, currency
        )
        select * replace (coalesce(open_debts, 0) as open_debts)
        from sums left join opened using (ledger_id, contact_id, currency)
        """,
    ),
    day_columns={
        "ledger_id": "VARCHAR",
        "contact_id": "VARCHAR",
        "currency": "VARCHAR",
        "amount": "BIGINT",
        "postings": "BIGINT",
    },
    growth=Growth.SUM,
    beside=TRANSACTIONS,
    version=2,
)
POSTINGS: Final = Table(
    "postings",
    "What the day did to the money, line by line: a debt adds, a repayment takes away, an edit takes back what was there and "
    "adds what is new. The sum of all days is `balances`.",
    {
        "ledger_id": LEDGER,
        "seq": Column("BIGINT", "the place of the event in its ledger"),
        "line": Column("INTEGER", "the place of the line in the event"),
        "contact_id": CONTACT,
        "transaction_id": TRANSACTION,
        "currency": CURRENCY,
        "amount": Column("BIGINT", "minor units; positive: they owe the user more"),
        "effective_date": Column("DATE", "the date that the user gave the debt"),
        "recorded_at": Column("TIMESTAMP WITH TIME ZONE", "when the server learned of it"),
        **COMMON,
    },
    ("ledger_id", "seq", "line"),
    """
    select ledger_id, seq, line, contact_id, transaction_id, currency, amount, effective_date, recorded_at
    from debitum.postings
    where recorded_at >= coalesce(%(start)s::timestamptz, '-infinity') and recorded_at < %(end)s
    """,
    "currency",
)
ACTIVITY: Final = Table(
    "activity",
    "What people did on the day: events of each ledger by what they were about, of which kind, and how they were decided.",
    {
        "ledger_id": LEDGER,
        "aggregate_type": Column("VARCHAR", "contact, transaction or reminder"),
        "event_type": Column("VARCHAR", "CREATED, UPDATED, DELETED, RESTORED or UNDO"),
        "status": Column("VARCHAR", "accepted, or conflict where another device had been first"),
        "events": Column("BIGINT", "how many"),
        "devices": Column(
            "BIGINT", "how many devices they came from, which do not add up over rows; programs with a personal token are none"
        ),
        **COMMON,
    },
    ("ledger_id", "aggregate_type", "event_type", "status"),
    """
    select ledger_id, aggregate_type, event_type, status, count(*), count(distinct device_id)
    from debitum.events
    where recorded_at >= coalesce(%(start)s::timestamptz, '-infinity') and recorded_at < %(end)s
    group by ledger_id, aggregate_type, event_type, status
    """,
    "event_type",
)
DELIVERY: Final = Table(
    "delivery",
    "Each attempt of the day to send a mail or a push. Written once and never again: Postgres forgets attempts.",
    {
        "ledger_id": LEDGER,
        "message_id": Column("VARCHAR", "the message that was tried: a pseudonym; several attempts may be of one"),
        "attempt": Column("INTEGER", "1 for the first one of the message"),
        "channel": Column("VARCHAR", "email or push"),
        "kind": Column("VARCHAR", "due, reminder, digest, or a mail about the account"),
        "provider": Column("VARCHAR", "who was asked: sendgrid, smtp, fcm, files"),
        "outcome": Column("VARCHAR", "sent, transient, permanent, channel_down, target_gone, or unknown where no answer came"),
        "started_at": Column("TIMESTAMP WITH TIME ZONE", "when the call began"),
        **COMMON,
    },
    ("ledger_id", "message_id", "attempt"),
    """
    select made.ledger_id, made.outbox_id, made.attempt, outbox.channel, outbox.kind, made.provider,
           coalesce(made.outcome, 'unknown'), made.started_at
    from debitum.delivery_attempts made
    join debitum.outbox on outbox.ledger_id = made.ledger_id and outbox.id = made.outbox_id
    where made.started_at >= coalesce(%(start)s::timestamptz, '-infinity') and made.started_at < %(end)s
    """,
    "outcome",
    keeps=True,
)
REMINDERS: Final = Table(
    "reminders",
    "Each due date that somebody was reminded of on the day, alone or in a digest: with `postings` it tells whether that helps. "
    "Written once and never again: Postgres forgets messages.",
    {
        "ledger_id": LEDGER,
        "contact_id": CONTACT,
        "transaction_id": TRANSACTION,
        "channel": Column("VARCHAR", "email or push"),
        "offset_days": Column("INTEGER", "days from the due date on; negative: before it"),
        "due_date": Column("DATE", "the date that it was about"),
        "in_digest": Column("BOOLEAN", "told together with others"),
        "sent_at": Column("TIMESTAMP WITH TIME ZONE", "when the message was handed over"),
        **COMMON,
    },
    ("ledger_id", "transaction_id", "due_date", "offset_days", "channel"),
    """
    with sent as (
        -- of a push the rows of its devices: the key of the whole is what stands before the device's id
        select ledger_id, finished_at, case when payload ? 'device_id' then left(dedupe_key, -37) else dedupe_key end as key
        from debitum.outbox
        where state = 'sent' and reason is distinct from 'fanned_out' and kind in ('due', 'digest')
          and finished_at >= coalesce(%(start)s::timestamptz, '-infinity') and finished_at < %(end)s
    ), message as (
        select ledger_id, key, min(finished_at) as sent_at from sent group by 1, 2
    )
    select told.ledger_id, debt.contact_id, debt.id, told.channel, (told.payload ->> 'offset_days')::integer,
           (told.payload ->> 'due_date')::date, told.dedupe_key <> message.key, message.sent_at
    from message
    join debitum.outbox told on told.ledger_id = message.ledger_id
     and (told.dedupe_key = message.key or told.payload ->> 'digest' = message.key)
    join debitum.transactions debt on debt.ledger_id = told.ledger_id and debt.id = (told.payload ->> 'transaction_id')::uuid
    where told.kind = 'due' and not told.payload ? 'device_id' and not exists (
        select from debitum.outbox earlier
        where earlier.ledger_id = message.ledger_id and starts_with(earlier.dedupe_key, message.key || ':')
          and earlier.payload ? 'device_id' and earlier.state = 'sent' and earlier.finished_at < %(start)s::timestamptz
    )
    """,
    "channel",
    keeps=True,
)

TABLES: Final = (TRANSACTIONS, BALANCES, POSTINGS, RESTATEMENTS, ACTIVITY, DELIVERY, REMINDERS)

DIMENSIONS_VERSION: Final = 1
DIM_LEDGER: Final = {
    "ledger_id": LEDGER,
    "created_on": Column("DATE", "the UTC day of its first hour"),
    "time_zone": Column("VARCHAR", "the owner's, as of IANA"),
    "locale": Column("VARCHAR", "the owner's language and region"),
    "default_currency": Column("VARCHAR", "the owner's"),
    "leaving_on": Column(
        "DATE", "the UTC day from which it may be erased, where the owner is leaving; an erased ledger is in no table"
    ),
}
"""One row a ledger, as it is now."""
DIM_CURRENCY: Final = {
    "currency": CURRENCY,
    "exponent": Column("INTEGER", "digits after the point: 2 for EUR, 0 for JPY, 3 for KWD"),
    "unit": Column("DECIMAL(5,4)", "what one minor unit is worth: 0.0100 for EUR"),
    "active": Column("BOOLEAN", "whether it is still in use: false for DEM"),
}
"""One row a currency, also those that were withdrawn."""
