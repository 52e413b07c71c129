"""The rules of decision by example: two devices, one ledger, and what the log says in the end."""

import datetime
import uuid
from typing import Any

import pytest
from msgspec import UNSET, structs

from domain import decide, facts, money
from tests.domain.story import A, B, Story
from tests.domain.story import story as story  # the fixture

# --- updates ---------------------------------------------------------------------------------------------------------


def test_a_zone_that_this_machine_no_longer_knows_is_utc() -> None:
    assert decide.today("2026-11-30T23:30:00Z", "Europe/Berlin") == datetime.date(2026, 12, 1)
    assert decide.today("2026-11-30T23:30:00Z", "Europe/Nowhere") == datetime.date(2026, 11, 30)


def test_a_newer_description_wins_and_says_what_it_overwrote(story: Story) -> None:
    story.does(B, "contact UPDATED", "ana", notes="from work")
    outcome = story.does(A, "contact UPDATED", "ana", base=3, notes="from the gym")
    assert (outcome.status, outcome.overwrote) == ("accepted", {"notes": "from work"})
    assert story.fact().overwrote == {"notes": "from work"}


def test_nothing_is_overwritten_where_nobody_else_wrote(story: Story) -> None:
    story.does(A, "contact UPDATED", "ana", notes="from work")
    assert story.does(B, "contact UPDATED", "ana", notes="from the gym").overwrote is UNSET


def test_ones_own_queue_is_causal(story: Story) -> None:
    """Two offline edits of one device have the same base; the second is not held against the first."""
    story.does(A, "transaction UPDATED", "lunch", base=3, amount=900)
    outcome = story.does(A, "transaction UPDATED", "lunch", base=3, amount=800)
    assert (outcome.status, outcome.overwrote) == ("accepted", UNSET)


def test_a_device_without_a_name_is_always_another(story: Story) -> None:
    story.does(None, "transaction UPDATED", "lunch", amount=900)
    assert story.fact().device_id is UNSET
    assert story.does(None, "transaction UPDATED", "lunch", base=3, amount=800).code == "edit"


def test_money_that_changed_since_is_kept_and_the_rest_of_the_patch_applied(story: Story) -> None:
    story.does(B, "transaction UPDATED", "lunch", amount=1300)
    outcome = story.does(A, "transaction UPDATED", "lunch", base=3, direction="owed", description="lunch")
    assert (outcome.status, outcome.code) == ("conflict", "edit")
    fact = story.fact()
    assert fact.conflict == facts.Conflict("edit", {"direction": "lent"}, {"direction": "owed"}, 4)
    assert [change.fields for change in fact.changes] == [{"description": (None, "lunch")}]
    assert story.balance() == 1300


def test_the_same_value_is_no_conflict_and_moves_no_mark(story: Story) -> None:
    story.does(B, "transaction UPDATED", "lunch", amount=1300)
    assert story.does(A, "transaction UPDATED", "lunch", base=3, amount=1300).status == "accepted"
    assert story.fact().changes == []
    assert story.does(B, "transaction UPDATED", "lunch", base=4, amount=1400).status == "accepted"


def test_a_schedule_is_one_register(story: Story) -> None:
    story.does(B, "reminder UPDATED", "call", remind_at="2026-12-02T09:00:00Z")
    outcome = story.does(A, "reminder UPDATED", "call", base=3, channels=["push"], message="call her")
    assert outcome.code == "edit"
    assert story.fact().conflict == facts.Conflict("edit", {"channels": ["email", "push"]}, {"channels": ["push"]}, 4)
    assert story.entity("reminder", "call").fields["message"] == "call her"


def test_an_edit_of_something_deleted_is_kept_whole(story: Story) -> None:
    story.does(B, "transaction DELETED", "lunch")
    outcome = story.does(A, "transaction UPDATED", "lunch", base=3, amount=5, description="late")
    assert outcome.code == "edit_of_deleted"
    deleted_at = story.entity("transaction", "lunch").deleted_at
    offered = {"amount": 5, "description": "late"}
    assert story.fact().conflict == facts.Conflict("edit_of_deleted", {"deleted_at": deleted_at}, offered, 4)
    assert story.fact().changes == []


# --- deletions and restorations --------------------------------------------------------------------------------------


