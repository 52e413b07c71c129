"""The checker of histories: silent about a correct server, and about none of the ways in which one can be wrong."""

import functools
import gc
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec
import pytest
from msgspec.structs import replace

from tests.faults import checker, history
from tests.faults.correct import DEVICES_EACH, RESULTS, USERS, World, renumbered
from tests.faults.history import Fact, Final, Item, Logged, Operation, Outcome, Pull, Push

T = TypeVar("T")
SEEDS = range(50)


class Sending(NamedTuple):
    """One item of a push, with its answer."""

    push: Push
    item: Item
    said: Outcome


class Impossible(Exception):
    """A history has nothing that could be spoilt in this way."""


class Case:
    """What `check` is given, and what those who spoil it need to know."""

    def __init__(self, seen: list[Operation], logs: dict[str, list[Logged]], seed: int) -> None:
        self.seen, self.logs, self.dice = seen, logs, random.Random(seed)
        self.last_epoch = max(done.epoch for done in seen)
        self.pushes = [done for done in seen if isinstance(done, Push)]
        self.pulls = [done for done in seen if isinstance(done, Pull) and done.result == "ok"]
        self.sendings = [
            Sending(push, *pair)
            for push in self.pushes
            if push.result == "ok"
            for pair in zip(push.items, push.outcomes, strict=True)
        ]
        self.taken = {sending.item.id for sending in self.sendings if sending.said.taken}

    def pick(self, found: list[T]) -> T:
        if not found:
            raise Impossible
        return self.dice.choice(found)

    def kept(self, *, acknowledged: bool) -> list[tuple[str, int]]:
        """User and index of what is in the logs and was sent."""
        sent = {item.id for push in self.pushes for item in push.items}
        everything = [(user, index, logged.id) for user, log in self.logs.items() for index, logged in enumerate(log)]
        return [(user, at) for user, at, event_id in everything if event_id in sent and (event_id in self.taken) == acknowledged]

    def current(self) -> list[Sending]:
        return [found for found in self.sendings if found.push.epoch == self.last_epoch]

    def current_pulls(self, length: int) -> list[Pull]:
        return [pull for pull in self.pulls if pull.epoch == self.last_epoch and len(pull.facts) >= length]

    def failed(self) -> list[tuple[str, Item]]:
        """User and item of what was never sent but in operations that failed."""
        tried = {item.id for push in self.pushes if push.result != "fail" for item in push.items}
        return [(push.user, item) for push in self.pushes for item in push.items if item.id not in tried]

    def show(self, user: str, event_id: str, pulls: list[Pull]) -> None:
        """Put it at the end of one of the pulls, in the place of another."""
        pull = self.pick([pull for pull in pulls if pull.user == user and pull.facts])
        self.change(pull, facts=(*pull.facts[:-1], Fact(pull.facts[-1].seq, event_id)))

    def honest_pull(self, user: str, version: int) -> dict[str, Any]:
        """What a pull from the beginning says when the log has `version` events."""
        facts = tuple(Fact(logged.seq, logged.id) for logged in self.logs[user][:version])
        return {"since": 0, "facts": facts, "version": version, "has_more": False}

    def change(self, old: Operation, **members: Any) -> None:
        self.seen = [replace(done, **members) if done is old else done for done in self.seen]

    def relog(self, user: str, log: list[Logged]) -> None:
        self.logs = {**self.logs, user: log}

    def rewrite(self, user: str, index: int, **members: Any) -> None:
        log = self.logs[user]
        self.relog(user, [*log[:index], replace(log[index], **members), *log[index + 1 :]])

    def append(self, user: str, event_id: str, fingerprint: str) -> None:
        self.relog(user, [*self.logs[user], Logged(len(self.logs[user]) + 1, event_id, fingerprint)])


@functools.cache
def world(seed: int) -> World:
    return World(seed, restored=seed % 2 == 1)


