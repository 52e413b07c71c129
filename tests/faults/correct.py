"""A correct server in a world that fails: where histories come from that break no rule."""

import heapq
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from tests.faults.history import Fact, Item, Logged, Operation, Outcome, Pull, Push, Result

RESULTS: list[Result] = ["ok", "fail", "unknown"]
USERS, DEVICES_EACH, STEPS = ("ana", "ben", "eva"), 2, 25


@dataclass
class Ledger:
    """One user's log on a correct server."""

    log: list[Item] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    restored: bool = False

    def take(self, item: Item, dice: random.Random) -> Outcome:
        """Ids that end in x are refused for good, unless a restored server decides otherwise; those in y are not always taken."""
        if (seq := self.known.get(item.id)) is not None:
            same = self.log[seq - 1] == item
            return Outcome(item.id, "duplicate", seq) if same else Outcome(item.id, "rejected", code="id_reused")
        if item.id in self.refused or (item.id.endswith("x") and (not self.restored or dice.random() < 0.5)):
            self.refused.add(item.id)
            return Outcome(item.id, "rejected", code="invalid")
        if item.id.endswith("y") and dice.random() < 0.5:
            return Outcome(item.id, "rejected", code="unknown_contact")
        self.log.append(item)
        self.known[item.id] = len(self.log)
        return Outcome(item.id, dice.choice(["accepted", "accepted", "conflict"]), len(self.log))

    def restore(self, version: int) -> None:
        for item in self.log[version:]:
            del self.known[item.id]
        del self.log[version:]
        self.refused, self.restored = set(), True


@dataclass
class Device:
    """What a device remembers; it asks one thing at a time."""

    user: str
    name: str
    epoch: int = 0
    head: int = 0
    waiting: dict[Item, None] = field(default_factory=dict)
    """Sent and not answered for good."""
    acknowledged: list[Item] = field(default_factory=list)
    """In this epoch; `lost`: in an earlier one and not yet again."""
    lost: set[Item] = field(default_factory=set)
    refused: list[Item] = field(default_factory=list)


