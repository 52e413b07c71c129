"""Ten rules that the sync API keeps whatever fails meanwhile, checked on a history (in the manner of Jepsen's checkers)."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

from msgspec import Struct

from tests.faults.history import Logged, Logs, Operation, Pull, Push


class Violation(Struct, frozen=True):
    """A rule (1 … 10) that does not hold, and for whom."""

    rule: int
    text: str
    operations: tuple[Operation, ...] = ()
    ids: tuple[str, ...] = ()


class Summary(Struct, frozen=True):
    """Numbers of ids: answered as in the log; of these not there; in a final log more than once; sent without any answer."""

    acknowledged: int
    lost: int
    twice: int
    unknown: int


def check(history: Iterable[Operation], logs: Logs) -> list[Violation]:
    """All violations, by rule, then by time; the order of `history` does not matter. O(n log n)."""
    view = _View(history, logs)
    return [found for rule in _RULES for found in rule(view)]


def summary(history: Iterable[Operation], logs: Logs) -> Summary:
    """The figures of a run. Ids are counted per user."""
    view = _View(history, logs)
    results = [{answer.push.result for answer in answers} for answers in view.answers.values()]
    return Summary(
        acknowledged=len(view.taken),
        lost=sum(key not in view.kept and not view.taken_back(key) for key in view.taken),
        twice=sum(len(kept) > 1 for kept in view.kept.values()),
        unknown=sum("unknown" in found and "ok" not in found for found in results),
    )


class _Answer(Struct, frozen=True, gc=False):
    """What is known of one sending of one id: `seq` where it was said to be in the log, or 0; whether it was refused for good."""

    push: Push
    fingerprint: str
    seq: int
    refused: bool


class _View:
    """A history by time, and what was sent and kept by user and id."""

    def __init__(self, history: Iterable[Operation], logs: Logs) -> None:
        operations = sorted(history, key=lambda done: (done.epoch, done.start, done.end, done.user, done.device))
        self.logs = {user: logs[user] for user in sorted(logs)}
        self.last_epoch = max((done.epoch for done in operations), default=0)
        self.pushes = [done for done in operations if isinstance(done, Push)]
        self.pulls = [done for done in operations if isinstance(done, Pull) and done.result == "ok"]
        self.answers: dict[tuple[str, str], list[_Answer]] = defaultdict(list)
        self.taken: dict[tuple[str, str], list[_Answer]] = defaultdict(list)
        self.sent: dict[str, set[str]] = defaultdict(set)
        for push in self.pushes:
            self.sent[push.user].update(item.id for item in push.items)
            for item, outcome in zip(push.items, push.outcomes or (None,) * len(push.items), strict=True):
                seq = outcome.seq if outcome is not None and outcome.taken else 0
                answer = _Answer(push, item.fingerprint, seq, outcome is not None and outcome.refused)
                self.answers[push.user, item.id].append(answer)
                if seq:
                    self.taken[push.user, item.id].append(answer)
        self.turned_down: dict[tuple[str, str], int] = {}
        for push in self.pushes:
            for outcome in push.outcomes:
                if not outcome.taken:
                    self.turned_down[push.user, outcome.id] = push.epoch  # pushes come by epoch: the last one it is
        self.kept: dict[tuple[str, str], list[Logged]] = defaultdict(list)
        for user, log in self.logs.items():
            for logged in log:
                self.kept[user, logged.id].append(logged)

    def taken_back(self, key: tuple[str, str]) -> bool:
        """Whether it was refused after a restore that had undone its acknowledgement: its device was told, and tells its user."""
        return max(answer.push.epoch for answer in self.taken[key]) < self.turned_down.get(key, 0)


def _acknowledged_is_kept(view: _View) -> Iterator[Violation]:
    """Rule 1: what was answered as taken stands once in the user's log, as it was sent and where it was said."""
    for (user, event_id), answers in view.taken.items():
        kept = view.kept.get((user, event_id), [])
        if not kept and view.taken_back((user, event_id)):
            continue
        if len(kept) != 1:
            said = f"{user}: {event_id} was acknowledged and stands {len(kept)} times in the final log"
            yield Violation(1, said, tuple(answer.push for answer in answers), (event_id,))
            continue
        [logged] = kept
        for answer in answers:
            if answer.push.epoch == view.last_epoch and (answer.seq, answer.fingerprint) != (logged.seq, logged.fingerprint):
                said = f"{user}: {event_id} was acknowledged at {answer.seq} as {answer.fingerprint}"
                yield Violation(1, f"{said} and stands at {logged.seq} as {logged.fingerprint}", (answer.push,), (event_id,))


