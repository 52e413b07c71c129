"""What was owed at the end of every day is what a replay of the log by hand gives, and what the snapshots say."""

import datetime
import random
from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

import pytest
from sqlalchemy import Engine

from storage import engine, history, roles
from storage.engine import Begin
from storage.history import Level
from storage.snapshots import questions, writing
from storage.snapshots.places import Root
from storage.snapshots.tables import BALANCES
from tests.pipelines import postings
from tests.pipelines.postings import Posting

FIRST = datetime.date(2026, 3, 1)
DAY = datetime.timedelta(days=1)
CURRENCIES = ("EUR", "JPY")
CONTACTS = tuple(UUID(int=number) for number in range(1, 5))


def by_hand(known: Iterable[Posting], day: datetime.date) -> set[Level]:
    """Balances posting by posting; a currency is there once something was posted in it."""
    balances: dict[tuple[str, UUID], int] = defaultdict(int)
    for posting in known:
        if posting.at.astimezone(datetime.UTC).date() <= day:
            balances[posting.currency, posting.contact] += posting.amount
    sides = {code: [0, 0] for code, _ in balances}
    for (code, _), amount in balances.items():
        sides[code][amount < 0] += abs(amount)
    return {Level(day, code, *both) for code, both in sides.items()}


def household(database: Engine, seed: int, days: int) -> tuple[UUID, list[Posting]]:
    """A ledger with some hundred postings, many at the very edges of days; and another one beside it."""
    dice, written = random.Random(seed), []
    with database.begin() as connection:
        for ledger in (postings.ledger(connection), postings.ledger(connection)):
            moments = sorted(
                datetime.datetime.combine(FIRST, datetime.time(), datetime.UTC)
                + dice.randrange(days) * DAY
                + dice.choice([datetime.timedelta(0), DAY - datetime.timedelta(microseconds=1), DAY / 3])
                for _ in range(150)
            )
            written = [
                Posting(dice.choice(CONTACTS), dice.choice([-1, 1]) * dice.randint(1, 900), dice.choice(CURRENCIES), at)
                for at in moments
            ]
            for posting in written:
                postings.commit(connection, ledger, posting)
    return ledger, written


async def changes(
    database_url: str, ledger: UUID, last: datetime.date, currency: str | None = None, contact_id: UUID | None = None
) -> list[Level]:
    reader = engine.async_engine(database_url, "debitum-test")
    async with reader.begin() as connection:
        await roles.enter_async(connection, roles.API, [ledger])
        found = await connection.run_sync(history.changes, ledger, last, currency=currency, contact_id=contact_id)
    await reader.dispose()
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_every_day_is_what_a_replay_gives(database: Engine, database_url: str, seed: int) -> None:
    ledger, written = household(database, seed, 60)
    last = FIRST + 70 * DAY
    for currency in (None, *CURRENCIES):
        for contact_id in (None, *CONTACTS):
            mine = [one for one in written if currency in (None, one.currency) and contact_id in (None, one.contact)]
            found = await changes(database_url, ledger, last, currency, contact_id)
            for number in range(-3, 71):
                day = FIRST + number * DAY
                assert set(history.at(found, [day])) == by_hand(mine, day)
    early = FIRST + 20 * DAY
    assert set(history.at(await changes(database_url, ledger, early), [last])) == {
        Level(last, level.currency, level.owed_to_you, level.you_owe) for level in by_hand(written, early)
    }


async def test_snapshots_say_the_same(database: Engine, database_url: str, begin: Begin, here: Root) -> None:
    ledger, _ = household(database, 7, 6)
    found = await changes(database_url, ledger, FIRST + 9 * DAY)
    days = [FIRST + number * DAY for number in range(8)]
    for day in days:
        writing.write(begin, here, BALANCES, day)
    sums = questions.query(
        here,
        "select day, currency, coalesce(sum(amount) filter (amount > 0), 0)::bigint, "
        "coalesce(-sum(amount) filter (amount < 0), 0)::bigint "
        f"from balances where ledger_id = '{ledger}' group by day, currency",
    )[1]
    for day in days:
        said = {Level(day, str(code), int(str(up)), int(str(down))) for on, code, up, down in sums if on == day}
        assert set(history.at(found, [day])) == said


@pytest.mark.parametrize(
    ("interval", "first", "last", "expected"),
    [
        ("day", "2026-02-27", "2026-03-02", ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]),
        ("day", "2026-02-27", "2026-02-27", ["2026-02-27"]),
        ("week", "2026-02-25", "2026-03-10", ["2026-03-01", "2026-03-08", "2026-03-10"]),
        ("week", "2026-03-01", "2026-03-08", ["2026-03-01", "2026-03-08"]),
        ("month", "2025-12-31", "2026-03-31", ["2025-12-31", "2026-01-31", "2026-02-28", "2026-03-31"]),
        ("month", "2028-02-01", "2028-03-01", ["2028-02-29", "2028-03-01"]),
    ],
)
def test_intervals_end_where_calendars_say(interval: history.Interval, first: str, last: str, expected: list[str]) -> None:
    found = history.dates(datetime.date.fromisoformat(first), datetime.date.fromisoformat(last), interval)
    assert [str(day) for day in found] == expected


def test_levels_stay_until_they_change() -> None:
    known = [Level(FIRST, "EUR", 5, 0), Level(FIRST + 2 * DAY, "EUR", 0, 0), Level(FIRST + DAY, "JPY", 0, 3)]
    days = [FIRST + number * DAY for number in range(-1, 4)]
    assert [(level.date.day, level.currency, level.owed_to_you, level.you_owe) for level in history.at(known, days)] == [
        (1, "EUR", 5, 0),
        (2, "EUR", 5, 0),
        (2, "JPY", 0, 3),
        (3, "EUR", 0, 0),
        (3, "JPY", 0, 3),
        (4, "EUR", 0, 0),
        (4, "JPY", 0, 3),
    ]
