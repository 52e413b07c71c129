"""A log that was decided elsewhere: it folds to the same, with new times, and nothing that could not be is taken over."""

import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from domain import chain, errors, facts
from domain.adoption import adopt
from domain.facts import Fact
from domain.fold import Ledger
from tests.domain.story import A, B, Story

NOW = "2027-01-01T00:00:00.000000Z"


def told() -> Story:
    """Everything that can happen, one fact after the other: the comments are seqs."""
    story = Story()
    story.does(A, "contact CREATED", "ana", name="Ana", phone="+34 600")  # 1
    lunch: dict[str, Any] = {"contact_id": "ana", "direction": "lent", "amount": 1000, "due_date": "2026-12-24"}
    story.does(A, "transaction CREATED", "lunch", event="lent", **lunch)  # 2
    story.does(A, "reminder CREATED", "call", remind_at="2026-12-01T09:00:00Z", transaction_id="lunch")  # 3
    story.does(B, "transaction UPDATED", "lunch", event="edit", amount=1300)  # 4
    story.does(A, "transaction UPDATED", "lunch", base=3, event="late", amount=1100)  # 5: a conflict
    story.does(A, "transaction UPDATED", "lunch", amount=1200, resolves="late")  # 6
    story.does(B, "contact UPDATED", "ana", base=3, event="notes", notes="from work")  # 7
    story.does(A, "transaction DELETED", "lunch", event="gone")  # 8: with its reminder
    story.does(A, "transaction UNDO", "lunch", undone_event_id="gone")  # 9
    story.does(A, "contact DELETED", "ana")  # 10: with all of it
    story.does(A, "contact RESTORED", "ana")  # 11
    story.does(A, "transaction DELETED", "lunch")  # 12
    story.does(A, "reminder RESTORED", "call")  # 13: of a debt that is deleted
    return story


STORY = told()
LOG = [fact for fact, _ in STORY.book.steps]


def taken_over(log: list[Fact]) -> Ledger:
    ledger, known = Ledger("another"), dict[str, Fact]()
    for fact in log:
        stamped, step = adopt(ledger, fact, recorded_at=NOW, undone=known.get(fact.undoes or ""))
        ledger.take(step).hash = chain.link(ledger.hash, chain.canonical(stamped))
        known[fact.id] = stamped
    return ledger


def test_it_folds_to_the_same_with_the_times_of_whoever_takes_it_over() -> None:
    there, here = STORY.book.ledger, taken_over(LOG)
    assert [fact.event_type for fact in LOG].count("UPDATED") == 4
    assert here.version == there.version == 13
    assert here.entities.keys() == there.entities.keys()
    for key, entity in here.entities.items():
        was = there.entities[key]
        assert (entity.fields, entity.live, entity.changed_seq) == (was.fields, was.live, was.changed_seq)
        assert entity.updated_at == NOW
    assert {name: one.resolved_by for name, one in here.conflicts.items()} == {
        name: one.resolved_by for name, one in there.conflicts.items()
    }
    assert here.undone == there.undone


def damaged(seq: int, path: str, value: Any) -> list[Fact]:
    """The log with another value at `path` of a fact; an empty object stands for nothing at all."""
    log = [msgspec.json.decode(chain.canonical(fact)) for fact in LOG]
    *steps, last = path.split("/")
    place = log[seq - 1]
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    key: Any = int(last) if isinstance(place, list) else last
    if value == {}:
        del place[key]
    else:
        place[key] = value
    return msgspec.convert(log, list[Fact])


