"""POST /api/import/debitum: what it answers, what it stores, and that doing it twice adds nothing."""

import asyncio
import contextlib
import json
import os
import sqlite3
import uuid
import zipfile
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import app, places, services, transfer
from tests.fixtures.api import Client, Server, of_the_module, serve

pytestmark, database_url, api, alice, bob = of_the_module()

DATA = Path(__file__).parents[1] / "data"


async def _send(client: Client, content: Any, media_type: str = "application/zip", **parameters: Any) -> httpx.Response:
    headers = {"Content-Type": media_type}
    return await client.http.post("/api/import/debitum", content=content, headers=headers, params=parameters)


async def _refused(client: Client, content: Any, status: int, code: str, **options: Any) -> dict[str, Any]:
    """The problem, after looking that nothing was stored."""
    response = await _send(client, content, **options)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), response.text
    problem: dict[str, Any] = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert (await client.get("/api/balances"))["version"] == 0
    assert (await client.get("/api/contacts", include="deleted"))["items"] == []
    return problem


def _sample(name: str) -> tuple[bytes, dict[str, Any]]:
    return (DATA / f"debitum-{name}.zip").read_bytes(), json.loads((DATA / f"debitum-{name}.json").read_text())


def _changed(folder: Path, *statements: str) -> bytes:
    """The small sample after `statements`."""
    with zipfile.ZipFile(DATA / "debitum-small.zip") as sample:
        (folder / "debitum.db").write_bytes(sample.read("debitum.db"))
        preferences = sample.read("debitum-preferences.xml")
    with closing(sqlite3.connect(folder / "debitum.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    with zipfile.ZipFile(folder / "changed.zip", "w") as changed:
        changed.write(folder / "debitum.db", "debitum.db")
        changed.writestr("debitum-preferences.xml", preferences)
    return (folder / "changed.zip").read_bytes()


async def _balances(client: Client) -> dict[str, int]:
    names = {item["id"]: item["name"] for item in (await client.get("/api/contacts", limit=200))["items"]}
    held = (await client.get("/api/balances"))["items"]
    return dict.fromkeys(names.values(), 0) | {names[item["contact_id"]]: item["amount"] for item in held}


@pytest.mark.parametrize(("sample", "currency"), [("small", "EUR"), ("yen", "JPY")])
async def test_a_sample_shows_what_its_json_says(alice: Client, sample: str, currency: str) -> None:
    """An importer that took the app's "you owe" for "they owe" turned every balance around."""
    content, expected = _sample(sample)
    response = await _send(alice, content, currency=currency)
    version = expected["contacts"] + expected["transactions"]
    assert response.json() == {
        "contacts": expected["contacts"],
        "transactions": expected["transactions"],
        "items": expected["items"],
        "skipped": [{"what": "images", "count": expected["images"], "reason": "images are not kept"}],
        "version": version,
    }
    assert response.headers["X-Ledger-Version"] == str(version)
    assert await _balances(alice) == expected["balances"]
    assert {item["currency"] for item in (await alice.get("/api/balances"))["items"]} == {currency}
    items = (await alice.get("/api/transactions", type="item", limit=200))["items"]
    returned = [item for item in items if item["returned_at"]]
    assert (len(items), len(returned)) == (expected["items"], expected["items_returned"])


async def test_twice_adds_nothing_whatever_the_currency_and_the_edits_since(alice: Client) -> None:
    content, _ = _sample("small")
    first = (await _send(alice, content)).json()
    contact = (await alice.get("/api/contacts"))["items"][0]
    await alice.post(f"/api/contacts/{contact['id']}", {"name": "Renamed"})
    assert (await alice.http.delete(f"/api/contacts/{contact['id']}")).status_code == 204
    again = await _send(alice, content, currency="KWD")
    assert again.json() == first | {"version": first["version"] + 2}
    assert (await alice.get(f"/api/contacts/{contact['id']}"))["deleted_at"] is not None


async def test_a_later_backup_adds_what_is_new(alice: Client, tmp_path: Path) -> None:
    content, expected = _sample("small")
    await _send(alice, content)
    later = _changed(tmp_path, "insert into txn values (121, -100, 1, 'coffee', 1, 1760000000000, null, 0)")
    answer = (await _send(alice, later)).json()
    assert (answer["transactions"], answer["version"]) == (121, 12 + 121)
    assert (await _balances(alice))["Ana Lucía"] == expected["balances"]["Ana Lucía"] + 100


async def test_users_are_apart(alice: Client, bob: Client) -> None:
    content, expected = _sample("small")
    await _send(alice, content)
    assert (await bob.get("/api/balances"))["items"] == []
    assert (await _send(bob, content, currency="USD")).json()["version"] == 132
    assert await _balances(alice) == expected["balances"]


async def test_the_facts_are_ordinary_events(alice: Client) -> None:
    content, _ = _sample("small")
    await _send(alice, content)
    pulled = await alice.post("/api/sync/pull", {"since": 0, "limit": 1000})
    facts = pulled["events"]
    assert [fact["seq"] for fact in facts] == list(range(1, 133))
    assert {fact["event_type"] for fact in facts} == {"CREATED"}
    assert [fact["aggregate_type"] for fact in facts] == ["contact"] * 12 + ["transaction"] * 120
    assert {fact["device_id"] for fact in facts} == {alice.device_id}
    assert all(fact["timestamp"] == fact["recorded_at"] for fact in facts)


async def test_a_dry_run_says_the_same_and_stores_nothing(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAGE", 10)
    content, expected = _sample("small")
    dry = (await _send(alice, content, dry_run="true")).json()
    assert (dry["contacts"], dry["transactions"], dry["items"]) == (12, 120, expected["items"])
    assert (await alice.get("/api/balances"))["version"] == 0
    assert (await alice.get("/api/contacts"))["items"] == []
    wet = (await _send(alice, content)).json()
    assert wet == dry
    assert await _balances(alice) == expected["balances"]


async def test_what_has_no_time_happened_on_the_day_of_the_import(alice: Client, tmp_path: Path) -> None:
    content = _changed(tmp_path, "update txn set timestamp = null, description = 'undated' where id_transaction = 1")
    await _send(alice, content)
    contact_day = (await alice.get("/api/contacts"))["items"][0]["created_at"][:10]
    [undated] = (await alice.get("/api/transactions", search="undated"))["items"]
    assert undated["transaction_date"] == contact_day


async def test_amounts_of_0_are_counted_as_skipped(alice: Client, tmp_path: Path) -> None:
    content = _changed(tmp_path, "update txn set amount = 0 where id_transaction <= 3", "delete from image")
    answer = (await _send(alice, content)).json()
    assert answer["transactions"] == 117
    assert answer["skipped"] == [{"what": "transactions", "count": 3, "reason": "the amount is 0"}]


async def test_an_empty_backup(alice: Client, tmp_path: Path) -> None:
    content = _changed(tmp_path, "delete from txn", "delete from image", "delete from person")
    answer = (await _send(alice, content)).json()
    assert answer == {"contacts": 0, "transactions": 0, "items": 0, "skipped": [], "version": 0}


async def test_what_the_ledger_refuses_is_said(alice: Client, tmp_path: Path) -> None:
    """The backup by itself would fit; with what was added by hand since its first import the balance would not."""
    emptied = ["delete from txn", "delete from image"]
    await _send(alice, _changed(tmp_path, *emptied))
    contact_id = next(item["id"] for item in (await alice.get("/api/contacts"))["items"] if item["name"] == "Chidi")
    body = {"contact_id": contact_id, "direction": "lent", "amount": 2**53 - 1}
    most = await alice.post("/api/transactions", body, status=201)
    later = _changed(tmp_path, *emptied, "insert into txn values (1, -1, 3, 'c', 1, 0, null, 0), (2, -1, 4, 'd', 1, 0, null, 0)")
    for _ in range(2):
        answer = (await _send(alice, later)).json()
        [skipped] = answer["skipped"]
        assert (answer["contacts"], answer["transactions"], answer["version"]) == (12, 1, 14)
        assert (skipped["what"], skipped["count"]) == ("transactions", 1)
        assert "balance" in skipped["reason"]
    await alice.delete(f"/api/transactions/{most['id']}")
    answer = (await _send(alice, later)).json()
    assert (answer["transactions"], answer["skipped"]) == (2, []), "now it fits"
    assert (await alice.get("/api/sync/rejections"))["items"] == []


# --- refusals -------------------------------------------------------------------------------------------------------


async def test_digits_are_never_lost(alice: Client) -> None:
    problem = await _refused(alice, _sample("small")[0], 422, "currency_precision", currency="JPY")
    assert problem["errors"][0]["pointer"].startswith("/txn/")


async def test_no_backup(alice: Client, tmp_path: Path) -> None:
    assert (await _refused(alice, b"no zip", 400, "invalid_backup"))["detail"] == "the file is no zip archive"
    await _refused(alice, b"", 400, "invalid_backup")
    await _refused(alice, _changed(tmp_path, "pragma user_version = 9"), 400, "invalid_backup")
    problem = await _refused(
        alice, _changed(tmp_path, "update txn set amount = 'x' where id_transaction = 9"), 400, "invalid_backup"
    )
    assert [error["pointer"] for error in problem["errors"]] == ["/txn/9/amount"]


@pytest.mark.parametrize("parameters", [{"currency": "XXX"}, {"currency": "eur"}, {"dry_run": "maybe"}, {"colour": "red"}])
async def test_wrong_parameters(alice: Client, parameters: dict[str, str]) -> None:
    problem = await _refused(alice, _sample("small")[0], 400, "invalid", **parameters)
    assert [error["pointer"] for error in problem["errors"]] == [f"/{name}" for name in parameters]


async def test_another_type_of_body(alice: Client) -> None:
    await _refused(alice, _sample("small")[0], 415, "unsupported_media_type", media_type="application/json")


async def test_a_body_beyond_the_limit(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MAX_IMPORT_BYTES", 4_000)
    content, _ = _sample("small")
    assert len(content) > 4_000
    await _refused(alice, content, 413, "too_large")

    async def in_chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1_000):
            yield content[start : start + 1_000]

    await _refused(alice, in_chunks(), 413, "too_large")


async def test_a_body_beyond_the_limit_of_others_is_fine(alice: Client, tmp_path: Path) -> None:
    content = _changed(tmp_path)
    with zipfile.ZipFile(tmp_path / "changed.zip", "a") as archive:
        archive.writestr("image-9.jpg", b"\xff" * 2_000_000)
    larger = (tmp_path / "changed.zip").read_bytes()
    assert len(larger) > len(content) + 1_000_000
    assert (await _send(alice, larger)).json()["contacts"] == 12


async def test_an_upload_may_take_longer_than_other_requests(api: Server, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    content, _ = _sample("small")

    async def slowly() -> AsyncIterator[bytes]:
        yield content[:1_000]
        await asyncio.sleep(1)
        yield content[1_000:]

    monkeypatch.setattr(app, "LATE_SECONDS", 0.1)
    async with serve(replace(api.settings, request_seconds=0.4)) as hurried:
        assert (await _send(hurried.client(alice.signed_in), slowly())).status_code == 200


@pytest.mark.parametrize("path", ["/api/import/debitum", "/api/import/json"])
async def test_so_many_uploads_at_a_time_and_of_a_user(
    api: Server, alice: Client, bob: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The disk of a server was full of what one user had sent, each file for as long as they liked to send it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(places, "WAIT_SECONDS", 0.05)
    media_type = "application/zip" if path.endswith("debitum") else "application/json"
    enough = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"no zip, and no"
        await enough.wait()
        yield b" JSON"

    async def send(client: Client, content: Any) -> httpx.Response:
        return await client.http.post(path, content=content, headers={"Content-Type": media_type})

    async def lie_there(number: int) -> None:
        async with asyncio.timeout(10):
            while len(os.listdir(tmp_path)) < number:  # noqa: ASYNC110 (a folder tells nobody)
                await asyncio.sleep(0.01)

    async def busy(client: Client) -> None:
        answer = await send(client, b"x")
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")

    async with asyncio.TaskGroup() as sending:
        hers = [sending.create_task(send(alice, slowly())) for _ in range(services.UPLOADS_OF_USER)]
        await lie_there(services.UPLOADS_OF_USER)
        await busy(alice)
        assert (await send(bob, b"x")).status_code == 400
        async with contextlib.AsyncExitStack() as others:
            for _ in range(services.MAX_UPLOADS - services.UPLOADS_OF_USER):
                await others.enter_async_context(api.app.ctx.services.uploads.hold(uuid.uuid4()))
            await busy(bob)
        enough.set()
    assert {task.result().status_code for task in hers} == {400}
    assert (await send(alice, b"x")).status_code == 400
    assert os.listdir(tmp_path) == []


async def test_signed_out(alice: Client) -> None:
    alice.http.headers.pop("Authorization")
    assert (await _send(alice, _sample("small")[0])).status_code == 401


async def test_nothing_is_left_in_the_temporary_folder(alice: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    await _send(alice, _sample("small")[0])
    await _send(alice, b"no zip")
    assert list(folder.iterdir()) == []
