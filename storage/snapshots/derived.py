"""Views that say of the tables what is often asked: what is owed, what is lent out, whether reminders help."""

from dataclasses import dataclass
from typing import Final

from storage.snapshots.schema import DAY, VALUED, Column
from storage.snapshots.transactions import TRANSACTIONS

EFFECT_DAYS: Final = 14
"""A repayment that comes so soon after a reminder counts as its effect."""
DAY_MICROSECONDS: Final = 86_400_000_000
"""Days are of 24 hours: where DuckDB counts them, they begin at the midnights of whoever asks."""


@dataclass(frozen=True)
class View:
    """`select` reads the views of the tables, and has these columns."""

    name: str
    means: str
    columns: dict[str, Column]
    select: str


_OVERDUE: Final = Column("BIGINT", "days from the due date to that day, while something is open; null: it is not late")
_LATE: Final = "case when status = 'open' and due_date < day then day - due_date end"


def _of_transactions(*names: str) -> dict[str, Column]:
    known = {"day": DAY, **TRANSACTIONS.columns, **dict(VALUED.values())}
    return {name: known[name] for name in names}


DEBTS: Final = View(
    "debts",
    "The money of `transactions` that is not deleted: who owes what since when, until when, and what is still open. Ageing is "
    "the sum of `open_amount` by `days_overdue`.",
    _of_transactions("day", "ledger_id", "transaction_id", "contact_id", "direction", "currency", "amount", "value")
    | _of_transactions("open_amount", "open_value", "transaction_date", "due_date")
    | {"days_overdue": _OVERDUE}
    | _of_transactions("opened_on", "settled_on", "repays", "provisional"),
    f"""
    select day, ledger_id, transaction_id, contact_id, direction, currency, amount, value, open_amount, open_value,
           transaction_date, due_date, {_LATE} as days_overdue, opened_on, settled_on, repays, provisional
    from transactions where type = 'money' and status <> 'deleted'
    """,  # noqa: S608 - our own words
)
ITEMS: Final = View(
    "items",
    "The things of `transactions` that are not deleted: what is lent out or borrowed, since when, and whether it came back. What "
    "they are called is not known here.",
    _of_transactions("day", "ledger_id", "transaction_id", "contact_id", "direction")
    | {
        "quantity": Column("BIGINT", "how many"),
        "open_quantity": Column("BIGINT", "how many did not come back: all, or 0"),
    }
    | _of_transactions("transaction_date", "due_date")
    | {"days_overdue": _OVERDUE}
    | _of_transactions("opened_on", "settled_on", "returned_at", "provisional"),
    f"""
    select day, ledger_id, transaction_id, contact_id, direction, amount as quantity, open_amount as open_quantity,
           transaction_date, due_date, {_LATE} as days_overdue, opened_on, settled_on, returned_at, provisional
    from transactions where type = 'item' and status <> 'deleted'
    """,  # noqa: S608 - our own words
)
REMINDER_EFFECTS: Final = View(
    "reminder_effects",
    "What came after each reminder, from `reminders` and `postings`. What comes after need not come because of it.",
    {
        "day": Column("DATE", "the UTC day of the reminder"),
        "ledger_id": Column("VARCHAR", "as in reminders"),
        "contact_id": Column("VARCHAR", "as in reminders"),
        "transaction_id": Column("VARCHAR", "as in reminders"),
        "channel": Column("VARCHAR", "email or push"),
        "offset_days": Column("INTEGER", "days from the due date on; negative: before it"),
        "sent_at": Column("TIMESTAMP WITH TIME ZONE", "when the reminder was handed over"),
        "repaid_at": Column(
            "TIMESTAMP WITH TIME ZONE",
            f"when, in the {EFFECT_DAYS} days after it, the first repayment was recorded: a new debt in the other direction, "
            "with that contact and in the currency that the debt then had; null: none was. Edits and deletions are none",
        ),
        "days_to_repayment": Column("BIGINT", "times 24 hours between the two, rounded down"),
    },
    f"""
    with lines as (
        select *, row_number() over (partition by ledger_id, transaction_id order by seq, line) as place from postings
    ), about as (
        select reminders.*, last(postings.currency order by seq, line) as currency,
               sign(last(postings.amount order by seq, line)) as side
        from reminders
        left join postings
          on postings.ledger_id = reminders.ledger_id and postings.transaction_id = reminders.transaction_id
         and postings.recorded_at <= reminders.sent_at
        group by all
    ), answered as (
        select about.*, min(answer.recorded_at) as repaid_at
        from about
        left join (from lines where place = 1) answer
          on answer.ledger_id = about.ledger_id and answer.contact_id = about.contact_id
         and answer.currency = about.currency and sign(answer.amount) = -about.side
         and answer.recorded_at > about.sent_at and answer.recorded_at <= about.sent_at + interval {24 * EFFECT_DAYS} hour
        group by all
    )
    select day, ledger_id, contact_id, transaction_id, channel, offset_days, sent_at, repaid_at,
           (epoch_us(repaid_at) - epoch_us(sent_at)) // {DAY_MICROSECONDS} as days_to_repayment
    from answered
""",  # noqa: S608 - numbers of ours
)

VIEWS: Final = (DEBTS, ITEMS, REMINDER_EFFECTS)
