"""Transactions and balances over HTTP."""

import asyncio
import uuid
from typing import Any

from tests.fixtures.api import Client, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()


async def person(client: Client, name: str = "Ana") -> str:
    return str((await client.post("/api/contacts", {"name": name}, status=201))["id"])


async def lend(client: Client, contact_id: str, amount: int, **members: Any) -> dict[str, Any]:
    body = {"contact_id": contact_id, "direction": "lent", "amount": amount, **members}
    created: dict[str, Any] = await client.post("/api/transactions", body, status=201)
    return created


async def test_defaults_are_filled_in(alice: Client) -> None:
    ana = await person(alice)
    created = await lend(alice, ana, 1250)
    expected = {"type": "money", "currency": "EUR", "open_amount": 1250, "item": None, "due_date": None, "version": 2}
    assert expected.items() <= created.items()
    thing = await alice.post(
        "/api/transactions", {"contact_id": ana, "direction": "owed", "type": "item", "item": "tent"}, status=201
    )
    assert {"amount": 1, "currency": None, "open_amount": 1}.items() <= thing.items()
    contact = await alice.get(f"/api/contacts/{ana}")
    assert contact["balances"] == [{"currency": "EUR", "amount": 1250}]
    assert contact["open_items"] == 1


async def test_balances_follow_every_edit_and_currencies_are_never_added(alice: Client) -> None:
    ana, bo = await person(alice), await person(alice, "Bo")
    first = await lend(alice, ana, 1000)
    await lend(alice, ana, 300, direction="owed")
    await lend(alice, bo, 500, currency="JPY", direction="owed")
    balances = await alice.get("/api/balances")
    assert balances["items"] == sorted(
        [{"contact_id": ana, "currency": "EUR", "amount": 700}, {"contact_id": bo, "currency": "JPY", "amount": -500}],
        key=lambda item: str(item["contact_id"]),
    )
    assert balances["totals"] == [
        {"currency": "EUR", "owed_to_you": 700, "you_owe": 0, "net": 700},
        {"currency": "JPY", "owed_to_you": 0, "you_owe": 500, "net": -500},
    ]
    assert (balances["version"], balances["materialized_version"]) == (5, 0)
    await alice.post(f"/api/transactions/{first['id']}", {"amount": 100, "contact_id": bo})
    totals = {
        item["contact_id"]: item["amount"] for item in (await alice.get("/api/balances"))["items"] if item["currency"] == "EUR"
    }
    assert totals == {ana: -300, bo: 100}
    assert (await alice.http.delete(f"/api/transactions/{first['id']}")).status_code == 204
    totals = {
        item["contact_id"]: item["amount"] for item in (await alice.get("/api/balances"))["items"] if item["currency"] == "EUR"
    }
    assert totals == {ana: -300}
    await alice.post(f"/api/transactions/{first['id']}/restore")
    assert (await alice.get(f"/api/contacts/{bo}"))["balances"][0] == {"currency": "EUR", "amount": 100}


async def test_what_is_open_follows_repayments(alice: Client) -> None:
    ana = await person(alice)
    old = await lend(alice, ana, 1000, transaction_date="2026-01-01", due_date="2026-02-01")
    new = await lend(alice, ana, 500, transaction_date="2026-03-01")
    await lend(alice, ana, 300, direction="owed", transaction_date="2026-04-01", repays=new["id"])
    await lend(alice, ana, 100, direction="owed", transaction_date="2026-04-02")
    listed = (await alice.get("/api/transactions", open="true"))["items"]
    assert {item["id"]: item["open_amount"] for item in listed} == {old["id"]: 900, new["id"]: 200}
    overdue = (await alice.get("/api/transactions", overdue="true"))["items"]
    assert [item["id"] for item in overdue] == [old["id"]]
    everything = {item["id"] for item in (await alice.get("/api/transactions"))["items"]}
    for of in ({}, {"contact_id": ana}):
        others = (await alice.get("/api/transactions", overdue="false", **of))["items"]
        assert {item["id"] for item in others} == everything - {old["id"]}
    assert (await alice.get("/api/transactions", overdue="true", open="false"))["items"] == []
    chained = await alice.post(
        "/api/transactions",
        {"contact_id": ana, "direction": "lent", "amount": 1, "repays": (await alice.get("/api/transactions"))["items"][0]["id"]},
        status=201,
    )
    mismatch = await alice.post(f"/api/transactions/{old['id']}", {"repays": chained["id"]}, status=409)
    assert mismatch["code"] == "repays_mismatch"


