"""Reminders over HTTP."""

import base64
import datetime
import json
import uuid
import zoneinfo
from typing import Any

import pytest
from sqlalchemy import Engine, select

from domain import recurrence
from storage import tables
from tests.fixtures.api import Client, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()

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


def moved(cursor: str, as_of: str) -> str:
    """The cursor of a list of reminders that would have begun at `as_of`."""
    name, (at, _), row_id = json.loads(base64.urlsafe_b64decode(cursor))
    return base64.urlsafe_b64encode(json.dumps([name, [at, as_of], row_id]).encode()).decode()


async def test_the_pages_of_a_list_are_as_of_its_first(alice: Client) -> None:
    """Else a snooze that ends between two pages takes its reminder to where the reader has been."""
    now = datetime.datetime.now(datetime.UTC)
    past = [await remind(alice, remind_at=f"2021-01-0{day}T00:00:00Z") for day in (1, 2)]
    snoozed = await remind(alice, remind_at=PAST, snoozed_until=wire(now - datetime.timedelta(minutes=1)))
    assert [one["id"] for one in (await alice.get("/api/reminders"))["items"]] == [snoozed["id"], *(one["id"] for one in past)]
    first = await alice.get("/api/reminders", limit=2)
    second = await alice.get("/api/reminders", cursor=moved(first["next_cursor"], wire(now - datetime.timedelta(minutes=2))))
    assert [(one["id"], one["state"]) for one in second["items"]] == [(past[1]["id"], "sent"), (snoozed["id"], "pending")]