def test_a_debt_whose_money_changed_since_is_not_deleted(story: Story) -> None:
    story.does(B, "transaction UPDATED", "lunch", amount=1300)
    assert story.does(A, "transaction DELETED", "lunch", base=3).code == "delete_vs_edit"
    conflict = story.fact().conflict
    assert conflict
    assert conflict.kept == {
        "type": "money",
        "direction": "lent",
        "amount": 1300,
        "currency": "EUR",
        "contact_id": story.ids["ana"],
        "item": None,
    }
    assert (conflict.offered, conflict.with_seq) == ({"deleted_at": story.fact().recorded_at}, 4)
    assert story.live("transaction", "lunch")
    assert story.does(A, "transaction DELETED", "lunch").status == "accepted"


@pytest.mark.parametrize("news", ["created", "restored", "money"])
def test_a_contact_with_something_new_is_not_deleted(story: Story, news: str) -> None:
    match news:
        case "created":
            story.does(B, "transaction CREATED", "new", contact_id="ana", direction="lent", amount=5)
        case "restored":
            story.does(A, "transaction DELETED", "lunch")
            story.does(B, "transaction RESTORED", "lunch")
        case "money":
            story.does(B, "transaction UPDATED", "lunch", amount=5)
    newest = story.version
    assert story.does(A, "contact DELETED", "ana", base=3).code == "delete_vs_new"
    kept = {"created": ["new"], "restored": ["lunch", "call"], "money": ["lunch"]}[news]
    conflict = story.fact().conflict
    assert conflict
    assert conflict.kept == {"ids": sorted(story.ids[name] for name in kept)}
    assert (conflict.offered, conflict.with_seq) == ({"deleted_at": story.fact().recorded_at}, newest)
    assert story.live("contact", "ana")


def test_a_description_does_not_keep_a_contact(story: Story) -> None:
    story.does(B, "transaction UPDATED", "lunch", description="lunch")
    assert story.does(A, "contact DELETED", "ana", base=3).status == "accepted"
    assert not any(entity.live for entity in story.book.ledger.entities.values())
    assert story.balance() == 0


def test_a_debt_takes_its_reminders_and_lets_go_of_its_repayments(story: Story) -> None:
    story.does(A, "transaction CREATED", "part", contact_id="ana", direction="owed", amount=400, repays="lunch")
    story.does(A, "transaction DELETED", "lunch")
    assert [(change.op, change.aggregate_id) for change in story.fact().changes] == [
        ("delete", story.ids["lunch"]),
        ("delete", story.ids["call"]),
        ("update", story.ids["part"]),
    ]
    assert (story.live("transaction", "part"), story.entity("transaction", "part").fields["repays"]) == (True, None)


def test_a_deletion_takes_nothing_that_hangs_on_something_else(story: Story) -> None:
    story.does(A, "contact CREATED", "bo", name="Bo")
    story.does(A, "transaction CREATED", "tea", contact_id="bo", direction="lent", amount=3)
    story.does(A, "transaction CREATED", "cake", contact_id="ana", direction="lent", amount=4)
    others: dict[str, dict[str, Any]] = {"of bo": {"contact_id": "bo"}, "of tea": {"transaction_id": "tea"}, "of nothing": {}}
    for name, about in others.items():
        story.does(A, "reminder CREATED", name, remind_at="2026-12-01T09:00:00Z", **about)
    story.does(A, "reminder CREATED", "of ana", remind_at="2026-12-01T09:00:00Z", contact_id="ana")
    story.does(A, "transaction DELETED", "lunch")
    assert {change.key[1] for change in story.fact().changes} == {story.ids["lunch"], story.ids["call"]}
    story.does(A, "contact DELETED", "ana")
    assert {change.key[1] for change in story.fact().changes} == {story.ids[name] for name in ("ana", "cake", "of ana")}


def test_deleting_or_restoring_twice_changes_nothing(story: Story) -> None:
    assert story.does(A, "transaction RESTORED", "lunch").status == "accepted"
    assert story.fact().changes == []
    story.does(A, "transaction DELETED", "lunch")
    assert story.does(B, "transaction DELETED", "lunch", base=3).status == "accepted"
    assert story.fact().changes == []


