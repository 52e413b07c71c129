"""What comes due is found across all ledgers, and enqueued once."""

import datetime
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, event, select, update

from domain import reminders as rules
from storage import due, ready, recipients, roles, tables
from tests.storage import rows

NOW = datetime.datetime(2026, 11, 22, 9, 2, tzinfo=datetime.UTC)
TODAY = NOW.date()
DAY = datetime.timedelta(days=1)
MINUTE = datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)


def tick(connection: Connection, now: datetime.datetime = NOW, limit: int = due.PAGE_ROWS) -> list[str]:
    """The keys that one run enqueues, as the jobs role."""
    roles.enter(connection, roles.JOBS)
    keys, wanted = [], due.asked(connection, now)
    for source in due.SOURCES:
        page = due.enqueue_page(connection, source, now=now, wanted=wanted, limit=limit)
        keys += [entry.due.key for entry in page.enqueued]
        while page.following is not None:
            page = due.enqueue_page(connection, source, now=now, wanted=wanted, cursor=page.following, limit=limit)
            keys += [entry.due.key for entry in page.enqueued]
    connection.exec_driver_sql("reset role")
    return sorted(keys)


def test_open_debts_and_reminders_of_all_ledgers_are_enqueued_once(connection: Connection) -> None:
    one, other = rows.ledger(connection), rows.ledger(connection, settings={"channels": ["email", "push"]})
    money = one.money(one.contact(), due_date=TODAY)
    item = other.item(other.contact(), due_date=TODAY - 7 * DAY)
    reminder = other.reminder(NOW - MINUTE, snoozed_until=NOW)
    expected = [
        f"due:{item}:2026-11-15:7:email",
        f"due:{item}:2026-11-15:7:push",
        f"due:{money}:2026-11-22:0:email",
        f"reminder:{reminder}:2026-11-22T09:01:00:email",
        f"reminder:{reminder}:2026-11-22T09:02:00:email",
    ]
    assert tick(connection) == sorted(expected)
    assert tick(connection) == []
    assert tick(connection, NOW + 5 * MINUTE) == []


def test_what_is_found_late_has_not_waited_for_the_senders(connection: Connection) -> None:
    rows.ledger(connection).reminder(NOW - 2 * HOUR)
    assert len(tick(connection)) == 1
    assert connection.scalar(select(tables.outbox.c.next_at)) == NOW
    assert ready.backlog(connection, now=NOW + MINUTE).oldest == NOW


def test_no_page_reads_what_another_has_read(connection: Connection) -> None:
    ledger = rows.ledger(connection)
    contact = ledger.contact()
    for _ in range(5):
        ledger.money(contact, due_date=TODAY)
    roles.enter(connection, roles.JOBS)
    first = due.enqueue_page(connection, "due_date", now=NOW, limit=3)
    assert (first.candidates, len(first.enqueued)) == (3, 3)
    second = due.enqueue_page(connection, "due_date", now=NOW, cursor=first.following, limit=3)
    assert (second.candidates, len(second.enqueued), second.following) == (2, 2, None)


def test_pages_of_any_size_find_the_same(connection: Connection) -> None:
    for _ in range(3):
        ledger = rows.ledger(connection)
        contact = ledger.contact()
        for offset in (-1, 0, 7):
            ledger.money(contact, due_date=TODAY - offset * DAY)
            ledger.reminder(NOW - offset * MINUTE, snoozed_until=NOW)
    found = tick(connection, limit=2)
    connection.execute(delete(tables.outbox))
    assert found == tick(connection)
    assert len(found) == 9 + 6 + 6  # a snooze until remind_at itself is the same occurrence


