"""Every route as two users: what is another's is answered as what is nobody's, to the byte, and stays as it is."""

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from msgspec import inspect
from sqlalchemy import Engine

from api import sockets
from api.app import ROUTES
from api.routing import Route
from api.settings import Settings
from domain import facts
from storage import engine
from storage.encryption import KeyRing, new_ring
from tests.api import estates, rows
from tests.api.estates import Estate
from tests.api.test_feed import closed, hear, listening, token
from tests.fixtures.api import PASSWORD, Client, Server, serve
from tests.fixtures.database import cloned

pytestmark = pytest.mark.asyncio(loop_scope="module")

THINGS = {
    "contacts": ("ana", "gone"),
    "transactions": ("debt", "thing", "rest"),
    "reminders": ("weekly", "done", "unwanted"),
    "devices": ("phone", "tablet"),
}
"""What of Ada's has the ids in paths, deleted things too; sessions and tokens are named by the server."""
LISTED = {"sessions": "/api/auth/sessions", "tokens": "/api/tokens"}
OWN = {"contacts": "ana", "transactions": "debt", "reminders": "weekly"}
"""What both have, under ids of their own."""
BODIES: dict[str, Any] = {
    "/api/contacts/{id}": {"notes": "x"},
    "/api/transactions/{id}": {"description": "x"},
    "/api/reminders/{id}": {"message": "x"},
    "/api/reminders/{id}/snooze": {"until": estates.moment(3)},
    "/api/devices/{id}": {"push": None, "name": "x"},
}
"""What would do, where there is such a thing and a body must come."""
MADE: dict[str, Any] = {
    "/api/contacts": {"name": "x"},
    "/api/transactions": {"contact_id": "ana", "direction": "owed", "amount": 1, "currency": "EUR"},
    "/api/reminders": {"remind_at": estates.moment(3)},
}
"""What makes a new thing; its contact is Bob's."""
NAMED: dict[str, tuple[tuple[str, ...], str]] = {
    "/contact_id": (("ana", "gone"), "unknown_contact"),
    "/transaction_id": (("debt", "rest"), "unknown_aggregate"),
    "/repays": (("debt", "rest"), "unknown_aggregate"),
    "/resolves": (("debt theirs", "owed theirs"), "unknown_conflict"),
    "/undone_event_id": (("ana noted", "debt made"), "unknown_event"),
}
"""Members that hold ids: what of Ada's Bob puts there, and what he is told."""
TAKEN = {
    "/api/auth/register": "phone",
    "/api/auth/login": "tablet",
    "/api/auth/verify": "tablet",
    "/api/contacts": "bo",
    "/api/transactions": "late",
    "/api/transactions/{id}/repay": "back",
    "/api/reminders": "single",
}
"""What a client names: Bob may use the id that Ada uses for this."""
MUTED = "/reminder_settings/muted_contacts/-"
"""Kept as it is said, whether there is such a contact or not: it silences what is one's own, and one may mute before one adds."""
PAGES = {
    "health": "says OK",
    "metrics": "is for operators, and counts without saying whose",
    "docs": "is for everybody",
    "docs/openapi.json": "is for everybody",
    "docs/problems/<code:str>": "is for everybody",
    "verify": "knows nobody but by a token from a mail",
    "reset": "knows nobody but by a token from a mail",
    "join": "knows nobody but by an invitation",
    "": "leads to the page",
    "app": "leads to the page",
    "app/": "is for everybody: what the page shows, it asks of ROUTES",
    "app/<name:path>": "is for everybody",
    "unsubscribe": "knows nobody but by a token from a mail, which its ledger has signed",
    "api/sync/ws": "has a test of its own here",
}
"""What is served beside ROUTES, and why no id of another's can be asked there."""