async def test_what_is_open_and_what_is_not_are_all_that_there_is(alice: Client) -> None:
    """Whatever the page: of two people and of nobody's, with things, repayments that name a debt or none, and what is deleted."""
    everybody = [await person(alice), await person(alice, "Bo")]
    for contact_id in everybody:
        debts = [await lend(alice, contact_id, 100 * day, transaction_date=f"2026-01-0{day}") for day in range(1, 6)]
        await lend(alice, contact_id, 350, direction="owed", transaction_date="2026-01-07")
        await lend(alice, contact_id, 500, direction="owed", transaction_date="2026-01-08", repays=debts[4]["id"])
        members = {"contact_id": contact_id, "type": "item", "direction": "lent", "item": "tent"}
        things = [await alice.post("/api/transactions", members, status=201) for _ in range(2)]
        await alice.post(f"/api/transactions/{things[0]['id']}/return")
        await alice.delete(f"/api/transactions/{(await lend(alice, contact_id, 1))['id']}")

    async def listed(**query: Any) -> dict[str, int]:
        found: dict[str, int] = {}
        cursor: dict[str, str] = {}
        while True:
            page = await alice.get("/api/transactions", limit=3, **query, **cursor)
            found |= {item["id"]: item["open_amount"] for item in page["items"]}
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}

    for of in ({}, *({"contact_id": contact_id} for contact_id in everybody), {"contact_id": str(uuid.uuid4())}):
        everything = await listed(include="deleted", **of)
        assert everything == {one: (await alice.get(f"/api/transactions/{one}"))["open_amount"] for one in everything}
        assert await listed(open="true", **of) == {one: amount for one, amount in everything.items() if amount}
        assert await listed(open="false", include="deleted", **of) == {one: 0 for one, amount in everything.items() if not amount}
    assert len(await listed(open="true")) == 2 * 3


