"""Search over HTTP: what is found, in which order, and whose."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from domain import words
from tests.api.test_transactions import lend, person
from tests.fixtures.api import Client, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()


async def titles(client: Client, asked: str, **parameters: Any) -> list[str]:
    return [item["title"] for item in (await client.get("/api/search", q=asked, **parameters))["items"]]


async def test_people_and_debts_are_found_by_the_beginnings_of_words(alice: Client, bob: Client) -> None:
    ana = await person(alice, "Łukasz Østergård")
    await alice.post("/api/contacts", {"name": "Bo", "username": "smørrebrød", "notes": "knows Lukas"}, status=201)
    await lend(alice, ana, 5, description="Straßenbahn ticket, Æbleskiver")
    tent = {"contact_id": ana, "direction": "lent", "type": "item", "item": "O'Neil's tent"}
    await alice.post("/api/transactions", tent, status=201)
    await person(bob, "Łukasz of Bob")
    assert await titles(alice, "lukasz") == ["Łukasz Østergård"]
    assert await titles(alice, "LUKAS") == ["Łukasz Østergård", "Bo"], "a name counts more than a note"
    assert await titles(alice, "ostergard ŁUK") == ["Łukasz Østergård"], "every word has to be there"
    assert await titles(alice, "ostergard bo") == []
    assert await titles(alice, "smorrebrod") == ["Bo"]
    assert await titles(alice, "strassenb") == ["Straßenbahn ticket, Æbleskiver"]
    assert await titles(alice, "ticket aebles") == ["Straßenbahn ticket, Æbleskiver"]
    for asked in ("o'neil", "oneil", "neil tent"):
        assert await titles(alice, asked) == ["O'Neil's tent"]
    assert await titles(alice, "asz") == [], "not inside of words"
    [found] = (await alice.get("/api/search", q="knows"))["items"]
    assert (found["kind"], found["title"], found["snippet"]) == ("contact", "Bo", "knows Lukas")
    assert found["score"] > 0


async def test_whole_words_come_before_beginnings(alice: Client) -> None:
    for name in ("Annabel", "Ann", "Annika"):
        await person(alice, name)
    assert (await titles(alice, "ann"))[0] == "Ann"


async def test_what_is_deleted_or_renamed_is_not_found(alice: Client) -> None:
    ana = await person(alice, "Ana")
    await alice.post(f"/api/contacts/{ana}", {"name": "Berta"})
    assert (await titles(alice, "ana"), await titles(alice, "ber")) == ([], ["Berta"])
    await alice.http.delete(f"/api/contacts/{ana}")
    assert await titles(alice, "ber") == []


async def test_pages_have_no_gaps(alice: Client) -> None:
    for number in range(7):
        await person(alice, f"Ana {number}")
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await alice.get("/api/search", q="ana", limit=3, **cursor)
        seen += [item["title"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert sorted(seen) == [f"Ana {number}" for number in range(7)]


async def test_lists_are_searched_the_same_way(alice: Client) -> None:
    ana = await person(alice, "José Muñoz")
    await person(alice, "Bo")
    debt = await lend(alice, ana, 5, description="Käsekuchen")
    await lend(alice, ana, 6, description="tea")
    assert [item["id"] for item in (await alice.get("/api/contacts", search="munoz jos"))["items"]] == [ana]
    assert [item["id"] for item in (await alice.get("/api/transactions", search="kasek"))["items"]] == [debt["id"]]
    assert (await alice.get("/api/contacts", search="!?"))["items"] == []


@pytest.mark.parametrize("asked", ["", "x" * 201, "a\x00b"])
async def test_a_bad_question_is_pointed_at(alice: Client, asked: str) -> None:
    refused = await alice.http.get("/api/search", params={"q": asked})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/q")


@given(st.text(min_size=1, max_size=60).filter(lambda asked: "\x00" not in asked and words.query(asked)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_is_written_is_found_by_itself_whatever_it_is(database: Engine, asked: str) -> None:
    """The vector and the question are both text to Postgres: nothing in them is read as an operator."""
    beginnings = " & ".join(f"'{word}':*" for word in words.query(asked))
    with database.begin() as connection:
        question = text("select cast(:vector as tsvector) @@ cast(:asked as tsquery)")
        assert connection.scalar(question, {"vector": words.vector({"A": asked}), "asked": beginnings})
