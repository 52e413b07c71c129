"""Which backups are kept."""

import datetime
from datetime import UTC, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain import rotation

MONDAY = datetime.datetime(2026, 11, 23, 3, 30, tzinfo=UTC)
MOMENTS = st.lists(st.integers(0, 365 * 24 * 60).map(lambda minutes: MONDAY + timedelta(minutes=minutes)), max_size=60)


def test_of_a_year_of_nights_a_week_of_days_and_four_weeks_are_kept() -> None:
    nights = [MONDAY - timedelta(days=day) for day in range(365)]
    last_days = {MONDAY - timedelta(days=day) for day in range(7)}
    sundays = {MONDAY - timedelta(days=day) for day in (1, 8, 15)}
    assert rotation.kept(nights) == last_days | sundays


def test_of_a_day_the_newest_is_kept() -> None:
    assert rotation.kept([MONDAY, MONDAY + timedelta(hours=9)]) == {MONDAY + timedelta(hours=9)}


def test_after_a_pause_the_last_ones_before_it_are_still_there() -> None:
    long_ago = [MONDAY - timedelta(days=200 + day) for day in range(3)]
    assert rotation.kept([MONDAY, *long_ago]) == {MONDAY, *long_ago}


@given(MOMENTS)
def test_rotating_night_by_night_keeps_the_newest_and_never_more_than_eleven(moments: list[datetime.datetime]) -> None:
    there: set[datetime.datetime] = set()
    for moment in sorted(moments):
        there = rotation.kept(there | {moment})
        assert moment in there
        assert len(there) <= rotation.DAYS + rotation.WEEKS
        assert rotation.kept(there) == there
