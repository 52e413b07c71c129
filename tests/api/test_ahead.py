"""Answers that are sent more slowly than they are made: what they are made from is free long before their reader has them."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api import ahead, places
from api.services import MAX_SNAPSHOTS
from tests.api.test_slow_clients import head
from tests.api.test_sync import event
from tests.debitum.test_children import until
from tests.fixtures.api import Client, Server, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()

NOTE_CHARACTERS = 4_000
PUSHES, CONTACTS = 12, 200
"""Ten megabytes of notes, and as much in the log: more than two systems keep for a reader who does not read."""
KEPT_BYTES = 4_096


async def much(client: Client) -> None:
    for push in range(PUSHES):
        notes = f"{push} ".ljust(NOTE_CHARACTERS, "x")
        await client.push(*(event("contact", "CREATED", {"name": "Ana", "notes": notes}) for _ in range(CONTACTS)))


@asynccontextmanager
async def export(server: Server, client: Client) -> AsyncIterator[asyncio.StreamReader]:
    """The beginning of an export has come, and nobody reads on."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KEPT_BYTES)
    opened.connect(("127.0.0.1", int(server.url.rsplit(":", 1)[1])))
    reader, writer = await asyncio.open_connection(sock=opened, limit=KEPT_BYTES)
    try:
        writer.write(head("GET", "/api/export", Authorization=f"Bearer {client.signed_in['access_token']}"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        yield reader
    finally:
        writer.transport.abort()


async def whole(reader: asyncio.StreamReader) -> bytes:
    """What is left of an answer in chunks, to its end."""
    found = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        found += (await reader.readexactly(size + 2))[:-2]
    return bytes(found)


async def test_who_does_not_read_on_keeps_nothing_from_others(
    api: Server, alice: Client, bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "WAIT_SECONDS", 0.5)
    here, carol = api.app.ctx.services, await api.register()
    await asyncio.gather(much(alice), much(bob))
    async with contextlib.AsyncExitStack() as slow:
        readers = [await slow.enter_async_context(export(api, client)) for client in (alice, bob) for _ in range(2)]
        assert len(readers) == MAX_SNAPSHOTS
        await until(lambda: here.gauges().pool == 0)
        assert (await carol.http.get("/api/sync/state")).status_code == 200
        refused = await alice.http.get("/api/export")
        assert refused.status_code == 503, "their own share is gone"
        answers = [json.loads(await whole(reader)) for reader in readers]
    assert [len(answer["events"]) for answer in answers] == [PUSHES * CONTACTS] * len(readers)
    assert answers[0]["events"] == answers[1]["events"] != answers[2]["events"]


async def test_who_does_not_read_an_answer_that_is_too_large_is_cut_off(
    api: Server, alice: Client, bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "AHEAD_BYTES", ahead.CHUNK_BYTES)
    monkeypatch.setattr(ahead, "DRAIN_SECONDS", 0.5)
    await much(bob)
    async with export(api, bob) as reader:
        await until(lambda: api.app.ctx.services.gauges().pool == 0)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await whole(reader)


async def _given(parts: list[bytes], closed: list[bool], error: Exception | None = None) -> AsyncGenerator[bytes, None]:
    try:
        for part in parts:
            yield part
            await asyncio.sleep(0)
        if error is not None:
            raise error
    finally:
        closed.append(True)


@pytest.mark.parametrize("most", [1, 100, 10**9])
@pytest.mark.parametrize("pause", [0, 3])
async def test_it_is_the_same_at_every_pace(monkeypatch: pytest.MonkeyPatch, most: int, pause: int) -> None:
    monkeypatch.setattr(ahead, "AHEAD_BYTES", most)
    for sizes in ([], [0], [1], [70_000] * 9, [1, 200_000, 5, 65_536, 65_537] * 3):
        parts, closed = [os.urandom(size) for size in sizes], list[bool]()
        found = b""
        async with contextlib.aclosing(ahead.read(_given(parts, closed))) as reading:
            async for chunk in reading:
                assert 0 < len(chunk) <= ahead.CHUNK_BYTES
                found += chunk
                for _ in range(pause):
                    await asyncio.sleep(0)
        assert (found, closed) == (b"".join(parts), [True])


async def test_what_fails_fails_here_and_who_goes_ends_it() -> None:
    closed: list[bool] = []
    with pytest.raises(LookupError):
        async for _ in ahead.read(_given([b"x"] * 3, closed, LookupError())):
            pass
    async with contextlib.aclosing(ahead.read(_given([b"x"] * 10_000, closed))) as reading:
        await anext(reading)
    assert closed == [True, True]
