"""Dagster's runs that a code server left behind when it died: noted before the next one starts, failed when it answers.

Not sooner: Dagster tries a failed run again at once and only then, and without a code server it cannot.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import psycopg

from debitum import leader, processes
from debitum.children import private_log
from debitum.saying import Voice
from storage import server

PATIENCE_SECONDS: Final = 60.0
"""Postgres may be on its way back, and without it a code server can do nothing. After this Dagster ends these runs in time."""
ASK_SECONDS: Final = 1.0
NOTICE_SECONDS: Final = 5.0
"""The daemon looks once a second whether the code server is another one, and then loads what it defines."""


class Leftovers:
    """Unfinished runs in the database `url`. `leads`: its daemon asks this code server. `log`: of debitum.leftover_runs."""

    def __init__(self, url: str, environment: Mapping[str, str], log: Path, *, leads: Callable[[], bool], say: Voice) -> None:
        self._url = url
        self._environment = environment
        self._log = log
        self._leads = leads
        self._say = say
        self._runs: list[str] = []

    async def note(self) -> None:
        """Note the runs that claim to have a process: they cannot have one, unless another host runs Dagster on this database."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            try:
                self._runs = await self._find()
            except psycopg.OperationalError:
                if asyncio.get_running_loop().time() > deadline:
                    return
                await asyncio.sleep(ASK_SECONDS)
            else:
                return

    async def _find(self) -> list[str]:
        if self._leads():
            return await asyncio.to_thread(server.unfinished_runs, self._url, "debitum")
        async with leader.led_briefly(self._url) as alone:
            return await asyncio.to_thread(server.unfinished_runs, self._url, "debitum") if alone else []

    async def fail(self) -> None:
        """Mark those that were noted as failed, by a program of its own, because Dagster is big."""
        if not self._runs:
            return
        if self._leads():
            await asyncio.sleep(NOTICE_SECONDS)
        command = processes.python("debitum.leftover_runs", *self._runs)
        with private_log(self._log, anew=True) as log:
            process = await asyncio.create_subprocess_exec(*command, env=dict(self._environment), stdout=log, stderr=log)
            failed = await process.wait()
        outcome = f"could not be marked; see {log.name}" if failed else "are marked as failed"
        text = f"dagster: {len(self._runs)} runs that an earlier code server left unfinished {outcome}"
        self._say(text, "leftover_runs", level="error" if failed else "warning", runs=self._runs, marked=not failed)
        self._runs = []