@pytest.mark.parametrize("as_of", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
async def test_a_cursor_of_no_list_of_today_is_read_as_of_now(alice: Client, as_of: str) -> None:
    await remind(alice, remind_at="2019-01-01T00:00:00Z")
    repeating = await remind(alice, remind_at=PAST, repeat="FREQ=YEARLY")
    first = await alice.get("/api/reminders", limit=1)
    (found,) = (await alice.get("/api/reminders", cursor=moved(first["next_cursor"], as_of)))["items"]
    assert found == repeating


async def test_members_that_do_not_fit_are_pointed_at(alice: Client) -> None:
    for body, pointer in (
        ({}, "/remind_at"),
        ({"remind_at": "2030-01-01T00:00:00"}, "/remind_at"),
        ({"remind_at": FUTURE, "time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"remind_at": FUTURE, "channels": []}, "/channels"),
        ({"remind_at": FUTURE, "channels": ["email", "email"]}, "/channels"),
        ({"remind_at": FUTURE, "channels": ["pigeon"]}, "/channels/0"),
        ({"remind_at": FUTURE, "repeat": "FREQ=HOURLY"}, "/repeat"),
        ({"remind_at": FUTURE, "repeat": ""}, "/repeat"),
        ({"remind_at": "0001-01-01T00:00:00Z", "time_zone": "America/New_York", "repeat": "FREQ=DAILY"}, "/repeat"),
        ({"remind_at": FUTURE, "repeat": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "/repeat"),
        ({"remind_at": FUTURE, "repeat": "FREQ=DAILY;UNTIL=20300101"}, "/repeat"),
    ):
        problem = await alice.post("/api/reminders", body, status=400)
        assert [error["pointer"] for error in problem["errors"]] == [pointer], problem


def wire(at: datetime.datetime) -> str:
    return at.astimezone(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


async def test_a_reminder_repeats_until_it_is_done(alice: Client, database: Engine) -> None:
    rule = "FREQ=MONTHLY;BYMONTHDAY=-1"
    created = await remind(alice, remind_at="2020-01-31T09:00:00+01:00", repeat=rule)
    now = datetime.datetime.now(datetime.UTC)
    next_at = datetime.datetime.fromisoformat(created["next_at"])
    assert (created["repeat"], created["state"]) == (rule, "pending")
    assert now < next_at < now + datetime.timedelta(days=32)
    assert (next_at + datetime.timedelta(days=1)).day == 1
    kept = select(tables.reminders).where(tables.reminders.c.id == created["id"])
    with database.connect() as connection:
        row = connection.execute(kept).one()
    assert row.repeat_days == recurrence.marks(rule, row.remind_at) == [28, 29, 30, 31]
    assert row.repeat_until is None
    path = f"/api/reminders/{created['id']}"
    assert (await alice.get(path))["next_at"] == created["next_at"]
    done = await alice.post(f"{path}/done")
    assert (done["state"], done["next_at"]) == ("done", None)
    again = await alice.post(path, {"done_at": None, "repeat": "RRULE:FREQ=DAILY;UNTIL=20200202"})
    assert (again["state"], again["next_at"]) == ("sent", None)
    once = await alice.post(path, {"repeat": None, "remind_at": FUTURE})
    assert (once["state"], once["next_at"], once["repeat"]) == ("pending", once["remind_at"], None)
    with database.connect() as connection:
        row = connection.execute(kept).one()
    assert (row.repeat_days, row.repeat_until) == (None, None)


async def test_snooze_is_an_update_of_snoozed_until(alice: Client) -> None:
    created = await remind(alice, remind_at=PAST)
    path, until = f"/api/reminders/{created['id']}", "2032-01-01T02:00:00+02:00"
    snoozed = await alice.post(f"{path}/snooze", {"until": until})
    assert (snoozed["snoozed_until"], snoozed["next_at"]) == ("2032-01-01T00:00:00.000000Z",) * 2
    (fact, *_) = (await alice.post("/api/sync/pull", {"since": 1}))["events"]
    assert (fact["event_type"], list(fact["event_data"])) == ("UPDATED", ["snoozed_until"])
    for body, pointer in (({}, "/until"), ({"until": None}, "/until"), ({"until": until, "x": 1}, "/x")):
        problem = await alice.post(f"{path}/snooze", body, status=400)
        assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def test_done_takes_no_members(alice: Client) -> None:
    created = await remind(alice)
    path = f"/api/reminders/{created['id']}/done"
    before = wire(datetime.datetime.now(datetime.UTC))
    bodies: tuple[Any, ...] = (None, {})
    for body in bodies:
        done = await alice.post(path, body)
        assert before <= done["done_at"] <= wire(datetime.datetime.now(datetime.UTC))
    problem = await alice.post(path, {"done_at": PAST}, status=400)
    assert [error["pointer"] for error in problem["errors"]] == ["/done_at"]
    assert (await alice.post(f"/api/reminders/{uuid.uuid4()}/done", status=404))["code"] == "unknown_aggregate"


@pytest.mark.parametrize(("action", "body"), [("snooze", {"until": FUTURE}), ("done", None)])
async def test_snooze_and_done_are_writes_like_others(alice: Client, bob: Client, action: str, body: Any) -> None:
    created = await remind(alice)
    path, key = f"/api/reminders/{created['id']}/{action}", str(uuid.uuid4())
    stale = await alice.post(path, body, status=412, headers={"If-Match": '"7"'})
    assert stale["current"] == created["version"]
    headers = {"Idempotency-Key": key, "If-Match": f'"{created["version"]}"'}
    first = await alice.http.post(path, json=body, headers=headers)
    second = await alice.http.post(path, json=body, headers=headers)
    assert (first.status_code, first.headers["ETag"], first.headers["X-Ledger-Version"]) == (200, '"2"', "2")
    assert (second.json(), second.headers["Idempotency-Replayed"]) == (first.json(), "true")
    other = await alice.post(path.replace(action, "snooze"), {"until": PAST}, status=422, headers={"Idempotency-Key": key})
    assert other["code"] == "id_reused"
    await bob.post(path, body, status=404)
    assert (await alice.http.delete(f"/api/reminders/{created['id']}")).status_code == 204
    assert (await alice.post(path, body, status=409))["code"] == "edit_of_deleted"


async def test_a_rule_is_part_of_the_schedule_and_a_snooze_is_not(alice: Client) -> None:
    created = await remind(alice)
    await alice.post(f"/api/reminders/{created['id']}", {"repeat": "FREQ=WEEKLY"})

    def update(data: dict[str, Any]) -> dict[str, Any]:
        event: dict[str, Any] = {"id": str(uuid.uuid4()), "aggregate_type": "reminder", "aggregate_id": created["id"]}
        stamp = {"timestamp": "2026-11-22T21:00:00Z", "base_seq": 1, "version": 1}
        return event | {"event_type": "UPDATED", "event_data": data} | stamp

    results = (await alice.push(update({"repeat": "FREQ=SECONDLY"}), update({"snoozed_until": FUTURE})))["results"]
    assert [(result["status"], result.get("errors", [{}])[0].get("pointer")) for result in results] == [
        ("rejected", "/event_data/repeat"),
        ("accepted", None),
    ]


async def test_the_preview_shows_what_will_be_sent(alice: Client, bob: Client) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    contact = await alice.post("/api/contacts", {"name": "Ana"}, status=201)
    lent = {"contact_id": contact["id"], "direction": "lent", "amount": 500, "currency": "EUR"}
    due_date = str(today + datetime.timedelta(days=10))
    debt = await alice.post("/api/transactions", lent | {"due_date": due_date}, status=201)
    at = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=1)
    created = await remind(
        alice,
        remind_at=at.isoformat(),
        repeat="FREQ=WEEKLY;COUNT=2",
        time_zone="UTC",
        channels=["push"],
        contact_id=contact["id"],
    )
    answer = await alice.get("/api/reminders/preview")
    assert answer["next_cursor"] is None
    items = answer["items"]
    assert [item["at"] for item in items] == sorted(item["at"] for item in items)
    assert [item for item in items if item["kind"] == "explicit"] == [
        {
            "key": f"reminder:{created['id']}:{moment.replace(tzinfo=None).isoformat()}:push",
            "at": wire(moment),
            "kind": "explicit",
            "reminder_id": created["id"],
            "contact_id": contact["id"],
            "channel": "push",
            "why": "reminder",
        }
        for moment in (at, at + datetime.timedelta(days=7))
    ]
    assert {(item["key"], item["why"]) for item in items if item["kind"] == "due"} == {
        (f"due:{debt['id']}:{due_date}:{offset}:{channel}", why)
        for offset, why in ((-1, "due in 1 day"), (0, "due today"), (7, "7 days overdue"))
        for channel in ("email", "push")
    }
    assert {item["transaction_id"] for item in items if item["kind"] == "due"} == {debt["id"]}
    assert len((await alice.get("/api/reminders/preview", days=2))["items"]) == 1
    assert (await bob.get("/api/reminders/preview"))["items"] == []
    await alice.post("/api/transactions", lent | {"direction": "owed", "repays": debt["id"]}, status=201)
    assert {item["kind"] for item in (await alice.get("/api/reminders/preview"))["items"]} == {"explicit"}


async def test_a_reminder_that_is_moved_to_another_zone_has_another_key(alice: Client) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    noon = datetime.datetime.combine(today + datetime.timedelta(days=3), datetime.time(12))
    created = await remind(alice, remind_at=f"{noon.isoformat()}Z", time_zone="UTC", channels=["push"])

    async def key() -> Any:
        [item] = (await alice.get("/api/reminders/preview"))["items"]
        return item["key"]

    assert await key() == f"reminder:{created['id']}:{noon.isoformat()}:push"
    moved = {"remind_at": noon.replace(tzinfo=zoneinfo.ZoneInfo("America/New_York")).isoformat(), "time_zone": "America/New_York"}
    answer = (await alice.http.patch(f"/api/reminders/{created['id']}", json=moved)).json()
    assert (answer["state"], answer["next_at"] > created["next_at"]) == ("pending", True)
    assert await key() == f"reminder:{created['id']}:{noon.isoformat()};America/New_York:push"


async def test_the_preview_follows_the_switches(alice: Client) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    for name in ("Ana", "Ben"):
        contact = await alice.post("/api/contacts", {"name": name}, status=201)
        due = {"direction": "lent", "amount": 500, "currency": "EUR", "due_date": str(today + datetime.timedelta(days=10))}
        await alice.post("/api/transactions", due | {"contact_id": contact["id"]}, status=201)
    await remind(alice, remind_at=wire(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=2)))

    async def previewed(**settings: Any) -> list[Any]:
        answer = await alice.http.patch("/api/me", json={"reminder_settings": settings})
        assert answer.status_code == 200, answer.text
        assert answer.json()["reminder_settings"].items() >= settings.items()
        return list((await alice.get("/api/reminders/preview"))["items"])

    me = await alice.get("/api/me")
    assert "muted_contacts" not in me["reminder_settings"]
    items = await previewed(channels=["email"], due_offsets_days=[-1, 0])
    assert [item["kind"] for item in items].count("due") == 4
    assert not any("digest" in item for item in items)
    items = await previewed(digest=True)
    days = [today + datetime.timedelta(days=number) for number in (9, 9, 10, 10)]
    assert [item.get("digest") for item in items if item["kind"] == "due"] == [f"digest:{me['id']}:{day}:email" for day in days]
    assert [item for item in items if item["kind"] == "explicit" and "digest" in item] == []
    items = await previewed(muted_contacts=[contact["id"]])
    assert [item["kind"] for item in items].count("due") == 2
    assert contact["id"] not in {item["contact_id"] for item in items}
    assert {item["channel"] for item in items if item["kind"] == "explicit"} == {"email", "push"}
    items = await previewed(explicit_channels=["push"])
    assert {item["channel"] for item in items if item["kind"] == "explicit"} == {"push"}
    assert {item["kind"] for item in await previewed(channels=[], explicit_channels=[], muted_contacts=[])} == set()
    for wrong in ({"muted_contacts": ["x"]}, {"muted_contacts": None}, {"explicit_channels": ["sms"]}):
        answer = await alice.http.patch("/api/me", json={"reminder_settings": wrong})
        assert answer.status_code == 400


async def test_a_preview_looks_ahead_for_a_year_at_most(alice: Client) -> None:
    for days in ("0", "367", "x", ""):
        response = await alice.http.get("/api/reminders/preview", params={"days": days})
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (400, "/days")
    hours = ",".join(map(str, range(24)))
    await remind(alice, repeat=f"FREQ=DAILY;BYHOUR={hours}", remind_at=PAST)
    assert len((await alice.get("/api/reminders/preview", days=5))["items"]) in range(238, 243)
    response = await alice.http.get("/api/reminders/preview", params={"days": 366})
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (400, "/days")


async def test_reminders_are_listed_by_the_next_time_of_their_rules(alice: Client) -> None:
    now = datetime.datetime.now(datetime.UTC)
    soon = await remind(alice, remind_at=wire(now - datetime.timedelta(hours=23)), repeat="FREQ=DAILY")
    later = await remind(alice, remind_at=wire(now - datetime.timedelta(days=363)), repeat="FREQ=YEARLY")
    between = await remind(alice, remind_at=wire(now + datetime.timedelta(hours=12)))
    ended = await remind(alice, remind_at=PAST, repeat="FREQ=DAILY;COUNT=3")

    async def listed(**query: Any) -> list[Any]:
        return [item["id"] for item in (await alice.get("/api/reminders", **query))["items"]]

    assert await listed() == [ended["id"], soon["id"], between["id"], later["id"]]
    assert await listed(state="pending", to=wire(now + datetime.timedelta(days=1))) == [soon["id"], between["id"]]
    assert await listed(state="sent") == [ended["id"]]
    first = await alice.get("/api/reminders", state="pending", limit=2)
    assert await listed(state="pending", cursor=first["next_cursor"]) == [later["id"]]


async def test_a_time_beyond_the_calendar_is_pointed_at(alice: Client) -> None:
    ana = (await alice.post("/api/contacts", {"name": "Ana"}, status=201))["id"]
    beyond = "9999-12-31T23:59:59-14:00"
    problem = await alice.post("/api/reminders", {"contact_id": ana, "remind_at": beyond}, status=400)
    assert [error["pointer"] for error in problem["errors"]] == ["/remind_at"]
