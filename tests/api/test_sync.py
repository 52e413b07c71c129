"""Push and pull over HTTP: outcomes, retries, bad neighbours, the chain."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.api import Client, Server, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()


def event(
    kind: str, event_type: str, data: dict[str, Any], *, aggregate_id: str | None = None, base_seq: Any = 0, **members: Any
) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "aggregate_type": kind,
        "aggregate_id": aggregate_id or str(uuid.uuid4()),
        "event_type": event_type,
        "event_data": data,
        "base_seq": base_seq,
        "timestamp": "2026-11-22T21:00:00+01:00",
        "version": 1,
        **members,
    }


def lent(contact_id: str, amount: int, **members: Any) -> dict[str, Any]:
    return {"contact_id": contact_id, "direction": "lent", "amount": amount, "currency": "EUR", **members}


def verify_chain(log: list[dict[str, Any]]) -> bytes:
    """What a client in any language does, with the standard library alone."""
    digest = b""
    for seq, fact in enumerate(log, start=1):
        assert fact["seq"] == seq
        rest = {name: value for name, value in fact.items() if name != "hash"}
        text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest = hashlib.sha256(digest + hashlib.sha256(text.encode()).digest()).digest()
        assert fact["hash"] == digest.hex()
    return digest


async def test_what_is_pushed_is_pulled_as_facts_that_prove_themselves(alice: Client) -> None:
    ana = event("contact", "CREATED", {"name": "Ana", "phone": "+34 600"})
    debt = event("transaction", "CREATED", lent(ana["aggregate_id"], 1250, due_date="2026-12-01"))
    pushed = await alice.push(ana, debt)
    assert [result["status"] for result in pushed["results"]] == ["accepted", "accepted"]
    assert [result["seq"] for result in pushed["results"]] == [1, 2]
    pulled = await alice.post("/api/sync/pull", {"since": 0})
    assert (pulled["version"], pulled["has_more"], pulled["hash"]) == (2, False, pushed["hash"])
    assert verify_chain(pulled["events"]).hex() == pulled["hash"]
    contact, transaction = pulled["events"]
    assert contact["event_data"] == ana["event_data"]
    assert contact["timestamp"] == ana["timestamp"]
    assert contact["device_id"] == alice.device_id
    assert len(contact["salt"]) == 32
    assert "salt" not in transaction
    [created] = transaction["changes"]
    assert created["fields"]["type"] == [None, "money"]
    assert created["fields"]["due_date"] == [None, "2026-12-01"]
    assert "description" not in created["fields"]
    assert await alice.get("/api/sync/hash") == {"version": 2, "hash": pulled["hash"]}
    assert await alice.get("/api/sync/hash", seq=1) == {"version": 1, "hash": contact["hash"]}
    assert await alice.get("/api/sync/hash", seq=0) == {"version": 0, "hash": None}


async def test_an_empty_ledger_has_version_0_and_no_hash(alice: Client) -> None:
    assert await alice.get("/api/sync/hash") == {"version": 0, "hash": None}
    assert await alice.post("/api/sync/pull", {}) == {"events": [], "version": 0, "hash": None, "has_more": False}


async def test_pull_pages_have_no_gaps(alice: Client) -> None:
    await alice.push(*(event("contact", "CREATED", {"name": f"c{number}"}) for number in range(25)))
    facts: list[Any] = []
    while True:
        page = await alice.post("/api/sync/pull", {"since": len(facts), "limit": 10})
        facts += page["events"]
        if not page["has_more"]:
            break
    assert verify_chain(facts).hex() == page["hash"]
    assert len(facts) == 25


async def test_a_retry_is_a_duplicate_with_the_first_outcome(alice: Client, api: Server) -> None:
    ana = event("contact", "CREATED", {"name": "Ana"})
    debt = event("transaction", "CREATED", lent(ana["aggregate_id"], 100))
    await alice.push(ana, debt)
    other = await api.login(alice)
    edit = event("transaction", "UPDATED", {"amount": 200}, aggregate_id=debt["aggregate_id"], base_seq=2)
    rival = event("transaction", "UPDATED", {"amount": 300}, aggregate_id=debt["aggregate_id"], base_seq=2)
    assert (await alice.push(edit))["results"][0]["status"] == "accepted"
    first = (await other.push(rival))["results"][0]
    assert (first["status"], first["code"], first["seq"]) == ("conflict", "edit", 4)
    again = await other.push({**rival, "base_seq": 0, "timestamp": "2020-01-01T00:00:00Z"}, ana)
    assert again["results"][0] == {"id": rival["id"], "status": "duplicate", "first": "conflict", "seq": 4, "code": "edit"}
    assert again["results"][1] == {"id": ana["id"], "status": "duplicate", "first": "accepted", "seq": 1}
    assert again["version"] == 4
    shouted = await other.push({**rival, "id": rival["id"].upper(), "aggregate_id": rival["aggregate_id"].upper()})
    assert shouted["results"][0]["status"] == "duplicate", "the same ids, as some systems write them"
    reused = await other.push({**edit, "event_data": {"amount": 999}})
    assert (reused["results"][0]["status"], reused["results"][0]["code"]) == ("rejected", "id_reused")


async def test_a_newer_description_wins_and_says_what_it_overwrote(alice: Client, api: Server) -> None:
    ana = event("contact", "CREATED", {"name": "Ana"})
    await alice.push(ana)
    other = await api.login(alice)
    await alice.push(event("contact", "UPDATED", {"notes": "first"}, aggregate_id=ana["aggregate_id"], base_seq=1))
    late = event("contact", "UPDATED", {"notes": "second", "name": "Ana"}, aggregate_id=ana["aggregate_id"], base_seq=1)
    result = (await other.push(late))["results"][0]
    assert result == {"id": late["id"], "status": "accepted", "seq": 3, "overwrote": {"notes": "first"}}
    assert (await alice.get(f"/api/contacts/{ana['aggregate_id']}"))["notes"] == "second"


async def test_one_bad_item_never_fails_its_neighbours(alice: Client) -> None:
    good, late = event("contact", "CREATED", {"name": "Ana"}), event("contact", "CREATED", {"name": "Bo"})
    bad = [
        event("contact", "CREATED", {"name": "   "}),
        event("contact", "CREATED", {"name": "x", "surname": "y"}),
        event("transaction", "CREATED", lent(good["aggregate_id"], 0)),
        event("transaction", "CREATED", {**lent(good["aggregate_id"], 5), "currency": "XXX"}),
        event("transaction", "CREATED", lent(str(uuid.uuid4()), 5)),
        event("transaction", "UPDATED", {"amount": 5}),
        event("planet", "CREATED", {}),
        event("contact", "CREATED", {"name": "x"}, version=2),
        event("contact", "CREATED", {"name": "x"}, base_seq="1"),
    ]
    results = (await alice.push(good, *bad, late))["results"]
    assert [result.get("code") for result in results] == [
        None,
        "invalid",
        "invalid",
        "invalid",
        "invalid",
        "unknown_contact",
        "unknown_aggregate",
        "invalid",
        "unsupported_version",
        "invalid",
        None,
    ]
    pointers = [result["errors"][0]["pointer"] for result in results if result.get("code") == "invalid"]
    assert pointers == [
        "/event_data/name",
        "/event_data/surname",
        "/event_data/amount",
        "/event_data/currency",
        "/aggregate_type",
        "/base_seq",
    ]
    assert (results[0]["seq"], results[-1]["seq"]) == (1, 2)


@pytest.mark.parametrize(
    "time",
    ["2026-11-22T21:00:00+0100", "2026-11-22 21:00:00Z", "20261122T210000Z", "2026-11-22T21:00Z", "2026-11-22T21:00:00Z\n"],
)
async def test_a_time_that_others_may_not_read_is_none(alice: Client, time: str) -> None:
    """It stands in the log as it was sent, for whoever reads times as RFC 3339 has them."""
    answer = await alice.push(event("contact", "CREATED", {"name": "Ana"}, timestamp=time))
    [outcome] = answer["results"]
    assert (outcome["code"], [error["pointer"] for error in outcome["errors"]]) == ("invalid", ["/timestamp"])
    for good in ("2026-11-22t21:00:00.123456789z", "2026-11-22T21:00:00-23:59"):
        answer = await alice.push(event("contact", "CREATED", {"name": "Ana"}, timestamp=good))
        assert answer["results"][0]["status"] == "accepted"


async def test_what_was_wrong_is_where_it_was_whatever_comes_again(alice: Client) -> None:
    """An item without a fault, but for one that had another, was told of members that it has not."""
    bad_time = event("contact", "CREATED", {"name": "Ana"}, timestamp="bad")
    unknown = event("contact", "CREATED", {"name": "Bo"}, colour="red")
    no_currency = event("transaction", "CREATED", lent(str(uuid.uuid4()), 5, currency="XXX"))
    bare = {name: value for name, value in unknown.items() if name != "colour"}

    async def pointers(*items: dict[str, Any], **members: Any) -> list[list[str]]:
        results = (await alice.push(*items, **members))["results"]
        return [[error["pointer"] for error in result["errors"]] for result in results]

    sent = [bad_time, unknown, no_currency]
    found = [["/timestamp"], ["/colour"], ["/event_data/currency"]]
    assert await pointers(*sent, dry_run=True) == await pointers(*sent) == await pointers(*sent) == found
    again = [bad_time | {"timestamp": no_currency["timestamp"]}, bare, no_currency | {"timestamp": "bad"}]
    assert await pointers(*again) == found


async def test_half_a_character_fails_the_item_that_holds_it(alice: Client) -> None:
    good, cut = (
        event("contact", "CREATED", {"name": "Ana \U0001f355"}),
        event("contact", "CREATED", {"name": "Bo", "notes": "\ud83c"}),
    )
    quoted = event("contact", "CREATED", {"name": "Cy", "notes": "\\ud83c"})
    body = json.dumps({"events": [good, cut, quoted]})
    answer = await alice.http.post("/api/sync/push", content=body, headers={"Content-Type": "application/json"})
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["accepted", "rejected", "accepted"]
    assert results[1]["errors"][0]["pointer"] == "/event_data/notes"
    assert [one["name"] for one in (await alice.get("/api/contacts"))["items"]] == ["Ana \U0001f355", "Cy"]


async def test_an_item_without_a_readable_id_fails_the_envelope(alice: Client) -> None:
    problem = await alice.push(event("contact", "CREATED", {"name": "Ana"}), {"id": 5}, status=400)
    assert problem["errors"][0]["pointer"] == "/events/1/id"
    assert (await alice.get("/api/sync/hash"))["version"] == 0


async def test_what_needs_a_rejected_command_fails_with_it(alice: Client) -> None:
    ana = event("contact", "CREATED", {"name": ""})
    debt = event("transaction", "CREATED", lent(ana["aggregate_id"], 5))
    note = event("reminder", "CREATED", {"transaction_id": debt["aggregate_id"], "remind_at": "2026-12-01T09:00:00Z"})
    results = (await alice.push(ana, debt, note))["results"]
    assert [result["code"] for result in results] == ["invalid", "dependency_failed", "dependency_failed"]


async def test_a_rejection_is_remembered_but_not_one_that_may_pass_later(alice: Client) -> None:
    ana = event("contact", "CREATED", {"name": "Ana"})
    debt = event("transaction", "CREATED", lent(ana["aggregate_id"], 5))
    bad = event("contact", "CREATED", {"name": ""})
    first = await alice.push(debt, bad)
    assert [result["code"] for result in first["results"]] == ["unknown_contact", "invalid"]
    second = await alice.push(ana, debt, bad)
    assert [result["status"] for result in second["results"]] == ["accepted", "accepted", "rejected"]
    assert second["results"][2] == first["results"][1]
    corrected = await alice.push({**bad, "event_data": {"name": "Bo"}})
    assert corrected["results"][0]["code"] == "id_reused"


async def test_a_dry_run_decides_and_stores_nothing(alice: Client) -> None:
    ana, bad = event("contact", "CREATED", {"name": "Ana"}), event("contact", "CREATED", {"name": ""})
    tried = await alice.push(ana, bad, dry_run=True)
    assert [result["status"] for result in tried["results"]] == ["accepted", "rejected"]
    assert (await alice.get("/api/sync/hash"))["version"] == 0
    done = await alice.push(ana, {**bad, "event_data": {"name": "Bo"}})
    assert [result["status"] for result in done["results"]] == ["accepted", "accepted"]


async def test_a_device_that_knows_another_history_is_told_to_start_over(alice: Client) -> None:
    ana = event("contact", "CREATED", {"name": "Ana"})
    await alice.push(ana)
    beyond = await alice.push(event("contact", "CREATED", {"name": "Bo"}, base_seq=7), status=409)
    assert beyond["code"] == "reset"
    other = event("contact", "CREATED", {"name": "Bo"}, base_seq=1)
    assert (await alice.push(other, base_hash="00" * 32, status=409))["code"] == "reset"
    assert (await alice.post("/api/sync/pull", {"since": 2}, status=409))["code"] == "reset"
    assert (await alice.post("/api/sync/pull", {"since": 1, "hash": "00" * 32}, status=409))["code"] == "reset"
    head = await alice.get("/api/sync/hash")
    assert (await alice.push(other, base_hash=head["hash"]))["results"][0]["status"] == "accepted"


@pytest.mark.parametrize("unreadable", [{"event_data": {"name": ""}}, {"version": 2}])
async def test_what_cannot_be_read_says_what_its_device_had_folded(alice: Client, unreadable: dict[str, Any]) -> None:
    """`base_hash` is the chain's at the highest base_seq of the push, whatever else is wrong with the item that has it."""
    first = (await alice.push(event("contact", "CREATED", {"name": "Ana"})))["hash"]
    second = (await alice.push(event("contact", "CREATED", {"name": "Bo"}, base_seq=1)))["hash"]

    def items() -> list[dict[str, Any]]:
        bad = event("contact", "CREATED", {"name": "x"}, base_seq=2) | unreadable
        return [event("contact", "CREATED", {"name": "Cy"}, base_seq=1), bad]

    assert (await alice.push(*items(), base_hash=first, status=409))["code"] == "reset"
    assert (await alice.push({**items()[1], "base_seq": 99}, status=409))["code"] == "reset"
    results = (await alice.push(*items(), base_hash=second))["results"]
    assert [result["status"] for result in results] == ["accepted", "rejected"]


