"""A child that grows is started anew: real processes, which hold what they say."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import psycopg

from debitum import plans, settings
from debitum.ceilings import Ceiling, always
from debitum.children import Child, Pauses
from storage import urls
from tests.debitum.test_children import SLEEP, heard, plan, until

GROWS = (  # and stays until it is ended
    "import time; held = bytearray(60 * 2**20); held[::4096] = b'x' * len(held[::4096]); print('up', flush=True); time.sleep(60)"
)
QUICK = Ceiling(mib=40, setting="A_SETTING", look_seconds=0.05, quiet_look_seconds=0.05, patience_seconds=60)


async def test_a_child_past_its_ceiling_is_started_anew_without_a_pause(tmp_path: Path) -> None:
    said: list[str] = []
    long_pauses = Pauses(first_seconds=60)
    child = Child(replace(plan(tmp_path, GROWS), ceiling=QUICK), heard(said), pauses=long_pauses)
    running = asyncio.create_task(child.run())
    await until(lambda: child.starts >= 3)
    await child.stop()
    await asyncio.wait_for(running, 10)
    told = [text for text in said if "A_SETTING=40: it is started anew" in text]
    assert len(told) >= 2
    assert not any("ended with" in text or "killed" in text for text in said), "it is no death"


async def test_a_child_below_its_ceiling_is_left_alone(tmp_path: Path) -> None:
    child = Child(replace(plan(tmp_path, SLEEP), ceiling=QUICK), heard([]))
    running = asyncio.create_task(child.run())
    await asyncio.sleep(0.5)
    assert child.starts == 1
    await child.stop()
    await running


async def test_it_waits_for_a_quiet_moment_and_not_for_ever() -> None:
    quiet = False

    async def asked() -> bool:
        return quiet

    me = os.getpid()
    waiting = asyncio.create_task(replace(QUICK, mib=1, quiet=asked).passed(me))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    quiet = True
    assert await asyncio.wait_for(waiting, 5) > 1
    quiet = False
    assert await asyncio.wait_for(replace(QUICK, mib=1, quiet=asked, patience_seconds=0.2).passed(me), 5) > 1


async def test_no_moment_is_quiet_for_the_daemon_while_it_launches_a_run(tmp_path: Path, database_url: str) -> None:
    loaded = settings.load({"DATABASE_URL": database_url, "DEBITUM_DATA_DIR": str(tmp_path)}, tmp_path / ".env")
    daemon, pages = (
        made(loaded, plans.environment(loaded, database_url, "k1:AAAA")).ceiling for made in (plans.daemon, plans.webserver)
    )
    assert daemon is not None
    assert pages is not None
    assert pages.quiet is always
    assert await daemon.quiet(), "before Dagster has tables"
    with psycopg.connect(urls.libpq_url(database_url), autocommit=True) as connection:
        connection.execute("create table dagster.runs (run_id text, status text)")
        waits = {"QUEUED": True, "STARTED": True, "SUCCESS": True, "STARTING": False, "NOT_STARTED": False}
        for status, is_quiet in waits.items():
            connection.execute("delete from dagster.runs")
            connection.execute("insert into dagster.runs values ('a', %s)", (status,))
            assert await daemon.quiet() is is_quiet, status
