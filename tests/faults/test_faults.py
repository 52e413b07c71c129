"""The fault suite in its short form; `make faults` runs it long."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.settings import Settings
from tests.faults import scenes
from tests.fixtures.api import serve


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's: that is closed to Postgres's user whenever another run of pytest begins."""
    with tempfile.TemporaryDirectory(prefix="debitum-faults-") as made:
        yield Path(made)


async def test_workers_are_killed(folder: Path, database_url: str) -> None:
    figures = await scenes.workers_are_killed(folder, database_url, workers=2, writers=6, kills=3, every_seconds=0.7, seed=1)
    assert (figures.lost, figures.twice, figures.kills) == (0, 0, 3)
    assert figures.acknowledged > 50


async def test_postgres_is_stopped_and_a_control_loses(folder: Path) -> None:
    with scenes.postgres(folder / "data") as url:
        figures = await scenes.postgres_is_stopped(folder, folder / "data", url, stops=1, writers=6, pauses=(0.5, 1.0), seed=1)
        assert (figures.lost, figures.twice, figures.stops) == (0, 0, 1)
        assert figures.acknowledged > 50
        control = await scenes.nothing_is_flushed(folder, folder / "data", url, writers=6, most_stops=10, seed=2)
        assert control.control_lost > 0
        await scenes.what_could_forget_is_refused(folder, url)


async def test_the_disk_is_full(folder: Path) -> None:
    try:
        figures = await scenes.the_disk_is_full(folder, writers=4, seed=1)
    except PermissionError as error:
        pytest.skip(str(error))  # a file system of its own needs root: on a developer's machine there may be none
    assert (figures.lost, figures.twice) == (0, 0)


async def test_the_pool_is_exhausted(api_settings: Settings) -> None:
    async with serve(replace(api_settings, pool_size=5)) as api:
        await scenes.the_pool_is_exhausted(api.url, api_settings.database_url, requests=200, pool=5)


async def test_clients_dawdle(folder: Path, database_url: str) -> None:
    async with scenes.api(folder, database_url, 1) as process:
        closed, waits = await scenes.clients_dawdle(process.url, connections=200)
    assert max(closed) < 15
    assert max(waits) < 5
