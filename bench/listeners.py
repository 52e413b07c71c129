"""Open sockets: devices that listen to a ledger through the feed of some server, and how soon they hear of changes."""

import asyncio
import json
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx
from websockets.asyncio.client import ClientConnection, connect

from bench.traffic import TIMEOUT_SECONDS, User

OPENED_TOGETHER = 50
"""A new socket has five seconds to say who it is."""
LAST_SECONDS = 10.0
"""For the heads of the last changes: what has not come by then is lost."""
PROBE_SECONDS = 0.01


@dataclass
class Listener:
    """An open socket, on the server at `place` of those that there are, and when it heard which version."""

    user: User
    place: int
    socket: ClientConnection
    head: tuple[int, str | None] = (0, None)
    versions: list[int] = field(default_factory=list)
    heard_at: list[float] = field(default_factory=list)

    async def listen(self) -> None:
        """Until the connection ends."""
        async for message in self.socket:
            self.heard_at.append(time.perf_counter())
            said = json.loads(message)
            self.head = said["version"], said["hash"]
            self.versions.append(said["version"])


class Change(NamedTuple):
    """A push of one event, through the server at `place`."""

    user: User
    place: int
    version: int
    sent_at: float
    answered_at: float


class Latency(NamedTuple):
    """Of one change at one socket, in ms: since its push was answered (what comes before the answer is below 0), and sent."""

    since_answer: float
    since_sent: float
    same_process: bool


@asynccontextmanager
async def listening(urls: Sequence[str], users: Sequence[User], each: int) -> AsyncIterator[list[Listener]]:
    """`each` sockets a user, in turn on the servers at `urls`."""
    found: list[Listener] = []
    wanted = [(user, place % len(urls)) for user in users for place in range(each)]
    reading: list[asyncio.Task[None]] = []
    try:
        for start in range(0, len(wanted), OPENED_TOGETHER):
            group = wanted[start : start + OPENED_TOGETHER]
            found += await asyncio.gather(*(_opened(urls[place], place, user) for user, place in group))
        reading = [asyncio.create_task(listener.listen()) for listener in found]
        yield found
        assert not any(task.done() for task in reading), "a socket was closed"
    finally:
        await asyncio.gather(*(listener.socket.close() for listener in found))
        await asyncio.gather(*reading, return_exceptions=True)


async def _opened(url: str, place: int, user: User) -> Listener:
    socket = await connect(url.replace("http", "ws", 1) + "/api/sync/ws")  # with the options of client.live
    await socket.send(json.dumps({"type": "auth", "token": user.token}))
    ready = json.loads(await socket.recv())
    assert ready["type"] == "ready", ready
    return Listener(user, place, socket, (ready["version"], ready["hash"]))


async def change(urls: Sequence[str], users: Sequence[User], a_second: int, seconds: int, done: list[Change]) -> None:
    """Changes at a steady rate, whatever becomes of them; each user's in turn through each server."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS)) for url in urls]
        began, sending = time.perf_counter(), []
        for number in range(a_second * seconds):
            await asyncio.sleep(max(began + number / a_second - time.perf_counter(), 0))
            lap, place_of_user = divmod(number, len(users))
            place = (lap + place_of_user) % len(urls)
            sending.append(asyncio.create_task(_change(users[place_of_user], place, clients[place])))
        done += await asyncio.gather(*sending)


async def _change(user: User, place: int, http: httpx.AsyncClient) -> Change:
    async with user.one_at_a_time:
        body = user.prepare(1)
        sent_at = time.perf_counter()
        await user.push(body, http)
        return Change(user, place, user.head[0], sent_at, time.perf_counter())


async def all_heard(listeners: Sequence[Listener]) -> None:
    """Every socket has been told where its ledger stands."""
    deadline = time.perf_counter() + LAST_SECONDS
    while any(listener.head != listener.user.head for listener in listeners):
        assert time.perf_counter() < deadline, "a socket was not told of the last change"
        await asyncio.sleep(PROBE_SECONDS)


def latencies(changes: Sequence[Change], listeners: Sequence[Listener]) -> list[Latency]:
    """Of each change at each socket of its ledger; a later head tells of it too."""
    by_user: dict[str, list[Listener]] = {}
    for listener in listeners:
        by_user.setdefault(listener.user.ledger_id, []).append(listener)
    return [_latency(change, listener) for change in changes for listener in by_user[change.user.ledger_id]]


def _latency(change: Change, listener: Listener) -> Latency:
    heard_at = listener.heard_at[bisect_left(listener.versions, change.version)]
    since_answer, since_sent = ((heard_at - then) * 1_000 for then in (change.answered_at, change.sent_at))
    return Latency(since_answer, since_sent, change.place == listener.place)


@asynccontextmanager
async def lateness() -> AsyncIterator[list[float]]:
    """How late this process is, in ms, again and again: what it measures meanwhile cannot be more certain than that."""
    found: list[float] = []
    probe = asyncio.create_task(_probe(found))
    yield found
    probe.cancel()


async def _probe(found: list[float]) -> None:
    while True:
        due = time.perf_counter() + PROBE_SECONDS
        await asyncio.sleep(PROBE_SECONDS)
        found.append((time.perf_counter() - due) * 1_000)
