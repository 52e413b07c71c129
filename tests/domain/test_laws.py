"""Laws that hold whatever devices send: no database, thousands of random histories."""

import datetime
import hashlib
import itertools
import random
from collections import Counter
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from domain import allocation, chain, facts
from domain.fold import Entity, Ledger, fold
from domain.sequence import Book, Outcome, take
from tests import factories
from tests.factories import DEFAULTS, Chaos

KEY = bytes(32)
seeds = st.integers(0, 2**32)


def history(seed: int, length: int = 60) -> Book:
    """A ledger after random commands, one batch each."""
    chaos, book = Chaos(seed), Book(Ledger("l"), KEY, "")
    for number in range(length):
        book.recorded_at = f"2026-11-22T20:00:{number:02}.000001Z"
        chaos.hear(take(book, [chaos.next(book.ledger.version)], defaults=DEFAULTS))
    return book


def log(book: Book) -> list[facts.Fact]:
    return [fact for fact, _ in book.steps]


@given(seeds)
def test_decisions_are_deterministic(seed: int) -> None:
    first, second = history(seed), history(seed)
    assert first.ledger == second.ledger
    assert [known.text for known in first.known.values()] == [known.text for known in second.known.values()]


@given(seeds)
def test_folding_the_log_gives_the_state(seed: int) -> None:
    book, again = history(seed), Ledger("l")
    for known in sorted(book.known.values(), key=lambda known: known.seq):
        again.take(fold(again, known.fact()))
    assert again.entities == book.ledger.entities
    assert (again.version, again.turnover) == (book.ledger.version, book.ledger.turnover)


@given(seeds)
def test_every_change_names_what_was_there_before(seed: int) -> None:
    values: dict[tuple[str, str, str], Any] = {}
    for fact in log(history(seed)):
        for change in fact.changes:
            for name, (before, after) in change.fields.items():
                place = (change.aggregate_type, change.aggregate_id, name)
                assert values.get(place) == before
                assert before != after
                values[place] = after


@given(seeds)
def test_balances_are_what_the_live_transactions_say(seed: int) -> None:
    book = history(seed)
    posted: Counter[tuple[str, str]] = Counter()
    for _, step in book.steps:
        for posting in step.postings:
            assert posting.amount != 0
            posted[posting.contact_id, posting.currency] += posting.amount
    live: Counter[tuple[str, str]] = Counter()
    for entity in book.ledger.entities.values():
        if entity.live and entity.fields.get("type") == "money":
            sign = 1 if entity.fields["direction"] == "lent" else -1
            live[entity.fields["contact_id"], entity.fields["currency"]] += sign * entity.fields["amount"]
    assert {key: amount for key, amount in posted.items() if amount} == {key: amount for key, amount in live.items() if amount}


@given(seeds)
def test_what_is_live_hangs_on_something_live(seed: int) -> None:
    entities = history(seed).ledger.entities
    for entity in entities.values():
        contact_id = entity.fields.get("contact_id")
        if entity.live and contact_id is not None:
            assert entities["contact", contact_id].live


@given(seeds)
def test_no_accepted_money_disappears_without_a_users_event(seed: int) -> None:
    """What a transaction's MONEY is now was said by an event about it: what it was, where that undid another."""
    book = history(seed)
    said: dict[str, dict[str, Any]] = {}
    by_id = {fact.id: fact for fact in log(book)}
    for fact in log(book):
        for change in fact.changes:
            touched = {name: pair[1] for name, pair in change.fields.items() if facts.group("transaction", name) == "MONEY"}
            if change.aggregate_type != "transaction" or not touched:
                continue
            assert fact.aggregate_id == change.aggregate_id, "nobody else's event changes what is owed"
            assert touched.items() <= (_before(by_id[fact.undoes]) if fact.undoes else _told(fact)).items()
            said.setdefault(change.aggregate_id, {}).update(touched)
    for transaction_id, values in said.items():
        entity: Entity = book.ledger.entities["transaction", transaction_id]
        assert {name: value for name, value in entity.fields.items() if name in facts.MONEY and value is not None} == {
            name: value for name, value in values.items() if value is not None
        }


def _told(fact: facts.Fact) -> dict[str, Any]:
    return {"type": "money", "amount": 1, "currency": "EUR"} | fact.event_data


def _before(undone: facts.Fact) -> dict[str, Any]:
    return {name: pair[0] for change in undone.changes if change.key == undone.key for name, pair in change.fields.items()}


@given(seeds)
def test_what_is_open_adds_up_to_the_balance(seed: int) -> None:
    pockets: dict[tuple[str, str], list[allocation.Entry]] = {}
    balance: Counter[tuple[str, str]] = Counter()
    for entity in history(seed).ledger.entities.values():
        if entity.aggregate_type != "transaction" or entity.fields["type"] != "money":
            continue
        ripe = datetime.date.fromisoformat(entity.fields["due_date"] or entity.fields["transaction_date"])
        entry = allocation.Entry(
            id=UUID(entity.id),
            direction=entity.fields["direction"],
            amount=entity.fields["amount"],
            ripe=ripe,
            seq=entity.created_seq,
            repays=None if entity.fields["repays"] is None else UUID(entity.fields["repays"]),
            deleted=not entity.live,
        )
        account = (entity.fields["contact_id"], entity.fields["currency"])
        pockets.setdefault(account, []).append(entry)
        if entity.live:
            balance[account] += entry.amount if entry.direction == "lent" else -entry.amount
    for account, entries in pockets.items():
        opened = allocation.open_amounts(entries)
        signed = [opened.get(entry.id, 0) * (1 if entry.direction == "lent" else -1) for entry in entries]
        assert sum(signed) == balance[account]


