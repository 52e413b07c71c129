"""The text of a repeat rule, read strictly: what RFC 5545 forbids, and what no reminder needs, is refused with the reason."""

import datetime
import functools
import re
from typing import Final

import msgspec
from dateutil import rrule

YEARLY, MONTHLY, WEEKLY, DAILY = rrule.YEARLY, rrule.MONTHLY, rrule.WEEKLY, rrule.DAILY
FREQUENCIES: Final = {"YEARLY": YEARLY, "MONTHLY": MONTHLY, "WEEKLY": WEEKLY, "DAILY": DAILY}
WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")

MAX_LENGTH: Final = 500
"""Characters: every list written out in full, and then some."""
MAX_LIST: Final = 53
"""Values of one part: a year of weeks. Longer lists would only make rules slow."""
MAX_INTERVAL: Final = 999
MAX_COUNT: Final = 1_000
MAX_TIMES_A_DAY: Final = 24

_PREFIX = "RRULE:"
_NUMBER = re.compile(r"[+-]?[0-9]{1,3}")
_DAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_UNTIL = re.compile(r"([0-9]{8})(?:T([0-9]{6})(Z?))?")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule's parts; lists are empty where they are left out, `by_day` holds (place or 0, weekday from 0 = Monday).

    `until` is inclusive: aware where it was given in UTC, else naive and local; a day means its end.
    """

    freq: int
    interval: int = 1
    count: int | None = None
    until: datetime.datetime | None = None
    week_start: int = 0
    by_month: tuple[int, ...] = ()
    by_week_no: tuple[int, ...] = ()
    by_year_day: tuple[int, ...] = ()
    by_month_day: tuple[int, ...] = ()
    by_day: tuple[tuple[int, int], ...] = ()
    by_hour: tuple[int, ...] = ()
    by_minute: tuple[int, ...] = ()
    by_second: tuple[int, ...] = ()
    by_set_pos: tuple[int, ...] = ()


_LISTS: Final = {
    "BYMONTH": ("by_month", 1, 12),
    "BYWEEKNO": ("by_week_no", -53, 53),
    "BYYEARDAY": ("by_year_day", -366, 366),
    "BYMONTHDAY": ("by_month_day", -31, 31),
    "BYHOUR": ("by_hour", 0, 23),
    "BYMINUTE": ("by_minute", 0, 59),
    "BYSECOND": ("by_second", 0, 59),
    "BYSETPOS": ("by_set_pos", -366, 366),
}
"""By part: the member, and its least and its greatest number; 0 only where the least is 0."""


@functools.lru_cache(1_024)
def parse(text: str) -> Rule:
    """The rule of `FREQ=…;…`, in either case, with or without `RRULE:` before it. Raises ValueError with the reason."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"longer than {MAX_LENGTH} characters")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("one line of RFC 5545's RRULE without spaces, as FREQ=MONTHLY;BYMONTHDAY=-1")
    members: dict[str, object] = {}
    for part in text.upper().removeprefix(_PREFIX).split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise ValueError(f"not a part of a rule: {part or 'nothing between two semicolons'}")
        member, found = _part(name, value)
        if member in members:
            raise ValueError(f"{name} stands there twice")
        members[member] = found
    if "freq" not in members:
        raise ValueError("a rule has a FREQ")
    rule = msgspec.convert(members, Rule)
    _check(rule)
    return rule


def _part(name: str, value: str) -> tuple[str, object]:
    """The member of Rule and its value."""
    if name in _LISTS:
        member, least, greatest = _LISTS[name]
        return member, tuple(sorted({_number(name, each, least, greatest) for each in _listed(name, value)}))
    match name:
        case "FREQ":
            if value not in FREQUENCIES:
                raise ValueError("FREQ is DAILY, WEEKLY, MONTHLY or YEARLY")
            return "freq", FREQUENCIES[value]
        case "INTERVAL":
            return "interval", _number(name, value, 1, MAX_INTERVAL)
        case "COUNT":
            return "count", MAX_COUNT if value == str(MAX_COUNT) else _number(name, value, 1, MAX_COUNT)
        case "UNTIL":
            return "until", _until(value)
        case "WKST":
            if value not in WEEKDAYS:
                raise ValueError("WKST is a day of the week, as MO")
            return "week_start", WEEKDAYS.index(value)
        case "BYDAY":
            return "by_day", tuple(sorted({_weekday(each) for each in _listed(name, value)}))
    raise ValueError(f"{name} is not a part of RFC 5545's RRULE; DTSTART is remind_at" if name else "a part without a name")


