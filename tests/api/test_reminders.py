"""Reminders over HTTP."""

from typing import Any

from tests.fixtures.api import Client

FUTURE, PAST = "2031-05-01T09:00:00+02:00", "2020-05-01T09:00:00+02:00"


async def remind(client: Client, **members: Any) -> dict[str, Any]:
    created: dict[str, Any] = await client.post("/api/reminders", {"remind_at": FUTURE, **members}, status=201)
    return created


async def test_a_reminder_is_created_snoozed_done_and_deleted(alice: Client) -> None:
    created = await remind(alice, message="call Ana")
    expected = {
        "remind_at": "2031-05-01T07:00:00.000000Z",
        "time_zone": "Europe/Berlin",
        "channels": ["email", "push"],
        "next_at": "2031-05-01T07:00:00.000000Z",
        "state": "pending",
        "snoozed_until": None,
        "contact_id": None,
    }
    assert expected.items() <= created.items()
    path = f"/api/reminders/{created['id']}"
    snoozed = (await alice.http.patch(path, json={"remind_at": PAST, "snoozed_until": "2032-01-01T00:00:00Z"})).json()
    assert (snoozed["state"], snoozed["next_at"]) == ("pending", "2032-01-01T00:00:00.000000Z")
    done = await alice.post(path, {"done_at": "2026-01-01T00:00:00Z"})
    assert (done["state"], done["next_at"]) == ("done", None)
    assert (await alice.http.delete(path)).status_code == 204
    assert (await alice.get(path))["deleted_at"] is not None


async def test_reminders_are_listed_by_state_and_time(alice: Client) -> None:
    later = await remind(alice, remind_at="2033-01-01T00:00:00Z")
    soon = await remind(alice)
    past = await remind(alice, remind_at=PAST)

    async def listed(**query: Any) -> list[Any]:
        return [item["id"] for item in (await alice.get("/api/reminders", **query))["items"]]

    assert await listed() == [past["id"], soon["id"], later["id"]]
    assert await listed(state="pending") == [soon["id"], later["id"]]
    assert await listed(state="sent") == [past["id"]]
    assert await listed(state="done") == []
    assert await listed(**{"from": "2030-01-01T00:00:00Z", "to": "2032-01-01T00:00:00Z"}) == [soon["id"]]
    first = await alice.get("/api/reminders", limit=2)
    assert [item["id"] for item in (await alice.get("/api/reminders", cursor=first["next_cursor"]))["items"]] == [later["id"]]


async def test_members_that_do_not_fit_are_pointed_at(alice: Client) -> None:
    for body, pointer in (
        ({}, "/remind_at"),
        ({"remind_at": "2030-01-01T00:00:00"}, "/remind_at"),
        ({"remind_at": FUTURE, "time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"remind_at": FUTURE, "channels": []}, "/channels"),
        ({"remind_at": FUTURE, "channels": ["email", "email"]}, "/channels"),
        ({"remind_at": FUTURE, "channels": ["pigeon"]}, "/channels/0"),
        ({"remind_at": FUTURE, "repeat": "FREQ=DAILY"}, "/repeat"),
    ):
        problem = await alice.post("/api/reminders", body, status=400)
        assert [error["pointer"] for error in problem["errors"]] == [pointer], problem
