"""Asks what a balance at a point of the past costs, in ledgers of 10,000 and 100,000 postings."""

import asyncio
import datetime
import random
import uuid

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench import harness
from storage import engine, reports, roles

SIZES = (10_000, 100_000)
GOALS = {10_000: 5.0, 100_000: 40.0}
NEIGHBOURS = 200
"""Ledgers of 100 postings around the measured ones."""
CALLS, ROUNDS = 30, 3
BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

_FILL = text("""
    with ledger as (
        insert into debitum.ledgers (id, owner_id, version, head_hash, recorded_at, data_key, created_at)
        values (:id, :owner, :size, '\\x00', cast(:begin as timestamptz) + make_interval(secs => :size), '\\x00', :begin)
    ), logged as (
        insert into debitum.events (ledger_id, seq, event_id, aggregate_type, aggregate_id, event_type, status, recorded_at,
                                    fingerprint, hash, fact)
        select :id, n, gen_random_uuid(), 'transaction', gen_random_uuid(), 'CREATED', 'accepted',
               cast(:begin as timestamptz) + make_interval(secs => n), '\\x00', sha256(int8send(n)), repeat('x', 600)
        from generate_series(1, :size) n
    )
    insert into debitum.postings (ledger_id, seq, line, contact_id, transaction_id, currency, amount, effective_date, recorded_at)
    select :id, n, 0, md5((n % 50)::text)::uuid, gen_random_uuid(), case n % 3 when 0 then 'EUR' when 1 then 'USD' else 'JPY' end,
           1 + n % 1000, date '2026-01-01' + (n % 300)::int, cast(:begin as timestamptz) + make_interval(secs => n)
    from generate_series(1, :size) n
""")
_USER = text("""
    insert into debitum.users (id, ledger_id, email, password_hash, time_zone, locale, default_currency, reminder_settings,
                               created_at)
    values (:owner, :id, :owner || '@example.org', '', 'UTC', 'en', 'EUR', '{}', now())
""")
_SUM = text("""
    select contact_id, currency, sum(amount) from debitum.postings where ledger_id = :id group by contact_id, currency
""")


def fill(url: str) -> dict[int, uuid.UUID]:
    """Ledgers with their log and postings; the measured ones by size."""
    measured = {size: uuid.uuid4() for size in SIZES}
    with engine.sync_engine(url, "debitum-bench").begin() as connection:
        for ledger_id, size in [(uuid.uuid4(), 100) for _ in range(NEIGHBOURS)] + [(i, s) for s, i in measured.items()]:
            owner = uuid.uuid4()
            connection.execute(_USER, {"owner": owner, "id": ledger_id})
            connection.execute(_FILL, {"id": ledger_id, "owner": owner, "size": size, "begin": BEGIN})
        connection.execute(text("analyze"))
    return measured


def point(dice: random.Random, size: int, axes: str) -> reports.Point:
    """Anywhere in the ledger's life, on one axis or both."""
    as_of = BEGIN + datetime.timedelta(seconds=dice.randint(1, size)) if "as_of" in axes else None
    return reports.Point(as_of, datetime.date(2026, 1, 1) + datetime.timedelta(dice.randint(0, 300)) if "on" in axes else None)


async def measure(url: str, ledgers: dict[int, uuid.UUID]) -> list[harness.Row]:
    """p99 over CALLS calls, ROUNDS times, the questions in turn; through the API's own function, as its role."""
    dice, pool = random.Random(1), engine.async_engine(url, "debitum-bench")
    found: dict[str, list[float]] = {}
    questions = [(size, axes) for size in SIZES for axes in ("as_of", "effective_on", "as_of+effective_on")]
    for _ in range(ROUNDS):
        for size, axes in questions:
            async with pool.begin() as connection:
                await roles.enter_async(connection, roles.API, [ledgers[size]])
                points = [point(dice, size, axes) for _ in range(CALLS)]
                asked = [await harness.timed(reports.balances(connection, ledgers[size], one)) for one in points]
                found.setdefault(f"{axes}_{size}_with_driver", []).append(harness.percentile(asked, 0.99))
                inside = [await in_database(connection, ledgers[size], one) for one in points]
                found.setdefault(f"{axes}_{size}", []).append(harness.percentile(inside, 0.99))
                bare = [await harness.timed(connection.execute(_SUM, {"id": ledgers[size]})) for _ in range(CALLS)]
                found.setdefault(f"bare_sum_{size}", []).append(harness.percentile(bare, 0.99))
    await pool.dispose()
    rows = [harness.row(name, rounds, "ms p99") for name, rounds in found.items()]
    for one in rows:
        if not one.name.startswith("bare") and not one.name.endswith("driver"):
            one.goal = GOALS[int(one.name.rsplit("_", 1)[1])]
    return rows


async def in_database(connection: AsyncConnection, ledger_id: uuid.UUID, point: reports.Point) -> float:
    """Milliseconds that Postgres itself says that it took to plan and to run the same statement."""
    statement = reports.BALANCES[point.as_of is not None, point.effective_on is not None]
    bound = {name: value for name, value in point.bound(ledger_id).items() if f":{name}" in str(statement.element)}
    explained = text(f"explain (analyze, timing off) {statement.element}").bindparams(
        *(parameter for parameter in reports.POINT if parameter.key in bound)
    )
    lines = [row[0] for row in await connection.execute(explained, bound)]
    return sum(float(line.split()[2]) for line in lines if line.startswith(("Planning Time", "Execution Time")))


async def check(url: str, ledgers: dict[int, uuid.UUID]) -> None:
    """What was measured is right: the last moment and date hold the plain sums."""
    pool = engine.async_engine(url, "debitum-bench")
    for size, ledger_id in ledgers.items():
        async with pool.begin() as connection:
            await roles.enter_async(connection, roles.API, [ledger_id])
            end = reports.Point(BEGIN + datetime.timedelta(seconds=size), datetime.date(2026, 12, 31))
            rows = await reports.balances(connection, ledger_id, end)
            plain = (await connection.execute(_SUM, {"id": ledger_id})).all()
            assert {tuple(one) for one in plain} == {(one.contact_id, one.currency, one.amount) for one in rows}
    await pool.dispose()


def main() -> None:
    """Run it."""
    with harness.database() as url:
        ledgers = fill(url)
        rows = asyncio.run(measure(url, ledgers))
        asyncio.run(check(url, ledgers))
    harness.report("balances_at_a_point", rows, calls=CALLS, rounds=ROUNDS)


if __name__ == "__main__":
    main()
