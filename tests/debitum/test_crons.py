"""Cron expressions: what is taken Dagster takes, and what people write is taken."""

import random

import pytest
from dagster._utils.schedules import is_valid_cron_schedule

from debitum import crons

WRITTEN = """\
*/5 * * * *
0 * * * *
0,30 6-22 * * *
5 4 * * sun
0 22 * * 1-5
0 0 1,15 * *
0 0 29 2 *
0 0 30 2,4 *
59 23 31 12 7
0 0 1 JAN,Jul *
*/15 8-18/2 * mar-oct MON-FRI
1/5 * * * *
00 07 * * *
"""
WRONG = """\

99 * * * *
*/0 * * * *
0 25 * * *
mon * * * *
0 0 30 2 *
0 0 31 Feb *
0 0 31 4 *
0 0 0 * *
0 0 * 0 *
0 0 * * 8
0 0 * * sunday
1,,2 * * * *
-5 * * * *
*/5/2 * * * *
* * * *
* * * * * *
@daily
"""


@pytest.mark.parametrize("value", WRITTEN.splitlines())
def test_what_people_write_is_taken(value: str) -> None:
    assert crons.parse(value) == value
    assert is_valid_cron_schedule(value)


@pytest.mark.parametrize("value", WRONG.splitlines())
def test_what_names_no_time_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"is not a cron expression|is no |has a day"):
        crons.parse(value)


def test_whatever_is_taken_dagster_takes_too() -> None:
    dice, taken = random.Random(7), 0

    def part(field: crons.Field) -> str:
        value = dice.choice([*field.names, *map(str, range(field.most + 3)), "x", "00", "007"])
        other = dice.choice([*field.names, *map(str, range(field.most + 3))])
        return dice.choice(["*", "*", "*", value, f"{value}-{other}"]) + dice.choice(["", "", "", "/0", "/2", "/61", f",{other}"])

    for _ in range(3_000):
        value = " ".join(part(field) for field in crons.FIELDS)
        try:
            crons.parse(value)
        except ValueError:
            continue
        taken += 1
        assert is_valid_cron_schedule(value), value
    assert taken > 300
