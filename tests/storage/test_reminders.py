"""Lists by the next occurrence of rules that SQL cannot evaluate, against sorting them all; and previews, against the runs."""

import datetime
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from domain import reminders as rules
from storage import due, engine, outbox, preview, recipients, reminders, roles, tables
from storage.pages import Page
from tests.storage import rows

NOW = datetime.datetime(2026, 11, 22, 9, 0, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)
RULES = (
    None,
    "FREQ=DAILY",
    "FREQ=MONTHLY;BYMONTHDAY=-1",
    "FREQ=WEEKLY;COUNT=3",
    "FREQ=YEARLY;UNTIL=20261201",
    "FREQ=DAILY;COUNT=2",
    "FREQ=DAILY;UNTIL=20261123",
)


@pytest_asyncio.fixture
async def reader(database_url: str) -> AsyncIterator[AsyncEngine]:
    """One for all examples of a test: each engine compiles all statements anew."""
    made = engine.async_engine(database_url, "debitum-test")
    yield made
    await made.dispose()


@asynccontextmanager
async def reading(reader: AsyncEngine, ledger_id: uuid.UUID) -> AsyncIterator[AsyncConnection]:
    """A transaction as the API reads in."""
    async with reader.begin() as connection:
        await roles.enter_async(connection, roles.API, [ledger_id])
        yield connection


async def all_pages(
    connection: AsyncConnection, ledger_id: uuid.UUID, wanted: reminders.Filter, limit: int
) -> list[tuple[uuid.UUID, datetime.datetime | None, str]]:
    found, place = [], None
    while True:
        page = await reminders.listed(connection, ledger_id, wanted, Page(limit, place), now=NOW)
        found += [(row.id, row.next_at, row.state) for row in page.rows]
        place = page.next
        if place is None:
            return found


def expected(row: Any) -> tuple[uuid.UUID, datetime.datetime | None, str]:
    """What a list says of a row, by the rules alone."""
    at = rules.next_occurrence(recipients.reminder_of(row._mapping), after=NOW)
    return row.id, at, "done" if row.done_at else "pending" if at else "sent"


hours = st.integers(-100 * 24, 40 * 24)
sketch = st.tuples(hours, st.none() | hours, st.sampled_from(RULES), st.booleans(), st.sampled_from(["UTC", "Asia/Tokyo"]))


@given(st.lists(sketch, max_size=12), st.integers(1, 5), st.tuples(hours, hours))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_lists_are_sorted_filtered_and_paged_by_the_next_occurrence(
    database: Engine,
    reader: AsyncEngine,
    sketches: list[tuple[int, int | None, str | None, bool, str]],
    limit: int,
    bounds: tuple[int, int],
) -> None:
    with database.begin() as connection:
        ledger, other = rows.ledger(connection), rows.ledger(connection)
        other.reminder(NOW - DAY, repeat="FREQ=DAILY")
        for at, snooze, rule, is_done, zone in sketches:
            snoozed = None if snooze is None else NOW + snooze * HOUR
            done_at = NOW if is_done else None
            ledger.reminder(NOW + at * HOUR, repeat=rule, snoozed_until=snoozed, done_at=done_at, time_zone=zone)
        ledger.reminder(NOW, repeat="FREQ=DAILY", deleted_seq=99, changed_seq=99)
        table = tables.reminders
        stored = connection.execute(select(table).where(table.c.ledger_id == ledger.id, table.c.deleted_seq.is_(None))).all()
    remind_at = {row.id: row.remind_at for row in stored}
    everything = sorted(map(expected, stored), key=lambda item: (item[1] or remind_at[item[0]], item[0]))
    first, last = (NOW + hour * HOUR for hour in sorted(bounds))
    async with reading(reader, ledger.id) as connection:
        assert await all_pages(connection, ledger.id, reminders.Filter(), limit) == everything
        for state in ("pending", "sent", "done"):
            wanted = reminders.Filter(state, first, last)
            assert await all_pages(connection, ledger.id, wanted, limit) == [
                item for item in everything if item[2] == state and first <= (item[1] or remind_at[item[0]]) <= last
            ]
        for reminder_id, next_at, state in everything:
            row = await reminders.one(connection, ledger.id, reminder_id, now=NOW)
            assert row is not None
            assert (row.next_at, row.state) == (next_at, state)


