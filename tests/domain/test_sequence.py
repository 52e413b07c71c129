"""A push: its items in order, an outcome each; what is answered from memory, and what may come again."""

import uuid
from typing import Any

from domain import errors, facts
from domain.sequence import take
from tests.domain.device import MAY_COME_AGAIN
from tests.domain.story import A, B, Story
from tests.domain.story import story as story  # the fixture
from tests.factories import DEFAULTS


def test_what_needs_a_rejected_command_fails_with_it_and_nothing_else_does(story: Story) -> None:
    bad = story.make(A, "contact CREATED", "ana", event="bad", name="Ana again")
    worse = story.make(A, "transaction CREATED", "x", event="worse", contact_id=str(uuid.uuid4()), direction="lent", amount=1)
    needs_event = story.make(A, "contact UNDO", "ana", undone_event_id="bad")
    settles = story.make(A, "contact UPDATED", "ana", resolves="bad")
    needs_thing = story.make(A, "transaction UPDATED", "x", amount=2)
    fine = story.make(A, "contact UPDATED", "ana", notes="fine")
    outcomes = story.push(bad, worse, needs_event, settles, needs_thing, fine)
    assert [outcome.code or outcome.status for outcome in outcomes] == [
        "already_exists",
        "unknown_contact",
        "dependency_failed",
        "dependency_failed",
        "dependency_failed",
        "accepted",
    ]
    again = story.push(bad, worse, needs_event, settles, needs_thing, fine)
    assert again[:-1] == outcomes[:-1], "also where the answer comes from what is remembered"


def test_a_thing_that_was_refused_can_be_made_later_in_the_same_push(story: Story) -> None:
    tea: Any = {"direction": "lent", "amount": 3}
    refused = story.make(A, "transaction CREATED", "tea", contact_id=str(uuid.uuid4()), **tea)
    anew = story.make(A, "transaction CREATED", "tea", contact_id="ana", **tea)
    assert [outcome.status for outcome in story.push(refused, anew)] == ["rejected", "accepted"]


def test_what_names_a_thing_that_was_refused_fails_with_it(story: Story) -> None:
    bo = story.id("bo")
    unread = facts.Unreadable(story.id("bad"), errors.Invalid("no name"), "{}", fingerprinted={}, key=("contact", bo))
    debt = story.make(A, "transaction CREATED", "tea", contact_id="bo", direction="lent", amount=3)
    assert [outcome.code for outcome in story.push(unread, debt)] == ["invalid", "dependency_failed"]
    story.does(A, "contact CREATED", "bo", name="Bo")
    outcomes = story.push(unread, debt)
    assert [outcome.code or outcome.status for outcome in outcomes] == ["invalid", "accepted"], "it is there meanwhile"


def test_an_id_is_of_one_command_whether_it_was_accepted_or_not(story: Story) -> None:
    bad = story.make(A, "contact CREATED", "ana", event="bad", name="Ana again")
    good = story.make(A, "contact UPDATED", "ana", event="good", notes="fine")
    first = story.push(bad, good)
    again = story.push(bad, good)
    assert (again[0], again[1].status, again[1].first, again[1].seq) == (first[0], "duplicate", "accepted", first[1].seq)
    others = [story.make(A, "contact UPDATED", "ana", event=name, notes="else") for name in ("bad", "good")]
    assert [outcome.code for outcome in story.push(*others)] == ["id_reused", "id_reused"]
    [skipped] = take(story.book, others[1:], defaults=DEFAULTS, skip_known=True)
    assert (skipped.status, skipped.seq) == ("duplicate", first[1].seq), "an import knows rows by their ids alone"


def test_rejections_are_remembered_unless_what_they_lack_may_still_come(story: Story) -> None:
    nobody = str(uuid.uuid4())
    refused = [
        story.make(A, "transaction CREATED", "x", contact_id=nobody, direction="lent", amount=1),
        story.make(A, "transaction UPDATED", "y", amount=1),
        story.make(A, "transaction UNDO", "lunch", undone_event_id=nobody),
        story.make(A, "contact CREATED", "ana", name="again"),
        story.make(A, "contact UNDO", "ana", undone_event_id="lent"),
        story.make(A, "contact UPDATED", "ana", resolves=nobody),
        story.make(A, "transaction UPDATED", "lunch", currency="XXX"),
    ]
    outcomes = story.push(*refused)
    assert {outcome.status for outcome in outcomes} == {"rejected"}
    remembered = {outcome.id for outcome in outcomes if outcome.code not in MAY_COME_AGAIN}
    assert set(story.book.refusals) == remembered
    assert len(remembered) == 3


def test_a_settlement_that_comes_before_its_conflict_may_come_again(story: Story) -> None:
    """A restored backup lacks both, and the device that settled it is the first one that comes back."""
    settles = story.make(B, "transaction UPDATED", "lunch", base=3, event="settles", amount=1200, resolves=story.id("late"))
    assert story.push(settles)[0].code == "unknown_conflict"
    story.does(B, "transaction UPDATED", "lunch", amount=1300)
    assert story.does(A, "transaction UPDATED", "lunch", base=2, event="late", amount=1200).code == "edit"
    assert story.push(settles)[0].status == "accepted"
    assert story.book.ledger.conflicts[story.ids["late"]].resolved_by is not None
