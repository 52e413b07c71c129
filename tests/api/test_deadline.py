"""Requests that wait for a stuck Postgres: answered in time, and nothing of them is left waiting."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import Engine, text
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api import app, pages, sockets
from tests.api.test_slow_clients import line
from tests.api.test_sync import verify_chain
from tests.debitum.test_children import until
from tests.fixtures.api import Client, Server, serve

REQUEST_SECONDS = 0.4
LATE_SECONDS = 10.0
"""How much later than promised a busy machine may be."""


@pytest_asyncio.fixture
async def hurried(api: Server) -> AsyncIterator[Server]:
    """On the same database, with so few connections that one which is not given back is missed."""
    hasty = replace(api.settings, request_seconds=REQUEST_SECONDS, pool_size=2, pool_timeout_seconds=5.0)
    async with serve(hasty) as running:
        yield running


@contextmanager
def locked(database: Engine, statement: str, **values: str) -> Iterator[None]:
    with database.begin() as connection:
        connection.execute(text(statement), values)
        yield


def waiting(database: Engine) -> int:
    """Backends of the API that wait for a lock."""
    with database.begin() as connection:
        count: int = connection.execute(
            text(
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and application_name like 'debitum-api%' and wait_event_type = 'Lock'"
            )
        ).scalar_one()
    return count


def check(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "unavailable", "1")


async def insist(ask: Callable[[], Awaitable[httpx.Response]], seconds: float = 5.0) -> httpx.Response:
    """The first answer that is not "come back": a busy machine may be too late for a server in such a hurry."""
    until = time.monotonic() + seconds
    while (answer := await ask()).status_code == 503:
        assert time.monotonic() < until
    return answer


def askers(database: Engine) -> set[str]:
    """Who waits for a lock, as pg_stat_activity has it."""
    with database.begin() as connection:
        query = "select application_name from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        return set(connection.scalars(text(query)))


def idle(database: Engine) -> set[str]:
    """What the API's connections are called that do nothing."""
    with database.begin() as connection:
        query = "select application_name from pg_stat_activity where datname = current_database() and state = 'idle'"
        return {name for name in connection.scalars(text(query)) if name.startswith("debitum-api")}


LEDGER = "select from debitum.ledgers where id = :id for update"


async def test_a_reader_that_waits_is_told_to_come_back(hurried: Server, alice: Client, database: Engine) -> None:
    alice = hurried.client(alice.signed_in)
    with locked(database, "lock table debitum.contacts"):
        began = time.monotonic()
        answers = await asyncio.gather(*(alice.http.get(f"/api/{what}") for what in ("contacts", "export", "sync/state") * 2))
        assert REQUEST_SECONDS <= time.monotonic() - began < REQUEST_SECONDS + LATE_SECONDS
        for answer in answers:
            check(answer)
        assert waiting(database) == 0, "Postgres has let go too"
        answer = await insist(lambda: alice.http.get("/api/me"))
        assert answer.status_code == 200, "and the pool has its connections"
    assert (await insist(lambda: alice.http.get("/api/contacts"))).json()["items"] == []


async def test_a_page_and_the_feed_too(hurried: Server, alice: Client, database: Engine) -> None:
    with locked(database, "lock table debitum.one_time_tokens, debitum.sessions"):
        async with hurried.http() as http:
            page = await http.post("/verify", data={"token": "x"})
            assert (page.status_code, page.headers["Retry-After"]) == (503, "1")
            assert "Try again in a few seconds." in page.text
        async with connect(f"{hurried.url.replace('http', 'ws')}{sockets.PATH}") as socket:
            await socket.send(json.dumps({"type": "auth", "token": alice.signed_in["access_token"]}))
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), REQUEST_SECONDS + LATE_SECONDS)
            assert socket.close_code == sockets.TRY_AGAIN
        await until(lambda: waiting(database) == 0)  # a pooler passes on in its own time that nobody waits any more


async def test_sanics_own_deadline_lies_behind_for_what_is_no_route_of_ours(
    api: Server, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "LATE_SECONDS", 0.1)
    monkeypatch.setattr(pages, "takes_form", lambda handler: handler)
    with locked(database, "lock table debitum.one_time_tokens"):
        async with serve(replace(api.settings, request_seconds=REQUEST_SECONDS)) as server, server.http() as http:
            answer = await http.post("/reset", data={"token": "x", "new_password": "long enough"})
            check(answer)
            assert answer.headers["Connection"] == "close"
            assert waiting(database) == 0


