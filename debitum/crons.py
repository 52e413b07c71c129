"""Cron expressions of five fields, judged as Dagster judges them, which is too large for a supervisor to load."""

import re
from typing import Final, NamedTuple

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
DAYS_OF_MONTHS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days, in a leap year."""


class Field(NamedTuple):
    """What may stand in one place: numbers from `least` to `most`, or `names` of the first of them."""

    what: str
    least: int
    most: int
    names: tuple[str, ...] = ()


FIELDS: Final = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of the month", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("day of the week", 0, 7, WEEKDAYS),
)


def parse(value: str) -> str:
    """`value`, if it is an expression that some time matches. Raises ValueError, which says what is wrong with it."""
    given = value.split()
    if len(given) != len(FIELDS):
        raise ValueError(f"{value!r} is not a cron expression of five fields, like '*/5 * * * *'")
    for text, field in zip(given, FIELDS, strict=True):
        if not all(_is_item(item, field) for item in text.lower().split(",")):
            raise ValueError(f"{value!r}: {text!r} is no {field.what}, from {field.least} to {field.most}")
    _, _, days, months, _ = given
    if re.fullmatch("[0-9]+", days) and int(days) > max(map(_longest, months.lower().split(","))):
        raise ValueError(f"{value!r}: no such month has a day {days}")
    return value


def _is_item(item: str, field: Field) -> bool:
    """`*`, a value or a range, each with a step or without."""
    whole = re.fullmatch(r"(?:\*|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:/0*[1-9][0-9]{0,2})?", item)
    return whole is not None and all(part is None or _number(part, field) is not None for part in whole.groups())


def _number(text: str, field: Field) -> int | None:
    """The number that `text` is or names; None: it is none of the field's."""
    if text in field.names:
        return field.least + field.names.index(text)
    if not re.fullmatch("[0-9]{1,9}", text) or not field.least <= int(text) <= field.most:
        return None
    return int(text)


def _longest(month: str) -> int:
    """Days of the month that an item is; of a range or a `*`, those of the longest month."""
    number = _number(month, FIELDS[3])
    return max(DAYS_OF_MONTHS) if number is None else DAYS_OF_MONTHS[number - 1]
