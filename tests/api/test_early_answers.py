"""Answers that come before the request has, to clients that send all of it before they read: each of them is read, whole."""

import asyncio
import contextlib
import gc
import http.client
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from api import protocol
from tests.api.test_protocol import SMUGGLED
from tests.api.test_slow_clients import LATE_SECONDS, Line, head, line
from tests.debitum.test_children import until
from tests.fixtures.api import GRACE_SECONDS, Client, Server, of_the_module, serve
from tests.fixtures.process import Process

pytestmark, database_url, api, alice, bob = of_the_module()

MIB = 1 << 20
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
SIZES = (MIB + 1, 5 * MIB, 20 * MIB)
TIMES = 5
PATIENCE_SECONDS = 30.0
"""Of a client: many times what the largest body takes."""
PAUSE_SECONDS = 0.02
IMPORT, CONTACTS, LOGIN = "/api/import/json", "/api/contacts", "/api/auth/login"
EARLY = {
    "a bad token": (IMPORT, "application/json", "x", 401),
    "a bad token, for a backup": ("/api/import/debitum", "application/zip", "x", 401),
    "another type": (IMPORT, "text/plain", None, 415),
    "too large": (CONTACTS, "application/json", None, 413),
    "too large, and a bad token": (CONTACTS, "application/json", "x", 413),
    "nothing there": ("/api/nowhere", "application/json", None, 404),
}
"""Path, type, token (None: a good one) and status."""


def signed(kind: str, token: str) -> dict[str, str]:
    return {"Content-Type": EARLY[kind][1], "Authorization": f"Bearer {EARLY[kind][2] or token}"}


def port(server: Server | Process) -> int:
    return int(server.url.rsplit(":", 1)[1])


def told(server: Server | Process, *parts: bytes) -> bytes:
    """What comes back, up to the end of the connection, once all of `parts` has been sent. Blocks."""
    with socket.create_connection(("127.0.0.1", port(server)), timeout=PATIENCE_SECONDS) as opened:
        for part in parts:
            opened.sendall(part)
        return b"".join(iter(lambda: opened.recv(MIB), b""))


def only(answer: bytes) -> tuple[int, str]:
    """Status and code of the problem that `answer` is, whole and with nothing behind it, on a connection that is said to end."""
    first, _, content = answer.partition(b"\r\n\r\n")
    status, *lines = first.decode().split("\r\n")
    headers = dict(one.lower().split(": ", 1) for one in lines)
    assert (headers["connection"], int(headers["content-length"])) == ("close", len(content))
    return int(status.split()[1]), json.loads(content)["code"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "RECEIVE_SECONDS", 0.3)


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def nothing_is_left(api: Server) -> AsyncIterator[None]:
    """Once clients are gone there is no connection's task any more, and no connection that is open."""
    yield
    await until(lambda: not _of_connections() and not _open(), LATE_SECONDS)


def _of_connections() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if "connection_task" in repr(task.get_coro())]


def _open() -> list[protocol.Protocol]:
    found: list[protocol.Protocol] = [one for one in gc.get_objects() if type(one) is protocol.Protocol]
    return [one for one in found if one.transport is not None and not one.transport.is_closing()]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", EARLY)
async def test_who_sends_all_before_they_read_is_told(api: Server, bob: Client, kind: str, size: int) -> None:
    path, _, _, status = EARLY[kind]
    headers, content = signed(kind, bob.signed_in["access_token"]), bytes(size)

    def ask() -> tuple[int, str | None, int]:
        opened = http.client.HTTPConnection("127.0.0.1", port(api), timeout=PATIENCE_SECONDS)
        with contextlib.closing(opened):
            opened.request("POST", path, content, headers)
            answer = opened.getresponse()
            return answer.status, answer.headers["Connection"], json.loads(answer.read())["status"]

    await bob.http.aclose()  # its connection may rest, which these may not
    for _ in range(TIMES):
        assert await asyncio.to_thread(ask) == (status, "close", status)
        answer = await asyncio.to_thread(told, api, head("POST", path, Content_Length=size, **headers), content)
        assert only(answer)[0] == status


