"""What is open: worked examples, and the laws that hold for any history."""

import datetime
import uuid
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import allocation
from domain.allocation import Entry

NAMES = "abcdefghijkl"
IDS = {name: uuid.UUID(int=number) for number, name in enumerate(NAMES, start=1)}


def entry(name: str, direction: str, amount: int, day: int = 1, *, repays: str | None = None, deleted: bool = False) -> Entry:
    return Entry(
        id=IDS[name],
        direction=direction,  # type: ignore[arg-type]
        amount=amount,
        ripe=datetime.date(2026, 1, day),
        seq=NAMES.index(name) + 1,
        repays=None if repays is None else IDS[repays],
        deleted=deleted,
    )


EXAMPLES: dict[str, tuple[list[Entry], dict[str, int]]] = {
    "nothing repaid": ([entry("a", "lent", 20), entry("b", "lent", 5)], {"a": 20, "b": 5}),
    "unlinked pays the oldest first": (
        [entry("a", "lent", 20, day=9), entry("b", "lent", 20, day=2), entry("c", "owed", 25, day=10)],
        {"a": 15, "b": 0, "c": 0},
    ),
    "of one day the earlier seq is older": (
        [entry("a", "lent", 20), entry("b", "lent", 20), entry("c", "owed", 25)],
        {"a": 0, "b": 15, "c": 0},
    ),
    "a link pays its own debt, though another is older": (
        [entry("a", "lent", 20), entry("b", "lent", 20, day=5), entry("c", "owed", 15, day=6, repays="b")],
        {"a": 20, "b": 5, "c": 0},
    ),
    "the excess of a link pays the oldest other debt": (
        [entry("a", "lent", 20), entry("b", "lent", 20, day=5), entry("c", "owed", 50, day=6, repays="b")],
        {"a": 0, "b": 0, "c": 10},
    ),
    "of several links the last one carries the excess": (
        [
            entry("a", "owed", 30),
            entry("b", "lent", 25, day=8, repays="a"),
            entry("c", "lent", 20, day=3, repays="a"),
        ],
        {"a": 0, "b": 15, "c": 0},
    ),
    "a link to a deleted debt counts as unlinked": (
        [entry("a", "lent", 20, deleted=True), entry("b", "lent", 30), entry("c", "owed", 20, repays="a")],
        {"b": 10, "c": 0},
    ),
    "a deleted repayment pays nothing": (
        [entry("a", "lent", 20), entry("b", "owed", 20, repays="a", deleted=True)],
        {"a": 20},
    ),
    "a link in the same direction counts as unlinked": (
        [entry("a", "lent", 20), entry("b", "lent", 5, repays="a")],
        {"a": 20, "b": 5},
    ),
    "a link to something that is a link itself counts as unlinked": (
        [entry("a", "lent", 20), entry("b", "owed", 10, day=2, repays="a"), entry("c", "lent", 4, repays="b")],
        {"a": 10, "b": 0, "c": 4},
    ),
    "a link to oneself counts as unlinked": ([entry("a", "lent", 20, repays="a")], {"a": 20}),
    "whoever pays too much is owed": ([entry("a", "lent", 20), entry("b", "owed", 25)], {"a": 0, "b": 5}),
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_what_is_open(example: tuple[list[Entry], dict[str, int]]) -> None:
    entries, expected = example
    assert allocation.open_amounts(entries) == {IDS[name]: amount for name, amount in expected.items()}


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """Any history of one contact and currency, with links to anything, itself and nothing."""
    names = NAMES[: draw(st.integers(0, len(NAMES)))]
    return [
        entry(
            name,
            draw(st.sampled_from(["lent", "owed"])),
            draw(st.integers(1, 30)),
            draw(st.integers(1, 5)),
            repays=draw(st.none() | st.sampled_from(NAMES)),
            deleted=draw(st.sampled_from([False, False, False, True])),
        )
        for name in names
    ]


def _total(entries: list[Entry], direction: str, amount: Callable[[Entry], int]) -> int:
    return sum(amount(entry) for entry in entries if entry.direction == direction and not entry.deleted)


@given(histories())
def test_what_is_open_adds_up_to_the_balance_in_one_direction(history: list[Entry]) -> None:
    opened = allocation.open_amounts(history)
    lent, owed = (_total(history, direction, lambda entry: opened[entry.id]) for direction in ("lent", "owed"))
    assert lent - owed == _total(history, "lent", lambda entry: entry.amount) - _total(
        history, "owed", lambda entry: entry.amount
    )
    assert min(lent, owed) == 0


@given(histories())
def test_every_live_entry_has_between_nothing_and_all_of_it_open(history: list[Entry]) -> None:
    opened = allocation.open_amounts(history)
    assert set(opened) == {entry.id for entry in history if not entry.deleted}
    assert all(0 <= opened[entry.id] <= entry.amount for entry in history if not entry.deleted)


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_the_arguments_does_not_matter(history: list[Entry], random: Random) -> None:
    shuffled = list(history)
    random.shuffle(shuffled)
    assert allocation.open_amounts(shuffled) == allocation.open_amounts(history)


@given(histories())
def test_exchanging_the_directions_exchanges_nothing_else(history: list[Entry]) -> None:
    other = {"lent": "owed", "owed": "lent"}
    mirrored = [
        Entry(e.id, other[e.direction], e.amount, e.ripe, e.seq, e.repays, e.deleted)  # type: ignore[arg-type]
        for e in history
    ]
    assert allocation.open_amounts(mirrored) == allocation.open_amounts(history)