def test_a_restoration_brings_back_what_that_deletion_took(story: Story) -> None:
    story.does(A, "transaction CREATED", "tea", contact_id="ana", direction="lent", amount=3)
    story.does(A, "transaction DELETED", "tea")
    story.does(A, "contact DELETED", "ana")
    story.does(A, "contact RESTORED", "ana")
    assert story.live("transaction", "lunch")
    assert not story.live("transaction", "tea")
    assert story.does(A, "transaction CREATED", "tea", contact_id="ana", direction="lent", amount=3).code == "already_exists"


@pytest.mark.parametrize("how", ["create", "restore", "undo", "move"])
def test_what_is_live_has_a_live_contact(story: Story, how: str) -> None:
    story.does(A, "contact CREATED", "bo", name="Bo")
    if how in ("restore", "undo"):
        story.does(A, "transaction DELETED", "lunch", event="gone")
    if how == "move":
        story.does(A, "transaction UPDATED", "lunch", contact_id="bo")
    story.does(A, "contact DELETED", "ana")
    match how:
        case "create":
            story.does(B, "transaction CREATED", "new", contact_id="ana", direction="lent", amount=5)
        case "restore":
            story.does(B, "transaction RESTORED", "lunch")
        case "undo":
            story.does(B, "transaction UNDO", "lunch", undone_event_id="gone")
        case "move":
            story.does(B, "transaction UPDATED", "lunch", contact_id="ana")
    assert story.live("contact", "ana")
    back = [change for change in story.fact().changes if change.aggregate_type == "contact"]
    assert [change.op for change in back] == ["restore"]


@pytest.mark.parametrize("met", ["nothing", "an edit", "a deletion"])
@pytest.mark.parametrize(
    ("what", "offered", "refused"),
    [
        ("transaction", {"currency": "XXX"}, ("invalid", "/currency")),
        ("transaction", {"contact_id": str(uuid.uuid4())}, ("unknown_contact", "/contact_id")),
        ("transaction", {"repays": str(uuid.uuid4())}, ("unknown_aggregate", "/repays")),
        ("reminder", {"time_zone": "Mars"}, ("invalid", "/time_zone")),
        ("reminder", {"repeat": "FREQ=SECONDLY"}, ("invalid", "/repeat")),
        ("reminder", {"channels": ["email", "email"]}, ("invalid", "/channels")),
        ("reminder", {"transaction_id": str(uuid.uuid4())}, ("unknown_aggregate", "/transaction_id")),
    ],
)
def test_what_can_never_be_is_refused_whatever_it_meets(
    story: Story, what: str, offered: dict[str, Any], refused: tuple[str, str], met: str
) -> None:
    """A conflict is kept for the user to choose from, and stands in the log for ever."""
    story.does(A, "reminder CREATED", "call", contact_id="ana", remind_at="2026-12-01T10:00:00Z")
    name, edit = ("lunch", {"amount": 1300}) if what == "transaction" else ("call", {"remind_at": "2026-12-02T10:00:00Z"})
    base = story.book.ledger.version
    if met == "an edit":
        story.does(B, f"{what} UPDATED", name, **edit)
    if met == "a deletion":
        story.does(B, f"{what} DELETED", name)
    outcome = story.does(A, f"{what} UPDATED", name, base=base, **offered)
    assert (outcome.status, outcome.code) == ("rejected", refused[0])
    assert [error.pointer for error in outcome.errors or ()] == [refused[1]]


@pytest.mark.parametrize(
    ("offered", "pointer"),
    [
        ({"type": "item", "currency": None}, "/item"),
        ({"type": "item", "item": "tent"}, "/currency"),
        ({"type": "item", "item": "tent", "currency": None, "repays": "tea"}, "/repays"),
        ({"item": "tent"}, "/item"),
        ({"returned_at": "2026-11-22T10:00:00Z"}, "/returned_at"),
    ],
)
def test_money_and_things_have_members_of_their_own(story: Story, offered: dict[str, Any], pointer: str) -> None:
    story.does(A, "transaction CREATED", "tea", contact_id="ana", direction="lent", amount=3)
    outcome = story.does(A, "transaction UPDATED", "lunch", **offered)
    assert outcome.code == "invalid"
    assert [error.pointer for error in outcome.errors or ()] == [pointer]