def _refused(view: _View) -> dict[tuple[str, int], set[str]]:
    """By user and epoch the ids that must not appear there: rejected for good there, or only sent in operations that failed."""
    refused: dict[tuple[str, int], set[str]] = defaultdict(set)
    for (user, event_id), answers in view.answers.items():
        failed = all(answer.push.result == "fail" for answer in answers)
        refusals = {answer.push.epoch for answer in answers if answer.refused}
        for epoch in range(view.last_epoch + 1) if failed else refusals:
            refused[user, epoch].add(event_id)
    return refused


def _refused_never_appears(view: _View) -> Iterator[Violation]:
    """Rule 2: neither in the final log nor in a pull. A restored server may decide otherwise, hence epoch by epoch."""
    refused = _refused(view)
    for user in view.logs:
        for event_id in sorted(refused[user, view.last_epoch]):
            if (user, event_id) in view.kept:
                pushes = tuple(answer.push for answer in view.answers[user, event_id])
                yield Violation(2, f"{user}: {event_id} was refused and stands in the final log", pushes, (event_id,))
    for pull in view.pulls:
        if found := sorted(refused[pull.user, pull.epoch].intersection(fact.id for fact in pull.facts)):
            yield Violation(2, f"{pull.user}: {', '.join(found)} refused and pulled", (pull,), tuple(found))


def _unknown_at_most_once(view: _View) -> Iterator[Violation]:
    """Rule 3: what was never acknowledged may be there, but not twice and not as anything that was not sent."""
    for (user, event_id), answers in view.answers.items():
        kept = [] if (user, event_id) in view.taken else view.kept.get((user, event_id), [])
        if len(kept) > 1:
            said = f"{user}: {event_id} was not acknowledged and stands {len(kept)} times in the final log"
        elif kept and kept[0].fingerprint not in {answer.fingerprint for answer in answers}:
            said = f"{user}: {event_id} stands in the final log as {kept[0].fingerprint}, which was not sent"
        else:
            continue
        yield Violation(3, said, tuple(answer.push for answer in answers), (event_id,))


def _logs_have_no_gaps(view: _View) -> Iterator[Violation]:
    """Rule 4: the seqs of a final log are 1 … n."""
    for user, log in view.logs.items():
        for expected, logged in enumerate(log, start=1):
            if logged.seq != expected:
                yield Violation(4, f"{user}: the final log has {logged.seq} where {expected} belongs", ids=(logged.id,))
                break


Before = TypeVar("Before", Push, Pull)
Op = TypeVar("Op", Push, Pull)
Key = TypeVar("Key", bound=Hashable)


def _grouped(operations: Iterable[Op], key: Callable[[Op], Key]) -> dict[Key, list[Op]]:
    """In the order in which they come: by start, as in a view."""
    groups: dict[Key, list[Op]] = defaultdict(list)
    for done in operations:
        groups[key(done)].append(done)
    return groups


def _floors(ended: Iterable[tuple[int, Before]], started: Iterable[Op]) -> Iterator[tuple[Op, int, Before]]:
    """Each of `started`, which come by start, with the highest number of an operation that had ended before, and with that one.

    Operations that overlap may have happened either way: only an end before a start says which came first. After the sort by end
    each operation is passed once, so this is O(n log n).
    """
    by_end = sorted(ended, key=lambda pair: pair[1].end)
    highest: tuple[int, Before] | None = None
    passed = 0
    for done in started:
        while passed < len(by_end) and by_end[passed][1].end < done.start:
            if highest is None or by_end[passed][0] > highest[0]:
                highest = by_end[passed]
            passed += 1
        if highest is not None:
            yield done, highest[0], highest[1]


def _ledger(done: Operation) -> tuple[str, int]:
    return done.user, done.epoch


def _fresh(push: Push) -> list[tuple[int, str]]:
    # A duplicate says the seq of an earlier sending, which may lie far before the push that is answered (and an earlier one of
    # unknown outcome may still arrive during it): it says nothing about when this push happened.
    return sorted((outcome.seq, outcome.id) for outcome in push.outcomes if outcome.status in ("accepted", "conflict"))


def _seqs_follow_time(view: _View) -> Iterator[Violation]:
    """Rule 5: what was taken before a push began stands before what that push brought."""
    for (user, _), pushes in _grouped((push for push in view.pushes if _fresh(push)), _ledger).items():
        for push, highest, earlier in _floors([(_fresh(push)[-1][0], push) for push in pushes], pushes):
            lowest, event_id = _fresh(push)[0]
            if lowest <= highest:
                said = f"{user}: a push was given {lowest} that began after one had ended that was given {highest}"
                yield Violation(5, said, (earlier, push), (_fresh(earlier)[-1][1], event_id))


