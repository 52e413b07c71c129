"""Repeat rules: against a naive reading of RFC 5545, against dateutil, in zones whose clocks move, and in bounded time."""

import calendar
import datetime
import itertools
import time
import zoneinfo
from collections.abc import Iterator
from typing import Any

import pytest
from dateutil import rrule
from hypothesis import assume, given
from hypothesis import strategies as st

from domain import recurrence, recurrence_text, reminders
from domain.zones import zone as zone_of
from tests.domain.test_reminders import LONG_AGO, explicit, reminder, utc

DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)
START = datetime.datetime.fromisoformat("2026-01-31T09:00")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
Parts = dict[str, Any]


def local(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def first(rule: str, start: str, count: int = 6) -> list[str]:
    """The first occurrences from DTSTART on, as local times; midnights as days."""
    at = local(start)
    parsed = recurrence_text.parse(rule)
    span = (at.toordinal(), at.toordinal() + 366 * 60)
    found = [at, *itertools.islice(recurrence.times(parsed, at, span), count - 1)]
    return [each.isoformat(timespec="minutes").removesuffix("T00:00") for each in found]


@pytest.mark.parametrize(
    ("rule", "start", "expected"),
    [
        ("FREQ=MONTHLY", "2026-01-31", ["2026-01-31", "2026-03-31", "2026-05-31", "2026-07-31"]),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "2027-12-31", ["2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31"]),
        ("FREQ=MONTHLY;BYMONTHDAY=31,-1", "2026-01-31", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
        ("FREQ=MONTHLY;BYMONTHDAY=28,29,30,31;BYSETPOS=-1", "2026-01-31", ["2026-01-31", "2026-02-28", "2026-03-31"]),
        ("FREQ=YEARLY", "2024-02-29", ["2024-02-29", "2028-02-29", "2032-02-29"]),
        ("FREQ=YEARLY;INTERVAL=4", "2096-02-29", ["2096-02-29", "2104-02-29", "2108-02-29"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1", "2027-02-28", ["2027-02-28", "2028-02-29", "2029-02-28"]),
        ("FREQ=DAILY;INTERVAL=10", "2026-12-25", ["2026-12-25", "2027-01-04", "2027-01-14"]),
        ("FREQ=DAILY;BYMONTH=1", "2026-01-30", ["2026-01-30", "2026-01-31", "2027-01-01"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=MO", "1997-08-05", ["1997-08-05", "1997-08-10", "1997-08-19", "1997-08-24"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU", "1997-08-05", ["1997-08-05", "1997-08-17", "1997-08-19", "1997-08-31"]),
        ("FREQ=MONTHLY;BYDAY=1SU,-1SU", "1997-09-07", ["1997-09-07", "1997-09-28", "1997-10-05", "1997-10-26"]),
        ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1998-02-13", ["1998-02-13", "1998-03-13", "1998-11-13", "1999-08-13"]),
        ("FREQ=YEARLY;BYDAY=20MO", "1997-05-19", ["1997-05-19", "1998-05-18", "1999-05-17"]),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1997-05-12", ["1997-05-12", "1998-05-11", "1999-05-17"]),
        ("FREQ=YEARLY;BYWEEKNO=20", "1997-05-13", ["1997-05-13", "1998-05-12", "1999-05-18"]),
        ("FREQ=YEARLY;INTERVAL=3;BYYEARDAY=1,100,200", "1997-01-01", ["1997-01-01", "1997-04-10", "1997-07-19", "2000-01-01"]),
        ("FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8", "1996-11-05", ["1996-11-05", "2000-11-07"]),
        ("FREQ=MONTHLY;BYDAY=TU,WE,TH;BYSETPOS=3", "1997-09-04", ["1997-09-04", "1997-10-07", "1997-11-06"]),
        ("FREQ=MONTHLY;BYDAY=MO,2TU", "2026-06-01", ["2026-06-01", "2026-06-08", "2026-06-09", "2026-06-15"]),
        ("FREQ=DAILY;BYHOUR=9,17;BYMINUTE=0", "2026-01-31T09:00", ["2026-01-31T09:00", "2026-01-31T17:00", "2026-02-01T09:00"]),
        ("RRULE:freq=weekly", "2026-01-31", ["2026-01-31", "2026-02-07"]),
    ],
)
def test_rules_as_the_rfc_has_them(rule: str, start: str, expected: list[str]) -> None:
    assert first(rule, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("rule", "start", "expected"),
    [
        ("FREQ=WEEKLY;BYDAY=MO;COUNT=3", "2026-11-25", ["2026-11-25", "2026-11-30", "2026-12-07"]),  # a Wednesday
        ("FREQ=DAILY;COUNT=1", "2026-11-25", ["2026-11-25"]),
        ("FREQ=DAILY;UNTIL=20261126", "2026-11-25T09:00", ["2026-11-25T09:00", "2026-11-26T09:00"]),
        ("FREQ=DAILY;UNTIL=20261126T090000", "2026-11-25T09:00", ["2026-11-25T09:00", "2026-11-26T09:00"]),
        ("FREQ=DAILY;UNTIL=20261126T085959", "2026-11-25T09:00", ["2026-11-25T09:00"]),
    ],
)
def test_the_first_time_is_remind_at_and_the_last_is_counted_or_named(rule: str, start: str, expected: list[str]) -> None:
    assert first(rule, start) == expected


@pytest.mark.parametrize(("until", "count"), [("20261126T080000Z", 2), ("20261126T075959Z", 1), ("20261126T090000Z", 2)])
def test_until_in_utc_is_a_moment(until: str, count: int) -> None:
    assert len(explicit(reminder("2026-11-25T08:00", repeat=f"FREQ=DAILY;UNTIL={until}"))) == count


def test_keys_of_a_repeating_reminder() -> None:
    of = reminder("2026-03-27T08:00", repeat="FREQ=DAILY;COUNT=3", channels=("email", "push"))
    assert [(due.key, due.at) for due in explicit(of) if due.channel == "push"] == [
        ("reminder:0190b2d2-0000-7000-8000-000000000003:2026-03-27T09:00:00:push", utc("2026-03-27T08:00")),
        ("reminder:0190b2d2-0000-7000-8000-000000000003:2026-03-28T09:00:00:push", utc("2026-03-28T08:00")),
        ("reminder:0190b2d2-0000-7000-8000-000000000003:2026-03-29T09:00:00:push", utc("2026-03-29T07:00")),
    ]


@pytest.mark.parametrize(
    ("zone", "remind_at", "expected"),
    [
        ("Europe/Berlin", "2026-03-28T01:30", ["2026-03-28T01:30", "2026-03-29T01:30", "2026-03-30T00:30"]),  # 02:30 is skipped
        ("Europe/Berlin", "2026-10-24T00:30", ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]),  # and shown twice
        ("America/New_York", "2026-03-07T07:30", ["2026-03-07T07:30", "2026-03-08T07:30", "2026-03-09T06:30"]),
        ("America/New_York", "2026-10-31T05:30", ["2026-10-31T05:30", "2026-11-01T05:30", "2026-11-02T06:30"]),
        ("Australia/Lord_Howe", "2026-10-02T15:45", ["2026-10-02T15:45", "2026-10-03T15:45", "2026-10-04T15:15"]),  # 02:15
        ("Australia/Lord_Howe", "2026-04-03T14:45", ["2026-04-03T14:45", "2026-04-04T14:45", "2026-04-05T15:15"]),  # 01:45
        ("Africa/Casablanca", "2026-02-14T01:30", ["2026-02-14T01:30", "2026-02-15T01:30", "2026-02-16T02:30"]),  # Ramadan
        ("Pacific/Apia", "2011-12-28T19:00", ["2011-12-28T19:00", "2011-12-29T19:00", "2011-12-30T19:00"]),  # no 30th there
    ],
)
def test_daily_stays_at_its_local_time_when_clocks_move(zone: str, remind_at: str, expected: list[str]) -> None:
    of = reminder(remind_at, zone, repeat="FREQ=DAILY", schedule_changed_at=utc("2000-01-01"))
    until = utc(remind_at) + datetime.timedelta(days=2, hours=1)
    assert list(dict.fromkeys(reminders.occurrences(of, after=utc("2000-01-01"), until=until))) == [
        utc(each) for each in expected
    ]


def test_what_lies_before_the_last_change_of_the_schedule_is_not_due() -> None:
    of = reminder("2020-01-01T08:00", repeat="FREQ=YEARLY", schedule_changed_at=utc("2026-11-22T00:00"))
    assert [due.occurrence for due in explicit(of, until=utc("2028-06-01"))] == ["2027-01-01T09:00:00", "2028-01-01T09:00:00"]


def test_done_is_the_end_of_all_repetitions() -> None:
    of = reminder(repeat="FREQ=DAILY", done=True)
    assert explicit(of) == []
    assert reminders.next_occurrence(of, after=LONG_AGO) is None


def test_the_next_occurrence_of_a_rule_and_a_snooze() -> None:
    of = reminder("2026-11-22T08:00", repeat="FREQ=MONTHLY;COUNT=2", snoozed_until="2026-12-01T10:00")
    times = ["2026-11-22T08:00", "2026-12-01T10:00", "2026-12-22T08:00"]
    at, found = LONG_AGO, []
    while (following := reminders.next_occurrence(of, after=at)) is not None:
        at = following
        found.append(at)
    assert found == [utc(each) for each in times]


def test_a_rule_that_nobody_can_read_repeats_nothing_and_raises_nothing() -> None:
    assert [due.at for due in explicit(reminder(repeat="FREQ=SOMETIMES"))] == [utc("2026-11-22T08:00")]
    assert recurrence.marks("FREQ=SOMETIMES", utc("2026-11-22")) == []


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("", "not a part of a rule"),
        ("DAILY", "not a part of a rule: DAILY"),
        ("COUNT=3", "a rule has a FREQ"),
        ("FREQ=HOURLY", "FREQ is DAILY"),
        ("FREQ=MINUTELY;INTERVAL=1440", "FREQ is DAILY"),
        ("FREQ=DAILY;", "nothing between two semicolons"),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ stands there twice"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270101", "exclude each other"),
        ("DTSTART=20260101;FREQ=DAILY", "DTSTART is remind_at"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY", "one line"),
        ("FREQ=DAILY\n", "one line"),
        ("FREQ=DAILY;EXDATE=20260101", "EXDATE is not a part"),
        ("FREQ=DAILY;BYEASTER=0", "BYEASTER is not a part"),
        ("FREQ=DAILY;X=1", "X is not a part"),
        ("FREQ =DAILY", "one line"),
        ("FREQ=DÄILY", "one line"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0 is not from 1 to 999"),
        ("FREQ=DAILY;INTERVAL=1000", "INTERVAL=1000 is not from 1 to 999"),
        ("FREQ=DAILY;INTERVAL=-1", "INTERVAL=-1 is not"),
        ("FREQ=DAILY;INTERVAL=１", "one line"),
        ("FREQ=DAILY;COUNT=0", "COUNT=0 is not from 1 to 1000"),
        ("FREQ=DAILY;COUNT=1001", "COUNT=1001 is not"),
        ("FREQ=YEARLY;COUNT=1000", "COUNT ends more than 100 years after"),
        ("FREQ=DAILY;UNTIL=20260230", "UNTIL=20260230 is not in the calendar"),
        ("FREQ=DAILY;UNTIL=00000101", "is not in the calendar"),
        ("FREQ=DAILY;UNTIL=2026-02-01", "UNTIL is a day"),
        ("FREQ=DAILY;UNTIL=20260130", "UNTIL lies before remind_at"),
        ("FREQ=DAILY;UNTIL=20260131T075959Z", "UNTIL lies before remind_at"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY=0 is not from -31 to 31 without 0"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY=32 is not"),
        ("FREQ=MONTHLY;BYDAY=0MO", "BYDAY=0MO is not"),
        ("FREQ=MONTHLY;BYDAY=54MO", "BYDAY=54MO is not"),
        ("FREQ=MONTHLY;BYDAY=MONDAY", "BYDAY=MONDAY is not"),
        ("FREQ=WEEKLY;BYDAY=1MO", "numbers in MONTHLY and YEARLY"),
        ("FREQ=YEARLY;BYDAY=1MO;BYWEEKNO=1", "no numbers beside BYWEEKNO"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "not for WEEKLY"),
        ("FREQ=MONTHLY;BYWEEKNO=1", "for YEARLY"),
        ("FREQ=DAILY;BYYEARDAY=1", "for YEARLY"),
        ("FREQ=DAILY;BYSETPOS=1", "needs another BY part"),
        ("FREQ=DAILY;WKST=1", "WKST is a day of the week"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR=24 is not from 0 to 23"),
        ("FREQ=DAILY;BYHOUR=1,2,3,4,5;BYMINUTE=0,10,20,30,40", "more than 24 times a day"),
        ("FREQ=MONTHLY;BYMONTHDAY=" + ",".join(["1"] * 54), "more than 53 values"),
        ("FREQ=DAILY;" + "X" * 500, "longer than 500 characters"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "does not occur again within 100 years"),
        ("FREQ=YEARLY;INTERVAL=2;BYYEARDAY=366;BYMONTH=1", "does not occur again"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "does not occur again"),  # from a Saturday
        ("FREQ=MONTHLY;INTERVAL=12;BYMONTH=2", "does not occur again"),  # from January
        ("FREQ=MONTHLY;BYDAY=6MO", "does not occur again"),
        ("FREQ=DAILY;BYDAY=MO;BYSETPOS=2", "beyond what a period can hold"),
        ("FREQ=MONTHLY;BYDAY=MO;BYMONTHDAY=1,2,3;BYSETPOS=3", "does not occur again"),
    ],
)
def test_rules_that_are_refused(rule: str, reason: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  # the reason is what users see
        recurrence.check(rule, START.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")))
    assert reason in str(refused.value)


# --- a naive reading of the RFC -------------------------------------------------------------------------------------


def listed(values: st.SearchStrategy[int]) -> st.SearchStrategy[list[int]]:
    return st.lists(values, min_size=1, max_size=3, unique=True)


def signed(greatest: int) -> st.SearchStrategy[int]:
    return st.integers(1, greatest).flatmap(lambda number: st.sampled_from([number, -number]))


@st.composite
def rule_parts(draw: st.DrawFn) -> Parts:
    freq = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY"]))
    parts: Parts = {"FREQ": freq}

    def maybe(name: str, values: st.SearchStrategy[Any], chance: int = 3) -> None:
        if draw(st.integers(1, chance)) == 1:
            parts[name] = draw(values)

    maybe("INTERVAL", st.integers(1, 5), 2)
    maybe("BYMONTH", listed(st.integers(1, 12)))
    maybe("WKST", st.sampled_from(WEEKDAYS))
    if freq == "YEARLY":
        maybe("BYYEARDAY", listed(signed(366)), 5)
        maybe("BYWEEKNO", listed(st.integers(1, 53) | st.integers(-53, -1)), 4)
    if freq != "WEEKLY":
        maybe("BYMONTHDAY", listed(signed(31)))
    greatest = {"YEARLY": 53 if "BYMONTH" not in parts else 5, "MONTHLY": 5}.get(freq, 0) * ("BYWEEKNO" not in parts)
    place = st.just(0) | signed(greatest) if greatest else st.just(0)
    maybe("BYDAY", st.lists(st.tuples(place, st.integers(0, 6)), min_size=1, max_size=3, unique=True), 2)
    maybe("BYHOUR", listed(st.integers(0, 23)), 5)
    if any(name.startswith("BY") for name in parts):
        maybe("BYSETPOS", listed(signed(4)), 4)
    if "BYSETPOS" in parts and parts["FREQ"] != "YEARLY":  # one of them is a place that a period can have
        parts["BYSETPOS"].append(1)
    return parts


def text(parts: Parts) -> str:
    def value(name: str, given: Any) -> str:
        if name == "BYDAY":
            return ",".join(f"{place or ''}{WEEKDAYS[weekday]}" for place, weekday in given)
        return ",".join(map(str, given)) if isinstance(given, list) else str(given)

    return ";".join(f"{name}={value(name, given)}" for name, given in parts.items())


def counted(numbers: list[int], number: int, of: int) -> bool:
    """Whether `number` of `of` is named, from the front or from the back."""
    return number in numbers or number - of - 1 in numbers


def week(day: datetime.date, week_start: int) -> tuple[int, int]:
    """The number of the week of `day` (week 1 has four days of the year at least), and how many its year has."""

    def middle(of: datetime.date) -> datetime.date:
        return of + DAY * (3 - (of.weekday() - week_start) % 7)

    number = (middle(day).timetuple().tm_yday - 1) // 7 + 1
    return number, (middle(datetime.date(middle(day).year, 12, 28)).timetuple().tm_yday - 1) // 7 + 1


def named(parts: Parts, day: datetime.date) -> bool:
    month_length, year_length = calendar.monthrange(day.year, day.month)[1], 365 + calendar.isleap(day.year)
    year_day = day.timetuple().tm_yday
    of_month = parts["FREQ"] == "MONTHLY" or "BYMONTH" in parts
    number, length = (day.day, month_length) if of_month else (year_day, year_length)

    def is_weekday(place: int, weekday: int) -> bool:
        nth = (number - 1) // 7 + 1 if place > 0 else -((length - number) // 7 + 1)
        return day.weekday() == weekday and place in (0, nth)

    return (
        ("BYMONTH" not in parts or day.month in parts["BYMONTH"])
        and ("BYMONTHDAY" not in parts or counted(parts["BYMONTHDAY"], day.day, month_length))
        and ("BYYEARDAY" not in parts or counted(parts["BYYEARDAY"], year_day, year_length))
        and ("BYWEEKNO" not in parts or counted(parts["BYWEEKNO"], *week(day, WEEKDAYS.index(parts.get("WKST", "MO")))))
        and ("BYDAY" not in parts or any(is_weekday(*each) for each in parts["BYDAY"]))
    )


def as_dtstart_has_it(parts: Parts, start: datetime.date) -> Parts:
    """`parts` with what the rule leaves to DTSTART."""
    days = {"BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"} & parts.keys()
    weekday = {"BYDAY": [(0, start.weekday())]}
    match parts["FREQ"]:
        case "WEEKLY" if not days:
            return parts | weekday
        case "MONTHLY" if not days:
            return parts | {"BYMONTHDAY": [start.day]}
        case "YEARLY" if not days:
            return {"BYMONTH": [start.month]} | parts | {"BYMONTHDAY": [start.day]}
        case "YEARLY" if days == {"BYWEEKNO"}:
            return parts | weekday
    return parts


def period(parts: Parts, day: datetime.date) -> int:
    week_start = WEEKDAYS.index(parts.get("WKST", "MO"))
    return {
        "YEARLY": day.year,
        "MONTHLY": day.year * 12 + day.month,
        "WEEKLY": (day.toordinal() - 1 - week_start) // 7,
        "DAILY": day.toordinal(),
    }[parts["FREQ"]]


def naive(parts: Parts, start: datetime.datetime, days: int) -> list[datetime.datetime]:
    """Every occurrence of the `days` from DTSTART on, day by day."""
    whole = as_dtstart_has_it(parts, start)
    begin = start.date() - 366 * DAY  # the period that DTSTART lies in, whole
    candidates: dict[int, list[datetime.datetime]] = {}
    for number in range(days + 2 * 366):
        day = begin + number * DAY
        if named(whole, day):
            for hour in sorted(parts.get("BYHOUR", [start.hour])):
                candidates.setdefault(period(parts, day), []).append(
                    datetime.datetime.combine(day, start.time().replace(hour=hour))
                )
    found = {start}
    for number, times in candidates.items():
        if (number - period(parts, start)) % parts.get("INTERVAL", 1) == 0:
            places = range(len(times))
            chosen = (
                places
                if "BYSETPOS" not in parts
                else [place for place in places if counted(parts["BYSETPOS"], place + 1, len(times))]
            )
            found |= {times[place] for place in chosen if times[place] > start}
    return sorted(at for at in found if at < start + days * DAY)


STARTS = st.datetimes(local("1999-01-01"), local("2030-12-31")).map(lambda at: at.replace(microsecond=0))


@given(rule_parts(), STARTS)
def test_rules_are_what_a_naive_reading_of_the_rfc_makes_of_them(parts: Parts, start: datetime.datetime) -> None:
    days = 3 * 366
    rule = recurrence_text.parse(text(parts))
    end = start + days * DAY
    found = recurrence.times(rule, start, (start.toordinal(), end.toordinal()))
    assert [start, *(at for at in found if at < end)] == naive(parts, start, days)


@given(rule_parts(), STARTS)
def test_dateutil_agrees_where_dtstart_is_an_occurrence(parts: Parts, somewhen: datetime.datetime) -> None:
    assume(len({place == 0 for place, _ in parts.get("BYDAY", [])}) < 2)  # MO,2TU is what both name there
    assume("BYWEEKNO" not in parts)  # all seven days there, and some weeks miscounted
    assume("BYSETPOS" not in parts or parts["FREQ"] != "WEEKLY")  # the first week begins at DTSTART there
    occurrences = naive(parts, somewhen, 3 * 366)
    assume(len(occurrences) > 2)  # it would look for more up to the year 9999
    start, end = occurrences[1], occurrences[-1]
    theirs = itertools.takewhile(lambda at: at < end, rrule.rrulestr(text(parts), dtstart=start))
    ours = recurrence.times(recurrence_text.parse(text(parts)), start, (start.toordinal(), end.toordinal()))
    assert [start, *(at for at in ours if at < end)] == list(theirs)


@pytest.mark.parametrize("number", [1, 2, 52, 53, -1, -2, -52, -53])
@pytest.mark.parametrize("week_start", ["MO", "SU", "TH"])
def test_weeks_of_every_kind_of_year(number: int, week_start: str) -> None:
    rule = recurrence_text.parse(f"FREQ=YEARLY;BYWEEKNO={number};BYDAY=MO,TU,WE,TH,FR,SA,SU;WKST={week_start}")
    start, days = local("1990-01-01"), 80 * 365
    found = [at.date() for at in recurrence.times(rule, start, (start.toordinal(), start.toordinal() + days))]
    every = (start.date() + DAY * (day + 1) for day in range(days))
    assert found == [day for day in every if counted([number], *week(day, WEEKDAYS.index(week_start)))]


# --- zones, windows, what an index knows, and time ------------------------------------------------------------------

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca")
zones = st.sampled_from(ZONES)
moments = st.datetimes(local("2025-06-01"), local("2027-06-01"), timezones=st.just(datetime.UTC))


@st.composite
def repeating(draw: st.DrawFn) -> reminders.Reminder:
    end = draw(st.sampled_from(["", "", ";COUNT=7", ";UNTIL=20280101", ";UNTIL=20270301T010000Z", ";UNTIL=20280229T023000"]))
    frequent = st.sampled_from(["FREQ=DAILY", "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=0,30", "FREQ=WEEKLY;BYDAY=SU", "FREQ=MONTHLY"])
    rule = draw(frequent | rule_parts().map(text)) + end
    at = draw(moments)
    return reminder(at.replace(tzinfo=None).isoformat(), draw(zones), repeat=rule)


def all_of(of: reminders.Reminder, after: datetime.datetime, until: datetime.datetime) -> list[datetime.datetime]:
    return sorted(reminders.occurrences(of, after=after, until=until))


@given(repeating(), st.lists(st.integers(1, 60 * 24 * 60), max_size=12))
def test_any_cut_of_time_into_windows_has_every_occurrence_once(of: reminders.Reminder, minutes: list[int]) -> None:
    begin, end = of.remind_at - DAY, of.remind_at + 400 * DAY
    cuts = [begin, *(min(begin + datetime.timedelta(minutes=sum(minutes[:n])), end) for n in range(1, len(minutes) + 1)), end]
    parts = [all_of(of, after, until) for after, until in itertools.pairwise(cuts)]
    assert sorted(itertools.chain(*parts)) == all_of(of, begin, end)


@pytest.mark.parametrize("zone", [*ZONES, "Pacific/Apia", "Pacific/Kiritimati", "Pacific/Niue"])
@pytest.mark.parametrize(
    "rule", ["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,TU,TH,FR,SU;BYSETPOS=2,-1", "FREQ=MONTHLY;BYDAY=MO,WE,FR,SU;BYSETPOS=-1,-4,5"]
)
@pytest.mark.parametrize("hour", [0, 9, 11, 15, 23])
def test_windows_of_an_hour_have_what_the_whole_has(zone: str, rule: str, hour: int) -> None:
    of = reminder(f"2011-12-27T{hour:02}:20", zone, repeat=rule, schedule_changed_at=utc("2000-01-01"))
    begin = utc("2011-12-27T00:00")
    by_hour = [all_of(of, begin + HOUR * number, begin + HOUR * (number + 1)) for number in range(24 * 12)]
    whole = all_of(of, begin, begin + 12 * DAY)
    assert sorted(itertools.chain(*by_hour)) == whole
    assert whole[-1] == all_of(of, begin, begin + 40 * DAY)[len(whole) - 1]  # nor does the end of the window matter
    assert len(whole) > 1


def test_nothing_happens_before_remind_at_where_clocks_show_an_hour_twice() -> None:
    of = reminder("2026-10-25T01:30", repeat="FREQ=DAILY;BYHOUR=2;BYMINUTE=30,45")  # 02:30 for the second time
    times = ["2026-10-25T01:30", "2026-10-26T01:30", "2026-10-26T01:45"]
    assert all_of(of, LONG_AGO, utc("2026-10-26T12:00")) == [utc(each) for each in times]


@given(repeating(), st.integers(-10, 600))
def test_the_next_occurrence_is_the_least_of_all_that_come(of: reminders.Reminder, day: int) -> None:
    after = of.remind_at + day * DAY
    coming = all_of(of, after, after + 5 * 366 * DAY)
    found = reminders.next_occurrence(of, after=after)
    if coming:
        assert found == coming[0]
    else:
        assert found is None or found > after + 5 * 366 * DAY


@given(repeating())
def test_one_occurrence_a_local_time_and_none_before_remind_at(of: reminders.Reminder) -> None:
    dues = explicit(of, after=of.remind_at - DAY, until=of.remind_at + 500 * DAY)
    assert len({due.key for due in dues}) == len(dues)
    assert min((due.at for due in dues), default=of.remind_at) == of.remind_at
    assert reminders.occurrence_name(of, of.remind_at) == dues[0].occurrence


def nominal_days(at: datetime.datetime, zone: str) -> Iterator[datetime.date]:
    """The local day of `at`, and the day before where clocks may have skipped to this one."""
    day = at.astimezone(zone_of(zone)).date()
    yield from (day, day - DAY)


@given(repeating())
def test_the_marks_of_a_rule_are_those_of_all_its_days(of: reminders.Reminder) -> None:
    rule = str(of.repeat)
    marks = set(recurrence.marks(rule, of.remind_at))
    last = recurrence.last_day(rule, of.remind_at)
    for at in all_of(of, of.remind_at, of.remind_at + 500 * DAY):
        days = list(nominal_days(at, of.time_zone))
        assert any(marks & set(recurrence.marks_of(day)) for day in days)
        assert last is None or min(days) <= last


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("FREQ=DAILY", [0]),
        ("FREQ=WEEKLY", [-7, -6, -1]),  # a Sunday, in some zone a Saturday or a Monday
        ("FREQ=WEEKLY;BYDAY=WE", [-3]),
        ("FREQ=MONTHLY", [21, 22, 23]),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", [28, 29, 30, 31]),
        ("FREQ=MONTHLY;BYMONTHDAY=-31", [1]),
        ("FREQ=MONTHLY;BYDAY=2MO", [-1]),
        ("FREQ=YEARLY", [1121, 1122, 1123]),
        ("FREQ=YEARLY;BYYEARDAY=100", [0]),
    ],
)
def test_marks(rule: str, expected: list[int]) -> None:
    assert recurrence.marks(rule, utc("2026-11-22T09:00")) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("FREQ=DAILY", None),
        ("FREQ=DAILY;UNTIL=20261130", "2026-11-30"),
        ("FREQ=DAILY;UNTIL=20261130T230000Z", "2026-12-01"),  # it is that already in Kiritimati
        ("FREQ=DAILY;UNTIL=99991231T230000Z", "9999-12-31"),
        ("FREQ=DAILY;COUNT=3", "2026-11-25"),  # from the 23rd on, in Kiritimati
        ("FREQ=DAILY;BYHOUR=1,8,20;COUNT=4", "2026-11-24"),  # the 23rd at 23:00, and the next day three times
        ("FREQ=SOMETIMES", "2026-11-22"),
    ],
)
def test_the_last_day_is_that_of_the_zone_where_it_comes_last(rule: str, expected: str | None) -> None:
    found = recurrence.last_day(rule, utc("2026-11-22T09:00"))
    assert (found and found.isoformat()) == expected


NUMBERS = st.integers(-400, 1_100).map(str)
VALUES = st.lists(NUMBERS | st.sampled_from([*WEEKDAYS, "1MO", "-1FR", "53SU"]), min_size=1, max_size=60).map(",".join)
NAMES = [
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "WKST",
    "BYMONTH",
    "BYWEEKNO",
    "BYYEARDAY",
    "BYMONTHDAY",
    "BYDAY",
    "BYHOUR",
    "BYSETPOS",
    "X",
]
GARBAGE = st.text(max_size=600) | st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=5).map(
    lambda parts: ";".join(["FREQ=DAILY", *(f"{name}={value}" for name, value in parts)])
)