def test_what_is_left_out_is_filled_in(story: Story) -> None:
    story.does(A, "transaction CREATED", "tea", contact_id="ana", direction="lent", amount=3)
    story.does(A, "transaction CREATED", "tent", contact_id="ana", direction="lent", type="item", item="tent")
    today = "2026-11-22"  # in Berlin, an hour ahead of recorded_at
    expected = {"type": "money", "amount": 3, "currency": "EUR", "item": None, "transaction_date": today}
    assert story.entity("transaction", "tea").fields.items() >= expected.items()
    expected = {"type": "item", "amount": 1, "currency": None, "item": "tent", "transaction_date": today}
    assert story.entity("transaction", "tent").fields.items() >= expected.items()
    story.does(A, "reminder CREATED", "look", contact_id="ana", remind_at="2026-12-01T09:00:00Z")
    expected = {"time_zone": "Europe/Berlin", "channels": ["email", "push"]}
    assert story.entity("reminder", "look").fields.items() >= expected.items()


def test_who_says_no_time_means_the_time_of_the_record(story: Story) -> None:
    """REST: its clients are online."""
    story.push(structs.replace(story.make(A, "contact UPDATED", "ana", notes="now"), timestamp=None))
    assert story.fact().timestamp == story.fact().recorded_at


def test_a_repayment_repays_a_debt_of_money_and_is_repaid_by_nothing(story: Story) -> None:
    tea: Any = {"contact_id": "ana", "direction": "owed", "amount": 3}
    story.does(A, "transaction CREATED", "part", **tea, repays="lunch")
    story.does(A, "transaction CREATED", "tent", contact_id="ana", direction="lent", type="item", item="tent")
    story.does(A, "transaction CREATED", "tea", **tea)
    for name, repaid in (("tea", "part"), ("tea", "tent"), ("tea", "tea"), ("lunch", "tea")):
        assert story.does(A, "transaction UPDATED", name, repays=repaid).code == "repays_mismatch", (name, repaid)
    assert story.does(A, "transaction UPDATED", "tea", repays="lunch").status == "accepted"


def test_due_dates_and_schedules_are_timed_by_what_last_set_them(story: Story) -> None:
    """Whoever sets one anew is reminded anew; whoever says something else is not."""

    def timed(kind: facts.AggregateType, name: str, **members: Any) -> str | None:
        story.book.recorded_at = f"2026-11-22T20:00:00.{story.version:06}Z"
        story.does(A, f"{kind} UPDATED", name, **members)
        return story.entity(kind, name).timed_at

    assert story.entity("transaction", "lunch").timed_at is None
    assert (due := timed("transaction", "lunch", due_date="2026-12-24")) == story.fact().recorded_at
    assert timed("transaction", "lunch", description="lunch") == due
    assert timed("transaction", "lunch", due_date=None) is None
    assert (set_at := timed("reminder", "call", remind_at="2026-12-02T09:00:00Z")) == story.fact().recorded_at
    assert timed("reminder", "call", message="call her") == set_at


# --- settling conflicts ----------------------------------------------------------------------------------------------


@pytest.fixture
def disputed(story: Story) -> Story:
    """B made the amount 1300 (seq 4), A had wanted 1100 (seq 5, "late")."""
    story.does(B, "transaction UPDATED", "lunch", amount=1300)
    story.does(A, "transaction UPDATED", "lunch", base=3, event="late", amount=1100)
    return story


@pytest.mark.parametrize(
    ("what", "data", "amount"),
    [
        ("transaction UPDATED", {"amount": 1200}, 1200),
        ("transaction UPDATED", {}, 1300),
        ("transaction DELETED", {}, None),
        ("transaction RESTORED", {}, 1300),
    ],
)
def test_a_conflict_is_settled_and_the_settlement_is_not_held_against_it(
    disputed: Story, what: str, data: dict[str, Any], amount: int | None
) -> None:
    """Even with the old base: what the conflict collided with is what the user has just looked at."""
    outcome = disputed.does(A, what, "lunch", base=3, event="settled", resolves="late", **data)
    assert outcome.status == "accepted"
    assert disputed.book.ledger.conflicts[disputed.ids["late"]].resolved_by == disputed.ids["settled"]
    assert disputed.balance() == (amount or 0)
    assert disputed.does(B, "transaction UPDATED", "lunch", resolves="late").code == "already_resolved"
    disputed.does(B, "transaction UNDO", "lunch", undone_event_id="settled")
    assert disputed.book.ledger.conflicts[disputed.ids["late"]].resolved_by is None
    assert disputed.balance() == 1300
    assert disputed.does(B, "transaction UPDATED", "lunch", resolves="late").status == "accepted"


