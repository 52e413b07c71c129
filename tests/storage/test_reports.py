"""Balances on two axes are what a replay of the log by hand gives, at any point."""

import datetime
import os
import random
from collections import Counter
from uuid import UUID

import pytest
from sqlalchemy import Engine

from domain import facts
from domain.fold import Ledger, fold
from storage import engine, ledgers, projections, reports, roles
from storage.ledgers import Push
from tests.factories import DEFAULTS, Chaos
from tests.storage.test_ledgers import KEYS, commit, connection, new_ledger, stored  # noqa: F401  # the fixture

POINTS, SEED = int(os.environ.get("FUZZ_POINTS", "1000")), int(os.environ.get("FUZZ_SEED", "0"))
"""`make fuzz` looks at 10,000, of other ledgers."""
Known = list[tuple[datetime.datetime, datetime.date, str, str, int]]


def replayed(log: list[facts.Fact]) -> Known:
    """(recorded_at, effective_date, contact, currency, amount) of every change of what money is live, by folding the log."""
    ledger, moves = Ledger("l"), []
    for fact in log:
        before = {key: ledger.entities.get(key) for key in (change.key for change in fact.changes)}
        ledger.take(fold(ledger, fact))
        for key, old in before.items():
            for entity, sign in ((old, -1), (ledger.entities[key], 1)):
                if entity is None or not entity.live or entity.fields.get("type") != "money":
                    continue
                amount = entity.fields["amount"] * (1 if entity.fields["direction"] == "lent" else -1)
                day = datetime.date.fromisoformat(entity.fields["transaction_date"])
                place = (entity.fields["contact_id"], entity.fields["currency"])
                moves.append((facts.parse_time(fact.recorded_at), day, *place, sign * amount))
    return moves


def at(moves: Known, point: reports.Point) -> dict[tuple[str, str], int]:
    sums: Counter[tuple[str, str]] = Counter()
    for recorded_at, day, contact_id, currency, amount in moves:
        if (point.as_of is None or recorded_at <= point.as_of) and (point.effective_on is None or day <= point.effective_on):
            sums[contact_id, currency] += amount
    return {account: amount for account, amount in sums.items() if amount}


@pytest.mark.parametrize("seed", range(SEED, SEED + 2))
async def test_any_point_equals_a_replay(
    database: Engine,
    database_url: str,
    connection: ledgers.Connection,  # noqa: F811
    seed: int,
) -> None:
    dice, ledger_id, chaos = random.Random(seed), new_ledger(database), Chaos(seed)
    version = 0
    while version < 60:
        [receipt] = await commit(connection, Push(ledger_id, [chaos.next(version) for _ in range(3)], DEFAULTS))
        chaos.hear(receipt.outcomes)
        version = receipt.version
    log, _ = stored(database, ledger_id)
    moves, moments = replayed(log), [facts.parse_time(fact.recorded_at) for fact in log]
    tick = datetime.timedelta(microseconds=1)

    def point() -> reports.Point:
        moment = dice.choice(moments) + dice.choice([-tick, 0 * tick, tick])
        day = datetime.date(2026, 11, dice.randint(8, 30))
        return reports.Point(dice.choice([None, min(moment, moments[-1]), moment]), dice.choice([None, day]))

    reader = engine.async_engine(database_url, "debitum-test")
    compared = Counter[bool]()
    async with reader.begin() as reading:
        await roles.enter_async(reading, roles.API, [ledger_id])
        for _ in range(POINTS // 2):
            wanted = point()
            if wanted == reports.NOW:
                rows = await projections.current_balances(reading, UUID(ledger_id))
            else:
                rows = await reports.balances(reading, UUID(ledger_id), wanted)
            found = {(str(row.contact_id), row.currency): row.amount for row in rows if row.contact_id is not None}
            assert found == at(moves, wanted), wanted
            assert rows[0].version == sum(wanted.as_of is None or moment <= wanted.as_of for moment in moments)
            compared[bool(found)] += 1
    await reader.dispose()
    assert min(compared[True], compared[False]) > POINTS // 100
