"""Contacts over HTTP."""

import asyncio
import functools

from sqlalchemy import Engine

from storage import balances, roles
from tests.api.test_sync import event
from tests.api.test_transactions import lend, person
from tests.fixtures.api import Client, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()


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


async def test_one_is_as_the_list_has_it(alice: Client, bob: Client, database: Engine) -> None:
    """One is read with many others of anybody's, the list by itself; both before and after balances are summed up."""
    ana, ben, zoe = [await person(alice, name) for name in ("Ana", "Ben", "Zoë")]
    foreign = await person(bob, "Ana")
    await lend(bob, foreign, 5)
    await lend(alice, ana, 1_000)
    await lend(alice, ana, 300, currency="JPY", direction="owed")
    await lend(alice, ben, 70)
    balances.materialise(functools.partial(roles.transaction, database, roles.JOBS))
    await lend(alice, ben, 70, direction="owed")
    await lend(alice, ana, 5, currency="CHF")
    for item in ("tent", "drill"):
        thing = await lend(alice, zoe, 1, type="item", item=item)
    await alice.post(f"/api/transactions/{thing['id']}/return", {})
    await alice.http.delete(f"/api/contacts/{ben}")
    listed = {one["id"]: one for one in (await alice.get("/api/contacts", include="deleted"))["items"]}
    single = await asyncio.gather(*(alice.get(f"/api/contacts/{contact}") for contact in (ana, ben, zoe)))
    assert {one["id"]: one for one in single} == listed
    assert [(one["balances"], one["open_items"]) for one in single] == [
        (
            [
                {"currency": "CHF", "amount": 5},
                {"currency": "EUR", "amount": 1_000},
                {"currency": "JPY", "amount": -300},
            ],
            0,
        ),
        ([], 0),
        ([], 1),
    ]
    assert (await alice.http.get(f"/api/contacts/{foreign}")).status_code == 404


async def test_names_stand_by_their_letters(alice: Client) -> None:
    """Page by page, whatever the collation of the database: accents and case make no difference."""
    names = ["Ana", "Émile", "emma", "Lena", "Łucja", "Øre", "Pia", "Zoë", "花"]
    for name in reversed(names):
        await alice.post("/api/contacts", {"name": name}, status=201)
    assert await crawled(alice, limit=2) == names


async def test_every_page_of_names_leads_to_the_next(alice: Client) -> None:
    """A name of 200 signs may be thousands of letters: the cursor behind one was longer than any cursor that is read."""
    long = ["가" * 200, "뷁" * 199 + "힣", "ﷺ" * 200, "ﷺ" * 199 + "!", "\U0001d54f" * 200, "ǖ" * 200, "\x01" * 200]
    names = [f"Ana {number}" for number in range(70)] + [long[number % len(long)] for number in range(30)]
    await alice.push(*(event("contact", "CREATED", {"name": name}) for name in names))
    assert sorted(await crawled(alice, limit=1)) == sorted(names)
    assert await crawled(alice, limit=7) == await crawled(alice, limit=200)


async def crawled(client: Client, *, limit: int) -> list[str]:
    """The names of all contacts by the default order, so many a page."""
    seen, cursor = list[str](), None
    while True:
        page = await client.get("/api/contacts", limit=limit, **({"cursor": cursor} if cursor else {}))
        seen += [one["name"] for one in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            return seen