def test_what_came_after_the_conflict_is_held_against_its_settlement(disputed: Story) -> None:
    disputed.does(B, "transaction UPDATED", "lunch", amount=1400)
    outcome = disputed.does(A, "transaction UPDATED", "lunch", base=5, event="again", amount=1200, resolves="late")
    assert outcome.code == "edit"
    assert disputed.book.ledger.conflicts[disputed.ids["late"]].resolved_by is None
    assert disputed.book.ledger.conflicts[disputed.ids["again"]].with_seq == 6


def test_a_settlement_names_a_conflict_of_its_aggregate(disputed: Story) -> None:
    disputed.does(A, "transaction CREATED", "tea", contact_id="ana", direction="lent", amount=3)
    assert disputed.does(A, "transaction UPDATED", "tea", resolves="late").code == "wrong_aggregate"
    assert disputed.does(A, "transaction UPDATED", "lunch", resolves="lent").code == "unknown_conflict"
    assert disputed.does(A, "transaction UPDATED", "lunch", resolves=str(uuid.uuid4())).code == "unknown_conflict"


def test_an_edit_of_something_deleted_is_settled_by_restoring_or_by_leaving_it(story: Story) -> None:
    story.does(B, "transaction DELETED", "lunch")
    for number, what in enumerate(("transaction UPDATED", "transaction RESTORED")):
        story.does(A, "transaction UPDATED", "lunch", base=3, event=f"late {number}", amount=5)
        assert story.does(A, what, "lunch", resolves=f"late {number}").status == "accepted"
    assert story.live("transaction", "lunch")


def test_deletions_that_collided_are_settled_by_deleting(story: Story) -> None:
    story.does(B, "transaction UPDATED", "lunch", amount=1300)
    story.does(A, "transaction DELETED", "lunch", base=3, event="kept lunch")
    story.does(A, "contact DELETED", "ana", base=3, event="kept ana")
    assert story.does(A, "contact DELETED", "ana", base=3, resolves="kept ana").status == "accepted"
    assert not story.live("transaction", "lunch")
    assert story.does(A, "transaction DELETED", "lunch", base=3, resolves="kept lunch").status == "accepted"


# --- undo ------------------------------------------------------------------------------------------------------------


def test_undo_says_no_in_this_order(story: Story) -> None:
    assert story.does(A, "transaction UNDO", "lunch", undone_event_id=str(uuid.uuid4())).code == "unknown_event"
    assert story.does(A, "contact UNDO", "ana", undone_event_id="lent").code == "wrong_aggregate"
    assert story.does(A, "transaction UNDO", "lunch", undone_event_id="lent").code == "has_dependants"
    story.does(A, "transaction UPDATED", "lunch", event="edit", amount=5)
    assert story.does(A, "transaction UNDO", "lunch", undone_event_id="lent").code == "undo_superseded"
    story.does(B, "transaction UNDO", "lunch", event="undone", undone_event_id="edit")
    assert story.does(A, "transaction UNDO", "lunch", undone_event_id="undone").code == "undo_of_undo"
    assert story.does(A, "transaction UNDO", "lunch", undone_event_id="edit").code == "already_undone"
    assert story.balance() == 1000


@pytest.mark.parametrize(("later", "code"), [("amount", "undo_superseded"), ("description", ""), ("gone", "undo_superseded")])
def test_only_what_touched_the_same_supersedes(story: Story, later: str, code: str) -> None:
    story.does(A, "transaction UPDATED", "lunch", event="edit", direction="owed")
    match later:
        case "amount":
            story.does(B, "transaction UPDATED", "lunch", amount=5)
        case "description":
            story.does(B, "transaction UPDATED", "lunch", description="lunch")
        case "gone":
            story.does(B, "transaction DELETED", "lunch")
            story.does(B, "transaction RESTORED", "lunch")
    assert (story.does(A, "transaction UNDO", "lunch", undone_event_id="edit").code or "") == code


