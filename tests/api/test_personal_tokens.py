"""Personal tokens: what they are good for, and what not."""

import datetime
import json
import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text
from websockets.asyncio.client import connect

from api import feed, sockets
from api.app import ROUTES
from tests.api.test_feed import address, closed, hear, until
from tests.fixtures.api import Client, Server, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()

SESSION_ONLY = {
    ("DELETE", "/api/me"),
    ("POST", "/api/me/keep"),
    ("DELETE", "/api/auth/sessions/{id}"),
    ("DELETE", "/api/devices/{id}"),
    ("DELETE", "/api/tokens/{id}"),
    ("GET", "/api/auth/sessions"),
    ("GET", "/api/devices"),
    ("GET", "/api/tokens"),
    ("PATCH", "/api/me"),
    ("POST", "/api/auth/logout"),
    ("POST", "/api/auth/password"),
    ("POST", "/api/tokens"),
    ("PUT", "/api/devices/{id}"),
}


async def made(client: Client, scope: str = "write", **members: Any) -> dict[str, Any]:
    """A new token of the client's user."""
    answer: dict[str, Any] = await client.post("/api/tokens", {"name": "script", "scope": scope, **members}, status=201)
    return answer


async def program(api: Server, client: Client, scope: str = "write", **members: Any) -> httpx.AsyncClient:
    """A program with a token of the client's user."""
    return api.http((await made(client, scope, **members))["token"])


def command(aggregate_id: str, event_type: str = "CREATED", base_seq: int = 0, **data: Any) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "aggregate_type": "contact",
        "aggregate_id": aggregate_id,
        "event_type": event_type,
        "event_data": data,
        "base_seq": base_seq,
        "timestamp": "2026-11-24T10:00:00Z",
        "version": 1,
    }


async def test_a_token_is_shown_once_and_kept_as_a_hash(alice: Client, bob: Client, database: Engine) -> None:
    first = await made(alice, "read")
    assert set(first) == {"id", "token", "name", "scope", "created_at", "expires_at", "last_used_at"}
    assert (first["name"], first["scope"], first["expires_at"], first["last_used_at"]) == ("script", "read", None, None)
    second = await made(alice, expires_at="2030-01-01T00:00:00+01:00")
    assert second["expires_at"] == "2029-12-31T23:00:00.000000Z"
    shown = [{name: value for name, value in one.items() if name != "token"} for one in (second, first)]
    page = await alice.get("/api/tokens", limit=1)
    assert [*page["items"], *(await alice.get("/api/tokens", cursor=page["next_cursor"]))["items"]] == shown
    assert (await bob.get("/api/tokens"))["items"] == []
    with database.begin() as connection:
        kept = str(connection.execute(text("select * from debitum.personal_tokens")).all())
    assert first["token"] not in kept
    assert first["token"].removeprefix("debitum_") not in kept


async def test_a_program_reads_and_writes_and_is_no_device(alice: Client, api: Server) -> None:
    http = await program(api, alice)
    assert (await http.get("/api/me")).json() == alice.user
    ana = await http.post("/api/contacts", json={"name": "Ana"})
    assert ana.status_code == 201
    pushed = await http.post("/api/sync/push", json={"events": [command(str(uuid.uuid4()), name="Bea")]})
    assert pushed.json()["results"][0]["status"] == "accepted"
    await alice.post("/api/contacts", {"name": "Cleo"}, status=201)
    facts = (await http.post("/api/sync/pull", json={"since": 0})).json()["events"]
    assert [fact.get("device_id", "none") for fact in facts] == ["none", "none", alice.device_id]


async def test_a_program_counts_as_another_device_even_for_itself(alice: Client, api: Server) -> None:
    """The queue of a device is causal; of a program nobody knows whether it is one or several."""
    ana = await alice.post("/api/contacts", {"name": "Ana"}, status=201)

    def borrowed_and_changed() -> list[dict[str, Any]]:
        debt = str(uuid.uuid4())
        money = {"contact_id": ana["id"], "direction": "lent", "amount": 500, "currency": "EUR"}
        return [about(debt, "CREATED", **money), about(debt, "UPDATED", amount=600)]

    def about(debt: str, event_type: str, **data: Any) -> dict[str, Any]:
        return command(debt, event_type, base_seq=1, **data) | {"aggregate_type": "transaction"}

    http = await program(api, alice)
    pushed = (await http.post("/api/sync/push", json={"events": borrowed_and_changed()})).json()
    assert [result["status"] for result in pushed["results"]] == ["accepted", "conflict"]
    own = await alice.push(*borrowed_and_changed())
    assert [result["status"] for result in own["results"]] == ["accepted", "accepted"]