@pytest.mark.parametrize("size", SIZES)
async def test_so_is_who_sends_chunks_or_what_cannot_be_read(api: Server, size: int) -> None:
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size))
    for sent, expected in (
        ((head("POST", IMPORT, Transfer_Encoding="chunked"), chunks), (401, "unauthorized")),
        ((head("POST", CONTACTS, Transfer_Encoding="chunked"), chunks), (401, "unauthorized")),
        ((head("POST", LOGIN, Transfer_Encoding="chunked"), chunks), (413, "too_large")),
        ((head("POST", IMPORT, Transfer_Encoding="gzip, chunked"), chunks), (400, "invalid")),
        ((head("POST", IMPORT, Content_Length="-1"), bytes(size)), (400, "invalid")),
        ((b"POST / HTTP/1.1\r\nX: ", b"a" * size), (413, "too_large")),
    ):
        for _ in range(TIMES):
            assert only(await asyncio.to_thread(told, api, *sent)) == expected


async def test_nothing_of_what_is_thrown_away_is_taken_for_a_request(api: Server) -> None:
    """Neither inside of the body nor behind it, however it comes."""
    requests = SMUGGLED * (2 * MIB // len(SMUGGLED))
    asked = head("POST", IMPORT, Content_Length=len(requests))
    for parts in ((asked + requests + SMUGGLED,), (asked, requests, SMUGGLED), (asked, *(SMUGGLED * 99 for _ in range(999)))):
        assert only(await asyncio.to_thread(told, api, *parts)) == (401, "unauthorized")


async def test_a_short_rest_is_read_and_the_connection_kept(api: Server) -> None:
    """The control: what Sanic reads by itself."""
    async with line(api) as opened:
        for _ in range(2):
            opened.writer.write(head("POST", IMPORT, Content_Length=MIB) + bytes(MIB))
            status, headers, _ = await opened.answer()
            assert (status, headers["connection"]) == (401, "keep-alive")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", LOGIN, (413, "too_large")),
        ("POST", "/api/auth/refresh", (413, "too_large")),
        ("POST", "/unsubscribe", (413, "too_large")),
        ("GET", "/api/meta", (413, "too_large")),
        ("POST", CONTACTS, (401, "unauthorized")),
        ("PATCH", "/api/contacts/x", (401, "unauthorized")),
        ("POST", "/api/sync/push", (401, "unauthorized")),
        ("GET", "/api/me", (401, "unauthorized")),
    ],
)
@pytest.mark.parametrize("said", [{"Content_Length": protocol.STRANGERS_BYTES + 1}, {"Transfer_Encoding": "chunked"}], ids=str)
async def test_nothing_large_of_a_stranger_is_kept(
    api: Server, method: str, path: str, expected: tuple[int, str], said: dict[str, Any]
) -> None:
    """It is refused before it comes; of chunks, whose number nobody knows, as soon as there are too many."""
    async with line(api) as opened:
        opened.writer.write(head(method, path, Content_Type="application/json", **said))
        if expected[0] == 413 and "Transfer_Encoding" in said:
            opened.writer.write(b"%x\r\n" % (protocol.STRANGERS_BYTES + 1))
        status, _, content = await asyncio.wait_for(opened.answer(), PATIENCE_SECONDS)
        assert (status, json.loads(content)["code"]) == expected


async def test_what_is_small_or_of_a_user_is_read(api: Server, alice: Client, bob: Client) -> None:
    """A session that ends before a large body has come is as good as none."""
    large = json.dumps({"name": "Ana"}).encode().ljust(protocol.STRANGERS_BYTES + 1)
    small = json.dumps({"email": "nobody@example.org", "password": "x"}).encode().ljust(protocol.STRANGERS_BYTES)
    async with api.http() as http:
        assert (await http.post(LOGIN, content=small, headers={"Content-Type": "application/json"})).status_code == 401
    for client, expected in ((alice, 201), (bob, 401)):
        async with line(api) as opened:
            token = f"Bearer {client.signed_in['access_token']}"
            said = {"Content_Type": "application/json", "Content_Length": len(large), "Authorization": token}
            opened.writer.write(head("POST", CONTACTS, **said, Expect="100-continue"))
            assert await asyncio.wait_for(opened.reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS) == GO_ON
            if expected == 401:
                await client.post("/api/auth/logout", status=204)
                await client.http.aclose()
            opened.writer.write(large)
            status, _, _ = await opened.answer()
            assert status == expected