async def test_writers_that_wait_are_told_that_nothing_is_known(
    hurried: Server, alice: Client, bob: Client, database: Engine
) -> None:
    """One is being written, the others wait in the queue; each is asked for again under the same id."""
    alice, bob = (hurried.client(client.signed_in) for client in (alice, bob))
    keys = [str(uuid.uuid4()) for _ in range(6)]

    async def create(client: Client, key: str) -> httpx.Response:
        return await client.http.post("/api/contacts", json={"name": key}, headers={"Idempotency-Key": key})

    with locked(database, LEDGER, id=alice.ledger_id):
        began = time.monotonic()
        first = asyncio.create_task(create(alice, keys[0]))
        await asyncio.sleep(REQUEST_SECONDS / 4)
        for answer in await asyncio.gather(first, *(create(alice, key) for key in keys[1:])):
            check(answer)
        assert time.monotonic() - began < 5 / 4 * REQUEST_SECONDS + LATE_SECONDS
        answer = await insist(lambda: create(bob, keys[0]))
        assert answer.status_code in (200, 201), "the batches have given up too, and others are served"
        assert waiting(database) == 0
    pulled = await insist(lambda: alice.http.post("/api/sync/pull", json={}))
    assert pulled.json() == {"events": [], "version": 0, "hash": None, "has_more": False}
    answers = await asyncio.gather(*(insist(partial(create, alice, key)) for key in (*keys, *keys)))
    assert {answer.status_code for answer in answers} <= {200, 201}
    pulled = (await insist(lambda: alice.http.post("/api/sync/pull", json={}))).json()
    verify_chain(pulled["events"])
    assert sorted(fact["id"] for fact in pulled["events"]) == sorted(keys)


async def test_a_push_that_gave_up_waiting_is_left_out_and_its_neighbours_are_written(
    alice: Client, bob: Client, api: Server, database: Engine
) -> None:
    """Its client hangs up while the batch before it is stuck."""
    token, key = alice.signed_in["access_token"], str(uuid.uuid4())
    body = b'{"name": "given up"}'
    head = (
        f"POST /api/contacts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with locked(database, LEDGER, id=alice.ledger_id):
        stuck = asyncio.create_task(alice.http.post("/api/contacts", json={"name": "stuck"}))
        await asyncio.sleep(0.05)
        async with line(api) as opened:
            opened.writer.write(head + body)
            await asyncio.sleep(0.05)
        neighbour = asyncio.create_task(bob.http.post("/api/contacts", json={"name": "neighbour"}))
        await asyncio.sleep(0.05)
    assert (await stuck).status_code == 201
    assert (await neighbour).status_code == 201
    assert [contact["name"] for contact in (await alice.get("/api/contacts"))["items"]] == ["stuck"]
    again = await alice.http.post(
        "/api/contacts", content=body, headers={"Content-Type": "application/json", "Idempotency-Key": key}
    )
    assert again.status_code == 201
    verify_chain((await alice.post("/api/sync/pull", {}))["events"])


async def test_postgres_knows_for_which_request_it_waits(api: Server, alice: Client, database: Engine) -> None:
    def ask(method: str, path: str, name: str, **body: Any) -> "asyncio.Task[httpx.Response]":
        return asyncio.create_task(alice.http.request(method, path, headers={"X-Request-ID": name}, **body))

    with locked(database, "lock table debitum.contacts, debitum.balances"):
        read, summed = ask("GET", "/api/contacts", "read-1"), ask("GET", "/api/balances", "summed-1")
        written = ask("POST", "/api/contacts", "written-1", json={"name": "Ana"})
        await until(lambda: len(askers(database)) == 3, 10)
        assert askers(database) == {"debitum-api read-1", "debitum-api-reader summed-1", "debitum-api-writer written-1"}
    assert [one.status_code for one in await asyncio.gather(read, summed, written)] == [200, 200, 201]
    assert {name for name in idle(database) if " " in name} == set(), "and nothing of it stays"
