"""Whatever the seed: nothing acknowledged is lost, nothing happens twice, everyone agrees in the end."""

import asyncio
import importlib.util
import os
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import Engine

from storage import verify
from tests.faults import checker, history, recording
from tests.simulation.backend import Backend, running
from tests.simulation.world import STEPS_TAKEN, Operation, World

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "200"))
FIRST = int(os.environ.get("SIMULATION_FIRST", "0"))
PARTS = max(1, min(SEEDS, 8 if SEEDS <= 200 else SEEDS // 50))
"""The seeds are dealt to this many tests, so that the workers share them."""


def check_log() -> ModuleType:
    """The checker of logs that stands in the documents."""
    specification = importlib.util.spec_from_file_location("check_log", Path(__file__).parents[2] / "docs" / "check_log.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def judge(world: World, database: Engine) -> None:
    """What must hold when all is quiet."""
    everyone = list(world.devices.values())
    log = everyone[0].log()
    version, digest, entities = check_log().check([dict(fact) for fact in log])
    state = {key: {name: value for name, value in fields.items() if value is not None} for key, fields in entities.items()}
    for device in everyone:
        assert device.head == (version, digest)
        assert device.state() == state
    with database.begin() as connection:
        assert list(verify.verify(connection, world.ledger_id, world.backend.services.settings.keys)) == []
    seen = [_seen(one) for one in world.operations if one.path in (recording.PUSH, recording.PULL)]
    assert checker.check(seen, {"anna": recording.final("anna", log).log}) == []
    there = Counter(fact["id"] for fact in log)
    refused = {one["command"]["id"] for device in everyone for one in device.attention().rejections}
    for device in everyone:
        assert device.pending == 0
    pushed = {item["id"] for one in world.operations if one.path.endswith("push") for item in one.sent["events"]}
    assert pushed == there.keys() | refused, "something that a device did is neither in the log nor refused"
    if not world.restored:
        assert not there.keys() & refused


def _seen(one: Operation) -> history.Operation:
    span = (float(one.began), float(one.ended or one.began))
    return recording.operation("anna", one.device, one.path, one.sent, one.status, one.answer, span, one.epoch)


async def simulate(seed: int, backend: Backend, folder: Path, database: Engine) -> World:
    world = World(seed, backend, folder)
    try:
        await world.run()
        judge(world, database)
        assert await world.taken_by_now() == [], "what waited for others was not sent again when they came"
    except Exception as error:
        error.add_note(f"replay with: SIMULATION_FIRST={seed} SIMULATION_SEEDS=1 make test ARGS=tests/simulation")
        raise
    finally:
        await world.close()
    return world


@pytest.mark.parametrize("part", range(PARTS))
def test_all_agree_in_the_end(part: int, database_url: str, database: Engine, tmp_path: Path) -> None:
    seeds = range(FIRST + part, FIRST + SEEDS, PARTS)

    async def run() -> Counter[str]:
        done: Counter[str] = Counter()
        async with running(database_url) as backend:
            for seed in seeds:
                done += (await simulate(seed, backend, tmp_path, database)).done
        return done

    done = asyncio.run(run())
    assert len(seeds) < 20 or done.keys() >= STEPS_TAKEN.keys() | {"cut"}, "a world in which something never happens"


def test_a_seed_decides_everything(database_url: str, database: Engine, tmp_path: Path) -> None:
    """Twice the same: every request at the same moment with the same content, every answer, every hash."""

    async def run() -> list[World]:
        async with running(database_url) as backend:
            return [await simulate(44, backend, _folder(tmp_path / str(time)), database) for time in range(2)]

    first, second = asyncio.run(run())
    assert first.restored
    assert first.operations == second.operations


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
