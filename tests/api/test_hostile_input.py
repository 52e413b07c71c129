"""Input that once reached further than it should: each got past the types, or made Postgres refuse a statement."""

from typing import Any

import pytest

from tests.api.test_sync import event
from tests.fixtures.api import PASSWORD, Client, Server


async def test_a_member_name_with_a_nul_costs_only_its_own_item(alice: Client) -> None:
    bad = event("contact", "CREATED", {"name": "x", "a\x00b": 1})
    good = event("contact", "CREATED", {"name": "Ana"})
    results = (await alice.push(bad, good))["results"]
    assert [(result["status"], result.get("code")) for result in results] == [("rejected", "invalid"), ("accepted", None)]
    assert (await alice.push(bad))["results"][0] == results[0], "it is remembered"


@pytest.mark.parametrize(
    "body",
    [
        {"reminder_settings": {"local_time": "09:00\n"}},
        {"reminder_settings": {"quiet_hours": {"from": "22:00\n", "to": "07:00"}}},
        {"locale": "en\n"},
        {"default_currency": "EUR\n"},
    ],
    ids=str,
)
async def test_a_line_break_at_the_end_is_no_part_of_a_pattern(alice: Client, body: dict[str, Any]) -> None:
    assert (await alice.http.patch("/api/me", json=body)).status_code == 400


async def test_an_address_ends_where_it_ends(alice: Client, api: Server) -> None:
    async with api.http() as http:
        answer = await http.post("/api/auth/register", json={"email": "a@example.org\n", "password": PASSWORD})
    assert answer.status_code == 400
    assert (await alice.http.post("/api/contacts", json={"name": "Ana", "email": "a@example.org\n"})).status_code == 400


@pytest.mark.parametrize("path", ["/api/contacts", "/api/transactions"])
async def test_a_number_beyond_what_postgres_holds_is_refused(alice: Client, path: str) -> None:
    assert (await alice.http.get(path, params={"changed_since": 2**70})).status_code == 400
    await alice.post("/api/contacts", {"name": "Ana"}, status=201)
    await alice.post("/api/contacts", {"name": "Bo"}, status=201)
    crafted = "WzExODA1OTE2MjA3MTc0MTEzMDM0MjQsIjAxOTMxYTJiLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMSJd"
    answer = await alice.http.get(path, params={"sort": "recent", "cursor": crafted})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/cursor")
