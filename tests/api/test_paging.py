"""Cursors: each is of one list in one order, and no other takes it for its own."""

from typing import Any

import pytest

from api.app import ROUTES
from tests.api.test_reminders import FUTURE
from tests.api.test_transactions import lend, person
from tests.fixtures.api import Client, Server

LISTS: list[tuple[str, dict[str, str]]] = [
    ("/api/contacts", {"sort": "name"}),
    ("/api/contacts", {"sort": "recent"}),
    ("/api/contacts", {"sort": "balance", "currency": "EUR"}),
    ("/api/contacts", {"sort": "balance", "currency": "JPY"}),
    ("/api/transactions", {"sort": "date"}),
    ("/api/transactions", {"sort": "recent"}),
    ("/api/transactions", {"sort": "due"}),
    ("/api/contacts/{id}/explain", {}),
    ("/api/contacts/{id}/explain", {"currency": "EUR"}),
    ("/api/contacts/{id}/explain", {"effective_on": "2100-01-01"}),
    ("/api/events", {}),
    ("/api/search", {"q": "an"}),
    ("/api/reminders", {}),
    ("/api/devices", {}),
    ("/api/auth/sessions", {}),
    ("/api/tokens", {}),
]
NAMED_ALONE = {"/api/sync/conflicts", "/api/sync/rejections"}
"""Lists of which it takes much to have two pages."""


async def cursors(client: Client, contact_id: str) -> list[str]:
    """Where the first page of each of LISTS ends."""
    found = [await client.get(path.format(id=contact_id), limit=1, **more) for path, more in LISTS]
    return [str(page["next_cursor"]) for page in found]


@pytest.fixture
async def ana(api: Server, alice: Client) -> str:
    """A contact of a user who has two of everything."""
    ana, _ = await person(alice, "Ana"), await person(alice, "Anton")
    for number in (1, 2):
        await lend(alice, ana, number, due_date="2026-01-01")
        await alice.post("/api/reminders", {"remind_at": FUTURE, "message": "call"}, status=201)
        await alice.post("/api/tokens", {"name": "script", "scope": "read"}, status=201)
    await api.login(alice)
    return ana


async def test_a_cursor_of_another_list_or_order_is_refused(alice: Client, ana: str) -> None:
    """A client that changed the order while it paged got an empty page, and believed that it had everything."""
    assert {route.path for route in ROUTES if "cursor" in route.query.__struct_fields__} == {*dict(LISTS), *NAMED_ALONE}
    made = await cursors(alice, ana)
    assert len(set(made)) == len(LISTS)
    for (path, more), own in zip(LISTS, made, strict=True):
        for cursor in made:
            answer = await alice.http.get(path.format(id=ana), params={"limit": 1, "cursor": cursor, **more})
            if cursor == own:
                assert (answer.status_code, len(answer.json()["items"])) == (200, 1), answer.text
            else:
                refused(answer.status_code, answer.json())
    for path in NAMED_ALONE:
        for cursor in made:
            answer = await alice.http.get(path, params={"cursor": cursor})
            refused(answer.status_code, answer.json())


def refused(status: int, problem: dict[str, Any]) -> None:
    assert (status, problem["code"], problem["detail"]) == (400, "invalid", "the cursor is not from this list")
    assert [error["pointer"] for error in problem["errors"]] == ["/cursor"]
