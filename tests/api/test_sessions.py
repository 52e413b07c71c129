"""Where a user is signed in, and how that ends."""

import uuid

from tests.fixtures.api import Client, Server


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