@pytest.mark.parametrize("together", [True, False])
async def test_a_deleted_contact_takes_along_what_came_to_it_a_moment_ago(alice: Client, together: bool) -> None:
    """And what hangs on that, in one push as in two; tests/storage/test_ledgers.py has other ways to come."""
    ana, bo = (event("contact", "CREATED", {"name": name}) for name in ("Ana", "Bo"))
    here, there = ana["aggregate_id"], bo["aggregate_id"]
    debt = event("transaction", "CREATED", lent(here, 7))
    id = debt["aggregate_id"]
    repayment = event("transaction", "CREATED", {**lent(here, 1), "direction": "owed", "repays": id})
    about = {"contact_id": here, "transaction_id": id, "remind_at": "2026-12-01T09:00:00Z"}
    reminder = event("reminder", "CREATED", about)
    head = (await alice.push(ana, bo, debt, repayment, reminder))["version"]
    came = event("transaction", "UPDATED", {"contact_id": there}, aggregate_id=id, base_seq=head)
    gone = event("contact", "DELETED", {}, aggregate_id=there, base_seq=head)
    for items in [[came, gone]] if together else [[came], [gone]]:
        await alice.push(*items)
    [*_, fact] = (await alice.post("/api/sync/pull", {"since": head}))["events"]
    changes = [(change["aggregate_id"], change["op"]) for change in fact["changes"]]
    assert changes == [
        (there, "delete"),
        (id, "delete"),
        (reminder["aggregate_id"], "delete"),
        (repayment["aggregate_id"], "update"),
    ]


async def test_another_users_ids_are_unknown(alice: Client, bob: Client) -> None:
    ana = event("contact", "CREATED", {"name": "Ana"})
    await alice.push(ana)
    theft = await bob.push(
        event("transaction", "CREATED", lent(ana["aggregate_id"], 5)),
        event("contact", "UPDATED", {"name": "mine"}, aggregate_id=ana["aggregate_id"]),
        {**event("contact", "CREATED", {"name": "Bea"}, aggregate_id=ana["aggregate_id"]), "id": ana["id"]},
    )
    assert [result.get("code") for result in theft["results"]] == ["unknown_contact", "unknown_aggregate", None]
    assert (await alice.get(f"/api/contacts/{ana['aggregate_id']}"))["name"] == "Ana"
    assert (await bob.post("/api/sync/pull", {}))["version"] == 1


async def test_the_published_vectors_fold_to_their_hashes() -> None:
    vectors = json.loads((Path(__file__).parents[1] / "data" / "chain_vectors.json").read_text())
    assert verify_chain(vectors).hex() == vectors[-1]["hash"]