async def test_a_token_to_read_does_not_write(alice: Client, api: Server) -> None:
    http = await program(api, alice, "read")
    ana = await alice.post("/api/contacts", {"name": "Ana"}, status=201)
    for path in ("/api/contacts", f"/api/contacts/{ana['id']}", "/api/balances", "/api/sync/state", "/api/export"):
        assert (await http.get(path)).status_code == 200, path
    assert (await http.post("/api/sync/pull", json={"since": 0})).status_code == 200
    refused = await http.post("/api/contacts", json={"name": "Bea"})
    assert (refused.status_code, refused.json()["code"]) == (403, "scope")
    assert (await http.delete(f"/api/contacts/{ana['id']}")).status_code == 403
    assert (await http.post("/api/sync/push", json={"events": []})).status_code == 403
    assert [one["name"] for one in (await alice.get("/api/contacts"))["items"]] == ["Ana"]


async def test_every_route_says_what_it_needs(alice: Client, api: Server) -> None:
    """A new route that changes something is closed to readers, and one about identity to every program."""
    assert {(route.method, route.path) for route in ROUTES if route.needs == "session"} == SESSION_ONLY
    reader, writer = await program(api, alice, "read"), await program(api, alice)
    for route in ROUTES:
        if route.public:
            continue
        path = route.path.replace("{id}", str(uuid.uuid4()))
        for http, allowed in ((reader, ("read",)), (writer, ("read", "write"))):
            response = await http.request(route.method, path, content=b"no JSON", headers={"Content-Type": "application/json"})
            assert (response.status_code == 403) == (route.needs not in allowed), (route.method, route.path)
    document = (await reader.get("/docs/openapi.json")).json()
    assert document["paths"]["/api/contacts"]["post"]["security"] == [{"bearer": ["write"]}]
    assert "403" not in document["paths"]["/api/sync/pull"]["post"]["responses"]


async def test_a_token_ends_when_it_is_deleted_or_expires(alice: Client, bob: Client, api: Server, database: Engine) -> None:
    kept, expiring = await made(alice), await made(alice, expires_at="2030-01-01T00:00:00Z")
    for one in (kept, expiring):
        assert (await api.http(one["token"]).get("/api/balances")).status_code == 200
    with database.begin() as connection:
        connection.execute(text("update debitum.personal_tokens set expires_at = now() where expires_at is not null"))
    await bob.delete(f"/api/tokens/{kept['id']}", status=404)
    assert (await api.http(kept["token"]).get("/api/balances")).status_code == 200
    await alice.delete(f"/api/tokens/{kept['id']}")
    await alice.delete(f"/api/tokens/{kept['id']}", status=404)
    for token in (kept["token"], expiring["token"], "debitum_guessed"):
        refused = await api.http(token).get("/api/balances")
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")


async def test_a_token_says_when_it_was_last_used_to_the_minute(alice: Client, api: Server, database: Engine) -> None:
    http = await program(api, alice)

    async def used() -> str:
        await http.get("/api/me")
        [one] = (await alice.get("/api/tokens"))["items"]
        return str(one["last_used_at"])

    first = await used()
    assert first.endswith("Z")
    assert await used() == first
    with database.begin() as connection:
        connection.execute(text("update debitum.personal_tokens set last_used_at = last_used_at - interval '1 minute'"))
    assert await used() > first


async def test_a_program_listens_to_the_feed(alice: Client, api: Server) -> None:
    token = (await made(alice, "read"))["token"]
    async with connect(api.url.replace("http", "ws") + sockets.PATH) as socket:
        await socket.send(json.dumps({"type": "auth", "token": token}))
        assert json.loads(await socket.recv())["type"] == "ready"
        await alice.post("/api/contacts", {"name": "Ana"}, status=201)
        assert json.loads(await socket.recv())["version"] == 1


async def test_the_feed_ends_with_the_token(alice: Client, api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LOOK_SECONDS", 0.01)
    one, other = await made(alice), await made(alice)
    async with connect(address(api)) as ending, connect(address(api)) as going:
        for socket, token in ((ending, one), (going, other)):
            await socket.send(json.dumps({"type": "auth", "token": token["token"]}))
            assert (await hear(socket))["type"] == "ready"
        await alice.http.delete(f"/api/tokens/{one['id']}")
        await api.app.ctx.services.feed._look()
        assert await closed(ending) == sockets.UNAUTHORIZED
        await alice.post("/api/contacts", {"name": "Ana"}, status=201)
        assert (await until(going, 1))["version"] == 1


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"scope": "admin"}, "/scope"),
        ({"name": " "}, "/name"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "/expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "/expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "/expires_at"),
        ({"user_id": "x"}, "/user_id"),
    ],
    ids=str,
)
async def test_what_does_not_fit_is_refused(alice: Client, members: dict[str, Any], pointer: str) -> None:
    body = {"name": "script", "scope": "read", **members}
    assert (await alice.post("/api/tokens", body, status=400))["errors"][0]["pointer"] == pointer


async def test_a_token_lives_for_ten_years_at_most(alice: Client) -> None:
    now = datetime.datetime.now(datetime.UTC)
    for days, status in ((3_652, 201), (3_654, 400)):
        expires_at = (now + datetime.timedelta(days=days)).isoformat()
        await alice.post("/api/tokens", {"name": "script", "scope": "read", "expires_at": expires_at}, status=status)