@pytest.mark.parametrize(
    "columns",
    [
        {"due_date": TODAY + DAY * 2},
        {"due_date": TODAY, "deleted_seq": 9},
        {"due_date": TODAY, "due_changed_at": NOW},
        {"due_date": TODAY - DAY},
        {"due_date": None},
    ],
)
def test_what_is_not_due_is_left_alone(connection: Connection, columns: dict[str, Any]) -> None:
    ledger = rows.ledger(connection)
    ledger.money(ledger.contact(), changed_seq=9, **columns)
    assert tick(connection) == []


@pytest.mark.parametrize(
    ("remind_at", "columns"),
    [
        (NOW + MINUTE, {}),
        (NOW - DAY, {}),
        (NOW, {"done_at": NOW}),
        (NOW, {"deleted_seq": 9, "changed_seq": 9}),
        (NOW, {"schedule_changed_at": NOW + MINUTE}),
    ],
)
def test_reminders_that_are_not_due_are_left_alone(
    connection: Connection, remind_at: datetime.datetime, columns: dict[str, Any]
) -> None:
    rows.ledger(connection).reminder(remind_at, **columns)
    assert tick(connection) == []


def test_nothing_open_sends_nothing(connection: Connection) -> None:
    ledger = rows.ledger(connection)
    contact = ledger.contact()
    ledger.item(contact, due_date=TODAY, returned_at=NOW)
    settled = ledger.money(contact, 2_000, due_date=TODAY)
    ledger.reminder(NOW, transaction_id=settled, contact_id=contact)
    ledger.money(contact, 2_000, direction="owed", repays=settled)
    half = ledger.money(contact, 2_000, due_date=TODAY)
    ledger.money(contact, 500, direction="owed")
    assert tick(connection) == [f"due:{half}:2026-11-22:0:email"]


def test_the_users_own_offsets_time_and_zone_count(connection: Connection) -> None:
    settings = {"due_offsets_days": [-30, 45], "local_time": "22:00", "channels": ["email"]}
    ledger = rows.ledger(connection, settings=settings, time_zone="Pacific/Kiritimati")  # 14 hours ahead of UTC
    contact = ledger.contact()
    early, late = ledger.money(contact, due_date=TODAY + 30 * DAY), ledger.money(contact, due_date=TODAY - 45 * DAY)
    ledger.money(contact, due_date=TODAY)
    in_time = datetime.datetime(2026, 11, 22, 8, 0, tzinfo=datetime.UTC)
    assert tick(connection, in_time - MINUTE) == []
    assert tick(connection, in_time) == sorted([f"due:{early}:2026-12-22:-30:email", f"due:{late}:2026-10-08:45:email"])


def test_only_due_dates_that_somebody_wants_to_be_told_of_are_looked_at(connection: Connection) -> None:
    assert due.asked(connection, NOW) == due.Asked([], [])
    ledger = rows.ledger(connection, settings={"due_offsets_days": [-60, 3]})
    for settings in ({"due_offsets_days": "none"}, {"due_offsets_days": ["soon", None, 5e9, 2.5]}):
        rows.ledger(connection, settings=settings)
    asked = due.asked(connection, NOW)
    assert asked.due_dates == sorted(TODAY - offset * DAY for offset in (-60, -1, 0, 3, 7))
    assert asked.told == [("UTC", "", TODAY)]
    contact = ledger.contact()
    wanted = [ledger.money(contact, due_date=TODAY - 3 * DAY), ledger.money(contact, due_date=TODAY + 60 * DAY)]
    for days in (-61, -59, -7, -1, 0, 1, 2, 4, 20):
        ledger.money(contact, due_date=TODAY - days * DAY)
    found = due.enqueue_page(connection, "due_date", now=NOW)
    assert {entry.due.transaction_id for entry in found.enqueued} == set(wanted)
    assert found.candidates == 2