def shown(book: Book) -> dict[facts.Key, dict[str, Any]]:
    """What a user sees: the fields of everything that is live."""
    return {key: entity.fields for key, entity in book.ledger.entities.items() if entity.live}


def accounts(book: Book) -> dict[tuple[str, str], int]:
    sums: Counter[tuple[str, str]] = Counter()
    for _, step in book.steps:
        for posting in step.postings:
            sums[posting.contact_id, posting.currency] += posting.amount
    return {account: amount for account, amount in sums.items() if amount}


@given(seeds)
def test_undo_restores_exactly_what_there_was(seed: int) -> None:
    """Whatever the event was: what is shown and owed after its UNDO is what was shown and owed before it."""
    chaos, book = Chaos(seed), history(seed, 30)
    chaos.hear_of(*_as_sent(book))
    undone = 0
    for number in range(40):
        before, owed, open_before = shown(book), accounts(book), _open(book)
        made = chaos.next(book.ledger.version)
        [outcome] = take(book, [made], defaults=DEFAULTS)
        chaos.hear([outcome])
        if outcome.status not in ("accepted", "conflict") or made.event_type == "UNDO":
            continue
        undo = command("UNDO", made, number)
        [undoing] = take(book, [undo], defaults=DEFAULTS)
        chaos.hear_of([undo], [undoing])
        assert undoing.status == "accepted", undoing
        assert shown(book) == before
        assert accounts(book) == owed
        assert _open(book) - {made.id} == open_before
        undone += 1
    assert undone


def command(event_type: facts.EventType, about: facts.Command, number: int) -> facts.Command:
    return factories.command(
        about.aggregate_type,
        event_type,
        about.aggregate_id,
        {"undone_event_id": about.id},
        event_id=str(UUID(int=number, version=4)),
        device_id=about.device_id,
    )


def _as_sent(book: Book) -> tuple[list[facts.Command], list[Outcome]]:
    """The commands of a log, for a Chaos that has not seen them."""
    made = [
        factories.command(fact.aggregate_type, fact.event_type, fact.aggregate_id, fact.event_data, event_id=fact.id)
        for fact in log(book)
    ]
    return made, [Outcome(id=one.id, status="accepted") for one in made]


def _open(book: Book) -> set[str]:
    return {event_id for event_id, dispute in book.ledger.conflicts.items() if dispute.resolved_by is None}


@given(seeds)
def test_retries_in_between_change_nothing(seed: int) -> None:
    """Interleavings of pushes that leave the order of what is new the same leave everything the same."""
    chaos, dice = Chaos(seed), random.Random(seed)
    plain, repeated = (Book(Ledger("l"), KEY, "2026-11-22T20:00:00.000001Z") for _ in range(2))
    sent: list[facts.Command] = []
    for _ in range(40):
        sent.append(chaos.next(plain.ledger.version))
        chaos.hear(take(plain, sent[-1:], defaults=DEFAULTS))
        taken = [one for one in sent if one.id in repeated.known]
        again = dice.sample(taken, min(len(taken), 3))
        outcomes = take(repeated, [*again, sent[-1], *again], defaults=DEFAULTS)
        assert {outcome.status for outcome in outcomes[: len(again)]} <= {"duplicate"}
    assert [known.text for known in repeated.known.values()] == [known.text for known in plain.known.values()]
    assert repeated.ledger == plain.ledger


@given(seeds)
def test_one_push_or_many_until_something_needs_what_was_rejected(seed: int) -> None:
    """A batch differs from single pushes only in that what needs a rejected command of the same push fails with it."""
    chaos, apart, together = Chaos(seed), *(Book(Ledger("l"), KEY, "2026-11-22T20:00:00.000001Z") for _ in range(2))
    items, outcomes = [], []
    for _ in range(40):
        items.append(chaos.next(apart.ledger.version))
        outcomes += take(apart, items[-1:], defaults=DEFAULTS)
        chaos.hear(outcomes[-1:])
    for single, batched in zip(outcomes, take(together, items, defaults=DEFAULTS), strict=True):
        if batched.code == "dependency_failed":
            assert single.status != "accepted"  # alone, an edit of something deleted is kept whatever it names
            return
        assert batched == single


@given(seeds, st.lists(st.integers(1, 9), min_size=1))
def test_pages_of_any_size_fold_to_the_same(seed: int, pages: list[int]) -> None:
    """Nothing depends on where a reader stopped: state and head come from the facts alone."""
    book = history(seed)
    known, again, at = sorted(book.known.values(), key=lambda one: one.seq), Ledger("l"), 0
    for size in itertools.cycle(pages):
        for one in known[at : at + size]:
            again.take(fold(again, msgspec.json.decode(one.text, type=facts.Fact)))
        at += size
        if at >= len(known):
            break
    assert (again.entities, again.conflicts, again.undone) == (
        book.ledger.entities,
        book.ledger.conflicts,
        book.ledger.undone,
    )


@given(seeds)
def test_the_chain_links_every_fact(seed: int) -> None:
    digest: bytes | None = None
    for known in sorted(history(seed).known.values(), key=lambda known: known.seq):
        assert chain.canonical(msgspec.json.decode(known.text)) == known.text
        digest = hashlib.sha256((digest or b"") + hashlib.sha256(known.text).digest()).digest()
        assert known.hash == digest