def cases() -> Iterator[tuple[int, str, Any, str]]:
    """Seq, path, value, and the pointer of the refusal."""
    stranger, ana, lunch = str(uuid.UUID(int=7)), LOG[0].aggregate_id, LOG[1].aggregate_id
    yield 4, "seq", 5, "/seq"
    yield 4, "base_seq", 4, "/base_seq"
    yield 4, "base_seq", -1, "/base_seq"
    yield 4, "id", LOG[3].id.upper(), "/id"
    yield 4, "device_id", "phone", "/device_id"
    yield 4, "timestamp", "2026-11-22", "/timestamp"
    yield 4, "recorded_at", "2026-11-22T20:00:00", "/recorded_at"
    yield 4, "event_data/colour", "red", "/event_data"
    yield 4, "status", "conflict", "/conflict"
    yield 5, "status", "accepted", "/conflict"
    yield 5, "conflict/with_seq", 5, "/conflict/with_seq"
    yield 5, "conflict/with_seq", 0, "/conflict/with_seq"
    yield 5, "conflict/kept/colour", "red", "/conflict"
    yield 5, "conflict/offered/colour", "red", "/conflict"
    yield 4, "overwrote", {"colour": "red"}, "/overwrote"
    yield 1, "salt", {}, "/salt"
    yield 1, "salt", "0" * 31, "/salt"
    yield 1, "salt", "g" * 32, "/salt"
    yield 6, "event_data/resolves", stranger, "/event_data/resolves"
    yield 7, "event_data/resolves", LOG[4].id, "/event_data/resolves"
    yield 9, "event_data/undone_event_id", stranger, "/event_data/undone_event_id"
    yield 9, "event_data/undone_event_id", LOG[6].id, "/event_data/undone_event_id"
    yield 4, "changes/0/aggregate_id", stranger, "/changes/0/op"
    yield 4, "changes/0/aggregate_id", "lunch", "/changes/0/aggregate_id"
    yield 4, "changes/0/op", "create", "/changes/0/op"
    yield 4, "changes/0/op", "delete", "/changes/0/fields"
    yield 4, "changes/0/fields/colour", ["red", "blue"], "/changes/0/fields"
    yield 4, "changes/0/fields/amount/0", 999, "/changes/0/fields/amount/0"
    yield 4, "changes/0/fields/amount/1", 0, "/changes/0/fields"
    yield 4, "changes/0/fields/amount/1", None, "/changes/0/fields"
    yield 4, "changes/0/fields/contact_id", [ana, stranger], "/changes/0/fields/contact_id"
    yield 4, "changes/0/fields/repays", [None, stranger], "/changes/0/fields/repays"
    yield 4, "changes/0/fields/returned_at", [None, NOW], "/changes/0/fields/returned_at"
    yield 4, "changes/0/fields/deleted_at", [None, NOW], "/changes/0/fields"
    yield 2, "changes/0/fields/description", [None, None], "/changes/0/fields"
    yield 3, "changes/0/fields/remind_at", [None, "2026-12-01T09:00:00Z"], "/changes/0/fields"
    yield 8, "changes/0/fields/description", [None, "x"], "/changes/0/fields"
    yield 8, "changes/0/fields/deleted_at", [NOW, NOW], "/changes/0/fields/deleted_at"
    yield 8, "changes/0/fields/deleted_at", [None, "yesterday"], "/changes/0/fields/deleted_at"
    yield 8, "changes/0/op", "restore", "/changes/0/fields/deleted_at"
    yield 9, "changes/0/op", "delete", "/changes/0/fields/deleted_at"
    yield 11, "changes/0/fields/deleted_at", [NOW, NOW], "/changes/0/fields/deleted_at"
    yield 11, "changes/1", LOG[10].changes[0], "/changes"
    yield 10, "changes", [change for change in LOG[9].changes if change.aggregate_id != lunch], "/changes/0/op"
    yield 11, "changes", [change for change in LOG[10].changes if change.aggregate_id != ana], "/changes/1/fields/contact_id"


CASES = list(cases())


@pytest.mark.parametrize(("seq", "path", "value", "pointer"), CASES, ids=[f"{seq}/{path}" for seq, path, *_ in CASES])
def test_what_could_not_be_is_refused_where_it_stands(seq: int, path: str, value: Any, pointer: str) -> None:
    log = damaged(seq, path, msgspec.to_builtins(value))
    taken_over(log[: seq - 1])
    with pytest.raises(errors.Invalid) as refused:
        taken_over(log[:seq])
    assert [error.pointer for error in refused.value.errors] == [pointer]


def test_a_fact_has_no_more_changes_than_one_that_is_decided() -> None:
    log = damaged(11, "changes", [msgspec.to_builtins(LOG[10].changes[0])] * (facts.MAX_CHANGES + 1))
    with pytest.raises(errors.Invalid) as refused:
        taken_over(log)
    assert [error.detail for error in refused.value.errors] == [f"more than {facts.MAX_CHANGES}"]
