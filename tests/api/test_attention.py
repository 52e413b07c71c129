"""The audit log, conflicts and rejections over HTTP."""

import uuid
from typing import Any

from tests.api.test_sync import event, lent
from tests.fixtures.api import Client, Server, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()


async def paged(client: Client, path: str, **parameters: Any) -> list[Any]:
    """All items of a list, two a page."""
    found: list[Any] = []
    cursor = None
    while True:
        page = await client.get(path, limit=2, **parameters, **({"cursor": cursor} if cursor else {}))
        assert len(page["items"]) <= 2
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def conflict(alice: Client, other: Client) -> tuple[str, dict[str, Any]]:
    """Two devices change an amount from the same base; the debt's id and the item that lost."""
    ana = event("contact", "CREATED", {"name": "Ana"})
    debt = event("transaction", "CREATED", lent(ana["aggregate_id"], 1250))
    version = (await alice.push(ana, debt))["version"]
    same = {"aggregate_id": debt["aggregate_id"], "base_seq": version}
    await alice.push(event("transaction", "UPDATED", {"amount": 1300}, **same))
    late = event("transaction", "UPDATED", {"amount": 1100}, **same)
    assert (await other.push(late))["results"][0]["code"] == "edit"
    return debt["aggregate_id"], late


async def test_a_conflict_waits_until_it_is_settled_and_again_when_that_is_undone(alice: Client, api: Server) -> None:
    other = await api.login(alice)
    debt, late = await conflict(alice, other)
    [waiting] = (await alice.get("/api/sync/conflicts", state="open"))["items"]
    [fact] = [fact for fact in (await alice.post("/api/sync/pull", {}))["events"] if fact["id"] == late["id"]]
    assert waiting == fact | {"state": "open", "resolved_by": None}
    settling = event("transaction", "UPDATED", {"amount": 1200, "resolves": late["id"]}, aggregate_id=debt, base_seq=2)
    assert (await other.push(settling))["results"][0]["status"] == "accepted"
    assert (await alice.get("/api/sync/conflicts", state="open"))["items"] == []
    [settled] = (await alice.get("/api/sync/conflicts", state="resolved"))["items"]
    assert (settled["state"], settled["resolved_by"]) == ("resolved", settling["id"])
    undo = event("transaction", "UNDO", {"undone_event_id": settling["id"]}, aggregate_id=debt, base_seq=5)
    assert (await alice.push(undo))["results"][0]["status"] == "accepted"
    assert [item["id"] for item in (await alice.get("/api/sync/conflicts", state="open"))["items"]] == [late["id"]]
    assert (await alice.get(f"/api/transactions/{debt}"))["amount"] == 1300


async def test_rest_settles_a_conflict_too(alice: Client, api: Server) -> None:
    debt, late = await conflict(alice, await api.login(alice))
    wrong = await alice.post(f"/api/transactions/{debt}", {"resolves": str(uuid.uuid4())}, status=409)
    assert (wrong["code"], wrong["errors"][0]["pointer"]) == ("unknown_conflict", "/resolves")
    kept = await alice.post(f"/api/transactions/{debt}", {"resolves": late["id"]})
    assert kept["amount"] == 1300
    assert (await alice.post(f"/api/transactions/{debt}", {"resolves": late["id"]}, status=409))["code"] == "already_resolved"


async def test_conflicts_are_paged_newest_first(alice: Client, api: Server) -> None:
    other = await api.login(alice)
    lost = [(await conflict(alice, other))[1]["id"] for _ in range(5)]
    assert [item["id"] for item in await paged(alice, "/api/sync/conflicts")] == lost[::-1]


async def test_rejections_are_kept_with_the_command_that_was_sent(alice: Client) -> None:
    ana = event("contact", "CREATED", {"name": "Ana"})
    bad = [event("contact", "CREATED", {"name": ""}) for _ in range(3)]
    forgotten = event("transaction", "UPDATED", {"amount": 5})
    await alice.push(ana, forgotten)
    for one in bad:
        await alice.push(one)
    listed = await paged(alice, "/api/sync/rejections")
    assert [item["id"] for item in listed] == [one["id"] for one in reversed(bad)]
    assert (listed[0]["code"], listed[0]["command"]) == ("invalid", bad[-1])


async def test_the_audit_log_is_newest_first_and_filtered(alice: Client, bob: Client) -> None:
    ana, bo = (event("contact", "CREATED", {"name": name}) for name in ("Ana", "Bo"))
    debt = event("transaction", "CREATED", lent(ana["aggregate_id"], 5))
    await alice.push(ana, bo)
    await alice.push(debt, event("transaction", "DELETED", {}, aggregate_id=debt["aggregate_id"]))
    await bob.push(event("contact", "CREATED", {"name": "Cy"}))
    pulled = (await alice.post("/api/sync/pull", {}))["events"]
    assert await paged(alice, "/api/events") == pulled[::-1]

    async def seqs(**parameters: Any) -> list[int]:
        return [fact["seq"] for fact in await paged(alice, "/api/events", **parameters)]

    assert await seqs(aggregate_id=debt["aggregate_id"]) == [4, 3]
    assert await seqs(aggregate_type="contact") == [2, 1]
    assert await seqs(event_type="CREATED") == [3, 2, 1]
    assert await seqs(aggregate_type="transaction", event_type="DELETED") == [4]
    assert await seqs(**{"from": pulled[2]["recorded_at"]}) == [4, 3]
    assert await seqs(to=pulled[1]["recorded_at"]) == [2, 1]
    assert (await bob.get("/api/events", aggregate_id=debt["aggregate_id"]))["items"] == []
    assert (await alice.get("/api/events", aggregate_id=str(uuid.uuid4())))["items"] == []
    refused = await alice.http.get("/api/events", params={"from": "yesterday"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/from")
