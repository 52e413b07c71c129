"""What is done to a running Debitum: workers killed, Postgres stopped, connections and disk used up, clients that dawdle."""

import asyncio
import contextlib
import itertools
import os
import random
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from api.settings import Settings
from debitum import database
from storage import embedded, engine, migrations, server, urls
from tests.faults.household import Figures, Household, household, sent_again
from tests.fixtures import pooler
from tests.fixtures.api import PASSWORD
from tests.fixtures.process import Process

Asked = asyncio.Task[tuple[httpx.Response, float]]
"""A request on its way; its answer, and the seconds that it took."""
POOL_SECONDS = Settings.pool_timeout_seconds

PROBLEM = "application/problem+json"


@asynccontextmanager
async def api(
    folder: Path, database_url: str, workers: int, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """`python -m api` in processes of its own."""
    process = Process(folder, database_url, workers, environment=environment)
    try:
        await process.listens()
        yield process
    finally:
        process.close()


@asynccontextmanager
async def inhabited(
    folder: Path, database_url: str, workers: int, writers: int, seed: int, *, padding: int = 0
) -> AsyncIterator[tuple[Process, Household]]:
    """A server, and devices of half as many users, which rest until they are put to work."""
    async with (
        api(folder, database_url, workers) as process,
        household(process.url, folder, users=writers // 2, devices=writers, seed=seed, padding=padding) as home,
    ):
        yield process, home


@contextmanager
def postgres(data: Path) -> Iterator[str]:
    """URL of a migrated Postgres of our own, which may be stopped and started."""
    url = embedded.start(data).url
    try:
        migrator = engine.sync_engine(url, "debitum-faults")
        with migrator.connect() as connection:
            migrations.migrate(connection)
        migrator.dispose()
        with pooler.before(url) if pooler.wanted() else contextlib.nullcontext(url) as there:
            yield there
    finally:
        embedded.stop(data, mode="immediate")


# --- workers are killed ---------------------------------------------------------------------------------------------


async def workers_are_killed(
    folder: Path, database_url: str, *, workers: int, writers: int, kills: int, every_seconds: float, seed: int
) -> Figures:
    """SIGKILL to a random worker, again and again, while `writers` devices write."""
    dice = random.Random(seed)
    async with inhabited(folder, database_url, workers, writers, seed) as (process, home):
        async with home.at_work():
            for _ in range(kills):
                await asyncio.sleep(every_seconds * dice.uniform(0.5, 1.5))
                dice.choice(process.workers()).kill()
        return await home.judge() + Figures(kills=kills)


# --- Postgres is stopped --------------------------------------------------------------------------------------------


@dataclass
class Probe:
    """A client that asks and writes down how it was answered; it has a session from before."""

    http: httpx.AsyncClient
    answers: list[tuple[int, str, float]] = field(default_factory=list)
    """Status, content type, seconds."""

    async def ask(self) -> int:
        """A read; the status."""
        return await self._noted(self.http.get("/api/contacts"))

    async def push(self, name: str = "Probe") -> int:
        """A write; the status."""
        return await self._noted(self.http.post("/api/contacts", json={"name": name}))

    async def _noted(self, request: Any) -> int:
        began = time.monotonic()
        answer: httpx.Response = await request
        self.answers.append((answer.status_code, answer.headers.get("content-type", ""), time.monotonic() - began))
        return answer.status_code


@asynccontextmanager
async def probe(url: str) -> AsyncIterator[Probe]:
    """A signed-in probe of the server at `url`."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        account = {"email": f"probe-{time.time_ns()}@example.org", "password": PASSWORD}
        answer = await http.post("/api/auth/register", json=account)
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield Probe(http)


async def postgres_is_stopped(
    folder: Path, data: Path, database_url: str, *, stops: int, writers: int, pauses: tuple[float, float], seed: int
) -> Figures:
    """Immediate stops, as a crash of the server's processes; while it is down every answer is a 503, and soon after none is."""
    dice = random.Random(seed)
    async with inhabited(folder, database_url, 2, writers, seed) as (process, home), probe(process.url) as asking:
        async with home.at_work():
            for _ in range(stops):
                await asyncio.sleep(dice.uniform(*pauses))
                await _stop_and_start(data, asking)
        return await home.judge() + Figures(stops=stops)


async def _stop_and_start(data: Path, asking: Probe) -> None:
    await asyncio.to_thread(embedded.stop, data, mode="immediate")
    asking.answers.clear()
    for _ in range(3):
        await asking.ask()
        await asking.push()
    assert {answer[:2] for answer in asking.answers} == {(503, PROBLEM)}, asking.answers
    assert max(seconds for _, _, seconds in asking.answers) < 5
    await asyncio.to_thread(embedded.start, data)
    began = time.monotonic()
    while (await asking.ask(), await asking.push()) != (200, 201):
        assert time.monotonic() - began < 5, "no recovery"
        await asyncio.sleep(0.02)


async def nothing_is_flushed(folder: Path, data: Path, database_url: str, *, writers: int, most_stops: int, seed: int) -> Figures:
    """The control: with synchronous_commit off under the running server the same stop must lose acknowledged events.

    A suite that finds nothing lost here would find nothing anywhere. The devices bring everything back, as after a restore.
    """
    async with inhabited(folder, database_url, 2, writers, seed) as (process, home), probe(process.url) as asking:
        _set(database_url, "alter system set synchronous_commit = off")
        try:
            ready = await asking.http.get("/health/ready")
            assert (ready.status_code, "synchronous_commit" in ready.json()["checks"]["durability"]) == (503, True)
            stops, again = 0, set[tuple[str, str]]()
            while not again and stops < most_stops:
                stops += 1
                async with home.at_work():
                    await asyncio.sleep(1)
                    await _stop_and_start(data, asking)
                await home.come_to_rest()
                again = sent_again(home.seen)
        finally:
            _set(database_url, "alter system reset synchronous_commit")
        assert again, "the control lost nothing: this suite cannot see a loss"
        logs = await home.logs()
        there = {(user, logged.id) for user, log in logs.items() for logged in log}
        assert again <= there, "what the server forgot was not brought back by the devices"
        return Figures(stops=stops, control_lost=len(again))


async def what_could_forget_is_refused(folder: Path, database_url: str) -> None:
    """Each setting that durability rests on is switched off under a running server: it says so, and nothing starts."""
    async with api(folder, database_url, 1) as running, httpx.AsyncClient(base_url=running.url) as http:
        try:
            for name in server.DURABLE:
                _set(database_url, f"alter system set {name} = off")
                await _answers(http, 503, f"{name} = off")
                with pytest.raises(database.DatabaseError, match=f"{name} = off"):
                    database.require_durability(database.Database(database_url, None, ""))
            with contextlib.closing(Process(folder, database_url, 1)) as refused:
                assert await refused.gave_up() == 2
                assert all(f"{name} = off" in refused.last_words() for name in server.DURABLE)
        finally:
            for name in server.DURABLE:
                _set(database_url, f"alter system reset {name}")
        await _answers(http, 200)


async def _answers(http: httpx.AsyncClient, status: int, said: str = "") -> None:
    """/health/ready says so in the end: each of Postgres's processes reads its settings anew when it can."""
    deadline = time.monotonic() + 10
    while (ready := await http.get("/health/ready")).status_code != status or said not in ready.text:
        assert time.monotonic() < deadline, ready.text
        await asyncio.sleep(0.05)


def _set(database_url: str, statement: str) -> None:
    with psycopg.connect(urls.libpq_url(pooler.direct(database_url)), autocommit=True) as connection:
        connection.execute(statement)
        connection.execute("select pg_reload_conf()")


# --- the disk is full -----------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of this size. Raises PermissionError where this user may mount none."""
    folder.mkdir()
    command = ("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "debitum-faults", str(folder))
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        raise PermissionError("this user may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(("umount", "--lazy", str(folder)), check=True)


async def the_disk_is_full(folder: Path, *, writers: int, seed: int) -> Figures:
    """Filled under load until writes fail; then there is room again, and nothing that was acknowledged is missing."""
    with small_disk(folder / "disk", 256) as disk, postgres(disk / "data") as url:
        async with inhabited(folder, url, 1, writers, seed, padding=4_000) as (process, home), probe(process.url) as asking:
            async with home.at_work():
                filler = disk / "filler"
                _fill(filler, leave_bytes=4 * 2**20)
                await _until(asking, 503, seconds=60)
                for _ in range(5):
                    await asking.ask()
                filler.unlink()
                await _start_again(disk / "data")
                await _until(asking, 201, seconds=20)
            assert {status for status, _, _ in asking.answers} <= {200, 201, 503}, "a full disk is no mistake of ours"
            return await home.judge()


async def _until(asking: Probe, status: int, *, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while await asking.push("x" * 200) != status:  # noqa: ASYNC110  # what is waited for says nothing by itself
            await asyncio.sleep(0.02)


async def _start_again(data: Path) -> None:
    """As the supervisor does it: a server that has just given up may still be about to leave."""
    for _ in range(20):
        if embedded.running(data) is not None:
            return
        try:
            await asyncio.to_thread(embedded.start, data)
        except embedded.EmbeddedServerError:
            await asyncio.sleep(0.5)
    raise AssertionError("Postgres does not start")


def _fill(file: Path, *, leave_bytes: int) -> None:
    free = os.statvfs(file.parent)
    with file.open("wb") as opened:
        os.posix_fallocate(opened.fileno(), 0, free.f_bavail * free.f_frsize - leave_bytes)


# --- too many, too slow ---------------------------------------------------------------------------------------------


async def the_pool_is_exhausted(url: str, database_url: str, *, requests: int, pool: int) -> None:
    """`requests` reads that all wait for a lock: those without a connection are told to come back, and the process lives."""
    async with probe(url) as asking, await urls.async_connection(pooler.direct(database_url), "debitum-faults") as locker:
        asking.http.timeout = httpx.Timeout(30, pool=None)
        await locker.execute("begin")
        await locker.execute("lock table debitum.contacts in access exclusive mode")
        async with _all_waiting(asking.http, "/api/contacts", requests) as waiting:
            await asyncio.sleep(0.5)
            lives = [await _timed(asking.http, "/health/live") for _ in range(10)]
            assert {answer.status_code for answer, _ in lives} == {200}
            assert statistics.median(seconds for _, seconds in lives) < POOL_SECONDS / 2, "they waited for the pool, too"
            ending = itertools.islice(asyncio.as_completed(waiting, timeout=20), requests - pool)
            refused = [await one for one in ending]
            rest = [task for task in waiting if not task.done()]
            assert len(rest) == pool
            assert {(answer.status_code, answer.headers["content-type"]) for answer, _ in refused} == {(503, PROBLEM)}
            assert all(int(answer.headers["retry-after"]) <= 2 for answer, _ in refused)
            await locker.rollback()
            began = time.monotonic()
            assert await asking.ask() == 200
            assert time.monotonic() - began < 5
            assert {(await task)[0].status_code for task in rest} == {200}


@asynccontextmanager
async def _all_waiting(http: httpx.AsyncClient, path: str, requests: int) -> AsyncIterator[list[Asked]]:
    """So many requests on their way; none is left behind for whoever comes next, whatever fails meanwhile."""
    waiting = [asyncio.create_task(_timed(http, path)) for _ in range(requests)]
    try:
        yield waiting
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _timed(http: httpx.AsyncClient, path: str) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    answer = await http.get(path)
    return answer, time.monotonic() - began


async def clients_dawdle(url: str, *, connections: int, within_seconds: float = 0.0) -> tuple[list[float], list[float]]:
    """A byte a second of a request that never ends, `connections` times; when each was closed, and how long others waited then.

    Seconds, both. They come one after the other `within_seconds`, or all at once: then all of them end at once as well.
    """
    host, port = url.removeprefix("http://").split(":")
    waits: list[float] = []
    async with probe(url) as asking:
        apart = within_seconds / connections
        dawdlers = [asyncio.create_task(_dawdle(host, int(port), number, number * apart)) for number in range(connections)]
        while not all(task.done() for task in dawdlers):
            waits.append((await _timed(asking.http, "/api/contacts"))[1])
            await asyncio.sleep(0.1)
        return [task.result() for task in dawdlers], waits


async def _dawdle(host: str, port: int, number: int, after_seconds: float) -> float:
    """Half of them in the head of a request, half in its body. Seconds until the server has had enough."""
    await asyncio.sleep(after_seconds)
    reader, writer = await asyncio.open_connection(host, port)
    began = time.monotonic()
    if number % 2:
        writer.write(
            b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        )
    else:
        writer.write(b"GET / HTTP/1.1\r\nX: ")
    closing = asyncio.create_task(reader.read())
    try:
        while not closing.done():
            writer.write(b"x")
            await asyncio.wait([closing], timeout=1)
    except ConnectionError:
        pass
    finally:
        writer.close()
    with_error = closing.exception() if closing.done() else None
    assert with_error is None or isinstance(with_error, ConnectionError), with_error
    return time.monotonic() - began


async def baseline(url: str, seconds: float) -> list[float]:
    """How long the same requests take while nobody dawdles, in seconds."""
    waits = []
    async with probe(url) as asking:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            waits.append((await _timed(asking.http, "/api/contacts"))[1])
            await asyncio.sleep(0.01)
    return waits
