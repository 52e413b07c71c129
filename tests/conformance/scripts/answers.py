"""Answers that are not this server's: what a device must not believe, and what it must not mind."""

from typing import Any

from client import facts
from tests.conformance.scene import Scene, case
from tests.conformance.scripts.together import lunch


def _relink(body: dict[str, Any], previous: str | None) -> None:
    """Give altered facts hashes that fit."""
    for fact in body["events"]:
        fact["hash"] = previous = facts.link(previous, facts.content(fact))
    body["hash"] = previous


@case
async def broken_hash(scene: Scene) -> None:
    """An amount was altered on the way, and the hash does not fit: nothing is folded. The next sync gets the truth."""
    a, b, debt = await lunch(scene)
    a.update(debt, amount=1_200)
    await a.sync()
    await b.hear("broken", lambda body: body["events"][0]["changes"][0]["fields"].update(amount=[1_000, 2_000]))
    await b.sync()


@case
async def broken_gap(scene: Scene) -> None:
    """A seq is missing: nothing is folded, although the hashes fit."""
    a, b, debt = await lunch(scene)
    a.update(debt, description="lunch with Ana")
    a.update(debt, amount=1_200)
    await a.sync()

    def forge(body: dict[str, Any]) -> None:
        del body["events"][0]
        _relink(body, b.device.head.hash)

    await b.hear("broken", forge)
    await b.sync()


@case
async def broken_before(scene: Scene) -> None:
    """A change says that the amount was another before than the device has: nothing is folded, although the hashes fit."""
    a, b, debt = await lunch(scene)
    a.update(debt, amount=1_200)
    await a.sync()

    def forge(body: dict[str, Any]) -> None:
        body["events"][0]["changes"][0]["fields"]["amount"] = [999, 1_200]
        _relink(body, b.device.head.hash)

    await b.hear("broken", forge)
    await b.sync()


@case
async def unknown_members(scene: Scene) -> None:
    """A later server says more than this one, in the answer, in facts and in changes: a device does not mind, and what stands in
    a fact is part of its hash.
    """
    a, b, debt = await lunch(scene)
    a.update(debt, amount=1_200)
    await a.sync()

    def add(body: dict[str, Any]) -> None:
        body["more"] = True
        body["events"][0]["more"] = {"b": [1, None, False], "a": "\x7f"}
        body["events"][0]["changes"][0]["more"] = "é"
        body["events"][0]["changes"][0]["fields"]["more"] = [None, "a field of tomorrow"]
        _relink(body, b.device.head.hash)

    await b.hear("newer", add)
