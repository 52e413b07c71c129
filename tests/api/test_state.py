"""The first screen of a new device."""

import asyncio
import contextlib
import datetime
import json
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from api import places, services
from api import state as api_state
from storage import reminders
from tests.api.test_sync import event
from tests.api.test_transactions import lend, person
from tests.fixtures.api import Client, Server, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()


async def state(client: Client) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The head, and the resources behind it."""
    answer = await client.http.get("/api/sync/state")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    head, *rest = [json.loads(line) for line in answer.text.splitlines()]
    return head, rest


async def test_everything_live_at_one_version(alice: Client, bob: Client) -> None:
    assert await state(alice) == ({"version": 0, "hash": None}, [])
    ana, gone = await person(alice), await person(alice, "gone")
    debt = await lend(alice, ana, 1_000)
    await lend(alice, ana, 400, direction="owed")
    reminder = {"remind_at": "2026-12-01T09:00:00Z", "repeat": "FREQ=DAILY"}
    ids = {(await alice.post("/api/reminders", reminder, status=201))["id"] for _ in range(3)}
    await alice.http.delete(f"/api/contacts/{gone}")
    await person(bob)
    head, lines = await state(alice)
    assert head == await alice.get("/api/sync/hash")
    by_id = {line["id"]: line for line in lines}
    assert len(lines) == 6
    assert by_id[ana] == {"kind": "contact"} | await alice.get(f"/api/contacts/{ana}")
    assert by_id[debt["id"]] == {"kind": "transaction"} | await alice.get(f"/api/transactions/{debt['id']}")
    assert by_id[debt["id"]]["open_amount"] == 600
    for reminder_id in ids:
        assert by_id[reminder_id] == {"kind": "reminder"} | await alice.get(f"/api/reminders/{reminder_id}")


async def test_rules_are_evaluated_once_whatever_the_number_of_pages(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated, evaluate = list[int](), reminders._next

    def counted(rows: Sequence[Any], now: datetime.datetime) -> dict[uuid.UUID, datetime.datetime]:
        evaluated.append(len(rows))
        return evaluate(rows, now)

    monkeypatch.setattr(reminders, "_next", counted)
    monkeypatch.setattr(api_state, "MAX_LIMIT", 1)
    for _ in range(3):
        await alice.post("/api/reminders", {"remind_at": "2026-12-01T09:00:00Z", "repeat": "FREQ=DAILY"}, status=201)
    evaluated.clear()
    assert len((await state(alice))[1]) == 3
    assert evaluated == [3]


async def test_what_is_no_json_is_described_as_what_it_is(api: Server) -> None:
    async with api.http() as http:
        paths = (await http.get("/docs/openapi.json")).json()["paths"]
    described = {path: set(paths[path]["get"]["responses"]["200"]["content"]) for path in ("/api/sync/state", "/api/export")}
    assert described == {"/api/sync/state": {"application/x-ndjson"}, "/api/export": {"application/json", "application/zip"}}


async def test_it_is_compressed_where_that_is_accepted(alice: Client) -> None:
    for _ in range(50):
        await person(alice)
    plain = await alice.http.get("/api/sync/state", headers={"Accept-Encoding": "identity"})
    packed = await alice.http.get("/api/sync/state", headers={"Accept-Encoding": "gzip"})
    assert ("content-encoding" in plain.headers, packed.headers["content-encoding"]) == (False, "gzip")
    assert packed.content == plain.content
    assert packed.num_bytes_downloaded < plain.num_bytes_downloaded / 4


async def test_so_many_at_a_time_that_others_still_have_connections(
    api: Server, alice: Client, bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "WAIT_SECONDS", 0.05)
    streams = api.app.ctx.services.streams
    empty: Any = ({"version": 0, "hash": None}, [])

    async def refused(client: Client) -> None:
        for path in ("/api/sync/state", "/api/export"):
            busy = await client.http.get(path)
            assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")

    async with contextlib.AsyncExitStack() as slow:
        for _ in range(services.STREAMS_OF_USER):
            await slow.enter_async_context(streams.hold(uuid.UUID(alice.user["id"])))
        await refused(alice)
        assert await state(bob) == empty
    async with contextlib.AsyncExitStack() as slow:
        for _ in range(services.MAX_STREAMS):
            await slow.enter_async_context(streams.hold(uuid.uuid4()))
        await refused(bob)
    assert await state(alice) == await state(bob) == empty


async def test_it_is_one_snapshot_while_others_write(alice: Client) -> None:
    async def write() -> None:
        for _ in range(30):
            await alice.push(event("contact", "CREATED", {"name": "Ana"}))

    async def read() -> list[Any]:
        return [await state(alice) for _ in range(6)]

    _, found = await asyncio.gather(write(), read())
    for head, lines in found:
        assert len(lines) == head["version"]


async def test_what_follows_the_state_is_pulled_from_its_version(alice: Client) -> None:
    await person(alice)
    head, _ = await state(alice)
    await person(alice, "Bo")
    pulled = await alice.post("/api/sync/pull", {"since": head["version"], "hash": head["hash"]})
    assert [fact["event_data"]["name"] for fact in pulled["events"]] == ["Bo"]
