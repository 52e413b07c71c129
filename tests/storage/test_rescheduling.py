"""Reminders that are moved to another zone, or snoozed while clocks go back: told at each time once."""

import datetime
import uuid
from typing import Any

from sqlalchemy import Connection, update

from domain import reminders as rules
from storage import due, outbox, recipients, roles, tables
from tests.storage import rows

HOUR = datetime.timedelta(hours=1)
NINE = datetime.datetime(2026, 11, 22, 8, 0, tzinfo=datetime.UTC)
"""09:00 in Berlin; six hours later it is in New York."""
FIRST = datetime.datetime(2026, 10, 25, 0, 30, tzinfo=datetime.UTC)
"""02:30 in Berlin for the first time on this day."""
BERLIN = {"time_zone": "Europe/Berlin"}


def told(connection: Connection, now: datetime.datetime) -> list[datetime.datetime]:
    """The times that are told of by a run at `now`, and sent."""
    found = []
    roles.enter(connection, roles.JOBS)
    for source in due.SOURCES:
        due.enqueue_page(connection, source, now=now)
    for row in outbox.claim(connection, "email", now=now):
        notice = recipients.load(connection, row, local=True, keys=None, now=now)
        if isinstance(notice, recipients.ReminderNotice):
            found.append(notice.at.astimezone(datetime.UTC))
            attempt = outbox.start(connection, row, "files", now=now)
            assert attempt is not None
            outbox.finish(connection, row, attempt, "sent", "250", now=now)
        else:
            assert isinstance(notice, recipients.Suppressed)
            outbox.suppress(connection, row, notice.reason, now=now)
    connection.exec_driver_sql("reset role")
    return sorted(found)


def reschedule(connection: Connection, at: datetime.datetime, **columns: Any) -> None:
    """What the write path leaves of a change of remind_at … channels."""
    columns |= {"schedule_changed_at": at, "marks": {"SCHEDULE": [9, None]}}
    connection.execute(update(tables.reminders).values(columns))


def test_the_same_time_of_day_in_another_zone_is_told_as_well(connection: Connection) -> None:
    rows.ledger(connection).reminder(NINE, **BERLIN)
    assert told(connection, NINE) == [NINE]
    reschedule(connection, NINE + HOUR, remind_at=NINE + 6 * HOUR, time_zone="America/New_York")
    assert told(connection, NINE + 2 * HOUR) == []
    assert told(connection, NINE + 6 * HOUR) == [NINE + 6 * HOUR]
    assert told(connection, NINE + 7 * HOUR) == []
    reschedule(connection, NINE + 8 * HOUR, channels=["email", "push"])
    assert told(connection, NINE + 8 * HOUR) == []


def test_a_snooze_to_the_second_showing_of_the_hour_is_told(connection: Connection) -> None:
    rows.ledger(connection).reminder(FIRST, **BERLIN)
    assert told(connection, FIRST) == [FIRST]
    connection.execute(update(tables.reminders).values(snoozed_until=FIRST + HOUR))
    assert told(connection, FIRST + HOUR) == [FIRST + HOUR]
    assert told(connection, FIRST + 2 * HOUR) == []


def test_a_snooze_that_was_told_is_not_told_again_once_the_zone_changes(connection: Connection) -> None:
    rows.ledger(connection).reminder(NINE, snoozed_until=NINE + HOUR, **BERLIN)
    assert told(connection, NINE + HOUR) == [NINE, NINE + HOUR]
    reschedule(connection, NINE + 2 * HOUR, time_zone="Asia/Tokyo")
    assert told(connection, NINE + 2 * HOUR) == []


def test_a_zone_whose_rules_change_has_nobody_told_twice(connection: Connection) -> None:
    """Of a repeating reminder that had been sent the moment moves, and what clocks show stays."""
    ledger = rows.ledger(connection)
    at = NINE - 24 * HOUR
    reminder = ledger.reminder(at, repeat="FREQ=DAILY", **BERLIN)
    for name, was_at in (("2026-11-21T09:00:00", at), ("2026-11-22T09:00:00", NINE - HOUR)):
        sent(connection, ledger.id, rules.reminder_key(reminder, name, "email"), was_at)
    assert told(connection, NINE + HOUR / 2) == []


def sent(connection: Connection, ledger_id: uuid.UUID, key: str, at: datetime.datetime) -> None:
    """A row of what went out at `at`."""
    message = outbox.Outgoing(ledger_id=ledger_id, dedupe_key=key, kind="reminder", channel="email", payload={}, next_at=at)
    outbox.enqueue(connection, [message], now=at)
    its = tables.outbox.c
    connection.execute(update(tables.outbox).where(its.dedupe_key == key).values(state="sent", finished_at=at))
