"""What all REST writes share: versions, retries, conditions; the same for contacts, transactions and reminders."""

import uuid
from typing import Any

import pytest

from tests.fixtures.api import Client, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()

NEW: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "contacts": ({"name": "Ana"}, {"notes": "x"}),
    "transactions": ({"direction": "lent", "amount": 5}, {"description": "x"}),
    "reminders": ({"remind_at": "2026-12-01T09:00:00Z"}, {"message": "x"}),
}


async def made(client: Client, kind: str) -> dict[str, Any]:
    """A new resource of a kind."""
    body = dict(NEW[kind][0])
    if kind == "transactions":
        body["contact_id"] = (await client.post("/api/contacts", {"name": "Ana"}, status=201))["id"]
    created: dict[str, Any] = await client.post(f"/api/{kind}", body, status=201)
    return created


@pytest.mark.parametrize("kind", NEW)
async def test_every_write_says_the_version_of_resource_and_ledger(alice: Client, kind: str) -> None:
    one = await made(alice, kind)
    path, version = f"/api/{kind}/{one['id']}", one["version"]
    writes: list[tuple[str, str, Any, int]] = [
        ("POST", path, NEW[kind][1], 200),
        ("PATCH", path, {next(iter(NEW[kind][1])): None}, 200),
        ("DELETE", path, None, 204),
        ("POST", f"{path}/restore", None, 200),
    ]
    for method, where, body, status in writes:
        answer = (
            await alice.http.request(method, where, json=body) if body is not None else await alice.http.request(method, where)
        )
        assert answer.status_code == status, answer.text
        version += 1
        assert answer.headers["ETag"] == f'"{version}"'
        assert answer.headers["X-Ledger-Version"] == str(version)
        assert bool(answer.content) == (status != 204)
    read = await alice.http.get(path, headers={"If-None-Match": f'"{version}"'})
    assert (read.status_code, read.headers["ETag"]) == (200, f'"{version}"'), "a GET never answers 304"


@pytest.mark.parametrize("kind", NEW)
async def test_if_match_is_compared_with_the_resources_version(alice: Client, kind: str) -> None:
    one = await made(alice, kind)
    path, patch = f"/api/{kind}/{one['id']}", NEW[kind][1]
    await alice.post("/api/contacts", {"name": "someone else"}, status=201)
    changed = await alice.post(path, patch, headers={"If-Match": f'"{one["version"]}"'})
    stale = await alice.post(path, patch, headers={"If-Match": f'"{one["version"]}"'}, status=412)
    assert (stale["code"], stale["current"]) == ("stale", changed["version"])
    for where in (path, f"{path}/restore"):
        answer = await alice.http.request("DELETE" if where == path else "POST", where, headers={"If-Match": '"1"'})
        assert answer.status_code == 412
    weak = await alice.post(path, patch, headers={"If-Match": f'W/"{changed["version"]}"'}, status=412)
    assert weak["current"] == changed["version"], "what may have been changed on its way is no proof of what was read"
    assert (await alice.http.delete(path, headers={"If-Match": "*"})).status_code == 204
    assert (await alice.http.post(path, json=patch, headers={"If-Match": "W/x"})).status_code == 400


@pytest.mark.parametrize("kind", NEW)
async def test_a_retry_by_its_key_is_answered_with_what_is_now(alice: Client, kind: str) -> None:
    one = await made(alice, kind)
    path, patch = f"/api/{kind}/{one['id']}", NEW[kind][1]
    keys = [{"Idempotency-Key": str(uuid.uuid4())} for _ in range(3)]
    first = await alice.http.post(path, json=patch, headers=keys[0])
    later = await alice.post(path, {next(iter(patch)): "something later"})
    again = await alice.http.post(path, json=patch, headers=keys[0])
    assert "Idempotency-Replayed" not in first.headers
    assert (again.status_code, again.headers["Idempotency-Replayed"], again.json()) == (200, "true", later)
    assert (await alice.post(path, {next(iter(patch)): "other"}, headers=keys[0], status=422))["code"] == "id_reused"
    other = await made(alice, kind)
    assert (await alice.post(f"/api/{kind}/{other['id']}", patch, headers=keys[0], status=422))["code"] == "id_reused"
    for _ in range(2):
        gone = await alice.http.delete(path, headers=keys[1])
        assert gone.status_code == 204
    assert gone.headers["Idempotency-Replayed"] == "true"
    back = [await alice.http.post(f"{path}/restore", headers=keys[2]) for _ in range(2)]
    assert [answer.status_code for answer in back] == [200, 200]
    assert (await alice.http.post(path, json=patch, headers={"Idempotency-Key": "once"})).status_code == 400


@pytest.mark.parametrize("kind", NEW)
async def test_a_refusal_is_remembered_by_its_key_and_forgotten_without(alice: Client, kind: str) -> None:
    one = await made(alice, kind)
    body = NEW[kind][0] | {"id": one["id"]} | ({"contact_id": one["contact_id"]} if kind == "transactions" else {})
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    for _ in range(2):
        assert (await alice.post(f"/api/{kind}", body, headers=headers, status=409))["code"] == "already_exists"
    await alice.post(f"/api/{kind}", body, status=409)
    assert [item["id"] for item in (await alice.get("/api/sync/rejections"))["items"]] == [headers["Idempotency-Key"]]


