"""Contacts over HTTP."""

import pytest

from tests.fixtures.api import Client


async def test_a_contact_is_created_read_changed_and_deleted(alice: Client) -> None:
    response = await alice.http.post("/api/contacts", json={"name": "Ana Lucía", "phone": "+34 600 000 000"})
    assert response.status_code == 201, response.text
    created = response.json()
    assert response.headers["ETag"] == '"1"'
    assert response.headers["X-Ledger-Version"] == "1"
    assert response.headers["Location"] == f"/api/contacts/{created['id']}"
    assert created | {"id": None, "created_at": None, "updated_at": None} == {
        "id": None,
        "name": "Ana Lucía",
        "username": None,
        "phone": "+34 600 000 000",
        "email": None,
        "notes": None,
        "balances": [],
        "open_items": 0,
        "created_at": None,
        "updated_at": None,
        "deleted_at": None,
        "version": 1,
    }
    for method in (alice.http.post, alice.http.patch):
        changed = await method(f"/api/contacts/{created['id']}", json={"phone": None, "notes": method.__name__})
        assert changed.status_code == 200
        assert (changed.json()["phone"], changed.json()["notes"]) == (None, method.__name__)
    gone = await alice.http.delete(f"/api/contacts/{created['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await alice.get(f"/api/contacts/{created['id']}"))["deleted_at"] is not None
    assert (await alice.get("/api/contacts"))["items"] == []
    assert len((await alice.get("/api/contacts", include="deleted"))["items"]) == 1


async def test_names_stand_by_their_letters(alice: Client) -> None:
    """Page by page, whatever the collation of the database: accents and case make no difference."""
    names = ["Ana", "Émile", "emma", "Lena", "Łucja", "Øre", "Pia", "Zoë", "花"]
    for name in reversed(names):
        await alice.post("/api/contacts", {"name": name}, status=201)
    seen, cursor = list[str](), None
    while True:
        page = await alice.get("/api/contacts", sort="name", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [one["name"] for one in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == names


async def test_a_time_beyond_the_calendar_is_pointed_at(alice: Client) -> None:
    ana = (await alice.post("/api/contacts", {"name": "Ana"}, status=201))["id"]
    beyond = "9999-12-31T23:59:59-14:00"
    problem = await alice.post("/api/reminders", {"contact_id": ana, "remind_at": beyond}, status=400)
    assert [error["pointer"] for error in problem["errors"]] == ["/remind_at"]


@pytest.mark.parametrize("zone", ["localtime", "Factory", "right/UTC", "posix/Europe/Berlin"])
async def test_a_zone_is_one_that_every_machine_takes_for_the_same(alice: Client, zone: str) -> None:
    problem = await alice.http.patch("/api/me", json={"time_zone": zone})
    assert (problem.status_code, problem.json()["errors"][0]["pointer"]) == (400, "/time_zone")
