"""`make faults`: the fault suite in its long form. The last line is JSON; whatever does not hold ends it with an exception.

Arguments: names of scenes, where not all of them are wanted.
"""

import asyncio
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from api.settings import Settings
from bench import harness
from storage import embedded
from storage.encryption import KeyRing, new_ring
from tests.faults import looking, pipelines, restoring, scenes, sending, upgrading
from tests.faults.household import Figures
from tests.fixtures.api import serve

SEED = int(os.environ.get("FAULTS_SEED", "1"))
KILLS, KILL_SECONDS, LEAST_ACKNOWLEDGED = 55, 1.1, 10_000
STOPS = 20
BACKUP_SECONDS = 15.0
"""In which devices write before a backup, and as long after it."""
DAWDLERS, DAWDLERS_COME_IN_SECONDS, ROUNDS, MOST_SLOWER = 500, 10.0, 3, 2.0
"""One after the other: those who come at once end at once, and that is 500 requests that are answered in one moment."""
MESSAGES = 5_000
SENDER_KILLS, SENDER_SECONDS, CODE_SERVER_KILLS = 20, 60, 3
SENDERS, TIMEOUT_SECONDS, MOST_GROWTH_MB = 24, 10.0, 50
"""Senders of each kind: one call in twenty hangs, and with four of them that alone would take ten minutes."""
PUSHES, MOST_LATER_SECONDS = 60, 1.0


async def _reported(what: str, scene: Awaitable[Figures]) -> Figures:
    began = time.monotonic()
    figures = await scene
    print(f"{what}: {msgspec.json.encode(figures).decode()} in {time.monotonic() - began:.0f} s", flush=True)
    return figures


async def _kills(folder: Path) -> Figures:
    with scenes.postgres(folder / "data") as url:
        figures = await scenes.workers_are_killed(
            folder, url, workers=4, writers=16, kills=KILLS, every_seconds=KILL_SECONDS, seed=SEED
        )
    assert figures.acknowledged >= LEAST_ACKNOWLEDGED, f"{figures.acknowledged} are too few: is the machine busy?"
    return figures


async def _stops(folder: Path) -> Figures:
    with scenes.postgres(folder / "data") as url:
        stopped = await scenes.postgres_is_stopped(
            folder, folder / "data", url, stops=STOPS, writers=16, pauses=(1.0, 5.0), seed=SEED
        )
        control = await scenes.nothing_is_flushed(folder, folder / "data", url, writers=16, most_stops=20, seed=SEED)
    return stopped + Figures(control_lost=control.control_lost)


async def _pool(folder: Path) -> Figures:
    with scenes.postgres(folder / "data") as url:
        async with serve(Settings(database_url=url, keys=KeyRing.parse(new_ring()), pool_size=5)) as server:
            await scenes.the_pool_is_exhausted(server.url, url, requests=200, pool=5)
    return Figures()


async def _dawdlers(folder: Path) -> Figures:
    """Normal requests beside 500 that never end, and without them, in turn."""
    ratios = []
    with scenes.postgres(folder / "data") as url:
        async with scenes.api(folder, url, 1) as process:
            for _ in range(ROUNDS):
                alone = await scenes.baseline(process.url, 12)
                closed, beside = await scenes.clients_dawdle(
                    process.url, connections=DAWDLERS, within_seconds=DAWDLERS_COME_IN_SECONDS
                )
                assert max(closed) < 15, f"one was still open after {max(closed):.1f} s"
                ratios.append(harness.percentile(beside, 0.99) / harness.percentile(alone, 0.99))
    spread = f"{min(ratios):.2f} … {max(ratios):.2f}"
    print(f"p99 beside {DAWDLERS} slow clients: {statistics.median(ratios):.2f} of that without ({spread})")
    assert statistics.median(ratios) < MOST_SLOWER
    return Figures()


async def _backup(folder: Path) -> Figures:
    data = folder / "data"
    with scenes.postgres(data) as url:
        return await restoring.a_backup_is_restored(
            folder,
            url,
            workers=2,
            writers=16,
            seconds=BACKUP_SECONDS,
            seed=SEED,
            lose=lambda: embedded.stop(data, mode="immediate"),
        )


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


async def _senders(folder: Path) -> Figures:
    figures = await asyncio.to_thread(
        sending.senders_are_killed,
        folder,
        messages=MESSAGES,
        seconds=SENDER_SECONDS,
        kills=SENDER_KILLS,
        code_server_kills=CODE_SERVER_KILLS,
        seed=SEED,
        say=_say,
    )
    assert figures.kills_while_sending >= SENDER_KILLS // 4
    return figures


async def _providers(folder: Path) -> Figures:
    with scenes.postgres(folder / "data") as url:
        figures, endured = await asyncio.to_thread(
            sending.providers_misbehave,
            folder,
            url,
            messages=MESSAGES,
            senders=SENDERS,
            timeout_seconds=TIMEOUT_SECONDS,
            waits=(1, 2, 3),
            seed=SEED,
        )
    _say(msgspec.json.encode(endured).decode())
    assert endured.growth_mb < MOST_GROWTH_MB
    return figures


async def _hanging(folder: Path) -> Figures:
    with scenes.postgres(folder / "data") as url:
        alone, beside = await asyncio.to_thread(
            sending.a_provider_hangs, folder, url, pushes=PUSHES, timeout_seconds=TIMEOUT_SECONDS
        )
    later = max(after - before for before, after in zip(alone, beside, strict=True))
    _say(f"pushes arrive after at most {alone[-1]:.2f} s, while SendGrid hangs {beside[-1]:.2f} s; at most {later:.2f} s later")
    assert later < MOST_LATER_SECONDS
    return Figures()


def _dagster(scene: Callable[[Path, pipelines.Say], Figures]) -> Callable[[Path], Awaitable[Figures]]:
    return lambda folder: asyncio.to_thread(scene, folder, _say)


async def main() -> None:
    """Every scene on a server of its own, one after the other."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(f"FAULTS_SEED={SEED}", flush=True)
    total = Figures()
    scenes_in_order = {
        "workers killed": _kills,
        "Postgres stopped": _stops,
        "disk full": lambda folder: scenes.the_disk_is_full(folder, writers=8, seed=SEED),
        "pool exhausted": _pool,
        "a backup under load": _backup,
        "a point in time": lambda folder: restoring.a_point_in_time_is_recovered(
            folder, workers=2, writers=16, seconds=BACKUP_SECONDS, seed=SEED
        ),
        "slow clients": _dawdlers,
        "senders killed": _senders,
        "providers misbehave": _providers,
        "a provider hangs": _hanging,
        "Dagster's workers killed": _dagster(pipelines.workers_are_killed),
        "code server killed": _dagster(pipelines.code_servers_are_killed),
        "code server killed, Postgres elsewhere": _dagster(pipelines.code_servers_are_killed_elsewhere),
        "Postgres killed under Dagster": _dagster(pipelines.postgres_is_killed),
        "Postgres away under Dagster": _dagster(pipelines.postgres_is_away),
        "daemon down for a day": _dagster(pipelines.the_daemon_rests),
        "tables of an older Dagster": _dagster(upgrading.tables_of_an_older_dagster),
        "pages come and go": _dagster(looking.pages_come_and_go),
        "data of an older Postgres": _dagster(upgrading.data_of_an_older_postgres),
    }
    for what in sys.argv[1:] or scenes_in_order:
        with tempfile.TemporaryDirectory(prefix="debitum-faults-") as folder:
            total += await _reported(what, scenes_in_order[what](Path(folder)))
    print(msgspec.json.encode(total).decode())


asyncio.run(main())