def test_each_zone_has_a_day_of_its_own_of_which_users_were_told_last(connection: Connection) -> None:
    """At 09:02 UTC it is 23:02 in Kiritimati, and 22:02 of the day before in Pago Pago: there 23:00 is to come."""
    told = {"Pacific/Kiritimati": TODAY, "UTC": TODAY - DAY, "Pacific/Pago_Pago": TODAY - 2 * DAY}
    expected = set()
    for zone, day in told.items():
        ledger = rows.ledger(connection, settings={"local_time": "23:00", "due_offsets_days": [0]}, time_zone=zone)
        contact = ledger.contact()
        debts = {TODAY + days * DAY: ledger.money(contact, due_date=TODAY + days * DAY) for days in range(-4, 4)}
        expected.add(debts[day])
    assert due.asked(connection, NOW).told == sorted((zone, "23:00", day) for zone, day in told.items())
    found = due.enqueue_page(connection, "due_date", now=NOW)
    assert {entry.due.transaction_id for entry in found.enqueued} == expected
    assert found.candidates == len(expected)


def test_settings_that_cannot_be_read_stop_nobody(connection: Connection) -> None:
    for settings in ({"local_time": "never"}, {"due_offsets_days": "none"}, {}):
        ledger = rows.ledger(connection, settings=settings, time_zone="Nowhere/At_All")
        ledger.money(ledger.contact(), due_date=TODAY)
    good = rows.ledger(connection)
    money = good.money(good.contact(), due_date=TODAY)
    assert f"due:{money}:2026-11-22:0:email" in tick(connection)


def test_quiet_hours_hold_back_automatic_reminders_only(connection: Connection) -> None:
    settings = {"channels": ["email"], "quiet_hours": {"from": "08:00", "to": "10:00"}}
    ledger = rows.ledger(connection, settings=settings)
    ledger.money(ledger.contact(), due_date=TODAY)
    ledger.reminder(NOW)
    assert len(tick(connection)) == 2
    times = dict(connection.execute(select(tables.outbox.c.kind, tables.outbox.c.next_at)).all())
    assert times == {"due": datetime.datetime(2026, 11, 22, 10, 0, tzinfo=datetime.UTC), "reminder": NOW}


def test_a_late_run_does_not_break_into_quiet_hours(connection: Connection) -> None:
    settings = {"channels": ["email"], "quiet_hours": {"from": "22:00", "to": "07:00"}}
    ledger = rows.ledger(connection, settings=settings)
    ledger.money(ledger.contact(), due_date=TODAY)
    tick(connection, datetime.datetime(2026, 11, 22, 23, 0, tzinfo=datetime.UTC))
    next_at = connection.execute(select(tables.outbox.c.next_at)).scalar_one()
    assert next_at == datetime.datetime(2026, 11, 23, 7, 0, tzinfo=datetime.UTC)


def test_whoever_is_leaving_gets_nothing(connection: Connection) -> None:
    ledger = rows.ledger(connection, deleting_at=NOW)
    ledger.money(ledger.contact(), due_date=TODAY)
    ledger.reminder(NOW)
    assert tick(connection) == []


def test_payloads_hold_no_names_addresses_or_amounts(connection: Connection) -> None:
    ledger = rows.ledger(connection)
    money = ledger.money(ledger.contact(), due_date=TODAY)
    reminder = ledger.reminder(NOW, message="Ask Ada", time_zone="Europe/Berlin")
    tick(connection)
    payloads = dict(connection.execute(select(tables.outbox.c.kind, tables.outbox.c.payload)).all())
    assert payloads == {
        "due": {"transaction_id": str(money), "due_date": "2026-11-22", "offset_days": 0},
        "reminder": {"reminder_id": str(reminder), "occurrence": "2026-11-22T10:02:00", "at": "2026-11-22T09:02:00+00:00"},
    }


