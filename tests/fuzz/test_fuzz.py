"""`make fuzz` in its short form: the same examples every time, and proof that each kind of finding is found."""

import asyncio

import pytest

from api import paging
from storage import projections
from tests.fixtures.api import Server
from tests.fuzz.user import User
from tests.fuzz.wire import Figures, fuzz

SEED, EXAMPLES = 1, 1


async def tried(api: Server, examples: int = EXAMPLES, operations: str = "") -> Figures:
    """What the second of two users finds, who tries the ids of the first."""

    def try_all() -> Figures:
        with User.registered(api.url) as first, User.registered(api.url) as second:
            before = first.state()
            figures = fuzz(api.url, second, other=first, seed=SEED, examples=examples, short=True, operations=operations)
            assert first.state() == before
            return figures

    return await asyncio.to_thread(try_all)


async def test_the_server_is_what_its_document_says(api: Server) -> None:
    figures = await tried(api)
    assert figures.shown == {}
    assert len(figures.examples) > 50
    assert sum(1 for count in figures.successes.values() if count) > 20


async def test_what_is_wrong_is_found(api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def careless(*_: object) -> object:
        raise RuntimeError("boom")

    monkeypatch.setattr(projections, "contacts", careless)
    monkeypatch.setattr(paging.Order, "cursor", lambda order, place: 7)
    figures = await tried(api, 5, "^(contacts_listed|transactions_listed)_get$")
    assert figures.server_errors
    assert figures.mismatches
