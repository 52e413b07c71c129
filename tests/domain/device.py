"""A server without a database and devices without a network, to see whether they agree in the end."""

import copy
from dataclasses import dataclass, field
from typing import Any

import msgspec

from domain import chain, errors, facts
from domain.facts import Command
from domain.fold import Ledger
from domain.sequence import Book, Outcome, take
from tests.factories import DEFAULTS

MAY_COME_AGAIN = {"unknown_contact", "unknown_aggregate", "unknown_event", "unknown_conflict", "dependency_failed"}
State = dict[facts.Key, dict[str, Any]]


@dataclass
class Server:
    """One ledger; what the API does around the domain: reset, push, pull."""

    book: Book = field(default_factory=lambda: Book(Ledger("l"), bytes(32), ""))
    clock: int = 0

    def push(self, items: list[Command], base_hash: bytes | None) -> list[Outcome]:
        """Outcomes. Raises errors.Reset where the device knows another history."""
        base = max((item.base_seq or 0 for item in items), default=0)
        if base > self.book.ledger.version or (base and self.hash_at(base) != base_hash):
            raise errors.Reset("another history")
        self.clock += 1
        self.book.recorded_at = f"2026-11-22T{20 + self.clock // 3600:02}:{self.clock // 60 % 60:02}:{self.clock % 60:02}.000001Z"
        return take(self.book, items, defaults=DEFAULTS)

    def pull(self, since: int, digest: bytes | None, limit: int) -> list[bytes]:
        """Canonical facts behind `since`. Raises errors.Reset."""
        if since > self.book.ledger.version or (since and self.hash_at(since) != digest):
            raise errors.Reset("another history")
        return [known.text for known in self.log()[since : since + limit]]

    def log(self) -> list[Any]:
        return sorted(self.book.known.values(), key=lambda known: known.seq)

    def hash_at(self, seq: int) -> bytes:
        digest: bytes = self.log()[seq - 1].hash
        return digest

    def backup(self) -> Book:
        return copy.deepcopy(self.book)


@dataclass
class Device:
    """Keeps its own commands for ever, its queue in order, and of the log what folding needs: the changes alone."""

    id: str
    hashes: list[bytes] = field(default_factory=list)
    state: State = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    """Ids of the events that it has folded."""
    queue: list[Command] = field(default_factory=list)
    own: list[Command] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Codes of its own commands that the server did not take."""

    @property
    def version(self) -> int:
        return len(self.hashes)

    def act(self, command: Command) -> None:
        """The user does something, with what the device shows at this moment."""
        mine = msgspec.structs.replace(command, device_id=self.id, base_seq=self.version)
        self.queue.append(mine)
        self.own.append(mine)

    def request(self, limit: int) -> tuple[list[Command], bytes | None]:
        """The next push."""
        items = self.queue[:limit]
        base = max((item.base_seq or 0 for item in items), default=0)
        return items, self.hashes[base - 1] if base else None

    def settle(self, outcomes: list[Outcome]) -> None:
        """The reply to a push: what is done leaves the queue; what needs something that is still to come waits its turn."""
        done = {outcome.id for outcome in outcomes if outcome.code not in MAY_COME_AGAIN}
        self.refused |= {outcome.id: str(outcome.code) for outcome in outcomes if outcome.status == "rejected"}
        waiting = [item for item in self.queue if item.id in {outcome.id for outcome in outcomes} - done]
        sent = {outcome.id for outcome in outcomes}
        self.queue = [item for item in self.queue if item.id not in sent] + waiting

    def fold(self, texts: list[bytes]) -> None:
        """Set every field to its second value; before that it has the first."""
        for text in texts:
            fact = msgspec.json.decode(text, type=facts.Fact)
            assert fact.seq == self.version + 1
            for change in fact.changes:
                fields = self.state.setdefault(change.key, {})
                for name, (before, after) in change.fields.items():
                    assert fields.get(name) == before
                    fields[name] = after
            self.seen.add(fact.id)
            self.refused.pop(fact.id, None)
            self.queue = [item for item in self.queue if item.id != fact.id]
            self.hashes.append(chain.link(self.hashes[-1] if self.hashes else None, text))

    def start_over(self, server: Server) -> None:
        """After a reset: from 0, and again, under the same ids, what the server lacks of what this device did."""
        self.hashes, self.state, self.seen, self.queue = [], {}, set(), []
        self.pull(server, 1_000)

    def pull(self, server: Server, limit: int) -> None:
        """Everything, a page at a time. What was acknowledged and is not in the log is pushed again: a backup was restored.

        That may come without a reset: a device that had folded nothing, or no more than the backup holds, has nothing that
        contradicts it.
        """
        while page := server.pull(self.version, self.hashes[-1] if self.hashes else None, limit):
            self.fold(page)
        waiting = {item.id for item in self.queue}
        known = self.seen | {event_id for event_id, code in self.refused.items() if code not in MAY_COME_AGAIN}
        if any(item.id not in known | waiting for item in self.own):
            lacking = [item for item in self.own if item.id not in known]
            self.queue = [msgspec.structs.replace(item, base_seq=min(item.base_seq or 0, self.version)) for item in lacking]

    def sync(self, server: Server) -> None:
        """Pull before push, then pull again."""
        try:
            self.pull(server, 3)
            items, base_hash = self.request(500)
            if items:
                self.settle(server.push(items, base_hash))
            self.pull(server, 1_000)
        except errors.Reset:
            self.start_over(server)
