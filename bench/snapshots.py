"""Asks what a day's snapshot costs: beside DuckDB's own work on the same rows, in memory, and as the history behind it grows."""

import datetime
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

import psycopg

from bench import apart, filling, harness
from bench.filling import Size
from bench.materialise import short
from storage import days, urls
from storage.snapshots import audit, files, writing
from storage.snapshots.places import Root
from storage.snapshots.schema import Growth, Table
from storage.snapshots.tables import BALANCES, POSTINGS
from storage.snapshots.transactions import TRANSACTIONS


class Plan(NamedTuple):
    """How much is measured: postings on one day, on that first day where there is little history, on the two days after it."""

    ledgers: int
    first: int
    few: int
    day: int
    small: int
    rounds: int
    tables: tuple[Table, ...]


LONG = Plan(
    100_000, first=5_000_000, few=1_000_000, day=1_000_000, small=20_000, rounds=3, tables=(TRANSACTIONS, BALANCES, POSTINGS)
)
"""The state of every debt, the one that sums up, and the day's rows alone."""
SHORT = Plan(2_000, first=100_000, few=20_000, day=20_000, small=500, rounds=3, tables=(BALANCES,))
"""The one that has a goal; it has the state of every debt written first."""
BARE_GOAL, PEAK_MB_GOAL, GROWTH_GOAL = 2.5, 350.0, 1.2
"""Of `balances`, which sums up; the tables beside it have only MOST_PEAK_MB."""
MOST_PEAK_MB: Final = 1024.0


class Written(NamedTuple):
    """What a process wrote: rows that came from Postgres, and whether the file was built upon that of the day before."""

    taken: int
    is_built_upon: bool


def write(url: str, root: str, table: Table, day: datetime.date) -> Written:
    """The day's file, as a run does it."""
    done = writing.write(harness.as_jobs(url), Root(Path(root)), table, day)
    return Written(done.added, done.base is not None)


# --- beside DuckDB ---------------------------------------------------------------------------------------------------


def transfer(url: str, table: Table, day: datetime.date) -> int:
    """The same rows out of Postgres, and nowhere to; how many bytes."""
    start = days.midnight(day) if table.growth is Growth.NONE else None
    with psycopg.connect(urls.libpq_url(url)) as connection, connection.cursor() as cursor:
        bound = {"start": start, "end": days.end(day)}
        with cursor.copy(f"copy ({table.day_rows}) to stdout with (format csv)", bound) as copied:
            return sum(len(data) for data in copied)


def read(path: str, table: Table) -> int:
    """The same postings from Parquet, summed up by account where the table does that, else each column looked at."""
    rows = "read_parquet($path, hive_partitioning = false)"
    summed = "select count(*) from (select ledger_id, contact_id, currency, sum(amount), count(*) from {} group by all)"
    looked_at = "select sum(hash(columns(*))::hugeint) from {}"
    with tempfile.TemporaryDirectory() as spill, files.builder(Root(Path(spill)), Path(spill)) as duck:
        duck.execute((summed if table is BALANCES else looked_at).format(rows), {"path": path})
        return len(duck.fetchall())


# --- rounds ----------------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """Rounds of one table: seconds and MB at most of its first day; the bare work on the same; and of the days after it."""

    whole: list[float]
    bare: list[float]
    ratio: list[float]
    peak_mb: list[float]
    day: list[float]
    day_peak_mb: list[float]
    taken: list[float]
    small: list[float]


def measure(plan: Plan, first: int) -> dict[str, Found]:
    """By table: a first day of so many postings, and the days after it with `plan.day` and `plan.small`, built upon it."""
    found = {table.name: Found(*([] for _ in Found._fields)) for table in plan.tables}
    size = Size(plan.ledgers, (first, plan.day, plan.small))
    with harness.database() as url, tempfile.TemporaryDirectory(prefix="debitum-bench-") as root:
        filling.fill(url, size, facts=True)
        for table in plan.tables:
            _write_beside(url, root, table, size)
        for _ in range(plan.rounds):
            for table in plan.tables:
                _round(found[table.name], url, root, table, size)
        with harness.as_jobs(url)() as connection:
            for number in range(len(size.day_postings)):
                assert audit.differences(connection, Root(Path(root)), size.day(number)) == []
    return found


