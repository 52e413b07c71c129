"""`debitum up`: starts the database and the parts, keeps them running, and stops them in order."""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from debitum import database, folders, instance, leader, migrating, parts, plans, probes, processes, rings, spelling
from debitum.children import Child, Pauses, Plan
from debitum.leftovers import Leftovers
from debitum.migrating import Migration
from debitum.saying import Voice
from debitum.settings import Settings, offers_dagster
from storage import embedded

STOPPED_BY: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_ORDER: Final = ((parts.API, plans.DAEMON), (parts.WEBSERVER,), (parts.CODE_SERVER,), (parts.WORKER,))
"""By name: who asks goes before who answers. Postgres comes after all of them."""
POSTGRES_LOOK_SECONDS: Final = 0.5
"""Between two looks whether the embedded server lives: requests fail with 503 for about this long when it does not."""

CODE_SERVER_LOOK_SECONDS: Final = 0.5
"""Between two looks whether a code server that runs elsewhere answers."""


def up(settings: Settings, say: Voice) -> None:
    """Run until SIGINT or SIGTERM. Raises instance.AlreadyRunningError, and what a start can fail with (FAILURES)."""
    ids = list(rings.made(settings).keys)  # which holds the data folder itself, where it has to look into its database
    with instance.claim(settings.data_dir) as claim:
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        claim.write(instance.Note(os.getpid(), started_at, plans.addresses(settings), ids))
        asyncio.run(Supervisor(settings, say).run(unclean=claim.unclean))


FAILURES: Final = (database.DatabaseError, folders.FolderError, processes.PortInUseError)
"""What can be wrong with the machine at a start; the texts say what to do."""