class World:
    """A correct server, and a network that loses, delays and repeats. `seen` is the history; a restore is its second epoch."""

    def __init__(self, seed: int, *, steps: int = STEPS, restored: bool = False) -> None:
        self.dice = random.Random(seed)
        self.now, self.epoch, self.last_epoch, self.steps = 0.0, 0, int(restored), steps
        self.seen: list[Operation] = []
        self.ledgers = {user: Ledger() for user in USERS}
        self.numbers = itertools.count(1)
        self.agenda: list[tuple[float, int, Iterator[float]]] = []
        for user, number in itertools.product(USERS, range(DEVICES_EACH)):
            self.begin(self.live(Device(user, f"{user}-{number}")))
        if restored:
            self.begin(self.restore())
        while self.agenda:
            self.now, _, task = heapq.heappop(self.agenda)
            self.begin(task)

    def begin(self, task: Iterator[float]) -> None:
        """Run a task up to its next wait, in seconds."""
        if (seconds := next(task, None)) is not None:
            heapq.heappush(self.agenda, (self.now + seconds, next(self.numbers), task))

    def logs(self) -> dict[str, list[Logged]]:
        return {user: renumbered(ledger.log) for user, ledger in self.ledgers.items()}

    def restore(self) -> Iterator[float]:
        yield self.steps * 0.3
        backup = {user: len(ledger.log) for user, ledger in self.ledgers.items()}
        yield self.steps * 0.4
        self.epoch += 1
        for user, version in backup.items():
            self.ledgers[user].restore(version)

    def live(self, device: Device) -> Iterator[float]:
        """Some steps with faults; then without any, until all that was acknowledged in an earlier epoch is home again."""
        for step in itertools.count():
            yield self.dice.random() / 5
            if device.epoch != self.epoch:  # a device that meets a reset pulls from the beginning and pushes all its own
                device.lost = set(device.acknowledged)
                device.waiting = dict.fromkeys([*device.acknowledged, *device.waiting, *device.refused])
                device.epoch, device.head, device.acknowledged = self.epoch, 0, []
            calm = step >= self.steps
            if calm and self.epoch == self.last_epoch and not device.lost:
                return
            result: Result = "ok" if calm else self.dice.choices(RESULTS, [8, 1, 2])[0]
            yield from self.dice.choice([self.pull, self.push, self.push])(device, result, [] if calm else self.news(device))

    def news(self, device: Device) -> list[Item]:
        """New events, and now and then one that was acknowledged, or its id with other content."""
        ends = self.dice.choices(["", "x", "y"], [8, 1, 1], k=self.dice.randrange(4))
        items = [Item(f"{number}{end}", f"content {number}") for end, number in zip(ends, self.numbers, strict=False)]
        if device.acknowledged and self.dice.random() < 0.3:
            old = self.dice.choice(device.acknowledged)
            items.append(old if self.dice.random() < 0.8 else replace(old, fingerprint="other"))
        return items

    def push(self, device: Device, result: Result, news: list[Item]) -> Iterator[float]:
        start, epoch = self.now, self.epoch
        items = [*(item for item in list(device.waiting)[:9] if self.dice.random() < 0.7), *news]
        outcomes: list[Outcome] = []
        if result == "unknown" and self.dice.random() < 0.7:
            self.begin(self.arrive(device.user, items, []))
        elif result == "ok":
            yield from self.arrive(device.user, items, outcomes)
        yield self.dice.random()
        if self.epoch != epoch:
            result, outcomes = "unknown", []
        answers = list(zip(items, outcomes, strict=result == "ok"))
        home = [item for item, said in answers if said.taken]
        device.acknowledged += home
        device.lost -= set(home)
        device.refused += [item for item, said in answers if said.refused]
        settled = {item for item, said in answers if said.taken or said.refused or said.code == "id_reused"}
        sent = [item for item in items if result == "ok" or self.dice.random() < 0.6]  # or else the user gives up
        kept = (item for item in (*device.waiting, *sent) if item not in settled and item.fingerprint != "other")
        device.waiting = dict.fromkeys(kept)
        same: dict[str, Any] = {"user": device.user, "device": device.name, "start": start, "end": self.now, "epoch": epoch}
        self.seen.append(Push(items=tuple(items), result=result, outcomes=tuple(outcomes), **same))

    def arrive(self, user: str, items: list[Item], outcomes: list[Outcome]) -> Iterator[float]:
        """Some time later, which may be after the device has stopped to wait."""
        epoch = self.epoch
        yield self.dice.random() * self.dice.choice([1, 4])
        if self.epoch == epoch:
            outcomes += [self.ledgers[user].take(item, self.dice) for item in items]

    def pull(self, device: Device, result: Result, _: list[Item]) -> Iterator[float]:
        start, epoch = self.now, self.epoch
        since = device.head if self.dice.random() < 0.9 else 0
        yield self.dice.random()
        log, limit = self.ledgers[device.user].log, self.dice.randint(1, 25)
        facts = tuple(Fact(seq, item.id) for seq, item in enumerate(log[since : since + limit], since + 1))
        found: dict[str, Any] = {"facts": facts, "version": len(log), "has_more": since + len(facts) < len(log)}
        yield self.dice.random()
        if self.epoch != epoch:
            result = "unknown"
        if result == "ok":
            device.head = since + len(facts)
        same: dict[str, Any] = {"user": device.user, "device": device.name, "start": start, "end": self.now, "epoch": epoch}
        self.seen.append(Pull(since=since, result=result, **same, **(found if result == "ok" else {})))


def renumbered(log: Sequence[Item | Logged]) -> list[Logged]:
    return [Logged(seq, logged.id, logged.fingerprint) for seq, logged in enumerate(log, 1)]
