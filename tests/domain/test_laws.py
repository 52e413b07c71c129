"""Laws that hold whatever devices send: no database, thousands of random histories."""

import hashlib
from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import chain, facts
from domain.fold import Entity, Ledger, fold
from domain.sequence import Book, take
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
@settings(max_examples=60, deadline=None)
def test_decisions_are_deterministic(seed: int) -> None:
    first, second = history(seed), history(seed)
    assert first.ledger == second.ledger
    assert [known.text for known in first.known.values()] == [known.text for known in second.known.values()]


@given(seeds)
@settings(max_examples=100, deadline=None)
def test_folding_the_log_gives_the_state(seed: int) -> None:
    book, again = history(seed), Ledger("l")
    for known in sorted(book.known.values(), key=lambda known: known.seq):
        again.take(fold(again, known.fact()))
    assert again.entities == book.ledger.entities
    assert (again.version, again.turnover) == (book.ledger.version, book.ledger.turnover)


@given(seeds)
@settings(max_examples=100, deadline=None)
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
@settings(max_examples=100, deadline=None)
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
@settings(max_examples=100, deadline=None)
def test_what_is_live_hangs_on_something_live(seed: int) -> None:
    entities = history(seed).ledger.entities
    for entity in entities.values():
        contact_id = entity.fields.get("contact_id")
        if entity.live and contact_id is not None:
            assert entities["contact", contact_id].live


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_no_accepted_money_disappears_without_a_users_event(seed: int) -> None:
    """What a transaction's MONEY is now was said by some event about it that came later than all the others it lost to."""
    book = history(seed)
    money: dict[str, dict[str, Any]] = {}
    for fact in log(book):
        for change in fact.changes:
            touched = {name: pair[1] for name, pair in change.fields.items() if facts.group("transaction", name) == "MONEY"}
            if change.aggregate_type != "transaction" or not touched:
                continue
            assert fact.aggregate_id == change.aggregate_id, "nobody else's event changes what is owed"
            assert touched.items() <= ({"type": "money", "amount": 1, "currency": "EUR"} | fact.event_data).items()
            money.setdefault(change.aggregate_id, {}).update(touched)
    for transaction_id, said in money.items():
        entity: Entity = book.ledger.entities["transaction", transaction_id]
        assert {name: value for name, value in entity.fields.items() if name in facts.MONEY and value is not None} == {
            name: value for name, value in said.items() if value is not None
        }


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_batches_do_not_matter(seed: int) -> None:
    """The same commands in one push or one by one give the same facts."""
    one_by_one = history(seed, 40)
    chaos, apart = Chaos(seed), Book(Ledger("l"), KEY, "2026-11-22T20:00:00.000001Z")
    together = Book(Ledger("l"), KEY, "2026-11-22T20:00:00.000001Z")
    items = []
    for _ in range(40):
        items.append(chaos.next(apart.ledger.version))
        chaos.hear(take(apart, items[-1:], defaults=DEFAULTS))
    take(together, items, defaults=DEFAULTS)
    unclocked = [(fact.id, fact.status) for fact in log(one_by_one)]
    assert [(fact.id, fact.status) for fact in log(apart)] == unclocked
    assert {fact.id for fact in log(together)} <= {fact.id for fact in log(apart)}, (
        "dependants of a rejected command fail with it"
    )


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_the_chain_links_every_fact(seed: int) -> None:
    digest: bytes | None = None
    for known in sorted(history(seed).known.values(), key=lambda known: known.seq):
        assert chain.canonical(msgspec.json.decode(known.text)) == known.text
        digest = hashlib.sha256((digest or b"") + hashlib.sha256(known.text).digest()).digest()
        assert known.hash == digest