def _write_beside(url: str, root: str, table: Table, size: Size) -> None:
    """What a table reads of another's files is there before it is measured."""
    if table.beside is not None:
        for number in range(len(size.day_postings)):
            write(url, root, table.beside, size.day(number))


def _round(found: Found, url: str, root: str, table: Table, size: Size) -> None:
    day, after = size.day(0), size.day(1)
    done = apart.run(write, url, root, table, day)
    assert not done.result.is_built_upon
    found.whole.append(done.seconds)
    found.peak_mb.append(done.peak_mb)
    compared = TRANSACTIONS if table is TRANSACTIONS else POSTINGS
    same = files.path_of(Root(Path(root)), compared, day)
    if not same.exists():
        write(url, root, compared, day)
    bare = harness.seconds(lambda: transfer(url, table, day)) + harness.seconds(lambda: read(str(same), table))
    found.bare.append(bare)
    found.ratio.append(done.seconds / bare)
    done = apart.run(write, url, root, table, after)
    assert done.result.is_built_upon == (table.growth is not Growth.NONE)
    found.day.append(done.seconds)
    found.day_peak_mb.append(done.peak_mb)
    found.taken.append(done.result.taken)
    found.small.append(apart.run(write, url, root, table, size.day(2)).seconds)


# --- the report ------------------------------------------------------------------------------------------------------


def _rows(plan: Plan, people: dict[str, Found], few: dict[str, Found], many: dict[str, Found]) -> list[harness.Row]:
    rows: list[harness.Row] = []
    for table in plan.tables:
        of = "" if table is BALANCES else f"_{table.name}"
        rows += _of_table(plan, of, few[table.name], many[table.name])
        rows += _of_small(plan, of, people[table.name], few[table.name], many[table.name])
    return rows


def _of_small(plan: Plan, of: str, people: Found, few: Found, many: Found) -> list[harness.Row]:
    """Of a day that concerns few: what a longer past of the same people adds, and what the past of others does."""
    name, steady = f"snapshot{of}_day_of_{short(plan.small)}", {} if of else {"goal": GROWTH_GOAL}
    return [
        harness.row(f"{name}_on_{short(plan.first)}", many.small, "s"),
        harness.row(f"{name}_growth_by_past", _times(many.small, few.small), "times", "less", **steady),
        harness.row(f"{name}_growth_by_people", _times(many.small, people.small), "times", "less"),
    ]


def _times(after: list[float], before: list[float]) -> list[float]:
    return [one / other for one, other in zip(after, before, strict=True)]


def _of_table(plan: Plan, of: str, few: Found, many: Found) -> list[harness.Row]:
    name, day, row = f"snapshot{of}_{short(plan.first)}", f"snapshot{of}_day_of_{short(plan.day)}", harness.row
    bare: dict[str, float] = {} if of else {"goal": BARE_GOAL}
    steady: dict[str, float] = {} if of else {"goal": GROWTH_GOAL}
    peak = MOST_PEAK_MB if of else PEAK_MB_GOAL
    return [
        row(name, many.ratio, "of the bare work", "less", **bare),
        row(f"{name}_seconds", many.whole, "s"),
        row(f"{name}_bare", many.bare, "s"),
        row(f"{name}_peak", many.peak_mb, "MB", goal=peak),
        row(f"{day}_on_{short(plan.few)}", few.day, "s"),
        row(f"{day}_on_{short(plan.first)}", many.day, "s"),
        row(f"{day}_growth", _times(many.day, few.day), "times", "less", **steady),
        row(f"{day}_on_{short(plan.few)}_taken", few.taken, "rows"),
        row(f"{day}_on_{short(plan.first)}_taken", many.taken, "rows"),
        row(f"{day}_peak", many.day_peak_mb, "MB", goal=peak),
    ]


def main() -> None:
    """Run it; with --long in the sizes of the goals, else a tenth of them."""
    is_long = "--long" in sys.argv[1:]
    plan = LONG if is_long else SHORT
    part = plan.few / plan.first
    fewer = plan._replace(ledgers=int(plan.ledgers * part), day=int(plan.day * part))
    people, few, many = measure(fewer, plan.few), measure(plan, plan.few), measure(plan, plan.first)
    rows = _rows(plan, people, few, many)
    harness.report(
        "snapshots_long" if is_long else "snapshots",
        rows,
        plan=plan._asdict() | {"tables": [table.name for table in plan.tables]},
    )


if __name__ == "__main__":
    main()
