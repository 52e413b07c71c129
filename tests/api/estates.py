"""What a user can have, one of everything, made by every route of the API; and everything that it can be asked about it."""

import datetime
import io
import json
import re
import uuid
import zipfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, insert
from websockets.asyncio.client import connect

from api import sockets
from domain import money
from storage import identity, tables
from tests.fixtures.api import PASSWORD, Client, Server

BACKUP = (Path(__file__).parents[1] / "data" / "debitum-yen.zip").read_bytes()
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
"""One moment for everything that is made here: twins have the same dates."""


def day(offset: int) -> str:
    """So many days from now, as a date."""
    return (NOW + datetime.timedelta(days=offset)).date().isoformat()


def moment(offset: int) -> str:
    """So many days from now, as a time."""
    return (NOW + datetime.timedelta(days=offset)).isoformat()


@dataclass(frozen=True)
class Answer:
    """What the API said to a request."""

    route: str
    asked: str
    status: int
    headers: dict[str, str]
    content: bytes


@dataclass
class Estate:
    """A user, and what they own. The ids follow from `seed`, so that two users can have the same; `word` is in every text."""

    server: Server
    database: Engine
    client: Client
    other: Client
    seed: str
    word: str
    unit: int
    """Amounts are multiples of it."""
    answers: list[Answer] = field(default_factory=list)
    routes: set[tuple[str, str]] = field(default_factory=set)
    """Those that were called."""
    hear: Callable[[Answer], None] = lambda answer: None
    """Told of every answer."""
    fifth: dict[str, Any] = field(default_factory=dict)
    """The fact of seq 5: a point of the past."""

    @classmethod
    async def founded(cls, server: Server, database: Engine, *, seed: str, word: str, unit: int) -> "Estate":
        """A new user with two devices, and nothing yet."""
        device = {"id": make_id(seed, "phone"), "name": f"{word} phone"}
        client = await server.register(name=f"{word} Owner", device=device)
        other = await server.login(client, device={"id": make_id(seed, "tablet"), "name": f"{word} tablet"})
        made = cls(server, database, client, other, seed, word, unit)
        made.routes |= {("POST", "/api/auth/register"), ("POST", "/api/auth/login")}
        return made

    def id(self, name: str) -> str:
        """The id of the thing, or of the event, of that name."""
        return make_id(self.seed, name)

    async def call(
        self, method: str, route: str, body: Any = None, *, of: str | None = None, key: str | None = None, **options: Any
    ) -> httpx.Response:
        """Send a request about the thing named `of`; `key` names the event that a write becomes. Keeps the answer."""
        path = route if of is None else route.replace("{id}", self.id(of))
        headers = {"X-Request-ID": "asked", **options.pop("headers", {})}
        if key is not None:
            headers["Idempotency-Key"] = self.id(key)
        http: httpx.AsyncClient = options.pop("http", self.client.http)
        response = await http.request(method, path, json=body, headers=headers, **options)
        self.routes.add((method, route))
        self.keep(Answer(route, f"{method} {response.url.raw_path.decode()}", *_said(response)))
        return response

    def keep(self, answer: Answer) -> None:
        """One more answer."""
        self.answers.append(answer)
        self.hear(answer)

    async def must(self, method: str, route: str, body: Any = None, **options: Any) -> Any:
        """The same, of what must be taken; its JSON."""
        response = await self.call(method, route, body, **options)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def event(self, key: str, kind: str, event_type: str, of: str, base_seq: int, **data: Any) -> dict[str, Any]:
        """An item of a push."""
        return {
            "id": self.id(key),
            "aggregate_type": kind,
            "aggregate_id": self.id(of),
            "event_type": event_type,
            "event_data": data,
            "base_seq": base_seq,
            "timestamp": moment(0),
            "version": 1,
        }