@st.composite
def wide_rules(draw: st.DrawFn) -> str:
    """Rules with long lists, great intervals and counts: what is slow if anything is."""
    freq = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY"]))
    ranges = {"BYMONTH": (1, 12), "BYMONTHDAY": (-31, 31), "BYHOUR": (0, 23), "BYSETPOS": (-366, 366)}
    ranges |= {"BYYEARDAY": (-366, 366), "BYWEEKNO": (-51, 53)} if freq == "YEARLY" else {}
    parts = [f"FREQ={freq}"]
    for name, (least, greatest) in ranges.items():
        if draw(st.booleans()) and (name, freq) != ("BYMONTHDAY", "WEEKLY"):
            sizes = st.sampled_from([1, 2, 12, 24, 53])
            numbers = st.integers(least, greatest).filter(lambda number: number != 0)
            parts.append(f"{name}=" + ",".join(map(str, draw(st.lists(numbers, min_size=1, max_size=draw(sizes))))))
    if draw(st.booleans()):
        parts.append("BYDAY=" + ",".join(draw(st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=7))))
    parts.append(f"INTERVAL={draw(st.integers(1, 999))}")
    if draw(st.booleans()):
        parts.append(f"COUNT={draw(st.integers(1, 1_000))}")
    return ";".join(parts)


