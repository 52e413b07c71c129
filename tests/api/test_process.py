"""`python -m api` as real processes, with one worker and with two: how they stop, and what comes back."""

import asyncio
import itertools
import json
import os
import signal
import socket as sockets_of_python
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import Engine, text
from websockets.asyncio.client import connect

from api import serving, sockets, workers
from tests.api import test_early_answers as early
from tests.api.test_feed import closed, hear
from tests.api.test_slow_clients import head
from tests.api.test_sync import event
from tests.debitum.test_children import gone, until
from tests.fixtures.process import START_SECONDS, Process

SOON_SECONDS = 5
WRITERS = 8
PAUSE_SECONDS = 0.1
"""Between starts of workers that die at once, in the tests of that."""


@pytest.fixture(params=[1, 2])
def count(request: pytest.FixtureRequest) -> int:
    """How many workers there are."""
    return int(request.param)


@pytest.fixture
def running(tmp_path: Path, database_url: str, count: int) -> Iterator[Process]:
    process = Process(tmp_path, database_url, count)
    yield process
    process.close()


class Writer:
    """Pushes one contact after the other, until nobody takes them any more."""

    def __init__(self, url: str, token: str) -> None:
        self.acknowledged: list[str] = []
        self.unknown: list[str] = []
        self._http = httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    async def run(self) -> None:
        async with self._http:
            while True:
                mine = event("contact", "CREATED", {"name": "Ana"})
                try:
                    answer = await self._http.post("/api/sync/push", json={"events": [mine]})
                except httpx.ConnectError:
                    return
                except httpx.TransportError:
                    self.unknown.append(mine["id"])
                    continue
                assert answer.status_code == 200, answer.text
                assert [result["status"] for result in answer.json()["results"]] == ["accepted"]
                self.acknowledged.append(mine["id"])


class HalfAPush:
    """A push on a connection of its own, whose last bytes are still to be sent."""

    def __init__(self, token: str, *, of_its_head: bool) -> None:
        self.event = event("contact", "CREATED", {"name": "Ana"})
        body = json.dumps({"events": [self.event]}).encode()
        members = ["Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}", f"Authorization: Bearer {token}"]
        whole = "\r\n".join(["POST /api/sync/push HTTP/1.1", *members, "", ""]).encode() + body
        cut = len(whole) - (len(body) + 2 if of_its_head else 10)
        self._now, self._later = whole[:cut], whole[cut:]

    async def begin(self, url: str) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self._writer.write(self._now)

    async def finish(self) -> str:
        """The answer, up to the end of the connection."""
        self._writer.write(self._later)
        answer = await asyncio.wait_for(self._reader.read(), SOON_SECONDS)
        self._writer.close()
        return answer.decode()


async def test_sigterm_answers_what_is_in_flight_and_loses_nothing(running: Process, database: Engine) -> None:
    await running.listens()
    me = await running.register()
    token = me["access_token"]
    async with (
        httpx.AsyncClient(base_url=running.url) as idle,
        connect(running.url.replace("http", "ws") + sockets.PATH) as socket,
    ):
        assert (await idle.get("/health")).status_code == 200
        await socket.send(json.dumps({"type": "auth", "token": token}))
        assert (await hear(socket, START_SECONDS))["type"] == "ready"
        halves = [HalfAPush(token, of_its_head=of_its_head) for of_its_head in (True, False)]
        for half in halves:
            await half.begin(running.url)
        writers = [Writer(running.url, token) for _ in range(WRITERS)]
        writing = [asyncio.create_task(writer.run()) for writer in writers]
        await until(lambda: min(len(writer.acknowledged) for writer in writers) >= 5, START_SECONDS)

        told = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*writing)  # each until its connection is refused
        assert await closed(socket) == sockets.GOING_AWAY
        assert running.process.poll() is None, "it waits for the pushes that are not whole"
        for half in halves:
            answer = await half.finish()
            assert answer.startswith("HTTP/1.1 200 ")
            assert "connection: close" in answer
        assert await running.ended() == 0
        assert time.monotonic() - told < SOON_SECONDS, "nothing idle holds it up"

    acknowledged = [*(half.event["id"] for half in halves), *(one for writer in writers for one in writer.acknowledged)]
    unknown = [one for writer in writers for one in writer.unknown]
    with database.begin() as connection:
        stored = connection.execute(text("select event_id::text, seq from debitum.events order by seq")).all()
    assert [seq for _, seq in stored] == list(range(1, len(stored) + 1))
    ids = [one for one, _ in stored]
    assert len(set(ids)) == len(ids)
    assert set(acknowledged) <= set(ids) <= {*acknowledged, *unknown}
    assert len(set(acknowledged)) == len(acknowledged)