def make_id(seed: str, name: str) -> str:
    """An id that is easy to tell from those that the server makes: they are of other versions."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed} {name}"))


def _said(response: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    names = ("content-type", "etag", "location", "x-ledger-version", "idempotency-replayed")
    headers = {name: response.headers[name] for name in names if name in response.headers}
    if headers.get("content-type") == "application/zip":
        with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
            unpacked = {name: archive.read(name).decode() for name in archive.namelist()}
        return response.status_code, headers, json.dumps(unpacked).encode()
    return response.status_code, headers, response.content


# --- writing --------------------------------------------------------------------------------------------------------


async def furnish(estate: Estate, log: bytes, *, signs_in: bool = True) -> None:
    """One of everything; `log` is an export, whose events come first. `signs_in`: also what costs hashes of passwords."""
    exported = {"content": log, "headers": {"Content-Type": "application/json"}}
    await estate.must("POST", "/api/import/json", **exported)
    await _people(estate)
    await _dealings(estate)
    await _reminders(estate)
    await _disputes(estate)
    zipped = {"content": BACKUP, "headers": {"Content-Type": "application/zip"}}
    await estate.must("POST", "/api/import/debitum", params={"dry_run": True}, **zipped)
    await estate.must("POST", "/api/import/debitum", **zipped)
    await _refused(estate, **exported)
    if signs_in:
        await _identity(estate)


async def _people(estate: Estate) -> None:
    word, contacts, one = estate.word, "/api/contacts", "/api/contacts/{id}"
    for name in ("ana", "bo", "gone"):
        known_by = {"username": f"{word}{name}", "phone": f"+34 {estate.unit}", "email": f"{name}@{word}.example"}
        await estate.must("POST", contacts, {"id": estate.id(name), "name": f"{word} {name}", **known_by}, key=f"{name} made")
    await estate.must("PATCH", one, {"notes": f"{word} from school"}, of="ana", key="ana noted")
    etag = estate.answers[-1].headers["etag"]
    await estate.must("POST", one, {"notes": f"{word} from work"}, of="ana", key="ana noted again", headers={"If-Match": etag})
    await estate.must("DELETE", one, of="gone", key="gone deleted")
    await estate.must("POST", f"{one}/restore", of="gone", key="gone restored")
    await estate.must("DELETE", one, of="gone", key="gone deleted again")


async def _dealings(estate: Estate) -> None:
    every, one, unit = "/api/transactions", "/api/transactions/{id}", estate.unit
    lent = {"contact_id": estate.id("ana"), "direction": "lent", "amount": 7 * unit, "currency": "EUR"}
    owed = {"contact_id": estate.id("bo"), "direction": "owed", "amount": 5 * unit, "currency": "JPY"}
    thing = {"contact_id": estate.id("bo"), "direction": "lent", "type": "item", "item": f"{estate.word} tent"}
    dated = {"description": f"{estate.word} lunch", "transaction_date": day(-40), "due_date": day(10)}
    await estate.must("POST", every, {"id": estate.id("debt"), **lent, **dated}, key="debt made")
    await estate.must("POST", every, {"id": estate.id("late"), **lent, "due_date": day(-20)}, key="late made")
    await estate.must("POST", every, {"id": estate.id("owed"), **owed}, key="owed made")
    await estate.must("POST", every, {"id": estate.id("thing"), **thing, "due_date": day(12)}, key="thing made")
    await estate.must("POST", every, {"id": estate.id("back"), **thing}, key="back made")
    await estate.must("PATCH", one, {"amount": 8 * unit}, of="debt", key="debt corrected")
    await estate.must("POST", one, {"due_date": day(11)}, of="debt", key="debt put off")
    await estate.must("POST", f"{one}/repay", {"id": estate.id("part"), "amount": 2 * unit}, of="debt", key="part repaid")
    await estate.must("POST", f"{one}/repay", {"id": estate.id("rest")}, of="owed", key="rest repaid")
    await estate.must("DELETE", one, of="rest", key="rest deleted")
    await estate.must("POST", f"{one}/restore", of="rest", key="rest restored")
    await estate.must("DELETE", one, of="rest", key="rest deleted again")
    await estate.must("POST", f"{one}/return", {"returned_at": moment(-1)}, of="back", key="back returned")


async def _reminders(estate: Estate) -> None:
    every, one, message = "/api/reminders", "/api/reminders/{id}", {"message": f"{estate.word} call"}
    about = {"single": {"contact_id": estate.id("ana")}, "weekly": {"transaction_id": estate.id("debt"), "repeat": "FREQ=WEEKLY"}}
    for name in ("single", "weekly", "snoozed", "done", "unwanted"):
        asked = {"remind_at": moment(5), **about.get(name, {}), **message}
        await estate.must("POST", every, {"id": estate.id(name), **asked}, key=f"{name} made")
    await estate.must("PATCH", one, {"remind_at": moment(6)}, of="single", key="single moved")
    await estate.must("POST", one, {"channels": ["email"]}, of="weekly", key="weekly mailed")
    await estate.must("POST", f"{one}/snooze", {"until": moment(9)}, of="snoozed", key="snoozed until")
    await estate.must("POST", f"{one}/done", of="done", key="done with")
    await estate.must("DELETE", one, of="unwanted", key="unwanted deleted")
    await estate.must("POST", f"{one}/restore", of="unwanted", key="unwanted restored")
    await estate.must("DELETE", one, of="unwanted", key="unwanted deleted again")


async def _disputes(estate: Estate) -> None:
    """An open conflict, one that is settled, and something undone."""
    base = (await estate.must("GET", "/api/sync/hash"))["version"]
    mine = [
        estate.event(f"{name} mine", "transaction", "UPDATED", name, base, amount=9 * estate.unit) for name in ("debt", "owed")
    ]
    theirs = [
        estate.event(f"{name} theirs", "transaction", "UPDATED", name, base, amount=6 * estate.unit) for name in ("debt", "owed")
    ]
    await _push(estate, *mine)
    assert [one["status"] for one in await _push(estate, *theirs, http=estate.other.http)] == ["conflict", "conflict"]
    settled = {"amount": 4 * estate.unit, "resolves": estate.id("owed theirs")}
    await estate.must("PATCH", "/api/transactions/{id}", settled, of="owed", key="owed settled")
    done = estate.event("bo hurried", "contact", "UPDATED", "bo", base, notes=f"{estate.word} in haste")
    undone = estate.event("bo undone", "contact", "UNDO", "bo", base, undone_event_id=done["id"])
    assert [one["status"] for one in await _push(estate, done, undone)] == ["accepted", "accepted"]


async def _push(estate: Estate, *events: dict[str, Any], http: httpx.AsyncClient | None = None, **members: Any) -> list[Any]:
    options = {} if http is None else {"http": http}
    pushed = await estate.must("POST", "/api/sync/push", {"events": list(events), **members}, **options)
    return list(pushed["results"])


async def _refused(estate: Estate, **exported: Any) -> None:
    """What is asked again, comes too late, or does not fit."""
    again = await estate.call("POST", "/api/contacts", {"name": "other"}, key="ana made")
    assert again.json()["code"] == "id_reused"
    taken = await estate.call("POST", "/api/contacts", {"id": estate.id("ana"), "name": "other"}, key="ana made twice")
    assert taken.json()["code"] == "already_exists"
    fortune = {"contact_id": estate.id("ana"), "direction": "lent", "amount": money.MAX_AMOUNT, "currency": "EUR"}
    too_much = await estate.call("POST", "/api/transactions", {"id": estate.id("fortune"), **fortune}, key="fortune made")
    assert too_much.json()["code"] == "balance_out_of_range"
    stale = await estate.call("PATCH", "/api/contacts/{id}", {"name": "x"}, of="ana", key="old", headers={"If-Match": '"1"'})
    assert stale.json()["code"] == "stale"
    full = await estate.call("POST", "/api/import/json", **exported)
    assert full.json()["code"] == "ledger_not_empty"
    nameless = estate.event("nameless", "contact", "CREATED", "nameless", 0, name="")
    repeated = estate.event("ana noted", "contact", "UPDATED", "ana", 0, notes="repeated")
    early = estate.event("planned", "contact", "CREATED", "planned", 0, name=f"{estate.word} planned")
    assert [one["code"] for one in await _push(estate, nameless, repeated)] == ["invalid", "id_reused"]
    assert [one["code"] for one in await _push(estate, nameless)] == ["invalid"]
    assert [one["status"] for one in await _push(estate, early, dry_run=True)] == ["accepted"]
    far = await estate.call("POST", "/api/sync/push", {"events": [early | {"base_seq": 10_000}]})
    assert far.json()["code"] == "reset"


async def _identity(estate: Estate) -> None:
    """Sessions, devices, tokens and passwords; they belong to no ledger, but some of them write mails into its outbox."""
    email, settings = estate.client.user["email"], {"reminder_settings": {"channels": ["email"]}}
    lost = await estate.server.login(estate.client, device={"id": estate.id("lost"), "name": "lost"})
    await estate.must("PATCH", "/api/me", settings)
    push = {"kind": "token", "value": f"{estate.word}-{uuid.uuid4()}"}
    await estate.must("PUT", "/api/devices/{id}", {"push": push}, of="tablet")
    ended = (await lost.get("/api/auth/sessions"))["items"][0]["id"]
    await estate.client.delete(f"/api/auth/sessions/{ended}")
    await estate.must("DELETE", "/api/devices/{id}", of="lost")
    for scope in ("read", "write", "read"):
        token = await estate.must("POST", "/api/tokens", {"name": f"{estate.word} program", "scope": scope})
    await estate.client.delete(f"/api/tokens/{token['id']}")
    refused = await estate.call("POST", "/api/auth/refresh", {"refresh_token": lost.signed_in["refresh_token"]})
    assert refused.json()["code"] == "invalid_token"
    await estate.must("POST", "/api/auth/refresh", {"refresh_token": estate.other.signed_in["refresh_token"]})
    await estate.must("POST", "/api/auth/logout", http=estate.other.http)
    changed = {"current_password": PASSWORD, "new_password": PASSWORD}
    await estate.must("POST", "/api/auth/password", changed)
    await estate.must("POST", "/api/auth/password/forgot", {"email": email})
    await estate.must("POST", "/api/auth/verify", {"token": mailed(estate, "verify")})
    estate.routes |= {("DELETE", "/api/auth/sessions/{id}"), ("DELETE", "/api/tokens/{id}")}


def mailed(estate: Estate, purpose: str) -> str:
    """A token as the jobs make it when they send the mail."""
    token = f"{purpose} {uuid.uuid4()}"
    times = {"created_at": NOW, "expires_at": NOW + datetime.timedelta(days=1)}
    row = {"hash": identity.digest(token), "user_id": estate.client.user["id"], "purpose": purpose, **times}
    with estate.database.begin() as connection:
        connection.execute(insert(tables.one_time_tokens).values(row))
    return token


async def go_on(estate: Estate) -> None:
    """A debt that comes after balances were materialised."""
    lent = {"id": estate.id("new"), "contact_id": estate.id("ana"), "direction": "lent", "amount": 3 * estate.unit}
    await estate.must("POST", "/api/transactions", lent, key="new made")
    [estate.fifth] = (await estate.must("POST", "/api/sync/pull", {"since": 4, "limit": 1}))["events"]
    noted = estate.event("bo noted", "contact", "UPDATED", "bo", 5, notes=f"{estate.word} at last")
    assert [one["status"] for one in await _push(estate, noted, base_hash=estate.fifth["hash"])] == ["accepted"]


async def forget_the_password(estate: Estate) -> None:
    """Second thoughts about an account; a new password by a mail. Both end sessions and tokens; and signing in again."""
    await estate.must("DELETE", "/api/me", {"password": PASSWORD})
    await estate.must("POST", "/api/me/keep")
    body = {"token": mailed(estate, "reset"), "new_password": PASSWORD}
    await estate.must("POST", "/api/auth/password/reset", body)
    estate.client = await estate.server.login(estate.client, device={"id": estate.id("phone"), "name": f"{estate.word} phone"})


# --- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """Something to ask; parameters that end in _id name a thing."""

    route: str
    of: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    body: Any = None


async def look(estate: Estate, routes: Collection[str] | None = None) -> None:
    """Ask everything, or what goes to some routes."""
    for question in questions(estate):
        if routes is None or question.route in routes:
            await (_listen(estate) if question.route == sockets.PATH else _ask(estate, question))


def questions(estate: Estate) -> Iterator[Question]:
    """Everything that can be asked, in several ways."""
    for route, names in THINGS.items():
        yield from (Question(route, name) for name in names)
    point = {"as_of": estate.fifth["recorded_at"], "effective_on": day(-1)}
    for given in ({}, point, {"as_of": point["as_of"]}, {"effective_on": point["effective_on"]}):
        yield Question("/api/contacts/{id}/explain", "ana", given)
        yield Question("/api/balances", None, given)
    for asked in ({}, {"format": "csv", "month": day(-40)[:7]}, {"format": "html"}):
        yield Question("/api/contacts/{id}/statement", "ana", asked)
    for route, variants in LISTS.items():
        yield from (Question(route, None, variant) for variant in variants)
    for since, known in ((5, estate.fifth["hash"]), (4, estate.fifth["hash"]), (2, None)):
        yield Question("/api/sync/pull", body={"since": since, "limit": 10, "hash": known})
    yield Question(sockets.PATH)


THINGS = {
    "/api/contacts/{id}": ("ana", "bo", "gone", "nobody"),
    "/api/transactions/{id}": ("debt", "late", "owed", "thing", "back", "part", "rest", "nothing"),
    "/api/reminders/{id}": ("single", "weekly", "snoozed", "done", "unwanted", "never"),
}
"""What can be read by its id; the last one of each is not there."""
LISTS: dict[str, tuple[dict[str, Any], ...]] = {
    "/api/contacts": (
        {},
        {"sort": "recent", "include": "deleted"},
        {"sort": "balance", "currency": "EUR"},
        {"balance": "zero"},
        {"balance": "nonzero", "changed_since": 4},
        {"search": "ana"},
    ),
    "/api/transactions": (
        {},
        {"sort": "recent", "include": "deleted"},
        {"sort": "due"},
        {"contact_id": "ana"},
        {"contact_id": "ana", "open": True},
        {"open": False},
        {"overdue": True},
        {"overdue": False},
        {"type": "item", "direction": "lent"},
        {"currency": "JPY", "changed_since": 3},
        {"from": day(-50), "to": day(-2)},
        {"search": "lunch"},
    ),
    "/api/reminders": ({}, {"state": "pending"}, {"state": "done"}, {"from": moment(0), "to": moment(8)}),
    "/api/reminders/preview": ({"days": 30},),
    "/api/reports/ageing": ({},),
    "/api/reports/history": ({}, {"interval": "week"}, {"contact_id": "ana"}),
    "/api/search": ({"q": "a"}, {"q": "lunch"}),
    "/api/events": ({}, {"aggregate_id": "debt", "event_type": "UPDATED"}, {"aggregate_type": "contact", "from": moment(-1)}),
    "/api/sync/conflicts": ({}, {"state": "open"}, {"state": "resolved"}),
    "/api/sync/rejections": ({},),
    "/api/sync/hash": ({}, {"seq": 3}),
    "/api/sync/state": ({},),
    "/api/export": ({"format": "json"}, {"format": "csv"}),
    "/api/auth/sessions": ({},),
    "/api/devices": ({},),
    "/api/tokens": ({},),
    "/api/me": ({},),
    "/api/meta": ({},),
    "/health/live": ({},),
    "/health/ready": ({},),
}
"""What is read without an id, and with which parameters."""
_PAGED = re.compile(
    r"/api/(contacts|transactions|reminders|search|events|sync/(conflicts|rejections)|auth/sessions|devices|tokens)"
)
_PAGE = 4


async def _ask(estate: Estate, question: Question) -> None:
    """Ask it; of a list a short page, and the whole of what comes behind it."""
    asked = {name: estate.id(value) if name.endswith("_id") else value for name, value in question.parameters.items()}
    is_list = _PAGED.fullmatch(question.route) is not None
    method = "GET" if question.body is None else "POST"
    page = asked | ({"limit": _PAGE} if is_list else {})
    answer = await estate.call(method, question.route, question.body, of=question.of, params=page)
    if is_list and (cursor := answer.json().get("next_cursor")) is not None:
        await estate.call(method, question.route, params=asked | {"limit": 200, "cursor": cursor})


async def _listen(estate: Estate) -> None:
    """What the feed says first."""
    async with connect(estate.server.url.replace("http", "ws") + sockets.PATH) as socket:
        await socket.send(json.dumps({"type": "auth", "token": estate.client.signed_in["access_token"]}))
        said = await socket.recv(decode=False)
    estate.keep(Answer(sockets.PATH, sockets.PATH, 101, {}, said))
