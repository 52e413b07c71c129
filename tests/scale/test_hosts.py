"""The API on two hosts over one Postgres behind PgBouncer: each device keeps to one of them, and all see one history."""

import asyncio
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from storage import urls
from storage.encryption import new_ring
from tests.faults import scenes
from tests.faults.household import Household, Writer, household
from tests.fixtures import pooler
from tests.fixtures.process import Process

RING = {"DEBITUM_KEYS": new_ring()}
"""Both hosts seal by the same keys."""
WRITERS, KILLS = 6, 8


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's: Postgres's user has to get into it."""
    with tempfile.TemporaryDirectory(prefix="debitum-scale-") as made:
        yield Path(made)


async def test_two_hosts_are_one_server(folder: Path) -> None:
    """Devices of one user write on different hosts, whose workers are killed; one that only listens hears of both."""
    dice = random.Random(1)
    with scenes.postgres(folder / "data") as direct, pooler.before(direct) as pooled:
        there, here = folder / "there", folder / "here"
        there.mkdir()
        here.mkdir()
        async with (
            scenes.api(there, pooled, 2, RING) as one,
            scenes.api(here, pooled, 2, RING) as other,
            household(one.url, folder, users=2, devices=WRITERS // 2, seed=1) as home,
        ):
            await _move_in(home, other)
            async with home.at_work():
                for _ in range(KILLS):
                    await asyncio.sleep(dice.uniform(0.3, 0.9))
                    dice.choice([*one.workers(), *other.workers()]).kill()
            figures = await home.judge()
    assert (figures.lost, figures.twice) == (0, 0)
    assert figures.acknowledged > 100


async def test_what_is_prepared_would_break(folder: Path) -> None:
    """So that the tests above can fail: the same pooler, and a URL that does not say what it is."""
    with scenes.postgres(folder / "data") as direct, pooler.before(direct, servers=1) as pooled:
        silent = pooled.replace("pooler=transaction", "").rstrip("?&")
        assert await _refusal(pooled) is None
        assert isinstance(await _refusal(silent), psycopg.ProgrammingError | psycopg.errors.DuplicatePreparedStatement)


async def _move_in(home: Household, other: Process) -> None:
    """As many devices of the same users on the other host."""
    home.url = other.url
    for number in range(WRITERS // 2):
        home.writers.append(Writer(await home.device(f"user {number % 2}"), random.Random(number)))


async def _refusal(url: str) -> Exception | None:
    """What becomes of a statement that two clients send often, over one connection of Postgres's."""
    try:
        async with await urls.async_connection(url, "one") as one, await urls.async_connection(url, "other") as other:
            for _ in range(urls.PREPARE_THRESHOLD + 3):
                for connection in (one, other):
                    await connection.execute("select %s::int", (1,))
    except psycopg.Error as error:
        return error
    return None
