"""The tables that the API writes. Dagster only reads them: they stand here so that the graph shows where everything begins."""

import dagster as dg


def _table(name: str, description: str, *, deps: tuple[str, ...] = ()) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        deps=deps,
        group_name="ledger",
        kinds={"table", "postgres"},
        owners=["team:operations"],
        tags={"written_by": "api"},
        description=description,
    )


events = _table(
    "events",
    "The log: everything that people did, in the order in which the server learned of it, never rewritten. Each person has a "
    "log of their own, numbered without gaps. Every other number in this graph can be explained from it.",
)
contacts = _table("contacts", "The people that somebody keeps score with, as the log says they are now.", deps=("events",))
transactions = _table(
    "transactions",
    "Debts, repayments and things lent, as the log says they are now: who, how much, until when, and whether it came back.",
    deps=("events",),
)
reminders = _table("reminders", "When somebody asked to be reminded of something, as the log says it is now.", deps=("events",))
postings = _table(
    "postings",
    "What each event did to the money: lines of plus (they owe the user) and minus (the user owes them), in minor units. A "
    "correction adds a line that takes the old one back. A balance is the sum of its lines, on any day.",
    deps=("events",),
)