def case(seed: int) -> Case:
    return Case(list(world(seed).seen), world(seed).logs(), seed)


MUTATIONS: list[tuple[Callable[[Case], None], set[int], set[int], int]] = []


def wrong(*must: int, may: tuple[int, ...] = (), least: int = 45) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """A way to be wrong: the rules that must and those that may say so, and for how many of SEEDS it must be possible."""

    def add(change: Callable[[Case], None]) -> Callable[[Case], None]:
        MUTATIONS.append((change, set(must), set(may), least))
        return change

    return add


@wrong(1, may=(6,))
def forget_what_was_acknowledged(it: Case) -> None:
    user, index = it.pick(it.kept(acknowledged=True))
    it.rewrite(user, index, id="of nobody")


@wrong(1, may=(6,), least=23)
def forget_what_an_earlier_epoch_acknowledged(it: Case) -> None:
    earlier = {found.item.id for found in it.sendings if found.said.taken and found.push.epoch < it.last_epoch}
    user, index = it.pick([(user, at) for user, at in it.kept(acknowledged=True) if it.logs[user][at].id in earlier])
    lost = it.logs[user][index].id
    for push in it.pushes:  # or else the last epoch's answers would tell
        if push.epoch == it.last_epoch and lost in [item.id for item in push.items]:
            it.change(push, result="unknown", outcomes=())
    it.rewrite(user, index, id="of nobody")


@wrong(1, may=(6,))
def drop_from_the_log(it: Case) -> None:
    user, index = it.pick(it.kept(acknowledged=True))
    it.relog(user, renumbered(it.logs[user][:index] + it.logs[user][index + 1 :]))


@wrong(1, may=(6,))
def lose_the_end_of_the_log(it: Case) -> None:
    user = it.pick([user for user, index in it.kept(acknowledged=True) if index == len(it.logs[user]) - 1])
    it.relog(user, it.logs[user][:-1])


@wrong(1, 4, may=(6,))
def tear_a_hole(it: Case) -> None:
    user, index = it.pick([(user, at) for user, at in it.kept(acknowledged=True) if at < len(it.logs[user]) - 1])
    it.relog(user, it.logs[user][:index] + it.logs[user][index + 1 :])


@wrong(1)
def keep_an_acknowledged_twice(it: Case) -> None:
    user, index = it.pick(it.kept(acknowledged=True))
    it.append(user, it.logs[user][index].id, it.logs[user][index].fingerprint)


@wrong(3)
def keep_an_unknown_twice(it: Case) -> None:
    user, index = it.pick(it.kept(acknowledged=False))
    it.append(user, it.logs[user][index].id, it.logs[user][index].fingerprint)


@wrong(1, may=(6,))
def swap_in_the_log(it: Case) -> None:
    user, index = it.pick(it.kept(acknowledged=True))
    other = it.pick([at for at in range(len(it.logs[user])) if at != index])
    log = list(it.logs[user])
    log[index], log[other] = log[other], log[index]
    it.relog(user, renumbered(log))


@wrong(1)
def change_an_acknowledged(it: Case) -> None:
    user, index = it.pick(it.kept(acknowledged=True))
    it.rewrite(user, index, fingerprint="changed")


@wrong(3)
def change_an_unknown(it: Case) -> None:
    user, index = it.pick(it.kept(acknowledged=False))
    it.rewrite(user, index, fingerprint="changed")


@wrong(1, 10, may=(6,))
def move_to_another_user(it: Case) -> None:
    user, index = it.pick(it.kept(acknowledged=True))
    moved = it.logs[user][index]
    it.relog(user, renumbered(it.logs[user][:index] + it.logs[user][index + 1 :]))
    it.append(it.pick([other for other in USERS if other != user]), moved.id, moved.fingerprint)


@wrong(10, may=(6,))
def show_another_users(it: Case) -> None:
    sending = it.pick(it.sendings)
    it.show(it.pick([user for user in USERS if user != sending.push.user]), sending.item.id, it.pulls)