@dataclass
class Two:
    """Ada has one of everything, Bob a little."""

    api: Server
    ada: Estate
    bob: Estate
    other: Client
    listed: dict[str, list[dict[str, Any]]]
    """Ada's sessions and tokens."""
    programs: dict[str, httpx.AsyncClient]
    """Bob's, by the scope of their tokens; `session`: his device."""
    programs_of_ada: dict[str, httpx.AsyncClient]

    def of_ada(self, route: str) -> list[str]:
        """The ids of what a path is about."""
        collection = route.split("/{id}")[0].rsplit("/", 1)[-1]
        if collection in THINGS:
            return [self.ada.id(name) for name in THINGS[collection]]
        return [item["id"] for item in self.listed[collection]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def two(server: str) -> AsyncIterator[Two]:
    with cloned(server) as url:
        database = engine.sync_engine(url, "debitum-test")
        async with serve(Settings(database_url=url, keys=KeyRing.parse(new_ring()))) as api:
            ada, bob = await _ada(api, database), await _bob(api, database)
            listed = {name: (await ada.client.get(path))["items"] for name, path in LISTED.items()}
            programs, hers = await _programs(bob), await _programs(ada)
            before = await _state(ada, database)
            yield Two(api, ada, bob, await api.register(), listed, programs, hers)
            after = await _state(ada, database)
        database.dispose()
    assert after == before, "nothing of Ada's has changed, whichever tests have run"


async def _programs(estate: Estate) -> dict[str, httpx.AsyncClient]:
    found = {"session": estate.client.http}
    for scope in ("read", "write"):
        made = await estate.client.post("/api/tokens", {"name": scope, "scope": scope}, status=201)
        found[scope] = estate.server.http(made["token"])
    return found


async def _ada(api: Server, database: Engine) -> Estate:
    ada = await Estate.founded(api, database, seed="ada", word="precious", unit=770_003)
    source = await api.register()
    await source.post("/api/contacts", {"name": "precious first", "id": ada.id("first")}, status=201)
    await estates.furnish(ada, (await source.http.get("/api/export")).content)
    await estates.go_on(ada)
    return ada


async def _bob(api: Server, database: Engine) -> Estate:
    bob = await Estate.founded(api, database, seed="bob", word="other", unit=11)
    for collection, name in OWN.items():
        await bob.must("POST", f"/api/{collection}", _new(bob, collection) | {"id": bob.id(name)})
    await bob.must("POST", "/api/contacts", {"id": bob.id("bo"), "name": "other bo"}, key="bo made")
    await bob.must("POST", "/api/contacts", {"id": bob.id("gone"), "name": "other gone"})
    [bob.fifth] = (await bob.must("POST", "/api/sync/pull", {"since": 4}))["events"]
    return bob


async def _state(ada: Estate, database: Engine) -> Any:
    """Everything of Ada's: as she sees it, and as it is stored."""
    seen = [await ada.client.get("/api/sync/hash"), (await ada.client.http.get("/api/sync/state")).content]
    return seen, rows.digests(database, ada.client.user["id"])


# --- ids in paths ---------------------------------------------------------------------------------------------------


async def test_every_path_is_looked_at(two: Two) -> None:
    """A route that is added is in ROUTES and so in the tests here, or it is a page, and then PAGES says why it need not be."""
    paths = {route.path.strip("/").replace("{id}", "<id:str>") for route in ROUTES}
    assert {route.path for route in two.api.app.router.routes_all.values()} - paths == set(PAGES)
    assert [route.path for route in ROUTES if route.public and "{id}" in route.path] == []


async def test_the_id_of_anothers_thing_is_as_good_as_none(two: Two) -> None:
    """With whatever Bob knows of it: its version, and the id of the event that made it."""
    known = {"Idempotency-Key": two.ada.id("debt made"), "If-Match": '"3"'}
    for route in (route for route in ROUTES if "{id}" in route.path):
        things = two.of_ada(route.path)
        await _is_none(two, route, route.method, things, "session", {})
        for scope, headers in (("session", known), ("read", {}), ("write", {})):
            await _is_none(two, route, route.method, things[:1], scope, headers)
        if route.method == "GET":
            await _is_none(two, route, "HEAD", things[:1], "session", {})


async def _is_none(two: Two, route: Route, method: str, things: list[str], scope: str, headers: dict[str, str]) -> None:
    nobodys, *hers = [
        await _answered(two.programs[scope], method, route, thing, headers) for thing in (str(uuid.uuid4()), *things)
    ]
    asked = (method, route.path, scope, nobodys)
    assert hers, asked
    assert hers == [nobodys] * len(hers), (asked, hers)
    assert nobodys[0] == (404 if _reaches(scope, route.needs) else 403), asked
    if method != "HEAD":
        assert json.loads(nobodys[2])["code"] in (("not_found", "unknown_aggregate") if nobodys[0] == 404 else ("scope",)), asked


def _reaches(scope: str, needed: str) -> bool:
    order = ("read", "write", "session")
    return order.index(scope) >= order.index(needed)


async def _answered(
    http: httpx.AsyncClient, method: str, route: Route, thing: str, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; requests of one name differ by nothing but the id."""
    path, body = route.path.replace("{id}", thing), BODIES.get(route.path) if route.body is not None else None
    response = await http.request(method, path, json=body, headers={"X-Request-ID": "asked", **headers})
    said = {name: value for name, value in response.headers.items() if name != "date"}
    return response.status_code, said, response.content.replace(thing.encode(), b"it")


async def test_a_program_of_ones_own_does_not_reach_what_needs_a_device(two: Two) -> None:
    for route in (route for route in ROUTES if route.needs == "session" and "{id}" in route.path):
        for scope in ("read", "write"):
            for thing in two.of_ada(route.path):
                status, _, content = await _answered(two.programs_of_ada[scope], route.method, route, thing, {})
                assert (status, json.loads(content)["code"]) == (403, "scope"), route.path


# --- ids in bodies --------------------------------------------------------------------------------------------------


async def test_anothers_id_in_a_body_is_an_unknown_one(two: Two) -> None:
    for route in (route for route in ROUTES if route.body is not None):
        for member in _ids(route.body):
            is_new = member in ("/id", "/device/id")
            if member == MUTED:
                await _muted(two)
                continue
            things, code = ((TAKEN[route.path],), "") if is_new else NAMED[member]
            nobodys, *hers = [await _sent(two, route, member, one) for one in (str(uuid.uuid4()), *map(two.ada.id, things))]
            asked = (route.method, route.path, member, nobodys)
            if is_new:
                assert [status for status, _ in (nobodys, *hers)] == [route.status] * 2, (asked, hers)
            else:
                assert (nobodys[0], json.loads(nobodys[1])["code"]) == (409, code), asked
                assert hers == [nobodys] * len(hers), (asked, hers)


async def _muted(two: Two) -> None:
    answers = []
    for thing in (str(uuid.uuid4()), two.ada.id("ana")):
        answer = await two.bob.client.http.patch("/api/me", json={"reminder_settings": {"muted_contacts": [thing]}})
        answers.append((answer.status_code, answer.text.replace(thing, "it")))
    assert answers == [(200, answers[0][1])] * 2


async def _sent(two: Two, route: Route, member: str, thing: str) -> tuple[int, bytes]:
    """Bob sends a body that is right but for one member."""
    bob, collection = two.bob, route.path.split("/")[2]
    path = route.path.replace("{id}", bob.id(OWN.get(collection, "")))
    if member == "/device/id":
        email = f"{uuid.uuid4().hex}@example.org" if route.path.endswith("/register") else bob.client.user["email"]
        proof = {"token": estates.mailed(bob, "verify")} if route.path.endswith("/verify") else {"email": email}
        body = {**proof, "password": PASSWORD, "device": {"id": thing, "name": "Bob's"}}
    elif route.path.endswith("/repay"):
        body = {"amount": 1, "id": thing}
    else:
        body = _new(bob, collection) if route.path in MADE else {}
        body[member.strip("/")] = thing
    response = await bob.client.http.request(route.method, path, json=body, headers={"X-Request-ID": "asked"})
    return response.status_code, response.content.replace(thing.encode(), b"it")


def _new(bob: Estate, collection: str) -> dict[str, Any]:
    """The body of something new."""
    body: dict[str, Any] = MADE[f"/api/{collection}"]
    return {name: bob.id(value) if name == "contact_id" else value for name, value in body.items()}


def _ids(kind: Any, at: str = "") -> Iterator[str]:
    """Where in a body ids stand."""
    found = inspect.type_info(kind) if isinstance(kind, type) else kind
    match found:
        case inspect.UUIDType():
            yield at
        case inspect.StructType():
            for member in found.fields:
                yield from _ids(member.type, f"{at}/{member.encode_name}")
        case inspect.UnionType():
            for one in found.types:
                yield from _ids(one, at)
        case inspect.ListType() | inspect.VarTupleType():
            yield from _ids(found.item_type, f"{at}/-")


async def test_anothers_id_in_a_command_is_an_unknown_one(two: Two) -> None:
    for (kind, event_type), payload in facts.PAYLOADS.items():
        known = {"/aggregate_id": ((OWN[f"{kind}s"],), "wrong_aggregate" if event_type == "UNDO" else "unknown_aggregate")}
        for member in [*_ids(payload), *(known if event_type != "CREATED" else ())]:
            things, code = (NAMED | known)[member]
            nobodys, *hers = [
                await _pushed(two, kind, event_type, member, one) for one in (str(uuid.uuid4()), *map(two.ada.id, things))
            ]
            asked = (kind, event_type, member, nobodys)
            assert f'"code": "{code}"' in nobodys, asked
            assert hers == [nobodys] * len(hers), (asked, hers)


async def _pushed(two: Two, kind: str, event_type: str, member: str, thing: str) -> str:
    """The outcome of a command of Bob's that is right but for one id."""
    bob, collection, event_id = two.bob, f"{kind}s", str(uuid.uuid4())
    data = _new(bob, collection) if event_type == "CREATED" else {}
    data |= {"undone_event_id": bob.id("bo made")} if event_type == "UNDO" else {}
    about = event_id if event_type == "CREATED" else OWN[collection]
    item = bob.event("", kind, event_type, about, 5, **data) | {"id": event_id}
    (item if member == "/aggregate_id" else item["event_data"])[member.strip("/")] = thing
    [outcome] = (await bob.client.push(item))["results"]
    return json.dumps(outcome).replace(thing, "it").replace(event_id, "the event")


async def test_what_has_been_used_by_another_is_free(two: Two) -> None:
    """Ids are a ledger's own, of events too: a retry of Ada's that Bob sends is nothing that has been before."""
    [hers] = (await two.ada.client.post("/api/sync/pull", {"limit": 1}))["events"]
    item = {name: hers[name] for name in ("id", "aggregate_type", "aggregate_id", "event_type", "timestamp")}
    [outcome] = (await two.bob.client.push(item | {"event_data": {"name": "x"}, "base_seq": 0, "version": 1}))["results"]
    assert outcome["status"] == "accepted"
    made = await two.bob.client.http.post(
        "/api/contacts", json={"name": "x"}, headers={"Idempotency-Key": two.ada.id("debt made")}
    )
    assert (made.status_code, "idempotency-replayed" in made.headers) == (201, False)


async def test_anothers_hash_and_version_are_of_another_history(two: Two) -> None:
    bob, hers = two.bob.client, two.ada.fifth
    for known in (hers["hash"], "0" * 64):
        pulled = await bob.post("/api/sync/pull", {"since": hers["seq"], "hash": known}, status=409)
        item = two.bob.event("never", "contact", "CREATED", "never", hers["seq"], name="x")
        pushed = await bob.push(item, base_hash=known, status=409)
        for one in (pulled, pushed):
            assert (one["code"], set(one)) == ("reset", {"type", "title", "status", "code", "request_id", "detail"})
    stale = await bob.http.patch(f"/api/contacts/{two.bob.id('bo')}", json={"name": "x"}, headers={"If-Match": '"77"'})
    assert (stale.status_code, stale.json()["current"]) == (412, (await bob.get(f"/api/contacts/{two.bob.id('bo')}"))["version"])


# --- reading --------------------------------------------------------------------------------------------------------


async def test_anothers_id_in_a_filter_finds_nothing(two: Two) -> None:
    filters = [(route.path, member.strip("/")) for route in ROUTES for member in _ids(route.query)]
    assert {member for _, member in filters} == {"contact_id", "aggregate_id"}
    for path, member in filters:
        for name in ("gone", "owed", "part"):
            assert await two.bob.client.get(path, **{member: two.ada.id(name)}) == {"items": [], "next_cursor": None}, path


async def test_anothers_cursor_is_a_place_in_ones_own_list(two: Two) -> None:
    lists = [route.path for route in ROUTES if "cursor" in route.query.__struct_fields__]
    assert len(lists) > 8
    for path in lists:
        more = {"q": "a"} if path == "/api/search" else {}
        hers = await two.ada.client.get(path.replace("{id}", two.ada.id("ana")), limit=1, **more)
        if path in ("/api/sync/rejections", "/api/sync/conflicts"):
            continue  # there is one of each of Ada's, and so no cursor
        response = await two.bob.client.http.get(
            path.replace("{id}", two.bob.id("ana")), params={"cursor": hers["next_cursor"], **more}
        )
        assert response.status_code == 200, (path, response.text)
        assert _hers(two, response.content) == [], path


async def test_nothing_of_another_is_in_anything_that_one_can_ask(two: Two) -> None:
    """The export among it."""
    already = len(two.bob.answers)
    await estates.look(two.bob)
    for answer in two.bob.answers[already:]:
        assert _hers(two, answer.content + repr(answer.headers).encode()) == [], answer.asked
        assert answer.status in (101, 200, 404, 409), answer.asked


def _hers(two: Two, said: bytes) -> list[str]:
    """What of Ada's is in what was said."""
    ada = two.ada.client
    listed = [item["id"] for items in two.listed.values() for item in items]
    amounts = [str(two.ada.unit * times) for times in range(2, 10)]
    marks = [two.ada.word, ada.ledger_id, ada.user["id"], ada.user["email"], two.ada.fifth["hash"], *listed, *amounts]
    return [mark for mark in marks if mark.encode() in said]


async def test_a_socket_tells_of_ones_own_ledger_and_takes_no_other_users_token(two: Two) -> None:
    bob, other = two.bob.client, two.other  # whose ledger is empty: any head of another would be news
    async with listening(two.api, other) as socket:
        await bob.post("/api/contacts", {"name": "x"}, status=201)
        await other.post("/api/contacts", {"name": "x"}, status=201)
        assert await hear(socket) == {"type": "head", "ledger_id": other.ledger_id, **await other.get("/api/sync/hash")}
        await socket.send(token(bob))
        assert await closed(socket) == sockets.UNAUTHORIZED
