"""What follows from a request is bounded (docs/decisions/0027): what it changes, looks at, reads and keeps."""

from collections import Counter
from typing import Any

import pytest

from domain import facts, sequence
from storage import events
from tests.api.test_sync import event, lent, verify_chain
from tests.fixtures.api import Client, Server, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()


async def test_no_page_has_more_than_one_of_the_largest_facts(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = event("contact", "CREATED", {"name": "Ana"})
    await alice.push(ana, *(event("transaction", "CREATED", lent(ana["aggregate_id"], 1)) for _ in range(499)))
    for turn in ("DELETED", "RESTORED"):
        await alice.push(event("contact", turn, {}, aggregate_id=ana["aggregate_id"], base_seq=500))
    await alice.push(event("contact", "CREATED", {"name": "Bo"}))
    log: list[dict[str, Any]] = []
    pages: list[int] = []
    has_more = True
    while has_more:
        answer = await alice.post("/api/sync/pull", {"since": len(log), "limit": 600})
        log, has_more, pages = [*log, *answer["events"]], answer["has_more"], [*pages, len(answer["events"])]
    verify_chain(log)
    assert pages == [500, 1, 1, 1]
    monkeypatch.setattr(events, "PAGE_BYTES", 100_000)
    newest: list[dict[str, Any]] = []
    cursor: dict[str, str] | None = {}
    while cursor is not None:
        listed = await alice.get("/api/events", limit=200, **cursor)
        newest, pages = [*newest, *listed["items"]], [*pages, len(listed["items"])]
        cursor = {"cursor": listed["next_cursor"]} if listed["next_cursor"] else None
    assert newest == log[::-1]
    assert pages[4] == 3, "as many as it takes to have so much"
    assert len(pages) > 4 + 3, "and so with those that are small"


async def test_of_what_is_refused_no_more_is_kept_than_could_have_been_taken(alice: Client) -> None:
    long = event("contact", "CREATED", {"name": "Ana", "colours": ["red"] * 20_000})
    longest = event("transaction", "CREATED", {"item": "\U0001f30d" * 4_000, "description": "é" * 4_000})
    answer = await alice.push(long, longest)
    assert {one["code"] for one in answer["results"]} == {"invalid"}
    kept = {one["id"]: one["command"] for one in (await alice.get("/api/sync/rejections"))["items"]}
    assert kept[longest["id"]]["event_data"] == longest["event_data"]
    assert len(kept[long["id"]]) == sequence.KEPT_CHARACTERS
    assert await alice.push(long, longest) == answer, "what it was is known by its fingerprint"


async def test_no_push_makes_more_follow_than_a_fact_may_hold(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion and its opposite, over and over, are nine bytes a debt for whoever sends them and a page of facts for us."""
    monkeypatch.setattr(facts, "MAX_CHANGES", 20)
    ana = event("contact", "CREATED", {"name": "Ana"})
    contact_id = ana["aggregate_id"]
    debts = [event("transaction", "CREATED", lent(contact_id, 1)) for _ in range(12)]
    await alice.push(ana, *debts)
    to_and_fro = [
        event("contact", ("DELETED", "RESTORED")[turn % 2], {}, aggregate_id=contact_id, base_seq=13) for turn in range(6)
    ]
    answer = await alice.push(*to_and_fro)
    refused = ("rejected", "too_many_changes")
    outcomes = [(one["status"], one.get("code")) for one in answer["results"]]
    assert outcomes == [("accepted", None)] * 2 + [refused] * 4
    assert (await alice.push(*to_and_fro[2:]))["results"][0]["status"] == "accepted", "sent again, it passes"
    verify_chain((await alice.post("/api/sync/pull", {"since": 0}))["events"])


async def test_what_many_undo_is_read_once(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be ten thousand changes; and all but one of them are told that it has been undone."""
    ana = event("contact", "CREATED", {"name": "Ana"})
    gone = event("contact", "DELETED", {}, aggregate_id=ana["aggregate_id"], base_seq=1)
    await alice.push(ana)
    await alice.push(gone)
    read, decoded = sequence.Known.fact, list[int]()

    def noting(known: sequence.Known) -> facts.Fact:
        decoded.append(known.seq)
        return read(known)

    monkeypatch.setattr(sequence.Known, "fact", noting)
    undone = {"undone_event_id": gone["id"]}
    undos = [event("contact", "UNDO", undone, aggregate_id=ana["aggregate_id"], base_seq=2) for _ in range(20)]
    outcomes = (await alice.push(*undos, *[gone] * 20))["results"]
    assert Counter(one.get("code", one["status"]) for one in outcomes) == {"accepted": 1, "already_undone": 19, "duplicate": 20}
    assert decoded == [2]


async def test_what_leads_to_no_change_is_bounded_too(api: Server, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conflict that names all that another device added, and a look for what hangs on what is deleted."""
    ana = event("contact", "CREATED", {"name": "Ana"})
    debts = [event("transaction", "CREATED", lent(ana["aggregate_id"], 1)) for _ in range(12)]
    await alice.push(ana, *debts)
    other = await api.login(alice)

    async def outcomes() -> list[str]:
        deletions = [event("contact", "DELETED", {}, aggregate_id=ana["aggregate_id"]) for _ in range(5)]
        return [one["code"] for one in (await other.push(*deletions))["results"]]

    monkeypatch.setattr(facts, "MAX_CHANGES", 20)
    assert await outcomes() == ["delete_vs_new"] * 2 + ["too_many_changes"] * 3
    monkeypatch.setattr(facts, "MAX_CHANGES", 10_000)
    monkeypatch.setattr(sequence, "MAX_LOOKS", 40)
    assert await outcomes() == ["delete_vs_new"] * 3 + ["too_many_changes"] * 2


async def test_what_is_more_than_a_fact_may_hold_is_done_in_parts(
    api: Server, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "MAX_CHANGES", 20)
    ana = event("contact", "CREATED", {"name": "Ana"})
    contact_id = ana["aggregate_id"]
    for _ in range(2):
        debts = [event("transaction", "CREATED", lent(contact_id, 1)) for _ in range(10)]
        await alice.push(ana, *debts)
    refused = await alice.http.delete(f"/api/contacts/{contact_id}")
    assert (refused.status_code, refused.json()["code"]) == (409, "has_dependants")
    other = await api.login(alice)
    [outcome] = (await other.push(event("contact", "DELETED", {}, aggregate_id=contact_id)))["results"]
    assert outcome["code"] == "has_dependants", "and no conflict that names a part of them"
    assert len((await alice.get("/api/transactions", contact_id=contact_id))["items"]) == 20
    await alice.delete(f"/api/transactions/{debts[0]['aggregate_id']}")
    await alice.delete(f"/api/contacts/{contact_id}")
    assert (await alice.get("/api/transactions", contact_id=contact_id))["items"] == []