@wrong(2)
def keep_a_refused(it: Case) -> None:
    refused = it.pick([found for found in it.current() if found.said.refused])
    it.append(refused.push.user, refused.item.id, refused.item.fingerprint)


@wrong(2, 6)
def show_a_refused(it: Case) -> None:
    refused = it.pick([found for found in it.current() if found.said.refused])
    it.show(refused.push.user, refused.item.id, it.current_pulls(1))


@wrong(2)
def keep_what_failed(it: Case) -> None:
    user, item = it.pick(it.failed())
    it.append(user, item.id, item.fingerprint)


@wrong(2, may=(6,))
def show_what_failed(it: Case) -> None:
    user, item = it.pick(it.failed())
    it.show(user, item.id, it.pulls)


@wrong(6)
def leave_out_of_a_pull(it: Case) -> None:
    pull = it.pick(it.current_pulls(2))
    index = it.dice.randrange(len(pull.facts) - 1)
    it.change(pull, facts=pull.facts[:index] + pull.facts[index + 1 :])


@wrong(6)
def pull_out_of_order(it: Case) -> None:
    pull = it.pick(it.current_pulls(2))
    index = it.dice.randrange(len(pull.facts) - 1)
    it.change(pull, facts=(*pull.facts[:index], pull.facts[index + 1], pull.facts[index], *pull.facts[index + 2 :]))


@wrong(6)
def cut_a_pull_short(it: Case) -> None:
    pull = it.pick([pull for pull in it.current_pulls(1) if not pull.has_more])
    it.change(pull, facts=pull.facts[:-1])


@wrong(6, least=23)
def show_two_histories_of_an_earlier_epoch(it: Case) -> None:
    pulls = [pull for pull in it.pulls if pull.epoch < it.last_epoch and len(pull.facts) > 1]
    seen = Counter((pull.user, fact.seq) for pull in pulls for fact in pull.facts)
    pull = it.pick([pull for pull in pulls if seen[pull.user, pull.facts[0].seq] > 1])
    it.change(pull, facts=(Fact(pull.facts[0].seq, "of nobody"), *pull.facts[1:]))


@wrong(7, may=(8,))
def go_back(it: Case) -> None:
    earlier, later = it.pick(
        [
            (one, other)
            for one, other in itertools.permutations(it.current_pulls(0), 2)
            if one.device == other.device and one.end < other.start and one.version
        ]
    )
    it.change(later, **it.honest_pull(later.user, it.dice.randrange(earlier.version)))


@wrong(8)
def pull_stale(it: Case) -> None:
    push, _, said = it.pick([sending for sending in it.current() if sending.said.taken])
    start = push.end + 3 * it.dice.random()
    same: dict[str, Any] = {"user": push.user, "device": "another", "start": start, "end": start + 1}
    it.seen = [*it.seen, Pull(result="ok", epoch=it.last_epoch, **same, **it.honest_pull(push.user, said.seq - 1))]


@wrong(9, may=(1, 8))
def answer_another_seq(it: Case) -> None:
    counts = Counter((sending.item.id, sending.push.epoch) for sending in it.sendings if sending.said.taken)
    again = [found for found in it.sendings if counts[found.item.id, found.push.epoch] > 1]
    push, _, said = it.pick([found for found in again if found.said.status == "duplicate"])
    it.change(push, outcomes=tuple(replace(one, seq=one.seq + 1) if one is said else one for one in push.outcomes))


