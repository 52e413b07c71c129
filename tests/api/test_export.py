"""Export and import: what is taken over is what was exported, but for when."""

import asyncio
import contextlib
import csv
import io
import json
import random
import tracemalloc
import uuid
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from api import import_json, statements, transfer
from domain import chain, sequence
from domain.case import Defaults
from domain.sequence import Outcome
from tests.api.test_sync import event, lent, verify_chain
from tests.factories import Chaos
from tests.fixtures.api import Client, Server, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()

TIMES = {"recorded_at", "created_at", "updated_at", "deleted_at", "exported_at"}


async def exported(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = await client.get("/api/export")
    return found


async def history(client: Client, other: Client, seed: int, length: int = 60) -> None:
    """Random commands of two devices, until the log is so long; then every kind of conflict stands a good chance."""
    chaos, version = Chaos(seed), 0
    while version < length:
        made = [chaos.next(version) for _ in range(5)]
        items = [msgspec.to_builtins(one.item()) for one in made]
        answer = await (client if random.Random(version).random() < 0.5 else other).push(*items)
        version = answer["version"]
        chaos.hear(Outcome(id=result["id"], status=result["status"]) for result in answer["results"])


def timeless(value: Any, fact: dict[str, Any] | None = None) -> Any:
    """`value` without recorded_at, what follows from it, hashes, and whose it is."""
    if isinstance(value, list):
        return [timeless(one, fact) for one in value]
    if not isinstance(value, dict):
        return value
    fact = value if "recorded_at" in value else fact
    left = {name: one for name, one in value.items() if name not in TIMES | {"hash"}}
    if fact is value and value["timestamp"] == value["recorded_at"]:
        del left["timestamp"]
    gone = {
        name: [bool(one) for one in value[name]] if isinstance(value[name], list) else bool(value[name])
        for name in ("deleted_at",)
        if name in value
    }
    return {name: timeless(one, fact) for name, one in left.items()} | gone


@pytest.mark.parametrize("page", [1, transfer.PAGE], ids=["a fact at a time", "pages"])
@pytest.mark.parametrize("seed", range(3))
async def test_export_import_export_is_equal_but_for_when(
    api: Server, alice: Client, bob: Client, seed: int, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_json, "PAGE", page)
    await history(alice, await api.login(alice), seed)
    await alice.post("/api/contacts", {"name": "Zoë", "phone": "+34 600", "email": "zoe@example.org"}, status=201)
    first = await exported(alice)
    assert {fact["status"] for fact in first["events"]} == {"accepted", "conflict"}
    taken = await bob.http.post("/api/import/json", json=first)
    assert taken.status_code == 200, taken.text
    second = await exported(bob)
    assert taken.json()["version"] == second["ledger"]["version"] == first["ledger"]["version"]
    for name in ("contacts", "transactions", "reminders", "balances", "conflicts", "events"):
        assert timeless(second[name]) == timeless(first[name]), name
    assert verify_chain(second["events"]).hex() == second["ledger"]["hash"] != first["ledger"]["hash"]
    assert len({fact["recorded_at"] for fact in second["events"]}) == 1
    assert json.dumps(second, sort_keys=True).count(first["events"][-1]["recorded_at"]) == 0
    again = await bob.http.post("/api/import/json", json=first)
    assert (again.status_code, again.json()["code"]) == (409, "ledger_not_empty")


async def test_what_follows_from_a_page_is_bounded(alice: Client, bob: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is decided while nobody else is answered; a fact may be ten thousand changes."""
    ana = event("contact", "CREATED", {"name": "Ana"})
    await alice.push(ana, *(event("transaction", "CREATED", lent(ana["aggregate_id"], 1)) for _ in range(9)))
    for turn in ("DELETED", "RESTORED"):
        await alice.push(event("contact", turn, {}, aggregate_id=ana["aggregate_id"], base_seq=10))
    whole = await exported(alice)
    monkeypatch.setattr(import_json, "PAGE_CHANGES", 4)
    log = import_json._checked([msgspec.Raw(msgspec.json.encode(fact)) for fact in whole["events"]], Counter())
    assert [len(page) for page in import_json._pages(log)] == [4, 4, 3, 1]
    assert (await bob.post("/api/import/json", whole))["version"] == 12


async def test_an_export_that_was_written_anew_is_looked_at_all_the_same(alice: Client, bob: Client) -> None:
    await alice.post("/api/contacts", {"name": "Zoë"}, status=201)
    content = json.dumps(await exported(alice), indent=1, sort_keys=True)
    headers = {"Content-Type": "application/json"}
    twice = content.replace('"seq": 1', '"seq": 1, "seq": 1', 1)
    refused = await bob.http.post("/api/import/json", content=twice, headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/events/0/seq")
    more = content.replace('"seq": 1', '"seq": 1, "mood": "good"', 1)
    assert (await bob.http.post("/api/import/json", content=more, headers=headers)).status_code == 400
    assert (await bob.http.post("/api/import/json", content=content, headers=headers)).status_code == 200


async def test_what_was_taken_over_goes_on(api: Server, alice: Client, bob: Client) -> None:
    ana, other = event("contact", "CREATED", {"name": "Ana"}), await api.login(alice)
    debt = event("transaction", "CREATED", lent(ana["aggregate_id"], 1250))
    same = {"aggregate_id": debt["aggregate_id"], "base_seq": 2}
    edit, late = (event("transaction", "UPDATED", {"amount": amount}, **same) for amount in (1300, 1100))
    await alice.push(ana, debt)
    await alice.push(edit)
    await other.push(late)
    await bob.post("/api/import/json", await exported(alice))
    assert [one["status"] for one in (await bob.push(ana, debt))["results"]] == ["duplicate", "duplicate"]
    settle = event("transaction", "UPDATED", {"resolves": late["id"]}, aggregate_id=debt["aggregate_id"], base_seq=4)
    undo = event("transaction", "UNDO", {"undone_event_id": edit["id"]}, aggregate_id=debt["aggregate_id"], base_seq=4)
    assert [one["status"] for one in (await bob.push(settle, undo))["results"]] == ["accepted", "accepted"]
    assert (await bob.get("/api/balances"))["items"][0]["amount"] == 1250
    assert (await alice.get("/api/balances"))["items"][0]["amount"] == 1300


def mutations(log: list[dict[str, Any]]) -> dict[str, tuple[int, str, Any]]:
    """(index of the fact, JSON pointer into it, another value) by what is wrong; hashes are made right again."""
    create = next(n for n, f in enumerate(log) if f["event_type"] == "CREATED" and f["aggregate_type"] == "transaction")
    update = next(n for n, f in enumerate(log) if any(c["op"] == "update" for c in f["changes"]))
    name, _ = next(iter(log[update]["changes"][0]["fields"].items()))
    return {
        "a gap": (create, "seq", create + 2),
        "an id that is taken": (create, "id", log[0]["id"]),
        "a base in the future": (create, "base_seq", create + 1),
        "a before that was not": (update, f"changes.0.fields.{name}.0", "never"),
        "a field that is none": (create, "changes.0.fields.colour", [None, "red"]),
        "a wrong type": (create, "changes.0.fields.amount", [None, "much"]),
        "no money": (create, "changes.0.fields.amount", [None, 0]),
        "no currency": (create, "changes.0.fields.currency", [None, "ABC"]),
        "an unknown contact": (create, "changes.0.fields.contact_id", [None, str(uuid.uuid4())]),
        "another operation": (create, "changes.0.op", "update"),
        "event_data": (create, "event_data.amount", -1),
        "a conflict without one": (create, "status", "conflict"),
        "a bad time": (create, "recorded_at", "yesterday"),
        "a bad device": (create, "device_id", "phone"),
        "an unknown member": (create, "more", 1),
        "a NUL": (create, "event_data.description", "a\x00b"),
        "a bad salt": (create, "salt", "pepper"),
        "overwrote": (create, "overwrote", {"colour": 1}),
        "an unknown settlement": (update, "event_data.resolves", str(uuid.uuid4())),
    }


def rehashed(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    digest = None
    for fact in log:
        fact.pop("hash")
        digest = chain.link(digest, chain.canonical(fact))
        fact["hash"] = digest.hex()
    return log


def put(fact: dict[str, Any], pointer: str, value: Any) -> None:
    *steps, last = pointer.split(".")
    place: Any = fact
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[int(last) if isinstance(place, list) else last] = value


async def test_a_log_that_does_not_fold_is_refused_whole(api: Server, alice: Client) -> None:
    ana = event("contact", "CREATED", {"name": "Ana"})
    debt = event("transaction", "CREATED", lent(ana["aggregate_id"], 1250))
    await alice.push(ana, debt, event("transaction", "UPDATED", {"amount": 7}, aggregate_id=debt["aggregate_id"]))
    whole = await exported(alice)
    bob = await api.register()
    for what, (index, pointer, value) in mutations(whole["events"]).items():
        damaged = msgspec.json.decode(msgspec.json.encode(whole))
        put(damaged["events"][index], pointer, value)
        rehashed(damaged["events"])
        refused = await bob.http.post("/api/import/json", json=damaged)
        assert refused.status_code == 400, (what, refused.text)
        assert refused.json()["errors"][0]["pointer"].startswith(f"/events/{index}"), (what, refused.text)
    for at in range(3):
        damaged = msgspec.json.decode(msgspec.json.encode(whole))
        del damaged["events"][at]["hash"]
        assert (await bob.http.post("/api/import/json", json=damaged)).status_code == 400
    damaged = msgspec.json.decode(msgspec.json.encode(whole))
    damaged["events"][1]["event_data"]["amount"] += 1
    refused = await bob.http.post("/api/import/json", json=damaged)
    assert refused.json()["errors"][0]["pointer"] == "/events/1/hash"
    assert (await bob.post("/api/sync/pull", {}))["version"] == 0
    assert (await bob.http.post("/api/import/json", json=whole)).status_code == 200


async def test_a_file_is_in_memory_once(tmp_path: Path) -> None:
    log = [
        {
            **{"seq": seq, "id": str(uuid.uuid4()), "aggregate_type": "contact", "aggregate_id": (contact := str(uuid.uuid4()))},
            **{"event_type": "CREATED", "event_data": {"name": "Ana", "notes": "x" * 4_000}, "base_seq": 0, "status": "accepted"},
            **dict.fromkeys(("timestamp", "recorded_at"), "2026-01-01T00:00:00.000000Z"),
            "changes": [
                {
                    **{"aggregate_type": "contact", "aggregate_id": contact, "op": "create"},
                    "fields": {"name": [None, "Ana"], "notes": [None, "x" * 4_000]},
                }
            ],
            "hash": "",
        }
        for seq in range(1, 1_001)
    ]
    file = tmp_path / "export.json"
    file.write_bytes(msgspec.json.encode({"format": "debitum-export", "version": 1, "events": rehashed(log)}))
    del log
    created = dict.fromkeys(("contacts", "transactions", "items", "reminders"), 0)
    tracemalloc.start()
    try:
        pages = import_json._pushes(
            str(uuid.uuid4()), Defaults("EUR", "UTC"), import_json._checked(import_json._read(file), created)
        )
        assert sum(len(page.items) for page in pages) == created["contacts"] == 1_000
        assert tracemalloc.get_traced_memory()[1] < 2 * file.stat().st_size  # and a page of facts, which is a fifth of it
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("member", ["phone", "email"])
async def test_a_fact_that_holds_something_private_is_not_taken_over_without_its_salt(
    alice: Client, bob: Client, member: str
) -> None:
    ana = event("contact", "CREATED", {"name": "Ana"})
    known = {"name": "Zoë", member: "zoe@example.org" if member == "email" else "+34 600"}
    edited = event("contact", "UPDATED", {"name": "Zoé"}, aggregate_id=ana["aggregate_id"])
    await alice.push(ana, event("contact", "CREATED", known), edited)
    whole = await exported(alice)
    assert ["salt" in fact for fact in whole["events"]] == [False, True, False]
    del whole["events"][1]["salt"]
    rehashed(whole["events"])
    refused = await bob.http.post("/api/import/json", json=whole)
    assert refused.status_code == 400, refused.text
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/events/1/salt"]
    assert (await bob.post("/api/sync/pull", {}))["version"] == 0


@pytest.mark.parametrize("seed", range(2))
async def test_random_damage_never_fails_the_server_and_stores_nothing(
    api: Server, alice: Client, bob: Client, seed: int
) -> None:
    await history(alice, await api.login(alice), seed, length=25)
    whole, dice = await exported(alice), random.Random(seed)
    for _ in range(60):
        damaged = msgspec.json.decode(msgspec.json.encode(whole))
        _damage(damaged["events"][dice.randrange(len(damaged["events"]))], dice)
        with contextlib.suppress(KeyError):
            rehashed(damaged["events"])
        answer = await bob.http.post("/api/import/json", json=damaged)
        if answer.status_code == 200:  # it happened to be something that may be
            await bob.http.aclose()
            bob = await api.register()
            continue
        assert answer.status_code in (400, 409), answer.text
        assert (await bob.post("/api/sync/pull", {}))["version"] == 0


def _damage(value: Any, dice: random.Random) -> None:
    """Change one thing somewhere in `value`."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = dice.choice(keys)
        if isinstance(value[key], dict | list) and value[key] and dice.random() < 0.85:
            value = value[key]
            continue
        if isinstance(value, dict) and dice.random() < 0.3:
            del value[key]
        else:
            value[key] = dice.choice([None, 0, -1, 2**53, 2**70, "", "x", "\u0000", [], {}, True, 1.5, str(uuid.UUID(int=7))])
        return


@pytest.mark.parametrize(
    "sent", [b"", b"[]", b"{}", b'{"format":"debitum-export","version":2,"events":[]}', b'{"events": [', b"\xff"]
)
async def test_what_is_no_export_is_refused(alice: Client, sent: bytes) -> None:
    answer = await alice.http.post("/api/import/json", content=sent, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert (await alice.http.post("/api/import/json", content=b"{}", headers={"Content-Type": "text/plain"})).status_code == 415


async def test_an_empty_export_is_an_empty_import(alice: Client, bob: Client) -> None:
    answer = await bob.post("/api/import/json", await exported(alice))
    assert answer == {"contacts": 0, "transactions": 0, "items": 0, "reminders": 0, "version": 0}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("text", ["=1+1", "Bob;=1+1;", "x\t=1", "a\n=1+1", "a\r\n@b", ";\t=1"])
async def test_no_cell_is_a_formula_whatever_it_is_taken_apart_by(text: str, separator: str) -> None:
    out = io.StringIO()
    csv.writer(out).writerow(["x", statements.plain_cell(text)])
    cells = [cell for row in csv.reader(io.StringIO(out.getvalue()), delimiter=separator) for cell in row]
    assert [cell for cell in cells if cell.lstrip('"').startswith(("=", "+", "-", "@"))] == []


async def test_a_zip_of_tables(alice: Client) -> None:
    contact = await alice.post("/api/contacts", {"name": '=HYPERLINK("x")', "notes": "a\nb, c"}, status=201)
    for direction, amount, currency in (("owed", 1250, "EUR"), ("lent", 70, "JPY")):
        body = {"contact_id": contact["id"], "direction": direction, "amount": amount, "currency": currency}
        await alice.post("/api/transactions", body, status=201)
    await alice.post("/api/reminders", {"contact_id": contact["id"], "remind_at": "2026-12-01T09:00:00Z"}, status=201)
    answer = await alice.http.get("/api/export", params={"format": "csv"})
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].endswith('.zip"')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        tables = {
            name: list(csv.DictReader(io.StringIO(archive.read(f"{name}.csv").decode())))
            for name in ("contacts", "transactions", "reminders", "balances")
        }
        log = [json.loads(line) for line in archive.read("events.jsonl").splitlines()]
        head = json.loads(archive.read("export.json"))
    assert (tables["contacts"][0]["name"], tables["contacts"][0]["notes"]) == ('\'=HYPERLINK("x")', "a\nb, c")
    assert [row["amount_decimal"] for row in tables["transactions"]] == ["12.50", "70"]
    assert [(row["amount"], row["amount_decimal"]) for row in tables["balances"]] == [("-1250", "-12.50"), ("70", "70")]
    assert tables["reminders"][0]["channels"] == "email push"
    assert verify_chain(log).hex() == head["ledger"]["hash"]


async def test_an_export_is_one_snapshot_while_others_write(alice: Client, bob: Client) -> None:
    await alice.push(*(event("contact", "CREATED", {"name": f"Ana {number}"}) for number in range(400)))

    async def write() -> None:
        for _ in range(25):
            await alice.push(event("contact", "CREATED", {"name": "late"}))

    async def read() -> list[dict[str, Any]]:
        return [await exported(alice) for _ in range(4)]

    _, found = await asyncio.gather(write(), read())
    for one in found:
        assert len(one["events"]) == len(one["contacts"]) == one["ledger"]["version"]
        assert verify_chain(one["events"]).hex() == one["ledger"]["hash"]
    assert (await exported(bob))["events"] == []


async def test_a_reader_that_goes_away_gives_its_connection_back(alice: Client) -> None:
    for _ in range(5):
        await alice.push(*(event("contact", "CREATED", {"name": "Ana", "notes": "x" * 2000}) for _ in range(250)))
    for _ in range(12):
        async with alice.http.stream("GET", "/api/export") as answer:
            assert answer.status_code in (200, 503)
            async for _chunk in answer.aiter_bytes():
                break
    for _ in range(50):
        answer = await alice.http.get("/api/export")
        if answer.status_code == 200:
            break
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        await asyncio.sleep(0.1)
    assert answer.json()["ledger"]["version"] == 1_250


async def test_a_stream_that_breaks_does_not_look_whole(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await alice.push(*(event("contact", "CREATED", {"name": "Ana", "notes": "x" * 2000}) for _ in range(100)))

    def broken(row: Any) -> Any:
        raise RuntimeError("a row that cannot be shown")

    monkeypatch.setattr(sequence, "wire", lambda text, digest: broken(text))
    with pytest.raises(httpx.RemoteProtocolError):
        await alice.http.get("/api/export")
