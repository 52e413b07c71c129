"""Asks what balances cost: of the ledgers that changed, whatever lies behind them, and all of them anew."""

import sys
from typing import Final, NamedTuple

import psycopg

from bench import apart, filling, harness
from bench.filling import Size
from storage import balances, urls


class Plan(NamedTuple):
    """How much is measured; `few` and `many` are the postings that lie behind the ledgers that change."""

    ledgers: int
    changed: int
    few: int
    rebuilt: int
    many: int


LONG = Plan(ledgers=100_000, changed=10_000, few=1_000_000, rebuilt=5_000_000, many=10_000_000)
SHORT = Plan(ledgers=20_000, changed=2_000, few=200_000, rebuilt=500_000, many=1_000_000)
ROUNDS: Final = 3
DATABASE_SECONDS_GOAL, GROWTH_GOAL, REBUILD_GOAL, PEAK_MB_GOAL = 1.0, 1.2, 2.0, 1024.0


def materialise(url: str) -> int:
    """What a run does; the ledgers that it covered."""
    return balances.materialise(harness.as_jobs(url)).ledgers


# --- of the ledgers that changed -------------------------------------------------------------------------------------


class Changed(NamedTuple):
    """Rounds: seconds that Postgres was at work, seconds in all, and the bare sum's seconds of the same tails; MB at most."""

    database: list[float]
    whole: list[float]
    bare: list[float]
    peak_mb: list[float]


def changed(plan: Plan, postings: int) -> Changed:
    """A posting in each of `plan.changed` ledgers, other ones each round, on top of `postings` that are covered."""
    found = Changed([], [], [], [])
    with harness.database() as url, psycopg.connect(urls.libpq_url(url), autocommit=True) as connection:
        filling.fill(url, Size(plan.ledgers, (postings,)))
        assert materialise(url) == plan.ledgers
        for turn in range(ROUNDS + 1):
            connection.execute(_CHANGE, {"changed": plan.changed, "offset": turn * plan.changed})
            filling.settle(connection)
            bare = harness.seconds(lambda: connection.execute(_BARE_TAIL))
            before = harness.database_seconds(connection)
            done = apart.run(materialise, url)
            assert done.result == plan.changed
            if turn:  # the first warms up what a server that has run for a while has warm
                found.database.append(harness.database_seconds(connection) - before)
                found.whole.append(done.seconds)
                found.bare.append(bare)
                found.peak_mb.append(done.peak_mb)
        assert connection.execute(_WRONG).fetchone() == (0,)
    return found


_CHANGE: Final = """
    with touched as (
        update debitum.ledgers set version = version + 1, dirty = true
        where id in (select id from debitum.ledgers order by owner_id offset %(offset)s limit %(changed)s)
        returning id, version
    )
    insert into debitum.postings (ledger_id, seq, line, contact_id, transaction_id, currency, amount, effective_date, recorded_at)
    select id, version, 0, md5(id::text)::uuid, gen_random_uuid(), 'EUR', 100, current_date, now() from touched
"""
_BARE_TAIL: Final = """
    select postings.ledger_id, contact_id, currency, sum(amount)
    from debitum.ledgers
    join debitum.projection_marks mark on mark.ledger_id = ledgers.id
    join debitum.postings on postings.ledger_id = ledgers.id and postings.seq > mark.covered_seq
    where ledgers.dirty
    group by postings.ledger_id, contact_id, currency
"""
_WRONG: Final = """
    select count(*) from debitum.balances
    full join (
        select ledger_id, contact_id, currency, sum(amount) as posted from debitum.postings group by 1, 2, 3
        having sum(amount) <> 0
    ) sums using (ledger_id, contact_id, currency)
    where amount is distinct from posted
"""


# --- all of them -----------------------------------------------------------------------------------------------------


class Rebuilt(NamedTuple):
    """Rounds, in seconds; `ratio` of each round's to the bare sum in it."""

    whole: list[float]
    bare: list[float]
    bare_insert: list[float]
    ratio: list[float]
    peak_mb: list[float]


def rebuilt(plan: Plan) -> Rebuilt:
    """Balances are forgotten and made anew, beside one statement that sums, and one that inserts what it sums, key and all."""
    found = Rebuilt([], [], [], [], [])
    with harness.database() as url, psycopg.connect(urls.libpq_url(url), autocommit=True) as connection:
        filling.fill(url, Size(plan.ledgers, (plan.rebuilt,)))
        for _ in range(ROUNDS):
            connection.execute("truncate debitum.balances, debitum.projection_marks")
            connection.execute("update debitum.ledgers set dirty = true where not dirty")
            filling.settle(connection)
            bare = harness.seconds(lambda: connection.execute(f"select count(*) from ({_BARE_SUM}) summed"))
            connection.execute("create table summed (like debitum.balances including all)")
            insert = harness.seconds(lambda: connection.execute(f"insert into summed {_BARE_SUM}"))
            connection.execute("drop table summed")
            done = apart.run(materialise, url)
            assert done.result == plan.ledgers
            found.whole.append(done.seconds)
            found.bare.append(bare)
            found.bare_insert.append(insert)
            found.ratio.append(done.seconds / bare)
            found.peak_mb.append(done.peak_mb)
        assert connection.execute(_WRONG).fetchone() == (0,)
    return found


_BARE_SUM: Final = """
    select ledger_id, contact_id, currency, sum(amount)::bigint as amount from debitum.postings group by 1, 2, 3
    having sum(amount) <> 0
"""


# --- the report ------------------------------------------------------------------------------------------------------


def _rows(plan: Plan, few: Changed, many: Changed, anew: Rebuilt) -> list[harness.Row]:
    name, whole = f"materialise_{short(plan.changed)}", f"rebuild_{short(plan.rebuilt)}"
    growth = [after / before for before, after in zip(few.database, many.database, strict=True)]
    row, rows = harness.row, []
    for found, behind in ((few, plan.few), (many, plan.many)):
        of = name if found is many else f"{name}_of_{short(behind)}"
        rows += [
            row(of, found.database, "s of the database", goal=DATABASE_SECONDS_GOAL),
            row(f"{of}_whole", found.whole, "s"),
            row(f"{of}_bare_sum", found.bare, "s"),
        ]
    return [
        *rows,
        row(f"{name}_growth", growth, "times", goal=GROWTH_GOAL),
        row(f"{name}_peak", many.peak_mb, "MB", goal=PEAK_MB_GOAL),
        row(whole, anew.ratio, "of the bare sum", goal=REBUILD_GOAL),
        row(f"{whole}_seconds", anew.whole, "s"),
        row(f"{whole}_bare_sum", anew.bare, "s"),
        row(f"{whole}_bare_insert", anew.bare_insert, "s"),
        row(f"{whole}_peak", anew.peak_mb, "MB", goal=PEAK_MB_GOAL),
    ]


def short(count: int) -> str:
    """As rows are named: 10k, 5m."""
    return f"{count // 1_000_000}m" if count >= 1_000_000 else f"{count // 1_000}k"


def main() -> None:
    """Run it; with --long in the sizes of the goals, else a fifth of them."""
    is_long = "--long" in sys.argv[1:]
    plan = LONG if is_long else SHORT
    few, many, anew = changed(plan, plan.few), changed(plan, plan.many), rebuilt(plan)
    name = "materialise_long" if is_long else "materialise"
    harness.report(name, _rows(plan, few, many, anew), plan=plan._asdict(), rounds=ROUNDS)


if __name__ == "__main__":
    main()
