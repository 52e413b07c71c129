"""Repeat rules: RFC 5545's RRULE in local wall-clock time, read strictly and evaluated in bounded time.

dateutil's rrule is asked for the days of one year, never of more: by itself it looks for the next occurrence up to the year
9999, which takes seconds where there is none. Whole rules follow from years by arithmetic: INTERVAL picks periods, BYSETPOS
days within them; DTSTART, COUNT and UNTIL cut. Years that begin on the same weekday and have the same lengths have the same
days, so that there are only 28 years to ask dateutil about.

DTSTART is the first instance whether or not the rule names it, and counts for COUNT (RFC 5545, 3.8.5.3).
"""

import bisect
import calendar
import datetime
import functools
import itertools
import operator
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from dateutil import rrule

from domain.recurrence_text import DAILY, MONTHLY, WEEKLY, YEARLY, Rule, parse

HORIZON_YEARS: Final = 100
"""How far ahead an occurrence is looked for. What does not occur again within it is taken never to."""
_HORIZON_DAYS: Final = HORIZON_YEARS * 366
_CACHED_YEARS: Final = 4_096
_ENDS_EACH_SEARCH: Final = 10_000
"""An INTERVAL longer than the calendar, so that rrule stops after one year."""

Span = tuple[int, int]
"""The first and the last day, as proleptic Gregorian ordinals."""


class Days(msgspec.Struct, frozen=True):
    """The parts of a rule that choose days of a year."""

    by_month: tuple[int, ...]
    by_week_no: tuple[int, ...]
    by_year_day: tuple[int, ...]
    by_month_day: tuple[int, ...]
    by_day: tuple[tuple[int, int], ...]
    week_start: int


def check(text: str, start: datetime.datetime) -> None:
    """Whether `text` may be the rule of what first happens at `start` (aware, local). Raises ValueError with the reason."""
    rule = parse(text)
    local = start.replace(tzinfo=None)
    if rule.until is not None and rule.until < (start if rule.until.tzinfo else local):
        raise ValueError("UNTIL lies before remind_at")
    if not _occurs_again(rule, local):
        raise ValueError(f"does not occur again within {HORIZON_YEARS} years of remind_at")
    if rule.count is not None and _counted_end(rule, local) is None:
        raise ValueError(f"COUNT ends more than {HORIZON_YEARS} years after remind_at")


@functools.lru_cache(1_024)
def _occurs_again(rule: Rule, start: datetime.datetime) -> bool:
    return next(_endless(rule, start, _from(start)), None) is not None


def read(text: str) -> Rule | None:
    """The rule of a stored text; None where it cannot be read: it then never repeats, and stops nobody else's reminders."""
    try:
        return parse(text)
    except ValueError:
        return None


def times(rule: Rule, start: datetime.datetime, days: Span) -> Iterator[datetime.datetime]:
    """The local times (naive) on `days` when what begins at `start` (naive, local) happens again, ascending; without `start`.

    A local UNTIL counts here; one in UTC is the caller's, who knows the zone. Each takes its microseconds from `start`.
    """
    end = _counted_end(rule, start) if rule.count is not None else None
    until = rule.until if rule.until is not None and rule.until.tzinfo is None else None
    for at in _endless(rule, start, days):
        if (end is not None and at > end) or (until is not None and at > until):
            return
        yield at


@functools.lru_cache(1_024)
def _counted_end(rule: Rule, start: datetime.datetime) -> datetime.datetime | None:
    """When COUNT is used up; None: not before the horizon."""
    assert rule.count is not None
    return next(itertools.islice(itertools.chain([start], _endless(rule, start, _from(start))), rule.count - 1, None), None)


def _from(start: datetime.datetime) -> Span:
    return start.toordinal(), start.toordinal() + _HORIZON_DAYS


def _endless(rule: Rule, start: datetime.datetime, days: Span) -> Iterator[datetime.datetime]:
    """`times` without COUNT and UNTIL."""
    first, last = max(days[0], start.toordinal()), min(days[1], datetime.date.max.toordinal())
    clocks = _clocks(rule, start)
    for day, clock in _positioned(rule, start, (first, last), clocks):
        if first <= day <= last:
            at = datetime.datetime.combine(datetime.date.fromordinal(day), clock)
            if at > start:
                yield at


def _clocks(rule: Rule, start: datetime.datetime) -> list[datetime.time]:
    hours, minutes, seconds = rule.by_hour or (start.hour,), rule.by_minute or (start.minute,), rule.by_second or (start.second,)
    found = itertools.product(sorted(hours), sorted(minutes), sorted(seconds))
    return [datetime.time(hour, minute, second, start.microsecond) for hour, minute, second in found]


