"""UTC days, by which what was known is counted."""

import datetime


def between(first: datetime.date, end: datetime.date) -> list[datetime.date]:
    """The days from `first` to the one before `end`."""
    return [first + datetime.timedelta(days=number) for number in range((end - first).days)]


def midnight(day: datetime.date) -> datetime.datetime:
    """When the UTC day begins."""
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC)


def end(day: datetime.date) -> datetime.datetime:
    """When the UTC day is over: what was known at its end was recorded before."""
    return midnight(day + datetime.timedelta(days=1))
