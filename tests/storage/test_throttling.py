"""Counting wrong passwords: the statement does what the rule says."""

import asyncio
import datetime
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.throttling import ACCOUNT, ADDRESS, FORGOTTEN_AFTER, Rule
from storage import engine, roles, tables, throttling
from storage.encryption import KeyRing, new_ring

NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC)
KEY = b"somebody"


@pytest_asyncio.fixture
async def connection(database_url: str) -> AsyncIterator[AsyncConnection]:
    """As the role of the API."""
    opened = engine.async_engine(database_url, "debitum-test")
    async with opened.begin() as begun:
        await roles.enter_async(begun, roles.API)
        yield begun
    await opened.dispose()


async def kept(connection: AsyncConnection) -> tuple[int, datetime.datetime] | None:
    row = (await connection.execute(select(tables.login_attempts.c.failures, tables.login_attempts.c.last_at))).first()
    return None if row is None else (row.failures, row.last_at)


@pytest.mark.parametrize("rule", [ACCOUNT, ADDRESS], ids=["account", "address"])
async def test_the_statement_follows_the_rule(connection: AsyncConnection, rule: Rule) -> None:
    dice = random.Random(8)
    edges = [rule.delay_seconds(failures) for failures in range(1, 45)] + [FORGOTTEN_AFTER.total_seconds(), -rule.most_seconds]
    for _ in range(150):
        failures, since = dice.randrange(1, 45), dice.choice(edges) + dice.choice([-1, 0, 1, dice.uniform(-20, 20)])
        before = (failures, NOW - datetime.timedelta(seconds=since))
        await connection.execute(delete(tables.login_attempts))
        await connection.execute(insert(tables.login_attempts).values(key=KEY, failures=before[0], last_at=before[1]))
        expected = rule.wait_seconds(*before, NOW)
        waited = await throttling.count(connection, KEY, rule, now=NOW)
        assert waited == (max(expected, 1.0) if expected else 0.0), before
        assert await kept(connection) == (before if expected else (rule.next_count(*before, NOW), NOW)), before


async def test_one_is_taken_back_and_all_are_forgotten(connection: AsyncConnection) -> None:
    for _ in range(3):
        assert await throttling.count(connection, KEY, ACCOUNT, now=NOW) == 0
    await throttling.take_back(connection, KEY)
    assert await kept(connection) == (2, NOW)
    await throttling.clear(connection, KEY)
    assert await kept(connection) is None
    await throttling.count(connection, KEY, ACCOUNT, now=NOW)
    await throttling.take_back(connection, KEY)
    assert await kept(connection) is None


def test_a_key_says_nothing_of_the_address() -> None:
    ring = KeyRing.parse(new_ring())
    key = throttling.account_key(ring, "Ada@example.org")
    assert len(key) == 32
    assert key == throttling.account_key(ring, "ada@EXAMPLE.org")
    assert key != throttling.account_key(KeyRing.parse(new_ring()), "ada@example.org")
    assert key != throttling.address_key(ring, "ada@example.org")


async def test_of_guesses_at_once_each_sees_those_before_it(database_url: str) -> None:
    opened = engine.async_engine(database_url, "debitum-test", pool_size=16)

    async def guess() -> float:
        async with opened.begin() as connection:
            await connection.execute(select(1))  # everybody is there before anybody counts
            await all_there.wait()
            return await throttling.count(connection, KEY, ACCOUNT, now=NOW)

    all_there = asyncio.Barrier(16)
    waits = await asyncio.gather(*(guess() for _ in range(16)))
    await opened.dispose()
    assert sorted(waits) == [0.0] * ACCOUNT.free + [1.0] * (16 - ACCOUNT.free)