async def test_a_ledger_with_too_many_rules_is_listed_all_the_same(
    database: Engine, reader: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = reminders._REPEATING.limit(2)
    monkeypatch.setattr(reminders, "_REPEATING", limited)
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        made = [ledger.reminder(NOW - DAY, repeat="FREQ=DAILY;INTERVAL=3") for _ in range(3)]
    async with reading(reader, ledger.id) as connection:
        found = await all_pages(connection, ledger.id, reminders.Filter(), 2)
        one = await reminders.one(connection, ledger.id, made[2], now=NOW)
    assert [(reminder_id, state) for reminder_id, _, state in found] == [
        (made[2], "sent"),
        *sorted((each, "pending") for each in made[:2]),
    ]
    assert one is not None
    assert one.state == "pending"


# --- preview --------------------------------------------------------------------------------------------------------

MINUTE = datetime.timedelta(minutes=1)


def fill(connection: Connection) -> rows.Ledger:
    """A ledger in Berlin with one of everything that sends something, and of what does not."""
    quiet = {"from": "22:00", "to": "07:30"}
    configured = {"due_offsets_days": [-1, 0, 7], "local_time": "06:15", "channels": ["email", "push"], "quiet_hours": quiet}
    ledger = rows.ledger(connection, settings=configured, time_zone="Europe/Berlin")
    contact, today = ledger.contact(), NOW.date()
    for day in (-7, -3, 0, 1, 20, 39, 40, 41, 42, 60):
        ledger.money(contact, due_date=today + day * DAY)
    paid = ledger.contact()
    settled = ledger.money(paid, due_date=today + 5 * DAY)
    ledger.money(paid, direction="owed", repays=settled)
    ledger.item(contact, due_date=today + 9 * DAY)
    ledger.item(contact, due_date=today + 9 * DAY, returned_at=NOW)
    ledger.money(contact, due_date=today + 2 * DAY, deleted_seq=99, changed_seq=99)
    ledger.money(contact, due_date=today + 3 * DAY, due_changed_at=NOW + 3 * DAY)
    berlin = {"time_zone": "Europe/Berlin"}
    for rule in (
        "FREQ=DAILY;INTERVAL=3",
        "FREQ=MONTHLY;BYMONTHDAY=-1,31",
        "FREQ=WEEKLY;COUNT=4",
        "FREQ=YEARLY",
        "FREQ=DAILY;COUNT=1",
    ):
        ledger.reminder(NOW - 3 * DAY, repeat=rule, channels=["push", "email"], **berlin)
    ledger.reminder(NOW - 400 * DAY, repeat="FREQ=WEEKLY;BYDAY=SU;BYHOUR=2;BYMINUTE=30", **berlin)
    ledger.reminder(NOW + 4 * DAY, snoozed_until=NOW + 5 * DAY, transaction_id=ledger.item(contact), **berlin)
    ledger.reminder(NOW + 4 * DAY, transaction_id=settled)
    ledger.reminder(NOW + 4 * DAY, done_at=NOW, repeat="FREQ=DAILY")
    ledger.reminder(NOW + 4 * DAY, deleted_seq=99, changed_seq=99)
    ledger.reminder(NOW - 1 * MINUTE)
    ledger.reminder(NOW + 40 * DAY)
    ledger.reminder(NOW + 40 * DAY + MINUTE)
    return ledger


def tick(database: Engine, now: datetime.datetime) -> list[due.Enqueued]:
    """What one run of the due job puts into the outbox."""
    with database.begin() as connection:
        roles.enter(connection, roles.JOBS)
        return [entry for source in due.SOURCES for entry in due.enqueue_page(connection, source, now=now).enqueued]


async def planned(reader: AsyncEngine, ledger: rows.Ledger, days: int, now: datetime.datetime = NOW) -> list[preview.Planned]:
    async with reading(reader, ledger.id) as connection:
        found = await preview.planned(connection, ledger.id, now=now, days=days)
    assert found is not None
    return found


async def test_a_preview_is_what_the_runs_of_these_days_send(database: Engine, reader: AsyncEngine) -> None:
    with database.begin() as connection:
        ledger = fill(connection)
    now = datetime.datetime(2026, 11, 22, 5, 40, tzinfo=datetime.UTC)  # 06:40 there: what came due at 06:15 waits till 07:30
    items = await planned(reader, ledger, 40, now)
    sent = {entry.due.key: entry.next_at for entry in tick(database, now)}
    assert items == await planned(reader, ledger, 40, now)  # what is in the outbox and waits is still to come
    end = now + 40 * DAY
    ticks = {end, *(item.due.at for item in items), *(now + number * DAY / 2 for number in range(80))}
    for at in sorted(ticks):
        sent |= {entry.due.key: entry.next_at for entry in tick(database, min(max(at, now), end))}
    assert {item.due.key: item.at for item in items} == {key: at for key, at in sent.items() if now < at <= end}
    assert len(items) > 60
    assert {item.due.kind for item in items} == {"due", "reminder"}


async def test_a_preview_says_why(database: Engine, reader: AsyncEngine) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection, settings={"due_offsets_days": [-2, -1, 0, 1, 7], "channels": ["push"]})
        contact = ledger.contact()
        money = ledger.money(contact, due_date=(NOW + 5 * DAY).date())
        ledger.reminder(NOW + DAY, transaction_id=money, snoozed_until=NOW + 2 * DAY)
    items = await planned(reader, ledger, 30)
    whys = ["reminder", "snoozed", "due in 2 days", "due in 1 day", "due today", "1 day overdue", "7 days overdue"]
    assert [item.why for item in items] == whys
    assert {item.contact_id for item in items} == {contact}


