"""Load from outside: a process with many connections, each of which sends the next request as soon as the last is answered.

It knows as much HTTP as its own requests and our answers need, so that it takes little of the processors that it shares.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from typing import NamedTuple, Self, cast
from urllib.parse import urlsplit

import uvloop

WARM_SECONDS = 0.5
"""At the beginning: what is answered then does not count."""


class Load(NamedTuple):
    """What was answered: how many with the expected status and with others, latencies in milliseconds (those that count)."""

    good: int
    bad: dict[int, int]
    per_second: float
    latencies: list[float]

    def check(self) -> None:
        """Raises AssertionError where something was answered otherwise than expected."""
        assert not self.bad, f"answers by status: {self.bad}"

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        return sorted(self.latencies)[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def request(method: str, path: str, token: str, body: bytes = b"", **headers: str) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Driver:
    """A process that drives one load after the other: where there are many short ones, none waits for an interpreter."""

    def __init__(self) -> None:
        self._pool = get_context("spawn").Pool(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.terminate()
        self._pool.join()

    def drive(
        self,
        url: str,
        requests: Sequence[bytes],
        connections: int,
        seconds: float,
        status: int = 200,
        seed: int | None = 0,
    ) -> Load:
        """`requests` in random order over so many connections, for `seconds` after a short while.

        Without a seed each of them once, from the first one on; there have to be enough.
        """
        return self._pool.apply(_drive, (url, requests, connections, seconds, status, seed))


def drive(
    url: str,
    requests: Sequence[bytes],
    connections: int,
    seconds: float,
    status: int = 200,
    seed: int = 0,
    *,
    in_order: bool = False,
) -> Load:
    """The same in a process of its own; `in_order`: without a seed."""
    with Driver() as driver:
        return driver.drive(url, requests, connections, seconds, status, None if in_order else seed)


def _drive(url: str, requests: Sequence[bytes], connections: int, seconds: float, status: int, seed: int | None) -> Load:
    chosen = iter(requests) if seed is None else _at_random(requests, random.Random(seed))
    return uvloop.run(_all(url, chosen, connections, seconds, status))


def _at_random(requests: Sequence[bytes], dice: random.Random) -> Iterator[bytes]:
    while True:
        yield requests[dice.randrange(len(requests))]


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: Iterator[bytes], ends_at: float) -> None:
        self.requests, self.ends_at = requests, ends_at
        self.done = asyncio.get_running_loop().create_future()
        self.answers: list[tuple[float, float, int]] = []
        """When each was sent and answered, and its status."""
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        if self._sent_at > self.ends_at:
            self._transport.close()
            self.done.set_result(None)
            return
        request = next(self.requests, None)
        if request is None:
            self._transport.close()
            self.done.set_exception(RuntimeError("there are not enough requests"))
            return
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        lower = self._buffer[:head].lower()
        place = lower.find(b"content-length: ")
        length = int(lower[place + 16 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(self._buffer) < head + 4 + length:
            return
        self.answers.append((self._sent_at, time.perf_counter(), int(self._buffer[9:12])))
        self._buffer = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server hung up"))


async def _all(url: str, requests: Iterator[bytes], connections: int, seconds: float, status: int) -> Load:
    address, loop = urlsplit(url), asyncio.get_running_loop()
    counted_from = time.perf_counter() + WARM_SECONDS
    ends_at = counted_from + seconds
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: _Client(requests, ends_at), address.hostname or "", address.port or 0)
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    answers = [answer for client in clients for answer in client.answers]
    counted = [(sent_at, at) for sent_at, at, found in answers if found == status and counted_from <= at <= ends_at]
    bad: dict[int, int] = {}
    for _, _, found in answers:
        if found != status:
            bad[found] = bad.get(found, 0) + 1
    latencies = [(at - sent_at) * 1_000 for sent_at, at in counted]
    return Load(sum(found == status for _, _, found in answers), bad, len(counted) / seconds, latencies)