def _pulls_are_the_log(view: _View) -> Iterator[Violation]:
    """Rule 6: since + 1 … in order up to the head or a page's end, and the same events as in the final log.

    Of an epoch that is no more there is no log: there, pulls must agree with each other.
    """
    known: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    for user, log in view.logs.items():
        known[user, view.last_epoch] = {logged.seq: logged.id for logged in log}
    for pull in view.pulls:
        reached = pull.since + len(pull.facts)
        if [fact.seq for fact in pull.facts] != list(range(pull.since + 1, reached + 1)):
            yield Violation(6, f"{pull.user}: a pull has a gap or is out of order after {pull.since}", (pull,))
        elif reached > pull.version or pull.has_more != (reached < pull.version):
            said = f"{pull.user}: a pull ends at {reached}, says version {pull.version} and has_more {pull.has_more}"
            yield Violation(6, said, (pull,))
        there = known[_ledger(pull)]
        if pull.epoch != view.last_epoch:
            for fact in pull.facts:
                there.setdefault(fact.seq, fact.id)
        if other := [fact for fact in pull.facts if there.get(fact.seq) != fact.id]:
            said = f"{pull.user}: a pull has {other[0].id} at {other[0].seq}, where {there.get(other[0].seq)} stands"
            yield Violation(6, said, (pull,), tuple(fact.id for fact in other))


def _heads_never_go_back(view: _View) -> Iterator[Violation]:
    """Rule 7: a device is never told a lower head than in a pull of its own that had ended before."""
    for pulls in _grouped(view.pulls, lambda pull: (pull.user, pull.device, pull.epoch)).values():
        for pull, highest, earlier in _floors([(pull.version, pull) for pull in pulls], pulls):
            if pull.version < highest:
                said = f"{pull.user}: {pull.device} pulled version {pull.version} after {highest}"
                yield Violation(7, said, (earlier, pull))


def _pulls_see_what_was_acknowledged(view: _View) -> Iterator[Violation]:
    """Rule 8: a pull to the end reaches every seq that was answered before it began."""
    pulls = _grouped((pull for pull in view.pulls if not pull.has_more), _ledger)
    for ledger, pushes in _grouped(view.pushes, _ledger).items():
        answered = [(max((outcome.seq for outcome in push.outcomes if outcome.taken), default=0), push) for push in pushes]
        for pull, highest, push in _floors(answered, pulls.get(ledger, [])):
            if pull.version < highest:
                said = f"{pull.user}: a pull ended at version {pull.version} after {highest} had been answered"
                yield Violation(8, said, (push, pull))


def _an_id_has_one_seq(view: _View) -> Iterator[Violation]:
    """Rule 9: whenever an id is answered within an epoch, it has the seq of the first time."""
    for (user, event_id), answers in view.taken.items():
        first: dict[int, _Answer] = {}
        for answer in answers:
            earlier = first.setdefault(answer.push.epoch, answer)
            if answer.seq != earlier.seq:
                said = f"{user}: {event_id} was answered with seq {earlier.seq} and with {answer.seq}"
                yield Violation(9, said, (earlier.push, answer.push), (event_id,))


def _users_are_apart(view: _View) -> Iterator[Violation]:
    """Rule 10: nobody reads what only others have sent."""
    everyone = {event_id for ids in view.sent.values() for event_id in ids}

    def foreign(user: str, ids: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted((set(ids) - view.sent.get(user, set())) & everyone))

    for user, log in view.logs.items():
        if found := foreign(user, (logged.id for logged in log)):
            yield Violation(10, f"{user}: the final log has {', '.join(found)} of another user", ids=found)
    for pull in view.pulls:
        if found := foreign(pull.user, (fact.id for fact in pull.facts)):
            yield Violation(10, f"{pull.user}: a pull has {', '.join(found)} of another user", (pull,), found)


_RULES: tuple[Callable[[_View], Iterator[Violation]], ...] = (
    _acknowledged_is_kept,
    _refused_never_appears,
    _unknown_at_most_once,
    _logs_have_no_gaps,
    _seqs_follow_time,
    _pulls_are_the_log,
    _heads_never_go_back,
    _pulls_see_what_was_acknowledged,
    _an_id_has_one_seq,
    _users_are_apart,
)
