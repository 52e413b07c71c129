"""Where a user is signed in, and how that ends."""

import asyncio
import uuid
from typing import Any

import pytest
from sqlalchemy import Engine, text

from api.app import ROUTES
from tests.api.test_deadline import waiting
from tests.fixtures.api import PASSWORD, Client, Server


async def test_a_user_sees_where_they_are_signed_in(alice: Client, bob: Client, api: Server) -> None:
    other = await api.login(alice, device={"name": "tablet"})
    listed = (await other.get("/api/auth/sessions"))["items"]
    assert [(one["device_id"], one["device_name"], one["current"]) for one in listed] == [
        (other.device_id, "tablet", True),
        (alice.device_id, "unnamed device", False),
    ]
    assert set(listed[0]) == {"id", "device_id", "device_name", "created_at", "last_used_at", "current"}
    first = await alice.get("/api/auth/sessions", limit=1)
    second = await alice.get("/api/auth/sessions", limit=1, cursor=first["next_cursor"])
    assert [*first["items"], *second["items"]] == [one | {"current": not one["current"]} for one in listed]
    assert second["next_cursor"] is None
    assert len((await bob.get("/api/auth/sessions"))["items"]) == 1


async def test_a_session_is_ended_from_another_device_at_once(alice: Client, api: Server) -> None:
    lost = await api.login(alice)
    [theirs] = [one["id"] for one in (await alice.get("/api/auth/sessions"))["items"] if not one["current"]]
    await alice.delete(f"/api/auth/sessions/{theirs}")
    assert (await lost.http.get("/api/me")).status_code == 401
    refreshed = await lost.http.post("/api/auth/refresh", json={"refresh_token": lost.signed_in["refresh_token"]})
    assert (refreshed.status_code, refreshed.json()["code"]) == (401, "invalid_token")
    assert [one["current"] for one in (await alice.get("/api/auth/sessions"))["items"]] == [True]
    await alice.delete(f"/api/auth/sessions/{theirs}", status=404)


async def test_nobody_ends_the_session_of_somebody_else(alice: Client, bob: Client) -> None:
    [his] = [one["id"] for one in (await bob.get("/api/auth/sessions"))["items"]]
    for session_id in (his, uuid.uuid4()):
        refused = await alice.http.delete(f"/api/auth/sessions/{session_id}")
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert (await bob.http.get("/api/me")).status_code == 200


BY_A_SESSION: dict[tuple[str, str], Any] = {
    ("PATCH", "/api/me"): {"name": "somebody else"},
    ("DELETE", "/api/me"): {"password": PASSWORD},
    ("POST", "/api/me/keep"): None,
    ("POST", "/api/auth/password"): {"current_password": PASSWORD, "new_password": "another horse battery"},
    ("DELETE", "/api/auth/sessions/{id}"): None,
    ("PUT", "/api/devices/{id}"): {"push": {"kind": "token", "value": "theirs"}},
    ("DELETE", "/api/devices/{id}"): None,
    ("POST", "/api/tokens"): {"name": "theirs", "scope": "write"},
    ("DELETE", "/api/tokens/{id}"): None,
}
"""What only a signed-in device may change, but for the end of its own session."""


def test_this_is_all_that_needs_a_session() -> None:
    found = {(route.method, route.path) for route in ROUTES if route.needs == "session" and route.method != "GET"}
    assert found == BY_A_SESSION.keys() | {("POST", "/api/auth/logout")}


@pytest.mark.parametrize(("method", "path"), BY_A_SESSION)
async def test_what_waits_for_a_reset_is_refused_after_it(alice: Client, database: Engine, method: str, path: str) -> None:
    """Who has somebody's password sees them reset it: nothing of theirs outlives that, however it was timed."""
    at = path.replace("{id}", alice.device_id)
    before = rows(database)
    with database.begin() as connection:
        connection.execute(text("update debitum.users set email_verified_at = now()"))  # as a reset begins
        asked = asyncio.create_task(alice.http.request(method, at, json=BY_A_SESSION[method, path]))
        while not waiting(database):
            assert not asked.done(), "it does not wait"
            await asyncio.sleep(0.01)
        connection.execute(text("update debitum.sessions set revoked_at = now()"))
    answer = await asked
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), answer.text
    assert rows(database) == before


def rows(database: Engine) -> list[Any]:
    """What these can change."""
    with database.begin() as connection:
        tables = (
            "select name, password_hash, deleting_at from debitum.users",
            "select id, name, push_kind from debitum.devices",
            "select id from debitum.personal_tokens",
        )
        return [connection.execute(text(query)).all() for query in tables]
