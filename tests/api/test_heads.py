"""HEAD on real connections: what GET would say of its answer, no body, and the connection is good for the next request."""

import json
import uuid
from collections.abc import AsyncGenerator
from typing import NoReturn

import pytest

from api import problems, state, streams
from tests.api.test_slow_clients import Line, head, line
from tests.api.test_transactions import lend, person
from tests.fixtures.api import Client, Server, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()

STREAMED = ("/api/export", "/api/export?format=json", "/api/export?format=csv", "/api/sync/state")
OF_THE_MOMENT = {"date", "x-request-id", "ratelimit-remaining", "ratelimit-reset"}


def asked(method: str, path: str, client: Client | None = None, **headers: str) -> bytes:
    signed = {} if client is None else {"Authorization": f"Bearer {client.signed_in['access_token']}"}
    return head(method, path, **signed, **headers)


async def heading(opened: Line) -> tuple[int, dict[str, str]]:
    """Status and headers of the next answer, after which nothing has come."""
    first, *lines = (await opened.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    pairs = (one.split(":", 1) for one in lines)
    return int(first.split()[1]), lasting({name.lower(): value.strip() for name, value in pairs})


def lasting(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in OF_THE_MOMENT}


async def still_answers(opened: Line) -> None:
    """That nothing came behind the last answer, and what it was made of is closed."""
    opened.writer.write(asked("GET", "/health"))
    status, headers, content = await opened.answer()
    assert (status, headers["connection"], content) == (200, "keep-alive", b"OK")


@pytest.mark.parametrize("packed", ["gzip", "identity"])
@pytest.mark.parametrize("path", STREAMED)
async def test_a_streamed_answer_has_a_head_of_its_own(api: Server, alice: Client, path: str, packed: str) -> None:
    await lend(alice, await person(alice), 5)
    async with line(api) as opened:
        opened.writer.write(asked("GET", path, alice, Accept_Encoding=packed))
        status, headers = await heading(opened)
    assert (status, headers["transfer-encoding"], headers["connection"]) == (200, "chunked", "keep-alive")
    assert ("content-encoding" in headers) == (packed == "gzip" and "csv" not in path)
    async with line(api) as opened:
        for _ in range(2):
            opened.writer.write(asked("HEAD", path, alice, Accept_Encoding=packed))
            assert await heading(opened) == (200, headers)
        await still_answers(opened)


@pytest.mark.parametrize(
    ("path", "signed_in", "status"),
    [
        ("/api/export", False, 401),
        ("/api/sync/state", False, 401),
        ("/api/export?format=xml", True, 400),
        ("/api/sync/state?x=1", True, 400),
    ],
)
async def test_what_is_a_problem_for_get_is_one_for_head(
    api: Server, alice: Client, path: str, signed_in: bool, status: int
) -> None:
    async with line(api) as opened:
        who = alice if signed_in else None
        opened.writer.write(asked("GET", path, who, X_Request_ID="x"))
        found, headers, problem = await opened.answer()
        assert (found, json.loads(problem)["status"]) == (status, status)
        for _ in range(2):
            opened.writer.write(asked("HEAD", path, who, X_Request_ID="x"))
            assert await heading(opened) == (status, lasting(headers))


async def test_what_fails_before_the_first_chunk_is_a_problem(
    api: Server, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.app.ctx.services.streams, "hold", full)
    async with line(api) as opened:
        opened.writer.write(asked("HEAD", "/api/export", alice))
        status, headers = await heading(opened)
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "keep-alive")
        await still_answers(opened)


def full(user_id: uuid.UUID) -> NoReturn:
    raise problems.Unavailable(f"too many of {user_id}")


async def test_no_more_than_the_first_chunk_is_made(api: Server, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    made, closed = list[int](), list[bool]()

    async def write(*_: object) -> AsyncGenerator[bytes, None]:
        try:
            for number in range(100):
                made.append(number)
                yield b"x"
        finally:
            closed.append(True)

    monkeypatch.setattr(streams, "CHUNK_BYTES", 1)
    monkeypatch.setattr(state, "_lines", write)
    async with line(api) as opened:
        opened.writer.write(asked("HEAD", "/api/sync/state", alice, Accept_Encoding="identity"))
        assert (await heading(opened))[0] == 200
        await still_answers(opened)
    assert (made, closed) == ([0], [True])
