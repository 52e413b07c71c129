"""The sequencer of one ledger: takes commands in order, answers retries, decides the rest and chains the facts."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from domain import chain, errors, facts
from domain.adoption import Decided, adopt
from domain.case import Defaults
from domain.decide import decide, references
from domain.errors import FieldError
from domain.facts import Command, Fact, Status, Unreadable
from domain.fold import Ledger, Step


class Known(Struct, frozen=True):
    """An event that is in the log under some id. `text` is the fact's canonical JSON, `hash` its link of the chain."""

    seq: int
    fingerprint: bytes
    text: bytes
    hash: bytes

    def fact(self) -> Fact:
        """The decoded fact."""
        return msgspec.json.decode(self.text, type=Fact)

    def wire(self) -> bytes:
        """The fact as clients read it, with its hash."""
        return wire(self.text, self.hash)


MAX_LOOKS = 2_000_000
"""Entities that the commands of one ledger may look at when they are decided together: about a second's work."""
KEPT_CHARACTERS = 65_536
"""Of an item that is refused: more than any that could be accepted has."""


class Refusal(Struct, frozen=True):
    """A rejection that is remembered; `command` is the JSON of the item, or the beginning of one that is too long.

    `errors` point into what was sent: the same id may come again as an item that is refused elsewhere, or nowhere.
    """

    fingerprint: bytes
    code: str
    detail: str
    errors: tuple[FieldError, ...]
    command: str = ""


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one item of a push."""

    id: str
    status: Literal["accepted", "duplicate", "conflict", "rejected"]
    first: Status | UnsetType = UNSET
    seq: int | UnsetType = UNSET
    code: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    errors: tuple[FieldError, ...] | UnsetType = UNSET
    overwrote: dict[str, Any] | UnsetType = UNSET
    current: int | UnsetType = UNSET
    """The version that a stale command met."""


class Book(Struct):
    """One ledger under its lock: what is known of it, and what this batch adds.

    `recorded_at` (RFC 3339, UTC) is Postgres's clock at the lock, never before the head's, which is `head_recorded_at`.
    """

    ledger: Ledger
    data_key: bytes
    recorded_at: str
    head_recorded_at: str | None = None
    known: dict[str, Known] = {}
    refused: dict[str, Refusal] = {}
    steps: list[tuple[Fact, Step]] = []
    """New facts, oldest first; their text and hash are in `known`."""
    refusals: dict[str, Refusal] = {}
    """New rejections to be remembered."""
    changes: int = 0
    """Of the new facts, and ids that their conflicts name."""
    looks: int = 0
    """Entities that were looked at by commands that go through the whole ledger; see MAX_LOOKS."""
    decoded: dict[str, Fact] = {}
    """The facts of `known` that were asked for."""

    def fact(self, event_id: str | None) -> Fact | None:
        """The fact of an event that is known: decoded once, for it may be a megabyte, and be asked for by many."""
        if event_id not in self.known:
            return None
        if event_id not in self.decoded:
            self.decoded[event_id] = self.known[event_id].fact()
        return self.decoded[event_id]

    def copy(self) -> "Book":
        """Another book that can be written to without changing this one."""
        ledger = structs.replace(
            self.ledger,
            entities=dict(self.ledger.entities),
            conflicts=dict(self.ledger.conflicts),
            undone=set(self.ledger.undone),
            balances=None if self.ledger.balances is None else dict(self.ledger.balances),
        )
        return structs.replace(
            self,
            ledger=ledger,
            known=dict(self.known),
            refused=dict(self.refused),
            decoded=dict(self.decoded),
            steps=list(self.steps),
            refusals=dict(self.refusals),
        )


Item = Command | Unreadable | Decided
"""What a push is made of; Decided only where a log is taken over."""


def take(book: Book, items: Iterable[Item], *, defaults: Defaults, skip_known: bool = False) -> list[Outcome]:
    """Decide `items` in order, one outcome each; what is accepted is added to `book`. Raises what a Decided is refused for.

    `skip_known`: an id that is in the log is a duplicate whatever its content (imports).
    """
    return list(outcomes(book, items, defaults=defaults, skip_known=skip_known))


def outcomes(book: Book, items: Iterable[Item], *, defaults: Defaults, skip_known: bool) -> Iterator[Outcome]:
    """The same, lazily: each item is decided when its outcome is asked for."""
    failed: set[tuple[str, str]] = set()
    return (_take_one(book, item, defaults, skip_known, failed) for item in items)


def _take_one(book: Book, item: Item, defaults: Defaults, skip_known: bool, failed: set[tuple[str, str]]) -> Outcome:
    if isinstance(item, Decided):
        return _adopt(book, item)
    fingerprint = chain.fingerprint(book.data_key, item.fingerprinted)
    try:
        if (earlier := _retry(book, item.id, fingerprint, skip_known)) is not None:
            if earlier.status == "rejected":
                failed |= _names(item)
            return earlier
        if isinstance(item, Unreadable):  # its error is not raised: with a traceback it would keep the book alive
            return _refuse(book, item, item.error, fingerprint, failed)
        _check_dependencies(book, item, failed)
        _check_effort(book, item)
        return _decide(book, item, fingerprint, defaults)
    except errors.Rejected as error:
        return _refuse(book, item, error, fingerprint, failed)


def _refuse(
    book: Book, item: Command | Unreadable, error: errors.Rejected, fingerprint: bytes, failed: set[tuple[str, str]]
) -> Outcome:
    failed |= _names(item)
    found = error.errors if isinstance(item, Unreadable) else errors.inside(item.within, error.errors)
    if error.remembered and _may_come_again(item) and item.id not in book.refused:
        sent = item.sent if isinstance(item, Unreadable) else chain.canonical(item.item()).decode()
        refusal = Refusal(fingerprint, error.code, error.detail, found, sent[:KEPT_CHARACTERS])
        book.refused[item.id] = book.refusals[item.id] = refusal
    current = error.current if isinstance(error, errors.Stale) else UNSET
    return _rejected(item.id, error.code, error.detail, found, current)


def _names(item: Command | Unreadable) -> set[tuple[str, str]]:
    """What others of its push can depend on."""
    return {("event", item.id), *([item.key] if item.key else ())}


def _may_come_again(item: Command | Unreadable) -> bool:
    return isinstance(item, Unreadable) or item.remembered


def _retry(book: Book, event_id: str, fingerprint: bytes, skip_known: bool) -> Outcome | None:
    """The answer to a command that came before; raises errors.IdReused where another one came under its id."""
    if (known := book.known.get(event_id)) is not None:
        if not skip_known and known.fingerprint != fingerprint:
            raise errors.IdReused("this id belongs to an event with other content")
        fact = book.fact(event_id)
        assert fact is not None
        code = fact.conflict.kind if fact.conflict else UNSET
        return Outcome(id=event_id, status="duplicate", first=fact.status, seq=known.seq, code=code, overwrote=fact.overwrote)
    if (refusal := book.refused.get(event_id)) is not None:
        if refusal.fingerprint != fingerprint:
            raise errors.IdReused("this id belongs to a rejected command with other content")
        return _rejected(event_id, refusal.code, refusal.detail, refusal.errors)
    return None


def _check_dependencies(book: Book, command: Command, failed: set[tuple[str, str]]) -> None:
    if not failed:
        return
    for key in (command.key, *references(command)):
        if key in failed and key not in book.ledger.entities and not (key == command.key and command.payload.creates):
            raise errors.DependencyFailed(f"{key[0]} {key[1]} was rejected earlier in this push")
    for event_id in (command.undoes, command.resolves):
        if ("event", event_id) in failed and event_id not in book.known:
            raise errors.DependencyFailed(f"event {event_id} was rejected earlier in this push")


def _check_effort(book: Book, command: Command) -> None:
    """Raises errors.TooManyChanges: while it decides, the process answers nobody else."""
    if command.event_type in ("DELETED", "RESTORED", "UNDO"):
        book.looks += len(book.ledger.entities)
    if book.changes >= facts.MAX_CHANGES or book.looks > MAX_LOOKS:
        raise errors.TooManyChanges("too much follows from what came before: send this again")


def _decide(book: Book, command: Command, fingerprint: bytes, defaults: Defaults) -> Outcome:
    salt = partial(chain.salt, book.data_key, command.id)
    undone = book.fact(command.undoes)
    fact, step = decide(book.ledger, command, recorded_at=book.recorded_at, defaults=defaults, salt=salt, undone=undone)
    return _add(book, fact, step, fingerprint)


def _add(book: Book, fact: Fact, step: Step, fingerprint: bytes) -> Outcome:
    """Chain the fact to those before."""
    text = chain.canonical(fact)
    digest = chain.link(book.ledger.hash, text)
    book.ledger.take(step).hash = digest
    book.known[fact.id] = Known(fact.seq, fingerprint, text, digest)
    book.steps.append((fact, step))
    book.changes += len(fact.changes) + (len(fact.conflict.kept.get("ids", ())) if fact.conflict else 0)
    code = fact.conflict.kind if fact.conflict else UNSET
    return Outcome(id=fact.id, status=fact.status, seq=fact.seq, code=code, overwrote=fact.overwrote)


def _adopt(book: Book, item: Decided) -> Outcome:
    try:
        if item.id in book.known:
            raise errors.Invalid.at("/id", "stands there twice")
        undone = book.fact(item.fact.undoes)
        fact, step = adopt(book.ledger, item.fact, recorded_at=book.recorded_at, undone=undone)
    except errors.Rejected as error:
        found = error.errors or (FieldError("", error.detail),)
        raise errors.Invalid("the log does not fold", errors=errors.inside(f"/events/{item.index}", found)) from error
    return _add(book, fact, step, chain.fingerprint(book.data_key, item.fingerprinted))


def _rejected(
    event_id: str,
    code: str,
    detail: str,
    found: tuple[FieldError, ...],
    current: int | UnsetType = UNSET,
) -> Outcome:
    return Outcome(id=event_id, status="rejected", code=code, detail=detail, errors=found or UNSET, current=current)


def wire(text: bytes, digest: bytes) -> bytes:
    """A fact as clients read it: its canonical JSON with the hash in front."""
    return wire_text(text.decode(), digest.hex()).encode()


def wire_text(text: str, digest: str) -> str:
    """The same of texts; `digest` is 64 hex digits."""
    return f'{{"hash":"{digest}",{text[1:]}'