@pytest.mark.parametrize("count", [1])
async def test_an_answer_before_the_end_of_a_request_is_read_whatever_the_loop(running: Process) -> None:
    """Tests serve with asyncio's own event loop, and these processes with uvloop."""
    await running.listens()
    for size in early.SIZES:
        sent = head("POST", early.IMPORT, Content_Length=size)
        for _ in range(early.TIMES):
            assert early.only(await asyncio.to_thread(early.told, running, sent, bytes(size))) == (401, "unauthorized")
    async with early.refused(running) as opened:
        opened.writer.write(bytes(early.MIB))
        running.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(PAUSE_SECONDS)
        assert running.process.poll() is None, "whoever still sends may not have read the answer"
    assert await running.ended(SOON_SECONDS) == 0


@pytest.mark.parametrize("count", [2])
async def test_a_killed_worker_comes_back_and_none_outlives_the_first_process(running: Process) -> None:
    await running.listens()
    first = psutil.Process(running.process.pid)
    await until(lambda: len(running.workers()) == 2)
    assert (first.num_threads(), len(first.net_connections(kind="all"))) == (1, 1), "nothing but the listener is shared"

    async def answers() -> None:
        async with httpx.AsyncClient(base_url=running.url, timeout=SOON_SECONDS) as http:
            assert (await http.get("/health")).status_code == 200

    before = {one.pid for one in running.workers()}
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    await answers()
    await until(lambda: running.said("worker_ended") and len(running.workers()) == 2)
    [ended] = running.said("worker_ended")
    assert (ended["pid"], ended["signal"]) == (killed, "SIGKILL")
    now = {one.pid for one in running.workers()}
    assert killed not in now
    assert len(now & before) == 1

    for pid in now:
        os.kill(pid, signal.SIGKILL)
    await asyncio.gather(*(answers() for _ in range(20)))  # connections wait while nobody is there to take them
    now = {one.pid for one in running.workers()}

    os.kill(running.process.pid, signal.SIGKILL)
    await until(lambda: all(gone(pid) for pid in now), SOON_SECONDS)


KEEP = """
import os, signal, socket, sys, time
from api import workers
workers.STEADY_SECONDS, workers.FIRST_PAUSE_SECONDS = {steady}, {pause}
def dies(place):
    os._exit(3)
def stubborn(place):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(1, b"ready\\n")
    time.sleep(60)
workers.keep(1, socket.socket(), {work}, grace_seconds=0.3)
"""


def keeping(work: str, *, steady: float = workers.STEADY_SECONDS) -> "subprocess.Popen[str]":
    program = KEEP.format(work=work, steady=steady, pause=PAUSE_SECONDS)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def starts(keeper: "subprocess.Popen[str]", count: int) -> list[float]:
    """When the first `count` workers were started; then it is stopped."""
    assert keeper.stdout is not None
    found: list[float] = []
    for line in keeper.stdout:
        found += [time.monotonic()] if "worker_started" in line else []
        if len(found) == count:
            break
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(SOON_SECONDS) == 0
    return found


def test_a_worker_that_dies_at_its_start_is_tried_again_more_and_more_rarely() -> None:
    with keeping("dies") as keeper:
        began = starts(keeper, 4)
    pauses = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert pauses[0] < pauses[1] < pauses[2]
    assert sum(pauses) >= PAUSE_SECONDS * (1 + 2 + 4)


def test_a_worker_that_had_lived_is_there_again_at_once() -> None:
    with keeping("dies", steady=0) as keeper:
        began = starts(keeper, 10)
    assert began[-1] - began[0] < 9 * PAUSE_SECONDS


def test_a_worker_that_does_not_end_is_killed_after_the_grace() -> None:
    with keeping("stubborn") as keeper:
        assert keeper.stdout is not None
        while "ready" not in keeper.stdout.readline():
            pass
        told = time.monotonic()
        keeper.send_signal(signal.SIGINT)
        rest = keeper.stdout.read()
        assert keeper.wait(SOON_SECONDS) == 0
        assert 0.3 <= time.monotonic() - told < SOON_SECONDS
    assert "SIGKILL" in rest


def speaks_ipv6() -> bool:
    try:
        sockets_of_python.create_server(("::1", 0), family=sockets_of_python.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "reached"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::1")]
)
def test_a_listener_is_reached(host: str, reached: str) -> None:
    if host == "::" and not speaks_ipv6():
        pytest.skip("this machine has no IPv6")
    with serving.listen(host, 0) as listener:
        assert listener.getsockopt(sockets_of_python.SOL_SOCKET, sockets_of_python.SO_REUSEADDR)
        sockets_of_python.create_connection((reached, listener.getsockname()[1])).close()


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with serving.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        process = Process(tmp_path, "postgresql://nobody@localhost/nothing", 1, port)
        assert await process.gave_up() == 2
        assert f"port {port} of 127.0.0.1 cannot be used" in (tmp_path / "said.txt").read_text()
        process.close()