def _listed(name: str, value: str) -> list[str]:
    found = value.split(",")
    if len(found) > MAX_LIST:
        raise ValueError(f"{name} has more than {MAX_LIST} values")
    return found


def _number(name: str, value: str, least: int, greatest: int) -> int:
    number = int(value) if _NUMBER.fullmatch(value) else None
    if number is None or not least <= number <= greatest or (number == 0 and least != 0):
        raise ValueError(f"{name}={value} is not from {least} to {greatest}" + (" without 0" if least < 0 else ""))
    return number


def _weekday(value: str) -> tuple[int, int]:
    found = _DAY.fullmatch(value)
    place = int(found[1] or 0) if found else 0
    if found is None or abs(place) > 53 or (found[1] is not None and place == 0):
        raise ValueError(f"BYDAY={value} is not a day of the week, as MO, 2MO or -1FR")
    return place, WEEKDAYS.index(found[2])


def _until(value: str) -> datetime.datetime:
    found = _UNTIL.fullmatch(value)
    if found is None:
        raise ValueError("UNTIL is a day, a local time or a time in UTC, as 20271231, 20271231T090000 or 20271231T080000Z")
    try:
        # To the end of its second: times of reminders may have fractions of one, which rules cannot name.
        until = datetime.datetime.strptime(found[1] + (found[2] or "235959"), "%Y%m%d%H%M%S").replace(microsecond=999_999)  # noqa: DTZ007
    except ValueError as error:
        raise ValueError(f"UNTIL={value} is not in the calendar") from error
    return until.replace(tzinfo=datetime.UTC) if found[3] else until


def _check(rule: Rule) -> None:
    """What RFC 5545 (3.3.10) forbids together. Raises ValueError."""
    placed = any(place for place, _ in rule.by_day)
    by = (rule.by_month, rule.by_week_no, rule.by_year_day, rule.by_month_day, rule.by_day)
    forbidden = (
        (rule.count is not None and rule.until is not None, "COUNT and UNTIL exclude each other"),
        (rule.by_week_no and rule.freq != YEARLY, "BYWEEKNO is for YEARLY rules"),
        (rule.by_year_day and rule.freq != YEARLY, "BYYEARDAY is for YEARLY rules"),
        (rule.by_month_day and rule.freq == WEEKLY, "BYMONTHDAY is not for WEEKLY rules"),
        (placed and rule.freq not in (YEARLY, MONTHLY), "BYDAY has numbers in MONTHLY and YEARLY rules only"),
        (placed and rule.by_week_no, "BYDAY has no numbers beside BYWEEKNO"),
        (rule.by_set_pos and not any((*by, rule.by_hour, rule.by_minute, rule.by_second)), "BYSETPOS needs another BY part"),
        (all(abs(place) > _largest_set(rule) for place in rule.by_set_pos or (0,)), "BYSETPOS is beyond what a period can hold"),
        (_times_a_day(rule) > MAX_TIMES_A_DAY, f"more than {MAX_TIMES_A_DAY} times a day"),
    )
    for is_so, reason in forbidden:
        if is_so:
            raise ValueError(reason)


def _largest_set(rule: Rule) -> int:
    """The most that BYSETPOS can choose from: nothing takes longer than to look for a position that cannot be."""
    if rule.freq == MONTHLY:
        days = len(rule.by_month_day) or sum(1 if place else 5 for place, _ in rule.by_day) or 1
    else:
        days = {DAILY: 1, WEEKLY: max(len(rule.by_day), 1), YEARLY: 366}[rule.freq]
    return days * _times_a_day(rule)


def _times_a_day(rule: Rule) -> int:
    return max(len(rule.by_hour), 1) * max(len(rule.by_minute), 1) * max(len(rule.by_second), 1)
