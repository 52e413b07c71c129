"""The judge of the senders: what is right passes, and whatever is wrong with it is seen."""

import datetime
from dataclasses import replace

import pytest

from tests.faults import deliveries
from tests.faults.deliveries import Attempt, Row
from tests.faults.providers import Call

AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
BUSY = Call("m", AT + SECOND, "busy", not_before=AT + 10 * SECOND)
UNHEARD, HEARD = Call("m", AT + 11 * SECOND, "ok"), Call("m", AT + 21 * SECOND, "ok")
ATTEMPTS = [
    Attempt(AT, AT + 2 * SECOND, "transient"),
    Attempt(AT + 10 * SECOND, AT + 19 * SECOND, None),
    Attempt(AT + 20 * SECOND, AT + 22 * SECOND, "sent"),
]


def verdict(*calls: Call, state: str = "sent", attempts: list[Attempt] | None = None) -> deliveries.Verdict:
    return deliveries.compare({"m": Row("email", state, None, ATTEMPTS if attempts is None else attempts)}, calls)


def test_a_message_whose_answer_was_lost_counts_as_twice_on_both_sides() -> None:
    found = verdict(BUSY, UNHEARD, HEARD)
    assert (found.lost, found.duplicates, found.duplicates_counted, found.unanswered) == ([], 1, 1, 1)


def test_a_call_that_never_arrived_is_unanswered_and_no_duplicate() -> None:
    found = verdict(BUSY, HEARD)
    assert (found.lost, found.duplicates, found.duplicates_counted, found.unanswered) == ([], 0, 0, 1)


def test_what_was_accepted_and_is_held_for_refused_shows_in_the_numbers() -> None:
    found = verdict(replace(BUSY, kind="ok", not_before=None), HEARD)
    assert (found.duplicates, found.duplicates_counted) == (1, 0)


@pytest.mark.parametrize("state", ["pending", "leased", "suppressed"])
def test_what_is_not_over_is_lost(state: str) -> None:
    assert len(verdict(BUSY, state=state, attempts=ATTEMPTS[:1]).lost) == 1


def test_what_nobody_accepted_is_lost() -> None:
    assert len(verdict(BUSY, attempts=ATTEMPTS[:1]).lost) == 1


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([BUSY, UNHEARD], "sent, says the database alone"),
        ([BUSY, replace(HEARD, kind="error")], "sent, says the database alone"),
        ([BUSY, HEARD, replace(HEARD, at=HEARD.at + SECOND)], "two calls in one attempt"),
        ([replace(BUSY, at=AT - SECOND, not_before=None), HEARD], "a call before its attempt was written down"),
        ([BUSY, replace(UNHEARD, at=BUSY.at + 8 * SECOND), HEARD], "1.000 s before the provider wanted to be asked again"),
        ([BUSY, HEARD, replace(HEARD, message="another")], "a call for a message that is not in the outbox"),
    ],
)
def test_what_must_not_be_is_said(calls: list[Call], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        verdict(*calls)


def test_more_attempts_than_are_allowed_are_seen() -> None:
    with pytest.raises(AssertionError, match="6 attempts"):
        verdict(HEARD, attempts=[*ATTEMPTS[:1] * 5, *ATTEMPTS[2:]])
