"""Mistakes that systems of this kind have made, each with the test that this one does not make it."""

import asyncio
import datetime
import json
import re
import uuid
from typing import Any

import jwt
import pytest
from sqlalchemy import Engine, text
from websockets.asyncio.client import connect

from api import sockets
from domain import facts
from storage import balances, tables
from tests.api.test_feed import address, closed, hear, listening
from tests.api.test_sync import event, lent, verify_chain
from tests.api.test_transactions import lend, person
from tests.fixtures.api import Client, Server, serve


async def facts_of(client: Client, since: int = 0) -> list[dict[str, Any]]:
    return list((await client.post("/api/sync/pull", {"since": since}))["events"])


async def test_everything_belongs_to_one_user(alice: Client, bob: Client) -> None:
    """Reads without a user's filter mixed everyone's data, and gave every push to the first user."""
    await lend(alice, await person(alice), 5)
    await person(bob)
    for path in ("/api/contacts", "/api/transactions", "/api/events", "/api/reminders"):
        mine = {item["id"] for item in (await alice.get(path))["items"]}
        assert not mine & {item["id"] for item in (await bob.get(path))["items"]}
    assert ((await alice.get("/api/sync/hash"))["version"], (await bob.get("/api/sync/hash"))["version"]) == (2, 1)
    assert (await bob.get("/api/balances"))["items"] == []


async def test_nobody_rules_over_others_by_http(api: Server, alice: Client, bob: Client) -> None:
    """Any user's token passed for the administrator's: it deleted users, set their passwords and read everybody's events."""
    served = {route.path for route in api.app.router.routes_all.values()}
    assert [path for path in served if re.search(r"\b(admin|users?|roles?|dev|debug|internal)\b", path)] == []
    for path in ("/api/admin/events", "/api/admin/users", f"/api/users/{bob.user['id']}"):
        for method in ("GET", "POST", "DELETE"):
            assert (await alice.http.request(method, path)).status_code == 404
    for member in ("id", "user_id", "email"):
        refused = await alice.http.patch("/api/me", json={"name": "Mallory", member: bob.user[member.removeprefix("user_")]})
        assert refused.status_code == 400
    claims = jwt.decode(alice.signed_in["access_token"], options={"verify_signature": False})
    assert set(claims) == {"iss", "aud", "sub", "sid", "jti", "iat", "exp"}, "a token says who, and no role"
    assert await bob.get("/api/me") == bob.user


async def test_a_late_event_of_an_early_clock_is_seen_by_everyone(alice: Client, api: Server) -> None:
    """The cursor was the client's clock: what was made at ten and pushed at twelve never reached a cursor of eleven o'clock."""
    other = await api.login(alice)
    await alice.push(event("contact", "CREATED", {"name": "Ana"}, timestamp="2026-11-22T12:00:00Z"))
    cursor = (await other.post("/api/sync/pull", {}))["version"]
    late = event("contact", "CREATED", {"name": "Bo"}, timestamp="2020-01-01T00:00:00Z")
    await alice.push(late)
    assert [fact["id"] for fact in await facts_of(other, cursor)] == [late["id"]]


async def test_commits_that_end_out_of_order_leave_no_hole_behind_a_cursor(alice: Client) -> None:
    """Ids given out at insert and visible at commit let a reader pass an event that commits late."""
    seen: list[int] = []
    done = asyncio.Event()

    async def read() -> None:
        while not done.is_set() or (await alice.get("/api/sync/hash"))["version"] > len(seen):
            seen.extend(fact["seq"] for fact in await facts_of(alice, len(seen)))

    reader = asyncio.create_task(read())
    await asyncio.gather(*(alice.push(event("contact", "CREATED", {"name": "Ana"})) for _ in range(40)))
    done.set()
    await reader
    assert seen == list(range(1, 41))


async def test_hashes_of_client_and_server_are_over_the_same_bytes(alice: Client) -> None:
    """The client hashed T and Z, the server a space and no zone: no hash ever matched, and every sync was a full one."""
    await alice.push(event("contact", "CREATED", {"name": "Zoë \u2028"}, timestamp="2026-11-22T21:00:00.1+01:00"))
    log = await facts_of(alice)
    head = await alice.get("/api/sync/hash")
    assert verify_chain(log).hex() == head["hash"] == log[-1]["hash"]