@wrong(5, may=(8,))
def invert(it: Case) -> None:
    """All agree that two events stand the other way round; only the clock knows better."""
    fresh = [sending for sending in it.current() if sending.said.status in ("accepted", "conflict")]
    pairs = [(a, b) for a, b in itertools.permutations(fresh, 2) if a.push.user == b.push.user and a.push.end < b.push.start]
    first, second = it.pick(pairs)
    seqs = {first.item.id: second.said.seq, second.item.id: first.said.seq}
    ids = {seq: event_id for event_id, seq in seqs.items()}
    user = first.push.user
    for done in it.seen:
        if done.user != user or done.epoch != it.last_epoch or done.result != "ok":
            continue
        if isinstance(done, Push):
            said = (replace(one, seq=seqs.get(one.id, one.seq) if one.taken else 0) for one in done.outcomes)
            it.change(done, outcomes=tuple(said))
        else:
            it.change(done, facts=tuple(Fact(fact.seq, ids.get(fact.seq, fact.id)) for fact in done.facts))
    log = sorted((replace(logged, seq=seqs.get(logged.id, logged.seq)) for logged in it.logs[user]), key=lambda one: one.seq)
    it.relog(user, log)


def rules(found: list[checker.Violation]) -> set[int]:
    return {violation.rule for violation in found}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_correct_server_breaks_no_rule(seed: int) -> None:
    it = case(seed)
    assert checker.check(it.seen, it.logs) == []
    found = checker.summary(it.seen, it.logs)
    assert (found.acknowledged, found.lost, found.twice) == (len(it.taken), 0, 0)
    without_answer = {item.id for push in it.pushes if push.result == "unknown" for item in push.items}
    assert found.unknown == len(without_answer - {sending.item.id for sending in it.sendings}) > 0


@pytest.mark.parametrize(("change", "must", "may", "least"), MUTATIONS, ids=[change.__name__ for change, *_ in MUTATIONS])
def test_what_is_wrong_is_found(change: Callable[[Case], None], must: set[int], may: set[int], least: int) -> None:
    possible = 0
    for seed in SEEDS:
        it = case(seed)
        try:
            change(it)
        except Impossible:
            continue
        possible += 1
        assert must <= rules(checker.check(it.seen, it.logs)) <= must | may, seed
    assert possible >= least


@pytest.mark.parametrize("seed", SEEDS[:5])
def test_the_order_of_a_history_does_not_matter(seed: int) -> None:
    it = case(seed)
    for spoil in (tear_a_hole, invert, answer_another_seq, show_a_refused):
        spoil(it)
    found = checker.check(it.seen, it.logs)
    it.dice.shuffle(it.seen)
    assert checker.check(it.seen, it.logs) == found
    assert [violation.rule for violation in found] == sorted(violation.rule for violation in found)


def test_every_rule_is_tried() -> None:
    assert set().union(*(must for _, must, *_ in MUTATIONS)) == set(range(1, 11))


def test_what_was_seen_has_everything_in_it() -> None:
    """A history without duplicates, or without overlaps, would say little about a checker that finds nothing in it."""
    found: Counter[str] = Counter()
    for seed in SEEDS:
        it = case(seed)
        found.update(type(done).__name__ + done.result for done in it.seen)
        found.update(said.said.code or said.said.status for said in it.sendings)
        found.update("page" for pull in it.pulls if pull.has_more)
        found.update("overlap" for one, next_ in itertools.pairwise(it.seen) if next_.start < one.end)
        late = {item.id for push in it.pushes if push.result == "unknown" for item in push.items} - it.taken
        kept = {logged.id for log in it.logs.values() for logged in log}
        found.update({"unknown and kept": len(late & kept), "unknown and lost": len(late - kept)})
    expected = {"page", "overlap", "unknown and kept", "unknown and lost", "accepted", "duplicate", "conflict"}
    expected |= {"invalid", "unknown_contact", "id_reused", *(kind + result for kind in ("Push", "Pull") for result in RESULTS)}
    assert expected == {name for name, count in found.items() if count >= len(SEEDS)}


def test_epochs_are_what_excuses_a_restore() -> None:
    restored = [case(seed) for seed in SEEDS if world(seed).last_epoch]
    found = [rules(checker.check([replace(done, epoch=0) for done in it.seen], it.logs)) for it in restored]
    assert sum(bool(broken) for broken in found) > 20


