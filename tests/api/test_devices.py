"""A user's devices, and where pushes to them go."""

import asyncio
import uuid
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.api.test_deadline import waiting
from tests.debitum.test_children import until
from tests.fixtures.api import Client, Server

TARGET = {"kind": "token", "value": "dQw4w9WgXcQ:APA91b"}


def targets(database: Engine) -> int:
    """How many push targets the database knows."""
    with database.begin() as connection:
        return int(connection.execute(text("select count(push_value) from debitum.devices")).scalar_one())


async def devices(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get("/api/devices"))["items"]
    return found


async def put(client: Client, device_id: str | uuid.UUID, body: dict[str, Any], status: int = 200) -> Any:
    response = await client.http.put(f"/api/devices/{device_id}", json=body)
    assert response.status_code == status, response.text
    return response.json()


async def test_a_device_says_where_its_pushes_go(alice: Client, api: Server, database: Engine) -> None:
    tablet = await api.login(alice, device={"name": "tablet", "platform": "ios"})
    [second, first] = await devices(alice)
    assert set(first) == {"id", "name", "platform", "push", "created_at", "last_seen_at", "current"}
    assert (second["id"], second["name"], second["platform"], second["push"], second["current"]) == (
        tablet.device_id,
        "tablet",
        "ios",
        None,
        False,
    )
    assert (first["id"], first["current"]) == (alice.device_id, True)
    changed = await put(alice, alice.device_id, {"push": TARGET, "name": "phone"})
    assert changed == first | {"push": TARGET, "name": "phone"}
    assert (await devices(alice))[1] == changed
    assert await put(alice, alice.device_id, {"push": None, "platform": "web"}) == changed | {"push": None, "platform": "web"}
    assert targets(database) == 0


async def test_a_push_target_belongs_to_the_device_that_named_it_last(alice: Client, bob: Client, database: Engine) -> None:
    await put(alice, alice.device_id, {"push": TARGET})
    await put(bob, bob.device_id, {"push": TARGET})
    assert [(await devices(client))[0]["push"] for client in (alice, bob)] == [None, TARGET]
    assert targets(database) == 1


async def test_so_it_does_where_two_name_it_at_once(alice: Client, bob: Client, database: Engine) -> None:
    for _ in range(5):
        with database.begin() as connection:
            connection.execute(text("select from debitum.devices for update"))
            both = [asyncio.create_task(put(client, client.device_id, {"push": TARGET})) for client in (alice, bob)]
            await until(lambda: waiting(database) == 2)
        await asyncio.gather(*both)
        assert targets(database) == 1


async def test_nothing_is_pushed_to_a_device_on_which_nobody_is_signed_in(alice: Client, api: Server, database: Engine) -> None:
    device = {"id": alice.device_id, "name": "phone"}
    again = await api.login(alice, device=device)
    await put(alice, alice.device_id, {"push": TARGET})
    await alice.post("/api/auth/logout", status=204)
    assert targets(database) == 1, "the other session of the device goes on"
    await again.post("/api/auth/logout", status=204)
    assert targets(database) == 0


async def test_a_device_that_is_deleted_is_signed_out(alice: Client, api: Server, database: Engine) -> None:
    lost = await api.login(alice)
    await put(lost, lost.device_id, {"push": TARGET})
    await alice.delete(f"/api/devices/{lost.device_id}")
    assert (await lost.http.get("/api/me")).status_code == 401
    refreshed = await lost.http.post("/api/auth/refresh", json={"refresh_token": lost.signed_in["refresh_token"]})
    assert refreshed.status_code == 401
    assert [one["id"] for one in await devices(alice)] == [alice.device_id]
    assert targets(database) == 0
    await alice.delete(f"/api/devices/{lost.device_id}", status=404)
    await alice.delete(f"/api/devices/{alice.device_id}")
    assert (await alice.http.get("/api/me")).status_code == 401


async def test_a_device_is_seen_when_it_gets_new_tokens(alice: Client) -> None:
    [before] = await devices(alice)
    await alice.post("/api/auth/refresh", {"refresh_token": alice.signed_in["refresh_token"]})
    [after] = await devices(alice)
    assert after["last_seen_at"] > before["last_seen_at"]


async def test_the_devices_of_somebody_else_are_not_there(alice: Client, bob: Client) -> None:
    for device_id in (bob.device_id, uuid.uuid4()):
        assert (await put(alice, device_id, {"push": TARGET}, 404))["code"] == "not_found"
        await alice.delete(f"/api/devices/{device_id}", status=404)
    assert (await devices(bob))[0]["push"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/push"),
        ({"push": {"kind": "apns", "value": "x"}}, "/push/kind"),
        ({"push": {"kind": "fid", "value": ""}}, "/push/value"),
        ({"push": {"kind": "fid", "value": "x" * 1_025}}, "/push/value"),
        ({"push": {"kind": "fid", "value": "x\x00"}}, "/push/value"),
        ({"push": None, "name": " "}, "/name"),
        ({"push": None, "name": None}, "/name"),
    ],
    ids=str,
)
async def test_what_does_not_fit_is_refused(alice: Client, body: dict[str, Any], pointer: str) -> None:
    assert (await put(alice, alice.device_id, body, 400))["errors"][0]["pointer"] == pointer