def milliseconds(rule: str, start: datetime.datetime) -> tuple[float, float]:
    """CPU time to decide, and to find what a window of a day holds forty years later: nothing cached, the better of two."""
    decided, found = [], []
    for _ in range(2):
        for cache in (recurrence_text.parse, recurrence.days_of_year, recurrence._counted_end, recurrence._occurs_again):
            cache.cache_clear()
        began = time.thread_time()
        try:
            recurrence.check(rule, start)
            is_accepted = True
        except ValueError:
            is_accepted = False
        decided.append(time.thread_time() - began)
        if is_accepted:
            recurrence.days_of_year.cache_clear()
            began = time.thread_time()
            after = start + 40 * 366 * DAY
            of = reminder(start.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(), repeat=rule)
            list(reminders.explicit(of, reminders.Settings(), after=after, until=after + DAY))
            found.append(time.thread_time() - began)
    return min(decided) * 1_000, min(found, default=0) * 1_000


MOST_MILLISECONDS = 200
"""No measurement: what has no bound takes minutes. A quiet machine needs a twentieth."""


@given(wide_rules() | GARBAGE | rule_parts().map(text), STARTS)
def test_any_text_is_decided_and_any_rule_evaluated_in_bounded_time(rule: str, start: datetime.datetime) -> None:
    decided, found = milliseconds(rule, start.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")))
    assert decided < MOST_MILLISECONDS
    assert found < MOST_MILLISECONDS / 10


ALL_DAYS, ALL_HOURS = ",".join(map(str, range(1, 32))), ",".join(map(str, range(24)))


@pytest.mark.parametrize(
    "rule",
    [  # none of them occurs again, but for the last two
        f"FREQ=MONTHLY;INTERVAL=12;BYMONTH=2,3,4,5,6,7,8,9,10,11,12;BYMONTHDAY={ALL_DAYS}",
        f"FREQ=YEARLY;BYSETPOS=366;BYMONTHDAY={ALL_DAYS};BYDAY=MO,TU,WE,TH,FR,SA",
        f"FREQ=YEARLY;BYSETPOS=-366;BYDAY=MO,TU,WE,TH,FR,SA;BYWEEKNO={','.join(map(str, range(1, 54)))}",
        f"FREQ=DAILY;INTERVAL=7;BYDAY=SU,MO,TU,WE,TH,FR;BYMONTHDAY={ALL_DAYS}",
        "FREQ=YEARLY;INTERVAL=4;BYYEARDAY=-366",
        f"FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;INTERVAL=999;COUNT=1000;BYHOUR={ALL_HOURS}",
        "FREQ=DAILY;INTERVAL=35;COUNT=1000;BYHOUR=8",
    ],
)
def test_what_is_slowest_is_fast_enough(rule: str) -> None:
    start = local("2026-01-31T09:00").replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    assert min(milliseconds(rule, start)[0] for _ in range(5)) < MOST_MILLISECONDS