async def test_offsets_may_be_as_far_as_settings_allow(database: Engine, reader: AsyncEngine) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection, settings={"due_offsets_days": [-60, 60], "channels": ["push"]})
        for day in (-59, 90):
            ledger.money(ledger.contact(), due_date=(NOW + day * DAY).date())
    assert [item.why for item in await planned(reader, ledger, 30)] == ["60 days overdue", "due in 60 days"]


@pytest.mark.parametrize(
    ("state", "reason", "is_there"),
    [("pending", None, True), ("sent", None, False), ("dead", None, False), ("suppressed", "settled", True)],
)
async def test_what_was_sent_is_not_sent_again(
    database: Engine, reader: AsyncEngine, state: str, reason: str | None, is_there: bool
) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        reminder = ledger.reminder(NOW + HOUR)
        key = f"reminder:{reminder}:2026-11-22T10:00:00:email"
        message = outbox.Outgoing(ledger_id=ledger.id, dedupe_key=key, kind="reminder", channel="email", payload={}, next_at=NOW)
        outbox.enqueue(connection, [message], now=NOW)
        finished_at = None if state == "pending" else NOW
        connection.execute(update(tables.outbox).values(state=state, reason=reason, finished_at=finished_at))
    assert bool(await planned(reader, ledger, 1)) == is_there


async def test_who_is_leaving_gets_nothing(database: Engine, reader: AsyncEngine) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection, deleting_at=NOW)
        ledger.reminder(NOW + DAY)
    assert await planned(reader, ledger, 30) == []


async def test_a_preview_that_would_be_too_long_is_none(database: Engine, reader: AsyncEngine) -> None:
    every_hour = f"FREQ=DAILY;BYHOUR={','.join(map(str, range(24)))}"
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        ledger.reminder(NOW, repeat=every_hour)
        full = rows.ledger(connection)
        full.reminder(NOW, repeat=every_hour, channels=["email", "push"])
    assert len(await planned(reader, ledger, 366)) == 366 * 24
    async with reading(reader, full.id) as connection:
        assert await preview.planned(connection, full.id, now=NOW, days=366) is None