@pytest.mark.parametrize(
    ("bad", "pointer"), [({"name": ""}, "/name"), ({"name": "Ana", "colour": 1}, "/colour"), ({"name": "Ana\x00"}, "/name")]
)
async def test_a_body_that_does_not_fit_is_remembered_by_its_key(alice: Client, bad: dict[str, Any], pointer: str) -> None:
    """As a push remembers it: what is corrected takes a new key."""
    headers, path = {"Idempotency-Key": str(uuid.uuid4())}, "/api/contacts"
    for _ in range(2):
        problem = await alice.post(path, bad, headers=headers, status=400)
        assert (problem["code"], [error["pointer"] for error in problem["errors"]]) == ("invalid", [pointer])
    [kept] = (await alice.get("/api/sync/rejections"))["items"]
    assert (kept["id"], kept["code"], kept["command"]) == (headers["Idempotency-Key"], "invalid", bad)
    assert (await alice.post(path, {"name": "Ana"}, headers=headers, status=422))["code"] == "id_reused"
    await alice.post(path, {"name": "Ana"}, headers={"Idempotency-Key": str(uuid.uuid4())}, status=201)
    await alice.post(path, bad, status=400)
    assert len((await alice.get("/api/sync/rejections"))["items"]) == 1


async def test_a_body_that_does_not_fit_is_another_than_the_one_that_did(alice: Client) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    await alice.post("/api/contacts", {"name": "Ana"}, headers=headers, status=201)
    assert (await alice.post("/api/contacts", {"name": ""}, headers=headers, status=422))["code"] == "id_reused"
    assert (await alice.http.post("/api/contacts", content=b"{", headers=headers)).status_code == 415
    broken = {**headers, "Content-Type": "application/json"}
    assert (await alice.http.post("/api/contacts", content=b"{", headers=broken)).status_code == 400


@pytest.mark.parametrize("kind", NEW)
async def test_what_is_deleted_is_read_by_its_id_and_listed_nowhere_else(alice: Client, bob: Client, kind: str) -> None:
    one = await made(alice, kind)
    path = f"/api/{kind}/{one['id']}"
    assert (await alice.http.delete(path)).status_code == 204
    assert (await alice.get(path))["deleted_at"] is not None
    assert one["id"] not in {item["id"] for item in (await alice.get(f"/api/{kind}"))["items"]}
    late = await alice.http.post(path, json=NEW[kind][1])
    assert (late.status_code, late.json()["code"]) == (409, "edit_of_deleted")
    assert late.json()["conflict"]["conflict"]["offered"] == NEW[kind][1]
    assert late.headers["X-Ledger-Version"] == str(late.json()["conflict"]["seq"])
    for method in ("GET", "POST", "PATCH", "DELETE"):
        answer = await bob.http.request(method, path, json=NEW[kind][1] if method in ("POST", "PATCH") else None)
        assert answer.status_code == 404, answer.text
    assert (await bob.http.post(f"{path}/restore")).status_code == 404


@pytest.mark.parametrize("kind", ["contacts", "transactions"])
async def test_what_changed_since_a_version_is_listed_with_what_was_deleted(alice: Client, kind: str) -> None:
    old, gone = await made(alice, kind), await made(alice, kind)
    since = (await alice.get("/api/sync/hash"))["version"]
    new = await made(alice, kind)
    await alice.http.delete(f"/api/{kind}/{gone['id']}")
    found = (await alice.get(f"/api/{kind}", changed_since=since))["items"]
    assert {old["id"], gone["id"]}.isdisjoint({item["id"] for item in found})
    everything = (await alice.get(f"/api/{kind}", changed_since=since, include="deleted"))["items"]
    assert {new["id"], gone["id"]} <= {item["id"] for item in everything}
    assert old["id"] not in {item["id"] for item in everything}


async def test_contacts_are_chosen_and_sorted_by_their_balances(alice: Client) -> None:
    ids = {name: (await alice.post("/api/contacts", {"name": name}, status=201))["id"] for name in ("Ana", "Bo", "Cy", "Di")}
    for name, amount, direction in (("Ana", 5, "lent"), ("Bo", 9, "lent"), ("Cy", 7, "owed")):
        body = {"contact_id": ids[name], "direction": direction, "amount": amount, "currency": "EUR"}
        await alice.post("/api/transactions", body, status=201)

    async def names(**query: Any) -> list[str]:
        return [item["name"] for item in (await alice.get("/api/contacts", **query))["items"]]

    assert await names(balance="nonzero") == ["Ana", "Bo", "Cy"]
    assert await names(balance="zero") == ["Di"]
    assert await names(sort="balance", currency="EUR") == ["Bo", "Ana", "Di", "Cy"]
    assert await names(sort="recent") == ["Di", "Cy", "Bo", "Ana"]
    assert (await alice.http.get("/api/contacts", params={"sort": "balance"})).status_code == 400


async def test_a_fact_holds_the_members_as_sent(alice: Client) -> None:
    ana = (await alice.post("/api/contacts", {"name": "Ana"}, status=201))["id"].upper()
    sent = {"contact_id": ana, "remind_at": "2027-02-01t10:00:00.5+01:00", "time_zone": "Europe/Madrid"}
    made = await alice.post("/api/reminders", sent, status=201)
    await alice.post(f"/api/reminders/{made['id']}", {"snoozed_until": "2027-02-02T10:00:00.5z"})
    facts = (await alice.post("/api/sync/pull", {"since": 1}))["events"]
    assert [fact["event_data"] for fact in facts] == [sent, {"snoozed_until": "2027-02-02T10:00:00.5z"}]


async def test_a_body_where_none_is_read_is_not_passed_over(alice: Client) -> None:
    path = f"/api/contacts/{(await alice.post('/api/contacts', {'name': 'Ana'}, status=201))['id']}"
    for method, where in (("DELETE", path), ("POST", f"{path}/restore"), ("POST", "/api/me/keep"), ("POST", "/api/auth/logout")):
        refused = await alice.http.request(method, where, json={"x": 1})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/x")
        assert (await alice.http.request(method, where, content=b"garbage")).status_code == 400
    assert (await alice.get(path))["deleted_at"] is None
    await alice.post(f"{path}/restore", {})
