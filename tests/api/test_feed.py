"""The live feed, with real sockets: who may listen, what is told, how it ends, and several processes."""

import asyncio
import contextlib
import datetime
import gc
import json
import socket as sockets_of_python
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Engine, text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api import feed, sockets, tokens
from storage import feed as stored_feed
from storage.feed import Head
from tests.debitum.test_children import until as eventually
from tests.fixtures.api import Client, Server, serve


@pytest_asyncio.fixture
async def other_host(api: Server) -> AsyncIterator[Server]:
    """Another process of the API over the same database; what one knows the other only knows from Postgres."""
    async with serve(api.settings) as running:
        yield running


def address(server: Server) -> str:
    return server.url.replace("http", "ws") + sockets.PATH


async def hear(socket: ClientConnection, seconds: float = 5) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        found: dict[str, Any] = json.loads(await socket.recv())
        return found


def token(client: Client) -> str:
    return json.dumps({"type": "auth", "token": client.signed_in["access_token"]})


@asynccontextmanager
async def listening(server: Server, client: Client, **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(address(server), **options) as socket:
        await socket.send(token(client))
        ready = await hear(socket)
        assert (ready["type"], ready["ledger_id"]) == ("ready", client.ledger_id)
        yield socket


async def closed(socket: ClientConnection, seconds: float = 5) -> int | None:
    """The code by which the server ends it."""
    async with asyncio.timeout(seconds):
        with contextlib.suppress(ConnectionClosed):
            async for _ in socket:
                pass
        await socket.wait_closed()
    return socket.close_code


async def until(socket: ClientConnection, version: int) -> dict[str, Any]:
    """The first message that says at least so much."""
    while True:
        said = await hear(socket)
        assert set(said) == {"type", "ledger_id", "version", "hash"}, "ids only, never contents"
        if said["version"] >= version:
            return said


async def test_a_socket_is_told_where_the_ledger_stands_after_every_change(api: Server, alice: Client, bob: Client) -> None:
    async with listening(api, alice) as socket:
        await bob.post("/api/contacts", {"name": "Bob's"}, status=201)
        await alice.post("/api/contacts", {"name": "Ana"}, status=201)
        said = await hear(socket)
        head = await alice.get("/api/sync/hash")
        assert said == {"type": "head", "ledger_id": alice.ledger_id, **head}
        await alice.push(dry_run=True)
        with pytest.raises(TimeoutError):
            await hear(socket, 0.2)


HANDSHAKE = (
    f"GET {sockets.PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
UNFINISHED = b"".join(bytes([opcode, 0xFE, *(10_000).to_bytes(2), 0, 0, 0, 0]) + b"x" * 10_000 for opcode in (1, *[0] * 11))
"""Frames of a text of which none is the last (RFC 6455, 5.2)."""


async def test_what_came_of_a_message_that_never_ended_is_given_back_at_once(api: Server) -> None:
    """Sanic's socket and its parts hold each other, and would hold it until the collector comes."""
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(50):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(UNFINISHED)
            writer.close()
            await writer.wait_closed()
        left = 50 * len(UNFINISHED) // 2
        await eventually(lambda: tracemalloc.get_traced_memory()[0] < left)
    finally:
        tracemalloc.stop()
        gc.enable()


async def test_without_postgres_it_is_said_to_come_back(api: Server, alice: Client, tmp_path: Path) -> None:
    nowhere = f"postgresql://nobody@/nothing?host={tmp_path}"
    async with (
        serve(replace(api.settings, database_url=nowhere, direct_url=nowhere)) as running,
        connect(address(running)) as socket,
    ):
        await socket.send(token(alice))
        assert await closed(socket) == sockets.TRY_AGAIN


async def test_ready_says_where_it_stands(api: Server, alice: Client) -> None:
    for version in (0, 1):
        async with connect(address(api)) as socket:
            await socket.send(token(alice))
            ready = await hear(socket)
            assert ready == {"type": "ready", "ledger_id": alice.ledger_id, **(await alice.get("/api/sync/hash"))}
            assert ready["version"] == version
        await alice.post("/api/contacts", {"name": "Ana"}, status=201)


async def test_a_change_while_the_head_is_being_read_is_not_forgotten(
    api: Server, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read arrives after the news of a commit, and is older."""
    was_read, may_arrive, read = asyncio.Event(), asyncio.Event(), stored_feed.heads

    async def slowly(*arguments: Any) -> list[Head]:
        found = await read(*arguments)
        was_read.set()
        await may_arrive.wait()
        return found

    monkeypatch.setattr(stored_feed, "heads", slowly)
    async with connect(address(api)) as socket:
        await socket.send(token(alice))
        await was_read.wait()
        await alice.post("/api/contacts", {"name": "Ana"}, status=201)
        may_arrive.set()
        await until(socket, 1)


async def test_a_change_made_by_another_host_arrives_soon(api: Server, other_host: Server, alice: Client) -> None:
    elsewhere = other_host.client(alice.signed_in)
    async with listening(api, alice) as socket:
        waits = []
        for version in range(1, 21):
            began = time.perf_counter()
            await elsewhere.post("/api/contacts", {"name": "Ana"}, status=201)
            await until(socket, version)
            waits.append(time.perf_counter() - began)
    assert sorted(waits)[10] < 0.25


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("hello", sockets.BAD_MESSAGE),
        ('{"type":"hello"}', sockets.BAD_MESSAGE),
        ('{"type":"auth"}', sockets.UNAUTHORIZED),
        ('{"type":"auth","token":"x"}', sockets.UNAUTHORIZED),
        (b"\xff", sockets.BAD_MESSAGE),
        ("[" * 2_000, sockets.BAD_MESSAGE),
        ("x" * (sockets.MAX_MESSAGE_BYTES + 1), sockets.TOO_LARGE),
    ],
)
async def test_what_is_no_token_ends_the_socket(api: Server, message: str | bytes, code: int) -> None:
    async with connect(address(api)) as socket:
        await socket.send(message)
        assert await closed(socket) == code


async def test_who_says_nothing_is_sent_away(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "AUTH_SECONDS", 0.1)
    async with connect(address(api)) as socket:
        assert await closed(socket) == sockets.UNAUTHORIZED


async def test_a_token_that_ends_ends_the_socket_unless_a_newer_one_came(
    api: Server, alice: Client, bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "LIFETIME", datetime.timedelta(seconds=2))
    brief = await api.login(alice)
    monkeypatch.undo()
    async with listening(api, brief) as short, listening(api, brief) as extended:
        await extended.send(token(alice))
        assert await closed(short, 4) == sockets.UNAUTHORIZED
        await alice.post("/api/contacts", {"name": "Ana"}, status=201)
        await until(extended, 1)
        await extended.send(token(bob))
        assert await closed(extended) == sockets.UNAUTHORIZED


async def test_a_session_that_ends_ends_its_sockets(api: Server, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LOOK_SECONDS", 0.01)
    other = await api.login(alice)
    async with listening(api, other) as gone, listening(api, alice) as going:
        await other.http.post("/api/auth/logout")
        await api.app.ctx.services.feed._look()
        assert await closed(gone) == sockets.UNAUTHORIZED
        await alice.post("/api/contacts", {"name": "Ana"}, status=201)
        await until(going, 1)


async def test_a_socket_is_of_the_session_whose_token_came_last(
    api: Server, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LOOK_SECONDS", 0.01)
    other, heads = await api.login(alice), api.app.ctx.services.feed
    async with listening(api, other) as renewed, listening(api, alice) as handed_over:
        await renewed.send(token(alice))
        await handed_over.send(token(other))
        await asyncio.sleep(0.1)
        await other.http.post("/api/auth/logout")
        await heads._look()
        assert await closed(handed_over) == sockets.UNAUTHORIZED
        await alice.post("/api/contacts", {"name": "Ana"}, status=201)
        await until(renewed, 1)


async def test_a_sixth_socket_ends_the_oldest_wherever_it_is(api: Server, other_host: Server, alice: Client) -> None:
    async with listening(api, alice) as first, listening(api, alice) as second:
        rest = [await connect(address(server)) for server in (other_host, other_host, api, other_host)]
        for socket in rest:
            await socket.send(token(alice))
            assert (await hear(socket))["type"] == "ready"
        assert await closed(first) == sockets.TOO_MANY
        await alice.post("/api/contacts", {"name": "Ana"}, status=201)
        for socket in (second, *rest):
            await until(socket, 1)
            await socket.close()


async def test_pages_of_elsewhere_may_not_listen(api: Server, alice: Client) -> None:
    for path in ("", "/"):  # Sanic's router does not mind a slash at the end
        for origin in ("https://evil.example", "http://["):
            with pytest.raises(InvalidStatus) as refused:
                await connect(address(api) + path, origin=origin)  # type: ignore[arg-type]  # a NewType
            assert refused.value.response.status_code == 403
    async with listening(api, alice, origin=api.url):
        pass
    friend = "https://app.example.org"
    async with serve(replace(api.settings, cors_origins=(friend,))) as open_to_it, listening(open_to_it, alice, origin=friend):
        pass


async def test_the_feed_comes_back_when_postgres_does(api: Server, other_host: Server, alice: Client, database: Engine) -> None:
    """Every connection of both processes is cut while a change is made; the socket learns of it all the same."""
    elsewhere = other_host.client(alice.signed_in)
    async with listening(api, alice) as socket:
        for version in range(1, 4):
            with database.begin() as connection:
                cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'debitum-api%'"
                connection.execute(text(f"{cut} and datname = current_database()"))
            for _ in range(100):
                if (await elsewhere.http.post("/api/contacts", json={"name": "Ana"})).status_code == 201:
                    break
                await asyncio.sleep(0.05)
            assert (await until(socket, version))["version"] >= version


async def test_a_burst_costs_a_slow_reader_one_head_and_nobody_else_anything(api: Server, alice: Client) -> None:
    async with listening(api, alice) as socket:
        await asyncio.gather(*(alice.post("/api/contacts", {"name": "Ana"}, status=201) for _ in range(60)))
        last = await until(socket, 60)
        assert last["version"] == 60


async def test_a_reader_that_never_reads_is_dropped(api: Server, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its buffers fill, and it is closed after a while; whoever reads is served meanwhile."""
    monkeypatch.setattr(sockets, "LAG_SECONDS", 0.3)
    monkeypatch.setattr(sockets, "SEND_BUFFER_BYTES", 4_096)
    running = api.app.ctx.services.feed
    raw = sockets_of_python.create_connection(("127.0.0.1", int(api.url.rsplit(":", 1)[1])))
    raw.setsockopt(sockets_of_python.SOL_SOCKET, sockets_of_python.SO_RCVBUF, 4_096)
    async with listening(api, alice) as reader:
        deaf = await connect(address(api), sock=raw)
        await deaf.send(token(alice))
        await hear(deaf)
        deaf.transport.pause_reading()
        version = 0

        async def push() -> None:
            nonlocal version
            async with asyncio.timeout(20):
                while len(running._listeners[alice.ledger_id]) > 1:
                    version += 1
                    running.moved([Head(alice.ledger_id, version, "0" * 64)])
                    await asyncio.sleep(0)

        pushing, heard = asyncio.create_task(push()), 0
        while not pushing.done() or heard < version:
            heard = (await until(reader, heard + 1))["version"]
        await pushing
        deaf.transport.resume_reading()
        assert await closed(deaf) == sockets.LAGS


async def test_a_server_that_stops_says_so(api: Server, alice: Client) -> None:
    async with serve(api.settings) as stopping:
        listeners = [await connect(address(stopping)) for _ in range(2)]
        for one in listeners:
            await one.send(token(alice))
            await hear(one)
    assert [await closed(one) for one in listeners] == [sockets.GOING_AWAY] * 2


async def test_who_reads_no_answers_is_not_listened_to(api: Server, alice: Client) -> None:
    """Pings are answered by the protocol, whatever waits already: 98 MB of them became 370 MB of the server's memory."""
    pings = (b"\x89\xfd" + bytes(4) + b"x" * 125) * 4_000
    async with listening(api, alice, ping_interval=None) as socket:
        opened = socket.transport
        opened.pause_reading()
        for _ in range(200):  # of half a mebibyte: far more than the system keeps
            opened.write(pings)
            with contextlib.suppress(AssertionError):
                await eventually(lambda: not opened.get_write_buffer_size(), 2)
            if opened.get_write_buffer_size():
                break
        assert opened.get_write_buffer_size(), "all was taken"
        opened.resume_reading()
        await eventually(lambda: not opened.get_write_buffer_size())
        await alice.post("/api/contacts", {"name": "Ana"}, status=201)
        assert (await hear(socket))["version"] == 1