def test_summary_counts_what_is_wrong() -> None:
    it = case(0)
    user, index = it.pick(it.kept(acknowledged=True))
    it.rewrite(user, index, id="of nobody")
    twice = it.pick(it.logs[user])
    it.append(user, twice.id, twice.fingerprint)
    found, before = checker.summary(it.seen, it.logs), checker.summary(case(0).seen, case(0).logs)
    assert found == replace(before, lost=1, twice=1)


def test_what_is_written_is_read() -> None:
    it = case(1)
    finals = [Final(user=user, log=tuple(log)) for user, log in it.logs.items()]
    lines = [history.dump(record) for record in (*it.seen, *finals)]
    assert not any("\n" in line for line in lines)
    seen, logs = history.read(lines)
    assert seen == it.seen
    assert {user: list(log) for user, log in logs.items()} == it.logs
    assert Counter(msgspec.json.decode(line)["kind"] for line in lines) == Counter(
        push=len(it.pushes), pull=len(it.seen) - len(it.pushes), final=3
    )


def test_an_outcome_is_what_the_wire_says() -> None:
    said = {"id": "1", "status": "duplicate", "first": "conflict", "seq": 7, "code": "edit", "overwrote": {}}
    assert msgspec.convert(said, Outcome) == Outcome("1", "duplicate", 7, "edit")
    assert not msgspec.convert({"id": "1", "status": "rejected", "code": "stale", "current": 7}, Outcome).refused
    assert msgspec.convert({"id": "1", "status": "rejected", "code": "invalid", "errors": []}, Outcome).refused


@pytest.mark.parametrize("outcomes", [(), (Outcome("2", "accepted", 1),), (Outcome("1", "accepted"),)])
def test_an_answer_to_something_else_is_no_answer(outcomes: tuple[Outcome, ...]) -> None:
    with pytest.raises(ValueError, match=r"outcomes are not|without a seq"):
        Push(user="ana", device="a", start=0, end=1, items=(Item("1", "f"),), result="ok", outcomes=outcomes)


def test_a_long_history_takes_no_longer_than_it_is() -> None:
    """Ten times as many operations take about ten times as long; what compares pairs of them takes a hundred times."""

    def seconds(steps: int) -> float:
        it = World(0, steps=steps)
        assert len(it.seen) == steps * len(USERS) * DEVICES_EACH
        logs = it.logs()
        gc.disable()  # it walks over whatever other tests have left, and more often the longer this takes
        began = time.process_time()  # which others on the machine do not use up
        try:
            assert checker.check(it.seen, logs) == []
            return time.process_time() - began
        finally:
            gc.enable()

    assert seconds(8_000) < 30 * seconds(800)


@pytest.mark.parametrize(
    ("acknowledged", "refused", "rules_broken"), [(0, 1, set()), (0, None, {1}), (1, 0, {1}), (1, 1, {1}), (0, 0, {1})]
)
def test_what_is_refused_after_a_restore_was_not_lost_in_silence(
    acknowledged: int, refused: int | None, rules_broken: set[int]
) -> None:
    """What an event rests on may be gone with a restore: its device was told so in a later epoch than it was acknowledged in."""
    item = Item("a", "content")

    def push(start: float, epoch: int, said: Outcome) -> Push:
        same: dict[str, Any] = {"user": "ana", "device": "phone", "start": start, "end": start + 1, "epoch": epoch}
        return Push(items=(item,), result="ok", outcomes=(said,), **same)

    seen = [push(0.0, acknowledged, Outcome("a", "accepted", 1))]
    if refused is not None:
        seen.append(push(2.0, refused, Outcome("a", "rejected", code="unknown_contact")))
    assert rules(checker.check(seen, {"ana": []})) == rules_broken
    assert checker.summary(seen, {"ana": []}).lost == len(rules_broken)
