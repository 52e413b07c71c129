"""How what is owed has moved: for each UTC day what was known at its end, summed from the postings."""

import bisect
import datetime
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import BigInteger, Connection, Date, DateTime, Text, Uuid, bindparam, text

from storage import days

Interval = Literal["day", "week", "month"]
MAX_DATES: Final = 4_000
"""Eleven years of days."""
DAYS: Final[dict[Interval, int]] = {"day": 1, "week": 7, "month": 28}
"""The shortest that an interval can be."""


@dataclass(frozen=True)
class Level:
    """What was owed in a currency, in minor units, at the end of a UTC day: the sums of contacts' balances by their sign."""

    date: datetime.date
    currency: str
    owed_to_you: int
    you_owe: int


def changes(
    connection: Connection,
    ledger_id: UUID,
    last: datetime.date,
    *,
    currency: str | None = None,
    contact_id: UUID | None = None,
) -> list[Level]:
    """The levels at the end of each day up to `last` on which something was posted, by currency and date."""
    bound = {"ledger": ledger_id, "end": days.end(last), "currency": currency, "contact": contact_id}
    rows = connection.execute(_CHANGES, bound)
    return [Level(row.date, row.currency, row.owed_to_you, row.you_owe) for row in rows]


def dates(first: datetime.date, last: datetime.date, interval: Interval) -> Iterator[datetime.date]:
    """The last days of the intervals (weeks end on Sundays) that begin before or on `last`; of the last one `last` itself."""
    day = first
    while (end := _end(day, interval)) < last:
        yield end
        day = end + datetime.timedelta(days=1)
    yield last


def at(levels: Iterable[Level], wanted: Iterable[datetime.date]) -> Iterator[Level]:
    """The levels at the end of each of the `wanted` days (ascending), by date and currency; none before its first posting."""
    by_currency = {code: list(group) for code, group in itertools.groupby(levels, key=lambda level: level.currency)}
    for day in wanted:
        for code, known in sorted(by_currency.items()):
            place = bisect.bisect_right(known, day, key=lambda level: level.date)
            if place:
                yield Level(day, code, known[place - 1].owed_to_you, known[place - 1].you_owe)


def _end(day: datetime.date, interval: Interval) -> datetime.date:
    match interval:
        case "day":
            return day
        case "week":
            return day + datetime.timedelta(days=6 - day.weekday())
        case "month":
            return (day.replace(day=1) + datetime.timedelta(days=31)).replace(day=1) - datetime.timedelta(days=1)


_CHANGES = (
    text("""
        with moved as (
            select contact_id, currency, (recorded_at at time zone 'UTC')::date as date, sum(amount) as amount
            from debitum.postings
            where ledger_id = :ledger and recorded_at < :end
              and (cast(:currency as text) is null or currency = :currency)
              and (cast(:contact as uuid) is null or contact_id = :contact)
            group by contact_id, currency, 3
        ), accounts as (
            select currency, date, amount, sum(amount) over (partition by contact_id, currency order by date) as balance
            from moved
        ), steps as (
            select currency, date,
                   sum(greatest(balance, 0) - greatest(balance - amount, 0)) as owed_to_you,
                   sum(greatest(-balance, 0) - greatest(amount - balance, 0)) as you_owe
            from accounts group by currency, date
        )
        select currency, date,
               sum(owed_to_you) over (partition by currency order by date)::bigint as owed_to_you,
               sum(you_owe) over (partition by currency order by date)::bigint as you_owe
        from steps order by currency, date
    """)
    .bindparams(
        bindparam("ledger", type_=Uuid),
        bindparam("end", type_=DateTime(timezone=True)),
        bindparam("currency", type_=Text),
        bindparam("contact", type_=Uuid),
    )
    .columns(currency=Text, date=Date, owed_to_you=BigInteger, you_owe=BigInteger)
)
"""A balance that crosses 0 leaves one side and enters the other: the sides are summed from what each day did to each of them."""
