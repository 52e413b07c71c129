"""Clients that send slowly, on real connections: how long they may hold one, and who is not meant by it."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, text

from api import protocol
from tests.api.test_feed import listening, until
from tests.fixtures.api import PASSWORD, Client, Server
from tests.fixtures.process import Process

RECEIVE_SECONDS = 0.3
MIN_BYTES_PER_SECOND = 1_000
MOST_PATIENCE_SECONDS = 0.5
PAUSE_SECONDS = 0.04
LATE_SECONDS = 1.0
"""How much later than promised a busy machine may be."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "RECEIVE_SECONDS", RECEIVE_SECONDS)
    monkeypatch.setattr(protocol, "MIN_BYTES_PER_SECOND", MIN_BYTES_PER_SECOND)
    monkeypatch.setattr(protocol, "MOST_PATIENCE_SECONDS", MOST_PATIENCE_SECONDS)


class Line:
    """A connection that sends what it is told to, when it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.began = time.monotonic()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer.

        A byte that is sent when the server has closed is answered by a reset, and asyncio then keeps to itself what came before.
        """
        if isinstance(self.reader.exception(), ConnectionError):
            self.reader._exception = None  # type: ignore[attr-defined]  # there is no other way to what it has
            self.reader.feed_eof()
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        return int(status.split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))

    async def dribble(self, data: bytes, size: int = 1) -> None:
        """`size` bytes at a time, until the other side has enough."""
        for start in range(0, len(data), size):
            self.writer.write(data[start : start + size])
            await asyncio.sleep(PAUSE_SECONDS)
            if self.reader.at_eof() or self.reader._buffer:  # type: ignore[attr-defined]  # asyncio has no way to look without taking
                return

    async def closed_after(self) -> float:
        """Seconds until the server had closed it."""
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(self.reader.read(), 5) == b""
        return time.monotonic() - self.began


@asynccontextmanager
async def line(server: Server | Process) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def head(method: str, path: str, **headers: Any) -> bytes:
    given = {"Host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return "".join([f"{method} {path} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in given.items()), "\r\n"]).encode()


def too_slow(status: int, headers: dict[str, str], body: bytes) -> bool:
    return (status, headers["connection"], json.loads(body)["code"]) == (408, "close", "too_slow")


async def test_a_connection_that_says_nothing_is_closed(api: Server) -> None:
    async with line(api) as opened:
        assert RECEIVE_SECONDS <= await opened.closed_after() < RECEIVE_SECONDS + LATE_SECONDS


async def test_a_head_that_dribbles_is_cut_off(api: Server) -> None:
    async with line(api) as opened:
        await opened.dribble(head("GET", "/health", X="y" * 200))
        assert too_slow(*await opened.answer())
        assert RECEIVE_SECONDS <= await opened.closed_after() < RECEIVE_SECONDS + LATE_SECONDS


async def test_a_body_that_dribbles_is_cut_off(api: Server, alice: Client) -> None:
    async def send(path: str, media_type: str, **length: Any) -> None:
        async with line(api) as opened:
            token = f"Bearer {alice.signed_in['access_token']}"
            opened.writer.write(head("POST", path, Content_Type=media_type, Authorization=token, **length))
            await opened.dribble(b"c8\r\n" + b" " * 200)
            assert too_slow(*await opened.answer())
            assert RECEIVE_SECONDS <= await opened.closed_after() < RECEIVE_SECONDS + LATE_SECONDS

    await asyncio.gather(
        send("/api/contacts", "application/json", Content_Length=200),
        send("/api/contacts", "application/json", Transfer_Encoding="chunked"),
        send("/api/import/debitum", "application/zip", Content_Length=200),
        send("/api/import/debitum", "application/zip", Transfer_Encoding="chunked"),
    )


async def test_what_is_left_of_a_refused_request_is_not_waited_for_either(api: Server) -> None:
    async with line(api) as opened:
        opened.writer.write(head("POST", "/api/import/debitum", Content_Type="application/zip", Content_Length=200))
        status, _, _ = await opened.answer()
        assert status == 401
        await opened.dribble(b" " * 200)
        assert await opened.closed_after() < RECEIVE_SECONDS + LATE_SECONDS


async def test_a_fast_start_saves_up_only_so_much(api: Server) -> None:
    async with line(api) as opened:
        body = head("POST", "/api/auth/login", Content_Type="application/json", Content_Length=9_000) + b" " * 100
        opened.writer.write(body)
        await asyncio.sleep(PAUSE_SECONDS)
        opened.writer.write(b" " * 8_000)  # eight seconds' worth
        await opened.dribble(b" " * 200)
        assert too_slow(*await opened.answer())
        assert await opened.closed_after() < MOST_PATIENCE_SECONDS + LATE_SECONDS


async def test_a_slow_line_that_keeps_coming_has_the_time_it_needs(api: Server) -> None:
    account = {"email": "slow@example.org", "password": PASSWORD, "time_zone": "Europe/Berlin"}
    body = json.dumps(account).encode().ljust(2_500)
    async with line(api) as opened:
        opened.writer.write(head("POST", "/api/auth/register", Content_Type="application/json", Content_Length=len(body)))
        await opened.dribble(body, size=100)
        status, headers, _ = await opened.answer()
        assert (status, headers["connection"]) == (201, "keep-alive")
        assert time.monotonic() - opened.began > 3 * RECEIVE_SECONDS


async def test_a_connection_may_rest_between_requests(api: Server) -> None:
    async with line(api) as opened:
        for _ in range(2):
            opened.writer.write(head("GET", "/health"))
            status, headers, _ = await opened.answer()
            assert (status, headers["connection"]) == (200, "keep-alive")
            await asyncio.sleep(1.5 * RECEIVE_SECONDS)


async def test_each_request_has_the_whole_time(api: Server) -> None:
    request = head("GET", "/health")
    async with line(api) as opened:
        for _ in range(3):
            await opened.dribble(request, size=len(request) // 5)
            status, headers, _ = await opened.answer()
            assert (status, headers["connection"]) == (200, "keep-alive")


async def test_a_request_that_waits_for_postgres_is_answered(database: Engine, alice: Client) -> None:
    with database.begin() as connection:
        connection.execute(text("lock table debitum.contacts"))
        waiting = asyncio.create_task(alice.get("/api/contacts"))
        await asyncio.sleep(2 * RECEIVE_SECONDS)
        assert not waiting.done()
    assert (await waiting)["items"] == []


async def test_a_websocket_lives_on(api: Server, alice: Client) -> None:
    async with listening(api, alice) as socket:
        await asyncio.sleep(2 * MOST_PATIENCE_SECONDS)
        await alice.post("/api/contacts", {"name": "Ana"}, status=201)
        assert (await until(socket, 1))["version"] == 1