async def test_a_retry_after_a_lost_reply_is_a_duplicate_whatever_the_server_added(alice: Client) -> None:
    """The server wrote totals into the stored event; the retry compared different and was called a conflict."""
    ana = event("contact", "CREATED", {"name": "Ana"})
    debt = event("transaction", "CREATED", {"contact_id": ana["aggregate_id"], "direction": "lent", "amount": 5})
    await alice.push(ana, debt)
    before = await facts_of(alice)
    again = (await alice.push(ana, debt))["results"]
    assert [(one["status"], one["first"], one["seq"]) for one in again] == [
        ("duplicate", "accepted", 1),
        ("duplicate", "accepted", 2),
    ]
    assert await facts_of(alice) == before
    assert before[1]["event_data"] == debt["event_data"], "what was sent stays as it was sent"


async def test_every_refusal_says_why_and_lets_the_queue_go_on(alice: Client) -> None:
    """Refusals without a reason kept one bad event in the outbox, and the outbox in a loop."""
    bad = [
        event("contact", "CREATED", {"name": ""}),
        event("transaction", "CREATED", lent(str(uuid.uuid4()), 5)),
        event("contact", "UNDO", {"undone_event_id": str(uuid.uuid4())}),
    ]
    results = (await alice.push(*bad, event("contact", "CREATED", {"name": "Ana"})))["results"]
    assert [one.get("code") for one in results] == ["invalid", "unknown_contact", "unknown_event", None]
    assert all(one["detail"] for one in results[:3])


async def test_what_was_created_and_deleted_offline_stays_deleted(alice: Client) -> None:
    """Uploading deletions before creations brought them back to life."""
    ana = event("contact", "CREATED", {"name": "Ana"})
    same = {"aggregate_id": ana["aggregate_id"]}
    script = [ana, event("contact", "UPDATED", {"notes": "x"}, **same), event("contact", "DELETED", {}, **same)]
    assert [one["status"] for one in (await alice.push(*script))["results"]] == ["accepted"] * 3
    assert (await alice.get("/api/contacts"))["items"] == []
    assert [one["status"] for one in (await alice.push(*script[::-1]))["results"]] == ["duplicate"] * 3
    assert (await alice.get("/api/contacts"))["items"] == []


async def test_a_bad_item_in_a_batch_takes_nothing_down_with_it(alice: Client) -> None:
    """One bad UUID or time in a batch was a 400 after the events before it had been committed."""
    good, late = (event("contact", "CREATED", {"name": name}) for name in ("Ana", "Bo"))
    bad = [
        event("contact", "CREATED", {"name": "x"}, timestamp="yesterday"),
        event("contact", "CREATED", {"name": "x"}, aggregate_id="7"),
    ]
    results = (await alice.push(good, *bad, late))["results"]
    assert [one["status"] for one in results] == ["accepted", "rejected", "rejected", "accepted"]


async def test_rest_and_sync_write_the_same_events(alice: Client) -> None:
    """REST wrote other event types than sync, and a rebuild knew only one of them."""
    ana = await person(alice)
    debt = await lend(alice, ana, 5)
    await alice.post(f"/api/transactions/{debt['id']}", {"amount": 6})
    await alice.http.delete(f"/api/transactions/{debt['id']}")
    by_sync = event("contact", "CREATED", {"name": "Bo"})
    await alice.push(by_sync)
    log = await facts_of(alice)
    assert [fact["event_type"] for fact in log] == ["CREATED", "CREATED", "UPDATED", "DELETED", "CREATED"]
    assert {fact["event_type"] for fact in log} <= {event_type for _, event_type in facts.PAYLOADS}
    assert log[0].keys() == log[-1].keys()


async def test_state_and_event_are_one_transaction(alice: Client, database: Engine) -> None:
    """The projection was written first and the event second, each by itself: a crash in between left state without an event."""
    await person(alice)
    with database.begin() as connection:
        connection.execute(text("alter table debitum.events add constraint crash check (seq < 2)"))
    assert (await alice.http.post("/api/contacts", json={"name": "Bo"})).status_code == 500
    assert [item["name"] for item in (await alice.get("/api/contacts"))["items"]] == ["Ana"]
    assert (await alice.get("/api/sync/hash"))["version"] == 1


