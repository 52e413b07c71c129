"""Requests leave no garbage: what they made goes when the last who holds it lets go, and no collector has to look for it.

An error that is raised where somebody holds it holds that frame, and so itself and all that was decoded there; a statement that
SQLAlchemy makes of subqueries refers to itself.
"""

import gc
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from api.app import ROUTES
from tests.api.test_sync import event, lent
from tests.fixtures.api import Client, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()
OURS = "api", "domain", "storage", "sanic", "sqlalchemy"
"""Of whose objects none is left over: the client, in the same process, may leave what it likes."""
TIMES = 8


@contextmanager
def garbage() -> Iterator[Counter[str]]:
    """How much of each class of ours was left over meanwhile; what was there before is not looked at, for it is much."""
    found: Counter[str] = Counter()
    was = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = (type(one) for one in gc.garbage)
        found.update(f"{kind.__module__}.{kind.__name__}" for kind in kinds if kind.__module__.split(".")[0] in OURS)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        if was:
            gc.enable()


async def test_an_error_that_is_held_and_raised_is_garbage() -> None:
    class Held(Exception):
        pass

    Held.__module__ = OURS[0]

    def raised(error: Held) -> None:
        raise error

    with garbage() as found:
        for _ in range(TIMES):
            with pytest.raises(Held):
                raised(Held())
    assert found[f"api.{Held.__name__}"] >= TIMES - 1, "else this could find nothing below"


ASKED = [
    *(route.path for route in ROUTES if route.method == "GET" and route.path != "/api/search"),
    "/api/search?q=ana",
    "/api/contacts?limit=20&sort=balance&currency=EUR&balance=nonzero&search=ana",
    "/api/contacts?sort=recent&changed_since=0&include=deleted",
    "/api/transactions?limit=20&open=true&direction=lent&sort=due",
    "/api/transactions?overdue=true&contact_id={contacts}&from=2026-01-01&search=ana&sort=recent",
    "/api/events?limit=20&aggregate_type=contact&from=2026-01-01T00:00:00Z",
    "/api/balances?as_of=2026-01-01T00:00:00Z",
    "/api/balances?effective_on=2026-01-01",
    "/api/sync/hash?seq=1",
    "/api/reminders?state=pending&from=2026-01-01T00:00:00Z",
    "/api/contacts?limit=none",
    "/api/contacts?nobody=knows",
    "/api/contacts/00000000-0000-0000-0000-000000000000",
    "/api/nothing",
]
"""Whatever can be read: the routes, what some of them can be asked for, and what is refused."""


@pytest.mark.parametrize("path", ASKED)
async def test_nothing_that_was_read(alice: Client, path: str) -> None:
    things = {"contacts": str(uuid.uuid4()), "transactions": str(uuid.uuid4()), "reminders": str(uuid.uuid4())}
    remembered = {"remind_at": "2027-01-01T08:00:00Z", "transaction_id": things["transactions"]}
    await alice.push(
        event("contact", "CREATED", {"name": "Ana"}, aggregate_id=things["contacts"]),
        event("transaction", "CREATED", lent(things["contacts"], 5), aggregate_id=things["transactions"]),
        event("reminder", "CREATED", remembered, aggregate_id=things["reminders"]),
    )
    path = path.replace("{id}", things.get(path.split("/")[2], "")).format(**things)
    first = await alice.http.get(path)  # what is made once is not meant
    with garbage() as found:
        for _ in range(TIMES):
            assert (await alice.http.get(path)).status_code == first.status_code
    assert _many(found) == {}, first.text[:200]
    assert first.status_code == 200 or path in ASKED[-4:], first.text


async def test_nothing_that_was_written(alice: Client) -> None:
    ana = event("contact", "CREATED", {"name": "Ana"})
    await alice.push(ana)
    with garbage() as found:
        for amount in range(1, TIMES):
            await alice.push(event("transaction", "CREATED", lent(ana["aggregate_id"], amount)))
            await alice.post("/api/transactions", lent(ana["aggregate_id"], amount), status=201)
    assert _many(found) == {}


async def test_nothing_that_was_refused(alice: Client) -> None:
    nobody = str(uuid.uuid4())
    with garbage() as found:
        for amount in range(1, TIMES):
            negative, unknown = lent(nobody, -amount), lent(nobody, amount)
            answer = await alice.push(
                event("transaction", "CREATED", negative),
                event("transaction", "CREATED", unknown),
                {"id": str(uuid.uuid4()), "aggregate_type": "transaction"},
            )
            assert {one["status"] for one in answer["results"]} == {"rejected"}
            await alice.push({"id": "none"}, status=400)
            await alice.post("/api/transactions", unknown, status=409)
            await alice.post("/api/transactions", negative, status=400)
            key = {"Idempotency-Key": str(uuid.uuid4())}
            for body in (negative, negative, unknown):  # refused, remembered, and reused for another
                answer = await alice.http.post("/api/transactions", json=body, headers=key)
                assert answer.status_code in {400, 422}
    assert _many(found) == {}


def _many(found: Counter[str]) -> dict[str, int]:
    """Those of which each request, and not some look of the server's in between, left one."""
    return {kind: left for kind, left in found.items() if left >= TIMES // 2}