def test_undoing_a_deletion_brings_back_links_too(story: Story) -> None:
    story.does(A, "transaction CREATED", "part", contact_id="ana", direction="owed", amount=400, repays="lunch")
    story.does(A, "transaction DELETED", "lunch", event="gone")
    story.does(B, "transaction UNDO", "lunch", undone_event_id="gone")
    assert story.entity("transaction", "part").fields["repays"] == story.ids["lunch"]
    assert story.live("reminder", "call")


def test_undoing_a_creation_is_a_deletion(story: Story) -> None:
    story.does(A, "transaction CREATED", "tea", event="made", contact_id="ana", direction="lent", amount=3)
    assert story.does(B, "transaction UNDO", "tea", undone_event_id="made").status == "accepted"
    [change] = story.fact().changes
    assert (change.op, change.fields) == ("delete", {"deleted_at": (None, story.fact().recorded_at)})
    story.does(A, "transaction RESTORED", "tea")
    assert story.balance() == 1003


def test_a_creation_is_superseded_by_what_fills_what_it_left_empty(story: Story) -> None:
    story.does(A, "transaction CREATED", "tea", event="made", contact_id="ana", direction="lent", amount=3)
    story.does(B, "transaction UPDATED", "tea", description="with milk")
    assert story.does(A, "transaction UNDO", "tea", undone_event_id="made").code == "undo_superseded"


def test_an_undo_leaves_the_contact_that_something_else_needs(story: Story) -> None:
    story.does(A, "contact DELETED", "ana")
    story.does(A, "contact RESTORED", "ana", event="back")
    story.does(B, "transaction CREATED", "tea", contact_id="ana", direction="lent", amount=3)
    assert story.does(A, "contact UNDO", "ana", undone_event_id="back").status == "accepted"
    assert (story.live("contact", "ana"), story.live("transaction", "lunch"), story.balance()) == (True, False, 3)


def test_an_undo_whose_past_no_longer_fits_is_superseded(story: Story) -> None:
    story.does(A, "transaction UPDATED", "lunch", event="thing", type="item", item="tent", currency=None)
    story.does(A, "transaction UPDATED", "lunch", returned_at="2026-11-22T10:00:00Z")
    assert story.does(A, "transaction UNDO", "lunch", undone_event_id="thing").code == "undo_superseded"


def test_an_undo_is_bound_by_the_range_of_balances(story: Story) -> None:
    story.book.ledger.balances = {(story.ids["ana"], "EUR"): 1000}
    story.does(A, "transaction DELETED", "lunch", event="gone")
    story.does(A, "transaction CREATED", "all", contact_id="ana", direction="lent", amount=money.MAX_AMOUNT)
    assert story.does(A, "transaction UNDO", "lunch", undone_event_id="gone").code == "balance_out_of_range"


def test_a_ledger_has_a_turnover_that_databases_can_hold(story: Story) -> None:
    """Its balance of today may be small: sums up to some other day are made of the same postings."""
    story.book.ledger.turnover = money.MAX_TURNOVER - 5
    tea: Any = {"contact_id": "ana", "direction": "owed"}
    assert story.does(A, "transaction CREATED", "tea", **tea, amount=6).code == "balance_out_of_range"
    assert story.does(A, "transaction CREATED", "tea", **tea, amount=5).status == "accepted"
    assert story.does(A, "transaction DELETED", "tea").code == "balance_out_of_range"
    assert story.does(A, "contact UPDATED", "ana", name="Anna").status == "accepted"


def test_a_salt_stands_where_a_phone_or_an_address_is(story: Story) -> None:
    assert story.book.steps[0][0].salt is UNSET
    story.does(A, "contact UPDATED", "ana", event="phone", phone="+34 600")
    assert story.fact().salt is not UNSET
    story.does(A, "contact UPDATED", "ana", notes="x")
    assert story.fact().salt is UNSET
    story.does(A, "contact UNDO", "ana", undone_event_id="phone")
    assert story.fact().salt is not UNSET
