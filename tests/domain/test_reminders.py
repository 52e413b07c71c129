"""When reminders are due: literal keys, clocks that change, quiet hours, and no gap or repeat however time is cut up."""

import datetime
import uuid
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import reminders, zones
from domain.delivery import Channel

TRANSACTION = uuid.UUID("0190b2d2-0000-7000-8000-000000000001")
CONTACT = uuid.UUID("0190b2d2-0000-7000-8000-000000000002")
REMINDER = uuid.UUID("0190b2d2-0000-7000-8000-000000000003")
DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
NEVER = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def utc(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def debt(due_date: str = "2026-11-22", due_changed_at: datetime.datetime = LONG_AGO) -> reminders.Debt:
    return reminders.Debt(TRANSACTION, CONTACT, datetime.date.fromisoformat(due_date), due_changed_at)


def reminder(
    remind_at: str = "2026-11-22T08:00",
    time_zone: str = "Europe/Berlin",
    channels: tuple[Channel, ...] = ("email",),
    schedule_changed_at: datetime.datetime = LONG_AGO,
    snoozed_until: str | None = None,
    done: bool = False,
    repeat: str | None = None,
    rescheduled: bool = False,
) -> reminders.Reminder:
    return reminders.Reminder(
        reminder_id=REMINDER,
        remind_at=utc(remind_at),
        time_zone=time_zone,
        channels=channels,
        schedule_changed_at=schedule_changed_at,
        rescheduled=rescheduled,
        repeat=repeat,
        snoozed_until=None if snoozed_until is None else utc(snoozed_until),
        done=done,
    )


def due_dates(
    of: reminders.Debt,
    configured: reminders.Settings | None = None,
    zone: str = "Europe/Berlin",
    after: datetime.datetime = LONG_AGO,
    until: datetime.datetime = NEVER,
) -> list[reminders.Due]:
    return list(reminders.due_dates(of, configured or reminders.Settings(), zone, after=after, until=until))


def explicit(
    of: reminders.Reminder, after: datetime.datetime = LONG_AGO, until: datetime.datetime = NEVER
) -> list[reminders.Due]:
    return list(reminders.explicit(of, reminders.Settings(), after=after, until=until))


def test_keys_of_due_dates() -> None:
    assert [(due.key, due.at) for due in due_dates(debt())] == [
        ("due:0190b2d2-0000-7000-8000-000000000001:2026-11-22:-1:email", utc("2026-11-21T08:00")),
        ("due:0190b2d2-0000-7000-8000-000000000001:2026-11-22:-1:push", utc("2026-11-21T08:00")),
        ("due:0190b2d2-0000-7000-8000-000000000001:2026-11-22:0:email", utc("2026-11-22T08:00")),
        ("due:0190b2d2-0000-7000-8000-000000000001:2026-11-22:0:push", utc("2026-11-22T08:00")),
        ("due:0190b2d2-0000-7000-8000-000000000001:2026-11-22:7:email", utc("2026-11-29T08:00")),
        ("due:0190b2d2-0000-7000-8000-000000000001:2026-11-22:7:push", utc("2026-11-29T08:00")),
    ]


def test_keys_of_explicit_reminders_hold_the_local_time_without_an_offset() -> None:
    assert [due.key for due in explicit(reminder(snoozed_until="2026-11-22T09:30:15.250000", channels=("email", "push")))] == [
        "reminder:0190b2d2-0000-7000-8000-000000000003:2026-11-22T09:00:00:email",
        "reminder:0190b2d2-0000-7000-8000-000000000003:2026-11-22T09:00:00:push",
        "reminder:0190b2d2-0000-7000-8000-000000000003:2026-11-22T10:30:15:email",
        "reminder:0190b2d2-0000-7000-8000-000000000003:2026-11-22T10:30:15:push",
    ]


def keys(of: reminders.Reminder) -> list[str]:
    return [due.key for due in explicit(of)]


def test_keys_tell_the_second_showing_of_an_hour_from_the_first() -> None:
    first, second = f"reminder:{REMINDER}:2026-10-25T02:30:00:email", f"reminder:{REMINDER}:2026-10-25T02:30:00;2:email"
    assert keys(reminder("2026-10-25T00:30", snoozed_until="2026-10-25T01:30")) == [first, second]
    assert keys(reminder("2026-10-25T01:30")) == [second]


def test_keys_tell_zones_apart_once_the_schedule_was_changed() -> None:
    moved = reminder("2026-11-22T14:00", "America/New_York", rescheduled=True)
    assert keys(moved) == [f"reminder:{REMINDER}:2026-11-22T09:00:00;America/New_York:email"]
    assert keys(reminder(rescheduled=True)) == [f"reminder:{REMINDER}:2026-11-22T09:00:00;Europe/Berlin:email"]
    again = reminder("2026-10-25T01:30", rescheduled=True)
    assert keys(again)[0] == f"reminder:{REMINDER}:2026-10-25T02:30:00;2;Europe/Berlin:email"


@pytest.mark.parametrize(
    ("until", "count"),
    [("2026-11-22T07:59:59.999999", 0), ("2026-11-22T08:00", 1), ("2026-11-23T07:59:59.999999", 1), ("2026-11-23T08:00", 0)],
)
def test_something_is_due_for_twenty_four_hours(until: str, count: int) -> None:
    configured = reminders.Settings(due_offsets_days=(0,), channels=("email",))
    window = {"after": utc(until) - reminders.LATE, "until": utc(until)}
    assert len(due_dates(debt(), configured, **window)) == count  # type: ignore[arg-type]
    assert len(explicit(reminder(), **window)) == count


def test_offsets_are_days_from_the_due_date_on() -> None:
    configured = reminders.Settings(due_offsets_days=(60, -3, 0, -60, 0), channels=("email", "email"))
    found = due_dates(debt(), configured)
    days = [(due.offset_days, due.at.date().isoformat()) for due in found]
    assert days == [(-60, "2026-09-23"), (-3, "2026-11-19"), (0, "2026-11-22"), (60, "2027-01-21")]
    for due in found:
        assert due_dates(debt(), configured, after=due.at - HOUR, until=due.at) == [due], "also where nothing else is asked for"


@pytest.mark.parametrize(
    ("until", "days"),
    [
        ("", [22, 23, 24, 25]),
        (";UNTIL=20261124T080000Z", [22, 23, 24]),
        (";UNTIL=20261124T090000", [22, 23, 24]),
        (";COUNT=2", [22, 23]),
    ],
)
def test_each_time_of_a_rule_is_found_by_who_asks_for_its_hour(until: str, days: list[int]) -> None:
    of = reminder(repeat=f"FREQ=DAILY{until}")
    hours = (utc("2026-11-22T07:00") + HOUR * number for number in range(4 * 24))
    assert [due.at for hour in hours for due in explicit(of, hour, hour + HOUR)] == [utc(f"2026-11-{day}T08:00") for day in days]


def test_the_next_time_is_the_first_that_is_to_come() -> None:
    daily = reminder(repeat="FREQ=DAILY;COUNT=3", snoozed_until="2026-11-23T07:00")
    noon = [utc(f"2026-11-{day}T12:00") for day in range(21, 26)]
    coming = [reminders.next_occurrence(daily, after=after) for after in noon]
    assert coming == [*(utc(text) for text in ("2026-11-22T08:00", "2026-11-23T07:00", "2026-11-24T08:00")), None, None]
    assert reminders.next_occurrence(reminder(done=True), after=LONG_AGO) is None
    skipped = reminder("2026-03-28T01:30", repeat="FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,30")  # 02:30 shows as 03:30, behind 03:00
    assert reminders.next_occurrence(skipped, after=utc("2026-03-29T00:30")) == utc("2026-03-29T01:00")


def test_debts_of_a_muted_contact_remind_of_nothing() -> None:
    assert due_dates(debt(), reminders.Settings(muted_contacts=(CONTACT,))) == []
    assert due_dates(debt(), reminders.Settings(muted_contacts=(TRANSACTION,))) == due_dates(debt())


def test_the_days_told_are_those_on_which_the_clock_shows_it() -> None:
    def told(zone: str, after: str, until: str) -> list[str]:
        return [day.isoformat() for day in reminders.days_told("09:00", zone, after=utc(after), until=utc(until))]

    assert told("Europe/Berlin", "2026-11-22T08:00", "2026-11-24T08:00") == ["2026-11-23", "2026-11-24"]
    assert told("Pacific/Kiritimati", "2026-11-22T18:59", "2026-11-22T19:00") == ["2026-11-23"]
    assert told("Europe/Berlin", "2026-11-22T08:00", "2026-11-23T07:59") == []


def test_a_channel_that_is_given_up_is_given_up_for_one_kind() -> None:
    configured = reminders.Settings()
    quieter = configured.without("due", "email")
    assert (quieter.channels, quieter.lets_through("email")) == (("push",), True)
    quieter = configured.without("reminder", "email")
    assert (quieter.channels, quieter.lets_through("email"), quieter.lets_through("push")) == (("email", "push"), False, True)
    assert not quieter.without("reminder", "push").lets_through("push")


def test_what_lies_before_the_last_change_is_not_due() -> None:
    on_the_hour, later = utc("2026-11-22T08:00"), utc("2026-11-22T08:00:01")
    assert {due.offset_days for due in due_dates(debt(due_changed_at=on_the_hour))} == {0, 7}
    assert {due.offset_days for due in due_dates(debt(due_changed_at=later))} == {7}
    assert len(explicit(reminder(schedule_changed_at=on_the_hour))) == 1
    assert explicit(reminder(schedule_changed_at=later)) == []
    assert len(explicit(reminder(schedule_changed_at=later, snoozed_until="2026-11-22T10:00"))) == 1
    assert explicit(reminder(schedule_changed_at=later, snoozed_until="2026-11-22T08:00")) == []


def test_a_reminder_that_is_done_is_not_due() -> None:
    assert explicit(reminder(done=True, snoozed_until="2026-11-22T10:00")) == []


def test_a_due_date_at_the_end_of_time_is_no_error() -> None:
    assert due_dates(debt("9999-12-31"), until=datetime.datetime.max.replace(tzinfo=datetime.UTC))[0].offset_days == -1


@pytest.mark.parametrize(
    ("day", "clock", "zone", "expected"),
    [
        ("2026-03-29", "02:30", "Europe/Berlin", "2026-03-29T01:30"),  # skipped: clocks show 03:30
        ("2026-10-25", "02:30", "Europe/Berlin", "2026-10-25T00:30"),  # shown twice: the first
        ("2026-10-25", "03:00", "Europe/Berlin", "2026-10-25T02:00"),
        ("2026-04-05", "01:45", "Australia/Lord_Howe", "2026-04-04T14:45"),  # half an hour is shown twice
        ("2011-12-30", "09:00", "Pacific/Apia", "2011-12-30T19:00"),  # a day that Samoa left out: the next one
        ("2026-11-22", "09:00", "Nowhere/At_All", "2026-11-22T09:00"),
    ],
)
def test_local_times_become_moments(day: str, clock: str, zone: str, expected: str) -> None:
    local_time = datetime.time.fromisoformat(clock)
    assert reminders.instant(datetime.date.fromisoformat(day), local_time, zones.zone(zone)) == utc(expected)


@pytest.mark.parametrize(
    ("start", "end", "at", "expected"),
    [
        ("22:00", "07:00", "2026-11-22T20:59", "2026-11-22T20:59"),
        ("22:00", "07:00", "2026-11-22T21:00", "2026-11-23T06:00"),
        ("22:00", "07:00", "2026-11-23T05:59", "2026-11-23T06:00"),
        ("22:00", "07:00", "2026-11-23T06:00", "2026-11-23T06:00"),
        ("12:00", "14:00", "2026-11-22T11:00", "2026-11-22T13:00"),
        ("12:00", "14:00", "2026-11-22T11:30", "2026-11-22T13:00"),
        ("12:00", "14:00", "2026-11-22T13:00", "2026-11-22T13:00"),
        ("09:00", "09:00", "2026-11-22T08:00", "2026-11-22T08:00"),  # from and to the same: none
        ("22:00", "02:30", "2026-03-28T23:00", "2026-03-29T01:30"),  # the end is skipped: clocks show 03:30
        ("22:00", "02:30", "2026-10-25T01:10", "2026-10-25T01:10"),  # 02:10 again: the end is over, never back in time
    ],
)
def test_quiet_hours_move_to_their_end(start: str, end: str, at: str, expected: str) -> None:
    configured = reminders.Settings(quiet_hours=reminders.QuietHours(start, end))
    assert reminders.after_quiet_hours(utc(at), configured, "Europe/Berlin") == utc(expected)


def test_settings_are_read_as_the_wire_has_them() -> None:
    stored = {
        "due_offsets_days": [-3, 0],
        "local_time": "18:30",
        "quiet_hours": {"from": "22:00", "to": "07:00"},
        "channels": ["push"],
        "digest": False,
    }
    assert reminders.read_settings(stored) == reminders.Settings(
        (-3, 0), "18:30", reminders.QuietHours("22:00", "07:00"), ("push",), False
    )


@pytest.mark.parametrize("stored", [{}, None, {"local_time": "25:00"}, {"due_offsets_days": [61]}, {"channels": ["fax"]}])
def test_settings_that_cannot_be_read_are_the_defaults(stored: object) -> None:
    assert reminders.read_settings(stored) == reminders.Settings((-1, 0, 7), "09:00", None, ("email", "push"), False)


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati", "Australia/Lord_Howe"])
LOCAL_TIMES = st.datetimes(datetime.datetime.fromisoformat("2025-01-01"), datetime.datetime.fromisoformat("2027-01-01"))
MINUTES = st.integers(0, 20 * 24 * 60)
START = utc("2026-10-15T00:00")  # twenty days that hold the end of summer time


@given(
    ZONES,
    st.lists(st.tuples(st.integers(-5, 15), st.integers(0, 23)), max_size=4),
    st.lists(st.tuples(MINUTES, st.none() | MINUTES), max_size=4),
    st.lists(st.integers(1, 24 * 60), min_size=1, max_size=60),
)
def test_any_cut_of_time_into_ticks_sends_each_thing_once(
    zone: str, debts: list[tuple[int, int]], asked: list[tuple[int, int | None]], gaps: list[int]
) -> None:
    """Downtime of up to 24 hours between two ticks; the outbox is the set of keys."""

    def due(after: datetime.datetime, until: datetime.datetime) -> set[str]:
        dues: list[reminders.Due] = []
        for number, (day, hour) in enumerate(debts):
            of = reminders.Debt(uuid.UUID(int=number), CONTACT, START.date() + day * DAY, LONG_AGO)
            dues += reminders.due_dates(of, reminders.Settings(local_time=f"{hour:02}:15"), zone, after=after, until=until)
        for number, (minute, snooze) in enumerate(asked):
            snoozed_until = None if snooze is None else START + snooze * HOUR / 60
            of_reminder = reminders.Reminder(
                reminder_id=uuid.UUID(int=number),
                remind_at=START + minute * HOUR / 60,
                time_zone=zone,
                channels=("email", "push"),
                schedule_changed_at=LONG_AGO,
                snoozed_until=snoozed_until,
            )
            dues += reminders.explicit(of_reminder, reminders.Settings(), after=after, until=until)
        return {each.key for each in dues}

    now, sent, enqueued = START, set[str](), list[str]()
    for gap in gaps:
        now += gap * HOUR / 60
        fresh = due(now - reminders.LATE, now) - sent
        enqueued += sorted(fresh)
        sent |= fresh
    assert sorted(enqueued) == sorted(due(START + gaps[0] * HOUR / 60 - reminders.LATE, now))


@given(LOCAL_TIMES, ZONES)
def test_a_moment_never_shows_an_earlier_local_time_than_asked_for(local: datetime.datetime, zone: str) -> None:
    at = reminders.instant(local.date(), local.time(), zoneinfo.ZoneInfo(zone))
    shown = at.astimezone(zoneinfo.ZoneInfo(zone)).replace(tzinfo=None)
    assert datetime.timedelta(0) <= shown - local <= HOUR