def _positioned(
    rule: Rule, start: datetime.datetime, days: Span, clocks: list[datetime.time]
) -> Iterator[tuple[int, datetime.time]]:
    if not rule.by_set_pos:
        yield from ((day, clock) for _, day in _chosen(rule, start, days) for clock in clocks)
        return
    # Positions are counted from the ends of a period, so that the first and the last one must be whole.
    margin = {YEARLY: 366, MONTHLY: 31, WEEKLY: 7, DAILY: 0}[rule.freq]
    whole = (max(days[0] - margin, 1), min(days[1] + margin, datetime.date.max.toordinal()))
    for _, period in itertools.groupby(_chosen(rule, start, whole), key=operator.itemgetter(0)):
        found = [day for _, day in period]
        size = len(found) * len(clocks)
        places = {place - 1 if place > 0 else size + place for place in rule.by_set_pos}
        for place in sorted(place for place in places if 0 <= place < size):
            yield found[place // len(clocks)], clocks[place % len(clocks)]


def _chosen(rule: Rule, start: datetime.datetime, days: Span) -> Iterator[tuple[int, int]]:
    """The days that the rule's parts name and INTERVAL lets through, behind the number of their period."""
    first, last = days
    if first > last:
        return
    parts, interval = _completed(rule, start), rule.interval
    [(begin, _)] = _numbered(rule, start.year, [start.timetuple().tm_yday - 1])
    for year in range(datetime.date.fromordinal(first).year, datetime.date.fromordinal(last).year + 1):
        (least, _), (greatest, _) = _numbered(rule, year, [0, 364])
        if (begin - least) % interval > greatest - least + 1:
            continue  # INTERVAL passes over all periods of this year
        new_year, named = datetime.date(year, 1, 1).toordinal(), days_of_year(parts, _MODELS[_kind(year)])
        inside = named[bisect.bisect_left(named, first - new_year) : bisect.bisect_right(named, last - new_year)]
        numbered = _numbered(rule, year, inside)
        # Lists and not generators: a rule that never occurs goes through all days of a hundred years here.
        yield from numbered if interval == 1 else [pair for pair in numbered if (pair[0] - begin) % interval == 0]


def _numbered(rule: Rule, year: int, days: Sequence[int]) -> list[tuple[int, int]]:
    """`days` of `year` (0 is the 1st of January) as ordinals, behind the number of their day, week, month or year."""
    new_year = datetime.date(year, 1, 1).toordinal()
    if rule.freq == DAILY:
        return [(new_year + day, new_year + day) for day in days]
    if rule.freq == WEEKLY:
        into_week = new_year - 1 - rule.week_start  # the first ordinal is a Monday
        return [((into_week + day) // 7, new_year + day) for day in days]
    if rule.freq == MONTHLY:
        months = _MONTHS[calendar.isleap(year)]
        return [(12 * year + months[day], new_year + day) for day in days]
    return [(year, new_year + day) for day in days]


_MONTHS: Final = [[month for month in range(12) for _ in range(calendar.monthrange(year, month + 1)[1])] for year in (2001, 2004)]
"""The month of every day of a year, and of a leap year."""


def _completed(rule: Rule, start: datetime.date) -> Days:
    """What the rule leaves open is as in DTSTART."""
    month, month_day, day = rule.by_month, rule.by_month_day, rule.by_day
    chosen = bool(day or month_day or rule.by_year_day)
    if rule.freq == MONTHLY and any(place for place, _ in day):
        month = month or tuple(range(1, 13))  # 2MO is the second Monday of a month, and without months of the year
    if rule.freq in (YEARLY, MONTHLY) and not chosen and not rule.by_week_no:
        month_day = (start.day,)
        month = month or ((start.month,) if rule.freq == YEARLY else ())
    elif not chosen and (rule.freq == WEEKLY or rule.by_week_no):
        day = ((0, start.weekday()),)
    return Days(month, rule.by_week_no, rule.by_year_day, month_day, day, rule.week_start)


def _kind(year: int) -> tuple[int, bool, bool, bool]:
    """Years of one kind have the same days; the years beside it share its first and its last week."""
    leap = [calendar.isleap(each) for each in (year - 1, year, year + 1)]
    return (datetime.date(year, 1, 1).weekday(), leap[0], leap[1], leap[2])


_MODELS: Final = {_kind(year): year for year in range(2000, 2400)}
"""A year of every kind: the calendar repeats itself after 400 of them."""


_WEEKDAYS: Final = tuple(rrule.weekday(number) for number in range(7))


@functools.lru_cache(_CACHED_YEARS)
def days_of_year(parts: Days, year: int) -> tuple[int, ...]:
    """The days of `year` that `parts` name, 0 being the 1st of January."""
    new_year = datetime.datetime(year, 1, 1)  # noqa: DTZ001  # local
    every = tuple(rrule.weekday(weekday) for place, weekday in parts.by_day if place == 0)
    placed = tuple(rrule.weekday(weekday, place) for place, weekday in parts.by_day if place != 0)
    if not (every or placed or parts.by_year_day or parts.by_month_day):
        every = _WEEKDAYS  # nothing chosen is every day, where rrule would take its DTSTART's
    # BYDAY=MO,2TU are Mondays and second Tuesdays; rrule takes what is both, so they are asked for one by one.
    found = set[int]()
    choices: list[tuple[rrule.weekday, ...] | None] = [chosen for chosen in (every, placed) if chosen]
    for weekdays in choices or [None]:
        of_one_year = rrule.rrule(
            rrule.YEARLY,
            dtstart=new_year,
            interval=_ENDS_EACH_SEARCH,
            bymonth=parts.by_month or None,
            byyearday=parts.by_year_day or None,
            bymonthday=parts.by_month_day or None,
            byweekday=weekdays,
        )
        found.update(day.toordinal() - new_year.toordinal() for day in of_one_year)
    if parts.by_week_no:  # not rrule's: it takes week 52 for 53 where that ends in the next year, as in January 1994
        found.intersection_update(_days_of_weeks(parts, new_year.toordinal()))
    return tuple(sorted(found))


def _days_of_weeks(parts: Days, new_year: int) -> Iterator[int]:
    """The days of the weeks that are named, by their numbers from either end; week 1 has four days of its year or more."""
    first_week = new_year - (new_year - 1 - parts.week_start) % 7
    for start in range(first_week, new_year + 366, 7):
        middle = datetime.date.fromordinal(start + 3)
        year_day, last_day = middle.timetuple().tm_yday, 365 + calendar.isleap(middle.year)
        if (year_day - 1) // 7 + 1 in parts.by_week_no or -((last_day - year_day) // 7 + 1) in parts.by_week_no:
            yield from range(start - new_year, start - new_year + 7)


# --- what an index can know of a rule -------------------------------------------------------------------------------

_ANY_DAY: Final = 0
_DAY: Final = datetime.timedelta(days=1)


def marks_of(day: datetime.date) -> list[int]:
    """The marks of `day`: any day, its weekday (negative), its day of the month, and that with its month (MMDD)."""
    return [_ANY_DAY, -day.isoweekday(), day.day, 100 * day.month + day.day]


def marks(text: str, remind_at: datetime.datetime) -> list[int]:
    """Marks that cover every day on which the rule `text` may happen again, and perhaps others; none where it cannot be read.

    They follow from the calendar alone, since the rules of a time zone may change: in some zone `remind_at` (in UTC) is a day
    earlier or later.
    """
    rule = read(text)
    if rule is None:
        return []
    return sorted({mark for start in _starts(remind_at) for mark in _marks(_completed(rule, start))})


def last_day(text: str, remind_at: datetime.datetime) -> datetime.date | None:
    """The last day on which the rule has an occurrence in any time zone; None: it never ends."""
    rule = read(text)
    if rule is None:
        return remind_at.date()
    if rule.until is not None:
        in_utc = rule.until.tzinfo is not None
        return min(rule.until.date(), datetime.date.max - _DAY) + _DAY * in_utc
    if rule.count is None:
        return None
    # With DTSTART late in the day, the most of COUNT is left for later days.
    ends = [_counted_end(rule, datetime.datetime.combine(start, datetime.time.max)) for start in _starts(remind_at)]
    return None if None in ends else max(end.date() for end in ends if end is not None)


def _starts(remind_at: datetime.datetime) -> list[datetime.date]:
    day = min(max(remind_at.date(), datetime.date.min + _DAY), datetime.date.max - _DAY)
    return [day - _DAY, day, day + _DAY]


def _marks(parts: Days) -> Iterator[int]:
    if parts.by_month_day:
        for day in {day for each in parts.by_month_day for day in _in_some_month(each)}:
            yield from (100 * month + day for month in parts.by_month or (0,))
    elif parts.by_day:
        yield from (-1 - weekday for _, weekday in parts.by_day)
    else:
        yield _ANY_DAY


def _in_some_month(month_day: int) -> Iterator[int]:
    """The days of the month that it may be; the last, the last but one … depend on the month."""
    return iter([month_day] if month_day > 0 else range(max(29 + month_day, 1), 33 + month_day))