class Supervisor:
    """One run of the whole. The caller holds the data folder."""

    def __init__(self, settings: Settings, say: Voice) -> None:
        self._settings = settings
        self._say = say
        self._began = time.monotonic()
        self._stopping = asyncio.Event()
        self._children: dict[str, Child] = {}
        self._starting: list[asyncio.Task[None]] = []
        self._running: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None

    async def run(self, *, unclean: bool) -> None:
        """Start everything, wait for a signal, stop everything."""
        for number in STOPPED_BY:
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        await asyncio.to_thread(self._clear, unclean=unclean)
        async with migrating.at_hand(self._settings) as migration:
            try:
                found = await self._start_database()
            except database.DatabaseError:
                if self._stopping.is_set():  # by Ctrl-C, which the terminal sends to initdb as well
                    return
                raise
            try:
                if not self._stopping.is_set():
                    await self._supervise(found, await self._prepare(found, migration))
            finally:
                self._stopping.set()
                await self._stop()
                if found.embedded is not None:
                    await asyncio.to_thread(database.stop, found)
                    self._say("postgres is stopped", "postgres_stopped")
        if self._failure is not None:
            raise self._failure

    def _clear(self, *, unclean: bool) -> None:
        """End what an earlier supervisor left, and refuse or tell what speaks against a start."""
        settings = self._settings
        if unclean:
            self._say("the last supervisor of this data folder was killed; this one takes over", "took_over", level="warning")
        if ended := processes.end_leftovers(settings.data_dir):
            text = f"left over from an earlier supervisor and ended: {', '.join(ended)}"
            self._say(text, "leftovers_ended", level="warning", processes=ended)
        for one in spelling.unread(settings.environment):
            self._say(f"warning: {one}", "setting_unread", level="warning", setting=one.name)
        for _, host, port, setting in plans.listeners(settings):
            processes.check_port(host, port, setting)
        if offers_dagster(settings):
            text = f"warning: Dagster's pages have no login, and {settings.dagster_host} is not of this machine alone"
            self._say(text, "pages_have_no_login", level="warning", host=settings.dagster_host)

    async def _start_database(self) -> database.Database:
        began = time.monotonic()
        found = await asyncio.to_thread(database.start, self._settings, self._tell_of_upgrade)
        seconds = round(time.monotonic() - began, 1)
        text = f"postgres runs: {found.description} ({seconds} s)"
        self._say(text, "postgres_runs", server=found.description, seconds=seconds)
        return found

    def _tell_of_upgrade(self, text: str) -> None:
        self._say(text, "postgres_upgrades")

    async def _prepare(self, found: database.Database, migration: Migration) -> dict[str, str]:
        """Schema, keys and Dagster's home; returns the environment of the children."""
        await asyncio.to_thread(database.require_durability, found)
        environment = plans.environment(self._settings, self._settings.database_url or found.url, rings.text(self._settings))
        if self._settings.parts & parts.OF_DAGSTER:
            folders.dagster_home(self._settings.data_dir)
        await migration.run(environment)
        return environment

    async def _supervise(self, found: database.Database, environment: Mapping[str, str]) -> None:
        if found.embedded is not None:
            self._spawn(self._keep_postgres(found.embedded), self._running)
        self._spawn(self._start_parts(found, environment), self._starting)
        await self._stopping.wait()
        self._say("stopping", "stopping")

    async def _start_parts(self, found: database.Database, environment: Mapping[str, str]) -> None:
        chosen, started = self._settings.parts, []
        if parts.API in chosen:
            started.append(self._keep(plans.api(self._settings, environment)))
        if parts.CODE_SERVER in chosen:
            await self._start_code_server(environment)
        elif chosen & parts.ASK_THE_CODE_SERVER:
            await self._wait_for_code_server(Path(environment["DEBITUM_CODE_SOCKET"]))
        if parts.WEBSERVER in chosen:
            started.append(self._keep(plans.webserver(self._settings, environment)))
        if parts.WORKER in chosen:
            started.append(self._keep(plans.worker(self._settings, environment)))
        if parts.DAEMON in chosen:
            self._start_daemon(found, environment)
        for child in started:
            await child.ready.wait()
        seconds = round(time.monotonic() - self._began, 1)
        text = f"everything answers ({seconds} s after the start); Ctrl-C stops it"
        self._say(text, "everything_answers", seconds=seconds)

    async def _start_code_server(self, environment: Mapping[str, str]) -> None:
        """It answers before those come that ask it; whenever it has died, so have its runs.

        Without a daemon beside it, it is the one that the daemon elsewhere asks: the runs of this database are its own.
        """
        left = Leftovers(
            environment["DATABASE_DIRECT_URL"],
            environment,
            self._settings.data_dir / "logs" / "leftover_runs.log",
            leads=lambda: plans.DAEMON in self._children or parts.DAEMON not in self._settings.parts,
            say=self._say,
        )
        code = replace(plans.code(self._settings, environment), before=left.note, after=left.fail)
        await self._keep(code).ready.wait()

    async def _wait_for_code_server(self, socket: Path) -> None:
        """Dagster's webserver would go on without one, and show nothing until somebody reloads it."""
        answers, told = probes.unix_socket(socket), False
        while not await answers():
            if not told:
                text = f"waiting for the code server, which runs elsewhere, at {socket}"
                self._say(text, "waiting_for_code_server", address=str(socket))
                told = True
            await asyncio.sleep(CODE_SERVER_LOOK_SECONDS)

    def _start_daemon(self, found: database.Database, environment: Mapping[str, str]) -> None:
        daemon = plans.daemon(self._settings, environment)
        if found.embedded is not None:  # whoever holds the data folder is the only one on its database
            self._keep(daemon)
            return
        direct = environment["DATABASE_DIRECT_URL"]
        self._spawn(leader.run_alone(direct, lambda: self._run_until_cancelled(daemon), self._say), self._starting)

    async def _run_until_cancelled(self, plan: Plan) -> None:
        child = Child(plan, self._say)
        self._children[plan.name] = child
        running = asyncio.create_task(child.run())
        try:
            await asyncio.shield(running)
        finally:
            await child.stop()
            await running
            del self._children[plan.name]

    def _keep(self, plan: Plan) -> Child:
        child = Child(plan, self._say)
        self._children[plan.name] = child
        self._spawn(child.run(), self._running)
        return child

    def _spawn(self, work: Coroutine[Any, Any, None], tasks: list[asyncio.Task[None]]) -> None:
        task = asyncio.create_task(work)
        tasks.append(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        """A task of ours that fails is a mistake of ours: everything is stopped, and the mistake is shown."""
        if not task.cancelled() and task.exception() is not None:
            self._failure = self._failure or task.exception()
            self._stopping.set()

    async def _keep_postgres(self, data_dir: Path) -> None:
        pauses, failures, steady_since = Pauses(), 0, time.monotonic()
        while not await self._stopped_within(POSTGRES_LOOK_SECONDS):
            if embedded.running(data_dir) is not None:
                continue
            failures = 1 if time.monotonic() - steady_since > pauses.steady_seconds else failures + 1
            self._say("postgres is gone and is started again", "postgres_ended", level="error")
            if failures > 1 and await self._stopped_within(pauses.after(failures - 1)):
                return
            try:
                await asyncio.to_thread(embedded.start, data_dir)
                self._say("postgres runs again", "postgres_runs")
            except embedded.EmbeddedServerError as error:
                self._say(f"postgres did not start: {error}", "postgres_does_not_start", level="error")
            steady_since = time.monotonic()

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    async def _stop(self) -> None:
        """What starts others is cancelled first, so that nothing new comes up; then the parts, in order."""
        for task in self._starting:
            task.cancel()
        for names in STOP_ORDER:
            await asyncio.gather(*(self._children[name].stop() for name in names if name in self._children))
        await asyncio.gather(*self._starting, *self._running, return_exceptions=True)
        await asyncio.to_thread(processes.end_leftovers, self._settings.data_dir)
