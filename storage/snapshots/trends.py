"""How things went in the last months, in as few numbers as a plot needs, and no amount that few people stand behind."""

import datetime
from dataclasses import dataclass
from typing import Final, cast

from storage.snapshots import questions
from storage.snapshots.places import Root

DAYS: Final = 90
"""How far back is looked, from the newest day."""
CURRENCIES: Final = 4
FEWEST_LEDGERS: Final = 5
"""A sum of fewer would say what somebody owes."""
AGES: Final = ("not late", "1–7 days", "8–30 days", "31–90 days", "over 90 days")


@dataclass(frozen=True)
class Trend:
    """Values by day of each of a few things, in the order in which they should be shown."""

    days: list[datetime.date]
    values: dict[str, list[float]]


def net(root: Root) -> Trend:
    """What users are owed less what they owe, by currency, in its own unit; of the currencies that most ledgers have."""
    return _trend(root, _NET)


def deliveries(root: Root) -> Trend:
    """Attempts by outcome."""
    return _trend(root, _DELIVERIES)


def ageing(root: Root) -> Trend:
    """How many debts are open, by how late they are."""
    return _trend(root, _AGEING)


def _trend(root: Root, query: str) -> Trend:
    """Of rows (day, name, value), in the order of the names; a day without a row of a name has 0 of it."""
    _, found = questions.query(root, query)
    rows = [(cast("datetime.date", day), str(name), float(cast("float", value))) for day, name, value in found]
    days = sorted({day for day, _, _ in rows})
    values = {name: [0.0] * len(days) for _, name, _ in rows}
    for day, name, value in rows:
        values[name][days.index(day)] = value
    return Trend(days, values)


_NET: Final = f"""
    with recent as (
        select day, currency, sum(value) as value, count(distinct ledger_id) as ledgers
        from balances where day > (select max(day) from balances) - {DAYS}
        group by day, currency having ledgers >= {FEWEST_LEDGERS}
    ), shown as (
        select currency, max(ledgers) as ledgers from recent group by currency order by ledgers desc, currency limit {CURRENCIES}
    )
    select day, currency, value::double from recent join shown using (currency) order by shown.ledgers desc, currency, day
"""  # noqa: S608 - numbers of ours
_DELIVERIES: Final = f"""
    select day, outcome, count(*) from delivery where day > (select max(day) from delivery) - {DAYS}
    group by day, outcome order by outcome <> 'sent', outcome, day
"""  # noqa: S608 - numbers of ours
_AGEING: Final = f"""
    with aged as (
        select day, case when days_overdue is null then 0 when days_overdue <= 7 then 1 when days_overdue <= 30 then 2
                         when days_overdue <= 90 then 3 else 4 end as age
        from debts where open_amount > 0 and day > (select max(day) from debts) - {DAYS}
    )
    select day, {list(AGES)}[age + 1], count(*) from aged group by day, age order by age, day
"""  # noqa: S608 - numbers and words of ours