def test_a_repeating_reminder_goes_on_after_each_occurrence_until_it_is_done(connection: Connection) -> None:
    reminder = rows.ledger(connection).reminder(NOW - 40 * DAY, repeat="FREQ=DAILY;INTERVAL=2", time_zone="Europe/Berlin")
    for day, expected in ((0, ["2026-11-22T11:02:00"]), (1, []), (2, ["2026-11-24T11:02:00"]), (10, ["2026-12-02T11:02:00"])):
        now = NOW + day * DAY + HOUR  # 10:02 UTC was 11:02 in Berlin's summer time, when 09:02 UTC was first asked for
        assert tick(connection, now) == [f"reminder:{reminder}:{occurrence}:email" for occurrence in expected]
    connection.execute(update(tables.reminders).values(done_at=NOW))
    assert tick(connection, NOW + 12 * DAY + HOUR) == []


OFTEN = (
    "FREQ=DAILY",
    "FREQ=WEEKLY;BYDAY=SU,WE",
    "FREQ=MONTHLY",
    "FREQ=MONTHLY;BYMONTHDAY=-1",
    "FREQ=YEARLY;BYMONTH=11;BYDAY=4SU",
)
ENDS = ("", ";COUNT=4", ";UNTIL=20261126", ";UNTIL=20261126T000000Z")
FAR_AND_WIDE = ("UTC", "Pacific/Kiritimati", "Pacific/Niue", "America/New_York", "Nowhere/At_All")
asked = st.tuples(
    st.integers(-60 * 24, 10 * 24), st.sampled_from(OFTEN), st.sampled_from(ENDS), st.sampled_from(FAR_AND_WIDE), st.booleans()
)


@hypothesis.given(st.lists(asked, min_size=1, max_size=8), st.lists(st.integers(1, 24), min_size=10, max_size=30))
@hypothesis.settings(max_examples=12, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_any_ticks_find_every_occurrence_of_every_rule(
    connection: Connection, reminders: list[tuple[int, str, str, str, bool]], gaps: list[int]
) -> None:
    connection.execute(delete(tables.reminders))  # those of the example before
    ledger = rows.ledger(connection)
    for hour, rule, end, zone, is_new in reminders:
        at = NOW + hour * HOUR
        changed = NOW + 2 * DAY if is_new else rows.LONG_AGO
        ledger.reminder(at, repeat=rule + end, time_zone=zone, schedule_changed_at=changed)
    stored = connection.execute(select(tables.reminders).where(tables.reminders.c.ledger_id == ledger.id)).mappings().all()
    now, found = NOW, list[str]()
    for gap in gaps:
        now += gap * HOUR
        found += tick(connection, now, limit=3)
    window = {"after": NOW + gaps[0] * HOUR - DAY, "until": now}
    expected = [each.key for row in stored for each in rules.explicit(recipients.reminder_of(row), rules.Settings(), **window)]
    assert sorted(found) == sorted(expected)


def test_a_rule_is_a_candidate_on_its_days_only(connection: Connection) -> None:
    ledger = rows.ledger(connection)
    for rule in ("FREQ=MONTHLY;BYMONTHDAY=3", "FREQ=YEARLY", "FREQ=WEEKLY;BYDAY=TU", "FREQ=DAILY;COUNT=5"):
        ledger.reminder(NOW - 100 * DAY, repeat=rule)
    ledger.reminder(NOW - 100 * DAY, repeat="FREQ=DAILY", done_at=NOW)
    ledger.reminder(NOW - 100 * DAY, repeat="FREQ=DAILY")
    roles.enter(connection, roles.JOBS)
    assert due.enqueue_page(connection, "repeat", now=NOW).candidates == 1


def test_what_is_in_the_outbox_already_costs_no_allocation(connection: Connection) -> None:
    ledger = rows.ledger(connection)
    ledger.money(ledger.contact(), due_date=TODAY)
    statements: list[str] = []
    event.listen(connection, "before_cursor_execute", lambda _c, _k, statement, *_: statements.append(statement))
    tick(connection)
    assert any("PARTITION BY" in statement for statement in statements)
    statements.clear()
    tick(connection)
    assert not any("PARTITION BY" in statement for statement in statements)