async def test_lists_are_paged_and_filtered(alice: Client) -> None:
    ana, bo = await person(alice), await person(alice, "Bo")
    for day in range(1, 8):
        await lend(alice, ana if day % 2 else bo, day, transaction_date=f"2026-01-0{day}", description=f"lunch {day}")
    seen: list[int] = []
    cursor: dict[str, Any] = {}
    while True:
        page = await alice.get("/api/transactions", limit=3, **cursor)
        seen += [item["amount"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == [7, 6, 5, 4, 3, 2, 1]

    async def amounts(**query: Any) -> list[int]:
        return [item["amount"] for item in (await alice.get("/api/transactions", **query))["items"]]

    assert await amounts(contact_id=bo) == [6, 4, 2]
    assert await amounts(**{"from": "2026-01-03", "to": "2026-01-04"}) == [4, 3]
    assert await amounts(search="LUNCH 5") == [5]
    assert await amounts(search="%") == []
    assert await amounts(direction="owed") == await amounts(type="item") == await amounts(currency="JPY") == []
    assert await amounts(sort="recent", limit=2) == [7, 6]
    assert await amounts(changed_since=8) == [7]
    assert await amounts(contact_id=str(uuid.uuid4())) == []
    names = [item["name"] for item in (await alice.get("/api/contacts", sort="balance", currency="EUR"))["items"]]
    assert names == ["Ana", "Bo"]
    assert (await alice.get("/api/contacts", balance="zero"))["items"] == []
    assert len((await alice.get("/api/contacts", balance="nonzero"))["items"]) == 2
    first = await alice.get("/api/contacts", limit=1)
    second = await alice.get("/api/contacts", limit=1, cursor=first["next_cursor"])
    assert [first["items"][0]["name"], second["items"][0]["name"], second["next_cursor"]] == ["Ana", "Bo", None]


async def test_deleting_a_contact_takes_its_debts_along_and_restoring_brings_them_back(alice: Client) -> None:
    ana = await person(alice)
    debt = await lend(alice, ana, 100)
    body = {"transaction_id": debt["id"], "remind_at": "2030-01-01T09:00:00Z"}
    note = await alice.post("/api/reminders", body, status=201)
    assert (await alice.http.delete(f"/api/contacts/{ana}")).status_code == 204
    assert (await alice.get("/api/balances"))["items"] == []
    assert (await alice.get("/api/transactions"))["items"] == (await alice.get("/api/reminders"))["items"] == []
    refused = await alice.http.patch(f"/api/transactions/{debt['id']}", json={"amount": 5})
    assert (refused.status_code, refused.json()["code"]) == (409, "edit_of_deleted")
    assert refused.json()["conflict"]["conflict"]["offered"] == {"amount": 5}
    missing = await alice.post(f"/api/transactions/{debt['id']}", {"repays": str(uuid.uuid4())}, status=409)
    assert (missing["code"], missing["errors"][0]["pointer"]) == ("unknown_aggregate", "/repays")
    await alice.post(f"/api/contacts/{ana}/restore")
    assert (await alice.get(f"/api/transactions/{debt['id']}"))["deleted_at"] is None
    assert (await alice.get(f"/api/reminders/{note['id']}"))["deleted_at"] is None
    assert (await alice.get("/api/balances"))["items"][0]["amount"] == 100


async def test_a_debt_of_a_deleted_contact_brings_the_contact_back_alone(alice: Client) -> None:
    ana = await person(alice)
    old = await lend(alice, ana, 100)
    await alice.http.delete(f"/api/contacts/{ana}")
    await lend(alice, ana, 7)
    assert (await alice.get(f"/api/contacts/{ana}"))["deleted_at"] is None
    assert (await alice.get(f"/api/transactions/{old['id']}"))["deleted_at"] is not None
    assert (await alice.get("/api/balances"))["items"][0]["amount"] == 7


async def test_members_that_do_not_fit_are_pointed_at(alice: Client) -> None:
    ana = await person(alice)
    for body, pointer in (
        ({"direction": "lent", "amount": 1}, "/contact_id"),
        ({"contact_id": ana, "direction": "given", "amount": 1}, "/direction"),
        ({"contact_id": ana, "direction": "lent"}, "/amount"),
        ({"contact_id": ana, "direction": "lent", "amount": 0}, "/amount"),
        ({"contact_id": ana, "direction": "lent", "amount": 1.5}, "/amount"),
        ({"contact_id": ana, "direction": "lent", "amount": 2**53}, "/amount"),
        ({"contact_id": ana, "direction": "lent", "amount": 1, "currency": "ABC"}, "/currency"),
        ({"contact_id": ana, "direction": "lent", "amount": 1, "item": "tent"}, "/item"),
        ({"contact_id": ana, "direction": "lent", "amount": 1, "due_date": "2026-13-01"}, "/due_date"),
        ({"contact_id": ana, "direction": "lent", "type": "item"}, "/item"),
        ({"contact_id": ana, "direction": "lent", "type": "item", "item": "tent", "currency": "EUR"}, "/currency"),
        ({"contact_id": ana, "direction": "lent", "amount": 1, "returned_at": "2026-01-01T00:00:00Z"}, "/returned_at"),
        ({"contact_id": ana, "direction": "lent", "amount": 1, "colour": "red"}, "/colour"),
    ):
        problem = await alice.post("/api/transactions", body, status=400)
        assert [error["pointer"] for error in problem["errors"]] == [pointer], problem
    elsewhere = await alice.post(
        "/api/transactions", {"contact_id": str(uuid.uuid4()), "direction": "lent", "amount": 1}, status=409
    )
    assert elsewhere["code"] == "unknown_contact"
    unknown = {"contact_id": ana, "direction": "lent", "amount": 1, "repays": str(uuid.uuid4())}
    assert (await alice.post("/api/transactions", unknown, status=409))["code"] == "unknown_aggregate"


async def test_an_idempotency_key_makes_a_retry_harmless(alice: Client) -> None:
    ana, key = await person(alice), str(uuid.uuid4())
    body = {"contact_id": ana, "direction": "lent", "amount": 5}
    first = await alice.http.post("/api/transactions", json=body, headers={"Idempotency-Key": key})
    second = await alice.http.post("/api/transactions", json=body, headers={"Idempotency-Key": key})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    other = await alice.post("/api/transactions", body | {"amount": 6}, status=422, headers={"Idempotency-Key": key})
    assert other["code"] == "id_reused"
    assert len((await alice.get("/api/transactions"))["items"]) == 1
    gone = str(uuid.uuid4())
    path = f"/api/transactions/{first.json()['id']}"
    for replayed in (None, "true"):
        deleted = await alice.http.delete(path, headers={"Idempotency-Key": gone})
        assert (deleted.status_code, deleted.headers.get("Idempotency-Replayed")) == (204, replayed)


async def test_a_stale_version_is_refused_and_told_the_current_one(alice: Client) -> None:
    ana = await person(alice)
    await alice.post(f"/api/contacts/{ana}", {"notes": "x"}, headers={"If-Match": '"1"'})
    response = await alice.http.post(f"/api/contacts/{ana}", json={"notes": "y"}, headers={"If-Match": "*"})
    assert response.status_code == 200
    await alice.post(f"/api/contacts/{ana}", {"notes": "x"}, headers={"If-Match": response.headers["ETag"].strip('"')})
    stale = await alice.post(f"/api/contacts/{ana}", {"notes": "y"}, status=412, headers={"If-Match": '"1"'})
    assert (stale["code"], stale["current"]) == ("stale", 4)
    assert (await alice.get(f"/api/contacts/{ana}"))["notes"] == "x"


async def test_what_is_another_users_does_not_exist(alice: Client, bob: Client) -> None:
    ana = await person(alice)
    debt = await lend(alice, ana, 100)
    for path in (f"/api/contacts/{ana}", f"/api/transactions/{debt['id']}"):
        assert (await bob.http.get(path)).status_code == 404
        assert (await bob.http.patch(path, json={})).status_code == 404
        assert (await bob.http.delete(path)).status_code == 404
    theft = {"contact_id": ana, "direction": "lent", "amount": 1}
    assert (await bob.post("/api/transactions", theft, status=409))["code"] == "unknown_contact"
    assert (await bob.get("/api/transactions", contact_id=ana))["items"] == []
    assert (await bob.get("/api/balances"))["items"] == []


async def test_a_thing_is_returned_once_and_keeps_its_time(alice: Client) -> None:
    ana = await person(alice)
    body = {"contact_id": ana, "direction": "lent", "type": "item", "item": "tent"}
    tent = await alice.post("/api/transactions", body, status=201)
    returned = await alice.post(f"/api/transactions/{tent['id']}/return")
    assert (returned["open_amount"], returned["returned_at"] is None) == (0, False)
    again = await alice.post(f"/api/transactions/{tent['id']}/return", {})
    assert (again["returned_at"], again["version"]) == (returned["returned_at"], returned["version"])
    at = "2026-11-20T10:00:00.000000Z"
    assert (await alice.post(f"/api/transactions/{tent['id']}/return", {"returned_at": at}))["returned_at"] == at
    money = await lend(alice, ana, 5)
    refused = await alice.post(f"/api/transactions/{money['id']}/return", status=400)
    assert refused["errors"][0]["pointer"] == "/returned_at"
    await alice.post(f"/api/transactions/{uuid.uuid4()}/return", status=404)


async def test_a_repayment_pays_what_is_open_unless_said_otherwise(alice: Client) -> None:
    ana = await person(alice)
    debt = await lend(alice, ana, 1000, currency="JPY")
    response = await alice.http.post(
        f"/api/transactions/{debt['id']}/repay", json={"amount": 300, "transaction_date": "2026-11-01"}
    )
    part = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/transactions/{part['id']}"
    expected = {"direction": "owed", "amount": 300, "currency": "JPY", "repays": debt["id"], "transaction_date": "2026-11-01"}
    assert expected.items() <= part.items()
    new_id = str(uuid.uuid4())
    rest = await alice.post(f"/api/transactions/{debt['id']}/repay", {"id": new_id}, status=201)
    assert (rest["id"], rest["amount"]) == (new_id, 700)
    over = await alice.post(f"/api/transactions/{debt['id']}/repay", status=409)
    assert (over["code"], over["detail"]) == ("repays_mismatch", "nothing of this debt is open")
    await alice.post(f"/api/transactions/{debt['id']}/repay", {"amount": 1}, status=201)  # more than is open is allowed
    assert (await alice.post(f"/api/transactions/{part['id']}/repay", {"amount": 1}, status=409))["code"] == "repays_mismatch"
    await alice.http.delete(f"/api/transactions/{debt['id']}")
    assert (await alice.post(f"/api/transactions/{debt['id']}/repay", {"amount": 1}, status=409))["code"] == "repays_mismatch"
    tent = await alice.post(
        "/api/transactions", {"contact_id": ana, "direction": "lent", "type": "item", "item": "tent"}, status=201
    )
    assert (await alice.post(f"/api/transactions/{tent['id']}/repay", status=409))["code"] == "repays_mismatch"
    assert (await alice.post(f"/api/transactions/{uuid.uuid4()}/repay", status=404))["code"] == "not_found"


async def test_two_who_repay_at_once_do_not_pay_twice(alice: Client) -> None:
    ana = await person(alice)
    debt = await lend(alice, ana, 1000)
    answers = await asyncio.gather(*(alice.http.post(f"/api/transactions/{debt['id']}/repay") for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    assert (await alice.get(f"/api/transactions/{debt['id']}"))["open_amount"] == 0
    assert (await alice.get("/api/balances"))["items"] == []


async def test_a_retried_repayment_is_the_same_repayment(alice: Client) -> None:
    ana = await person(alice)
    debt = await lend(alice, ana, 1000)
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    path = f"/api/transactions/{debt['id']}/repay"
    first = await alice.http.post(path, headers=headers)
    again = await alice.http.post(path, headers=headers)
    assert (first.status_code, again.status_code, again.headers["Idempotency-Replayed"]) == (201, 200, "true")
    assert again.json() == first.json()
    assert (await alice.post(path, {"amount": 7}, headers=headers, status=422))["code"] == "id_reused"
    other = await lend(alice, ana, 50)
    stale = await alice.post(f"/api/transactions/{other['id']}/repay", headers={"If-Match": '"1"'}, status=412)
    assert stale["current"] == other["version"]
    await alice.post(f"/api/transactions/{other['id']}/repay", headers={"If-Match": f'"{other["version"]}"'}, status=201)


async def test_a_repayment_that_was_refused_is_refused_again_by_its_key(alice: Client) -> None:
    """It was forgotten: the same key took another body, and the same one once something was open again."""
    ana, headers = await person(alice), {"Idempotency-Key": str(uuid.uuid4())}
    debt = await lend(alice, ana, 1000)
    path = f"/api/transactions/{debt['id']}/repay"
    paid = await alice.post(path, status=201)

    async def refused() -> list[Any]:
        answer = await alice.post(path, headers=headers, status=409)
        return [answer["code"], answer["detail"]]

    assert await refused() == ["repays_mismatch", "nothing of this debt is open"]
    assert (await alice.post(path, status=409))["code"] == "repays_mismatch"
    [kept] = (await alice.get("/api/sync/rejections"))["items"]
    assert (kept["id"], kept["code"]) == (headers["Idempotency-Key"], "repays_mismatch")
    members = {"contact_id": ana, "direction": "owed", "amount": 1000, "currency": "EUR", "repays": debt["id"]}
    assert (kept["command"]["event_type"], kept["command"]["event_data"]) == ("CREATED", members)
    assert (await alice.post(path, {"amount": 7}, headers=headers, status=422))["code"] == "id_reused"
    await alice.delete(f"/api/transactions/{paid['id']}")
    assert await refused() == ["repays_mismatch", "nothing of this debt is open"]
    assert (await alice.post(path, {"amount": 7}, headers=headers, status=422))["code"] == "id_reused"
    await alice.delete(f"/api/transactions/{debt['id']}")
    assert await refused() == ["repays_mismatch", "nothing of this debt is open"]


async def test_a_repayment_of_another_version_may_come_again_by_its_key(alice: Client) -> None:
    debt = await lend(alice, await person(alice), 1000)
    path, key = f"/api/transactions/{debt['id']}/repay", str(uuid.uuid4())
    stale = await alice.post(path, headers={"Idempotency-Key": key, "If-Match": '"1"'}, status=412)
    assert (stale["code"], stale["current"]) == ("stale", debt["version"])
    assert (await alice.get("/api/sync/rejections"))["items"] == []
    await alice.post(path, headers={"Idempotency-Key": key, "If-Match": f'"{debt["version"]}"'}, status=201)


async def test_retries_that_meet_are_one_repayment(alice: Client) -> None:
    """That nothing is open, because one of them has paid it, is no refusal of the others."""
    debt, headers = await lend(alice, await person(alice), 1000), {"Idempotency-Key": str(uuid.uuid4())}
    path = f"/api/transactions/{debt['id']}/repay"
    answers = await asyncio.gather(*(alice.http.post(path, headers=headers) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [*[200] * 7, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (await alice.get("/api/sync/rejections"))["items"] == []
