"""Which backups are kept: of each of the last days and weeks that have one, the newest."""

import datetime
from collections.abc import Callable, Hashable, Iterable
from typing import Final

DAYS: Final = 7
WEEKS: Final = 4
"""The running week and three before it. As long as backups are made, they hold whoever was erased no longer than that."""


def kept(moments: Iterable[datetime.datetime]) -> set[datetime.datetime]:
    """Of backups that were made at these moments (UTC), those to keep.

    The newest of each of the last DAYS days that have one, and of each of the last WEEKS weeks, Monday to Sunday. The newest of
    all is among them.
    """
    newest_first = sorted(moments, reverse=True)
    return {*_newest_of_each(newest_first, lambda at: at.date(), DAYS), *_newest_of_each(newest_first, _week, WEEKS)}


def _week(moment: datetime.datetime) -> tuple[int, int]:
    year, week, _ = moment.isocalendar()
    return year, week


def _newest_of_each(
    newest_first: list[datetime.datetime], period: Callable[[datetime.datetime], Hashable], most: int
) -> list[datetime.datetime]:
    found: dict[Hashable, datetime.datetime] = {}
    for moment in newest_first:
        found.setdefault(period(moment), moment)
    return list(found.values())[:most]
