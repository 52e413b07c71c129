"""What devices saw of the sync API, as tests/faults/checker.py judges it.

An operation is what one device asked and was answered; `start` and `end` are monotonic seconds of one clock for all of a run.
Each user has one ledger. A restored backup begins a new epoch: seqs are compared within an epoch, and only the last one's with
the final logs; what was acknowledged in any epoch must be there in the end. An operation is of the epoch in which it began, and
unknown where it ended in another.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

Result = Literal["ok", "fail", "unknown"]
"""Of a whole operation. `fail`: it was refused (4xx) or never sent, and did nothing; `unknown`: a time-out, a reset, a 5xx."""

FORGOTTEN = frozenset(
    (
        *("unknown_contact", "unknown_aggregate", "unknown_event", "unknown_conflict", "dependency_failed", "too_many_changes"),
        *("id_reused", "unsupported_version", "stale"),
    )
)
"""Codes of rejections after which the same id may come again and be taken (docs/events.md, "Retry")."""


class Item(Struct, frozen=True, array_like=True, gc=False):
    """An event as it was sent; `fingerprint` is a hash of its content, which is computed alike from a fact of the log."""

    id: str
    fingerprint: str


class Outcome(Struct, frozen=True, omit_defaults=True, gc=False):
    """The answer to one item; what the wire says converts to it. `seq` is 0 and `code` None where there is none."""

    id: str
    status: Literal["accepted", "duplicate", "conflict", "rejected"]
    seq: int = 0
    code: str | None = None

    @property
    def taken(self) -> bool:
        """Whether the event is in the log, at `seq`."""
        return self.status != "rejected"

    @property
    def refused(self) -> bool:
        """Whether the event is not in the log and never will be under this id."""
        return self.status == "rejected" and self.code not in FORGOTTEN


class Fact(Struct, frozen=True, array_like=True, gc=False):
    """What a pull says of one event."""

    seq: int
    id: str


class Logged(Struct, frozen=True, array_like=True, gc=False):
    """One event of a final log."""

    seq: int
    id: str
    fingerprint: str


class Push(Struct, frozen=True, kw_only=True, tag_field="kind", tag="push", gc=False):
    """A push; one outcome an item in their order where `result` is ok, none otherwise."""

    user: str
    device: str
    start: float
    end: float
    items: tuple[Item, ...]
    result: Result
    outcomes: tuple[Outcome, ...] = ()
    epoch: int = 0

    def __post_init__(self) -> None:
        """An answer that says less than was asked must not pass for one that is right."""
        asked = [item.id for item in self.items] if self.result == "ok" else []
        if [outcome.id for outcome in self.outcomes] != asked:
            raise ValueError("the outcomes are not those of the items")
        if not all(outcome.seq > 0 for outcome in self.outcomes if outcome.taken):
            raise ValueError("an event was taken without a seq")


class Pull(Struct, frozen=True, kw_only=True, tag_field="kind", tag="pull", gc=False):
    """A pull; facts in the order in which they were received, and the head that was said. Empty where `result` is not ok."""

    user: str
    device: str
    start: float
    end: float
    since: int
    result: Result
    facts: tuple[Fact, ...] = ()
    version: int = 0
    has_more: bool = False
    epoch: int = 0


class Final(Struct, frozen=True, kw_only=True, tag_field="kind", tag="final", gc=False):
    """A user's whole log, as the server tells it after the last operation."""

    user: str
    log: tuple[Logged, ...]


Operation = Push | Pull
"""What a history is made of."""

Logs = Mapping[str, Sequence[Logged]]
"""The final log of each user."""


def dump(record: Operation | Final) -> str:
    """One line of JSON, without its end."""
    return msgspec.json.encode(record).decode()


def load(line: str | bytes) -> Operation | Final:
    """The inverse of `dump`. Raises msgspec.ValidationError, msgspec.DecodeError."""
    return msgspec.json.decode(line, type=Push | Pull | Final)


def read(lines: Iterable[str | bytes]) -> tuple[list[Operation], dict[str, Sequence[Logged]]]:
    """The history and the final logs in what any number of processes have written, in any order."""
    records = [load(line) for line in lines]
    history = [record for record in records if not isinstance(record, Final)]
    return history, {record.user: record.log for record in records if isinstance(record, Final)}