async def test_an_idempotency_key_is_not_ignored(alice: Client) -> None:
    """POST /transactions ignored it, and a retried request was a second debt."""
    ana, headers = await person(alice), {"Idempotency-Key": str(uuid.uuid4())}
    body = {"contact_id": ana, "direction": "lent", "amount": 5}
    answers = await asyncio.gather(*(alice.http.post("/api/transactions", json=body, headers=headers) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_an_undo_is_an_event_and_rebuilds_nothing(alice: Client, database: Engine) -> None:
    """Every undo emptied all projections and filled them again, row by row, without a transaction and for all users."""
    ana = event("contact", "CREATED", {"name": "Ana"})
    edit = event("contact", "UPDATED", {"name": "Anna"}, aggregate_id=ana["aggregate_id"])
    other = event("contact", "CREATED", {"name": "Bo"})
    await alice.push(ana, edit, other)
    with database.begin() as connection:
        before = connection.execute(text("select xmin::text, ctid::text from debitum.contacts where name = 'Bo'")).one()
    undo = event("contact", "UNDO", {"undone_event_id": edit["id"]}, aggregate_id=ana["aggregate_id"])
    assert (await alice.push(undo))["results"][0]["seq"] == 4
    assert (await alice.get(f"/api/contacts/{ana['aggregate_id']}"))["name"] == "Ana"
    with database.begin() as connection:
        assert connection.execute(text("select xmin::text, ctid::text from debitum.contacts where name = 'Bo'")).one() == before


async def test_an_undo_is_of_ones_own_ledger_and_trusts_no_clock(alice: Client, bob: Client) -> None:
    """Undo trusted the client's clock for its window, took any user's event, and undid undos."""
    ana = event("contact", "CREATED", {"name": "Ana"})
    same = {"aggregate_id": ana["aggregate_id"]}
    edit = event("contact", "UPDATED", {"name": "Anna"}, timestamp="2099-01-01T00:00:00Z", **same)
    await alice.push(ana, edit)
    undo = event("contact", "UNDO", {"undone_event_id": edit["id"]}, timestamp="1999-01-01T00:00:00Z", **same)
    assert (await bob.push(undo))["results"][0]["code"] == "unknown_event"
    assert (await alice.push(undo))["results"][0]["status"] == "accepted"
    again = event("contact", "UNDO", {"undone_event_id": undo["id"]}, **same)
    assert (await alice.push(again))["results"][0]["code"] == "undo_of_undo"


@pytest.mark.parametrize("field", ["notes", "phone", "email", "username"])
async def test_null_clears_a_field(alice: Client, field: str) -> None:
    """Updates by COALESCE could never clear a field."""
    value = "ana@example.org" if field == "email" else "x"
    contact = await alice.post("/api/contacts", {"name": "Ana", field: value}, status=201)
    assert (await alice.post(f"/api/contacts/{contact['id']}", {field: None}))[field] is None


@pytest.mark.parametrize(("member", "value"), [("due_date", "31.12.2026"), ("direction", "borrowed"), ("due_date", "")])
async def test_what_cannot_be_read_is_refused_and_pointed_at(alice: Client, member: str, value: str) -> None:
    """A due date that could not be parsed was dropped in silence; a bad direction was a 500."""
    body = {"contact_id": await person(alice), "direction": "lent", "amount": 5, member: value}
    refused = await alice.post("/api/transactions", body, status=400)
    assert refused["errors"][0]["pointer"] == f"/{member}"


async def test_a_due_date_can_be_cleared(alice: Client) -> None:
    """And so could a due date never be."""
    debt = await lend(alice, await person(alice), 5, due_date="2026-12-01")
    assert (await alice.post(f"/api/transactions/{debt['id']}", {"due_date": None}))["due_date"] is None


async def test_currencies_and_things_are_never_added(alice: Client) -> None:
    """A balance added dollars, dinars and lent books into one integer."""
    ana = await person(alice)
    await lend(alice, ana, 1_000, currency="USD")
    await lend(alice, ana, 1_000, currency="IQD")
    await alice.post("/api/transactions", {"contact_id": ana, "direction": "lent", "type": "item", "item": "book"}, status=201)
    contact = await alice.get(f"/api/contacts/{ana}")
    assert contact["balances"] == [{"currency": "IQD", "amount": 1_000}, {"currency": "USD", "amount": 1_000}]
    assert contact["open_items"] == 1


async def test_an_amount_means_the_same_to_everyone(api: Server, alice: Client) -> None:
    """One part of the system called the amount cents, another whole dinars, and each had a default currency of its own."""
    async with api.http() as http:
        exponents = {one["code"]: one["exponent"] for one in (await http.get("/api/meta")).json()["currencies"]}
    assert (exponents["IQD"], exponents["USD"], exponents["JPY"]) == (3, 2, 0)
    debt = await lend(alice, await person(alice), 5)
    assert (debt["amount"], debt["currency"]) == (5, alice.user["default_currency"])
    assert (await facts_of(alice))[-1]["changes"][0]["fields"]["currency"] == [None, alice.user["default_currency"]]


async def test_what_is_summed_ahead_is_cut_at_a_seq(alice: Client, database: Engine) -> None:
    """Its snapshots cut by a client's date on one side and by insertion on the other: late events counted twice or never."""
    ana = await person(alice)
    await lend(alice, ana, 1_000, transaction_date="2026-11-20")
    balances.materialise(lambda: database.begin())
    await lend(alice, ana, 30, transaction_date="2020-01-01")
    for _ in range(2):
        assert (await alice.get("/api/balances"))["items"][0]["amount"] == 1_030
        balances.materialise(lambda: database.begin())


async def test_answers_are_bounded_and_times_have_zones(alice: Client) -> None:
    """Lists and pulls had no pages, and times no zone."""
    await alice.push(*(event("contact", "CREATED", {"name": f"Ana {number}"}) for number in range(300)))
    page = await alice.get("/api/contacts", limit=200)
    assert (len(page["items"]), page["next_cursor"] is None) == (200, False)
    assert (await alice.http.get("/api/contacts", params={"limit": 201})).status_code == 400
    pulled = await alice.post("/api/sync/pull", {"limit": 100})
    assert (len(pulled["events"]), pulled["has_more"]) == (100, True)
    assert (await alice.http.post("/api/sync/pull", json={"limit": 1_001})).status_code == 400
    for moment in (page["items"][0]["created_at"], pulled["events"][0]["recorded_at"]):
        assert datetime.datetime.fromisoformat(moment).tzinfo is not None
    naive = event("contact", "CREATED", {"name": "x"}, timestamp="2026-11-22T21:00:00")
    assert (await alice.push(naive))["results"][0]["code"] == "invalid"


def test_every_stored_time_has_a_zone() -> None:
    """Naive timestamps everywhere: two zones met in one column."""
    times = [column for table in tables.metadata.tables.values() for column in table.c if "timestamp" in str(column.type).lower()]
    times += [column for table in tables.metadata.tables.values() for column in table.c if "datetime" in str(column.type).lower()]
    assert times
    assert all(getattr(column.type, "timezone", False) for column in times)


async def test_devices_share_nothing_but_the_server(alice: Client, api: Server) -> None:
    """Tests of "several devices" shared one store, so that they always agreed."""
    other = await api.login(alice)
    assert other.device_id != alice.device_id
    ana = event("contact", "CREATED", {"name": "Ana"})
    await alice.push(ana)
    [fact] = await facts_of(other)
    assert (fact["device_id"], json.dumps(fact["event_data"])) == (alice.device_id, json.dumps(ana["event_data"]))


async def test_the_feed_tells_a_user_of_their_own_ledger_and_no_contents(api: Server, alice: Client, bob: Client) -> None:
    """Every change went to every user's socket, with names, and only to sockets of the process that had made it."""
    async with serve(api.settings) as elsewhere, listening(elsewhere, alice) as socket:
        await person(bob, "Bob's Ana")
        await person(alice)
        head = await alice.get("/api/sync/hash")
        assert await hear(socket) == {"type": "head", "ledger_id": alice.ledger_id, **head}


async def test_the_feed_takes_no_token_from_an_address(api: Server, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token stood in the query string, and so in the logs of every proxy on the way."""
    monkeypatch.setattr(sockets, "AUTH_SECONDS", 0.05)
    async with connect(f"{address(api)}?token={alice.signed_in['access_token']}") as socket:
        assert await closed(socket) == sockets.UNAUTHORIZED