@asynccontextmanager
async def refused(server: Server | Process, size: int = 100 * MIB) -> AsyncIterator[Line]:
    """A connection on which the answer has been read, and nothing of the body sent."""
    async with line(server) as opened:
        opened.writer.write(head("POST", IMPORT, Content_Length=size))
        status, headers, _ = await opened.answer()
        assert (status, headers["connection"]) == (401, "close")
        assert await asyncio.wait_for(opened.reader.read(), LATE_SECONDS) == b"", "that was all, and it is said at once"
        yield opened


async def sent_until_closed(opened: Line, pieces: Callable[[], Iterator[bytes]]) -> tuple[float, int]:
    """For how many seconds, and how many bytes, the server took what was sent."""
    began, size = time.monotonic(), 0
    with contextlib.suppress(ConnectionError):
        for piece in pieces():
            opened.writer.write(piece)
            await opened.writer.drain()
            await asyncio.sleep(0 if len(piece) > MIB else PAUSE_SECONDS)
            size += len(piece)
    return time.monotonic() - began, size


def drops(size: int) -> Iterator[bytes]:
    while True:
        yield bytes(size)


@pytest.mark.usefixtures("impatient")
async def test_who_dribbles_for_ever_is_cut_off(api: Server) -> None:
    async with refused(api) as opened:
        seconds, _ = await sent_until_closed(opened, lambda: drops(1))
        assert 0.5 * protocol.RECEIVE_SECONDS < seconds < protocol.RECEIVE_SECONDS + LATE_SECONDS


@pytest.mark.usefixtures("impatient")
async def test_who_says_nothing_more_is_cut_off_whatever_they_had_saved_up(api: Server) -> None:
    async with refused(api) as opened:
        opened.writer.write(bytes(2 * MIB))
        await opened.writer.drain()
        await asyncio.sleep(protocol.RECEIVE_SECONDS + LATE_SECONDS / 2)
        assert not _of_connections()


async def test_who_is_fast_enough_is_cut_off_after_a_while(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.5)
    async with refused(api) as opened:
        seconds, _ = await sent_until_closed(opened, lambda: drops(1_000))
        assert 0.4 < seconds < 0.5 + LATE_SECONDS


async def test_who_sends_more_than_anything_takes_is_cut_off(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LINGER_BYTES", 10 * MIB)
    async with refused(api) as opened:
        _, size = await sent_until_closed(opened, lambda: drops(2 * MIB))
        assert 10 * MIB <= size < 50 * MIB, "beside what lies in buffers"


async def test_who_hangs_up_is_let_go_at_once(api: Server) -> None:
    async with refused(api) as opened:
        opened.writer.write(bytes(MIB))
        assert len(_of_connections()) == 1
    await until(lambda: not _of_connections(), LATE_SECONDS)


@pytest.mark.parametrize("goes", [True, False])
async def test_a_shutdown_waits_for_it_within_its_grace(api: Server, goes: bool) -> None:
    async with contextlib.AsyncExitStack() as clients, serve(api.settings) as other:
        opened = await clients.enter_async_context(refused(other))
        sending = asyncio.create_task(sent_until_closed(opened, lambda: drops(2_000)))
        await asyncio.sleep(0.2)
        if goes:
            asyncio.get_running_loop().call_later(0.5, opened.writer.transport.abort)
        told_at = time.monotonic()
    took = time.monotonic() - told_at
    assert 0.4 < took < 0.5 + LATE_SECONDS if goes else GRACE_SECONDS - 0.1 < took < GRACE_SECONDS + LATE_SECONDS
    await asyncio.wait_for(sending, LATE_SECONDS)
