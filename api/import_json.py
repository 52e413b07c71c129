"""Import of an export: the log is taken over as it was decided, whole or not at all, into an empty ledger."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from msgspec import Raw, Struct, structs
from sanic.views import stream

from api import body
from api.routing import Call, Nothing, Reply, Routes
from api.transfer import PAGE, upload
from domain import chain, errors, facts, sequence
from domain.adoption import Decided
from domain.case import Defaults
from storage.ledgers import Moved, Push

routes = Routes("transfer")
PAGE_CHANGES = 2_000
"""A page ends where its facts have so many: most have one, and some, like the deletion of a contact, thousands."""
MEDIA_TYPE = "application/json"


class File(Struct, frozen=True):
    """Of an export what is taken over: the log; everything else in it follows from that."""

    format: Literal["debitum-export"]
    version: Literal[1]
    events: list[Raw]


Log = list[Raw]
"""Facts as they stand in the file, of which no copy is made: only some are read at a time, for a file may have hundreds of MB."""


class TakenOver(Struct, frozen=True):
    """How much of the log created what, and where the ledger stands now."""

    contacts: int
    transactions: int
    items: int
    reminders: int
    version: int


@routes.add(
    "POST",
    "/api/import/json",
    answer=TakenOver,
    codes=("ledger_not_empty", "balance_out_of_range", "ledger_gone"),
    streams=MEDIA_TYPE,
)
@stream  # type: ignore[untyped-decorator]  # Sanic leaves this decorator untyped
async def take_over(call: Call[None, Nothing]) -> Reply:
    """Take over what /api/export wrote, into an empty ledger: every fact as it was decided, with new times and hashes."""
    body.check_media_type(call.request, MEDIA_TYPE)
    created = dict.fromkeys(TakenOver.__struct_fields__[:-1], 0)
    async with upload(call) as file:
        log = await asyncio.to_thread(_read, file)
        version = await _store(call, _checked(log, created))
    return Reply(TakenOver(**created, version=version), headers={"X-Ledger-Version": str(version)})


async def _store(call: Call[None, Nothing], log: Iterator[Decided]) -> int:
    """The version of the ledger with all of `log`."""
    ledger_id = str(call.caller.ledger_id)
    try:
        return await call.services.writer.take_over(ledger_id, _pushes(ledger_id, call.caller.defaults, log))
    except Moved as error:
        raise errors.LedgerNotEmpty("this ledger has events already") from error


def _read(file: Path) -> Log:
    content = file.read_bytes()
    found = body.decode_bytes(content, File)
    body.refuse_duplicates(content, nested=False)
    return found.events


def _checked(log: Log, created: dict[str, int]) -> Iterator[Decided]:
    """The facts of `log`; what they create is counted in `created`, by the members of TakenOver.

    Raises errors.Invalid with the place of the first that is none, or whose hash is wrong: nothing is stored then.
    """
    digest = None
    for index, raw in enumerate(log):
        fact, text, said = _fact(bytes(raw), index)
        digest = chain.link(digest, text)
        if digest.hex() != said:
            raise _wrong(index, "/hash", "is not that of this fact after the one before")
        for change in (change for change in fact.changes if change.op == "create"):
            created[f"{change.aggregate_type}s"] += 1
            created["items"] += change.fields.get("type") == (None, "item")
        yield Decided(fact, index)


def _fact(sent: bytes, index: int) -> tuple[facts.Fact, bytes, str]:
    """What an item of the log says, its canonical JSON, and the hash that it is said to have."""
    try:
        wired = body.decode_bytes(sent, facts.WireFact)
        known = structs.asdict(wired)
        said = known.pop("hash")
        fact = facts.Fact(**known)
        text = chain.canonical(fact)
        as_exported = sent == sequence.wire_text(text.decode(), said).encode()  # then there is nothing else in it
        members = None if as_exported else _members(sent)
    except errors.Invalid as error:
        raise errors.Invalid(error.detail, errors=errors.inside(f"/events/{index}", error.errors)) from error
    if members is not None and chain.canonical(members) != text:
        raise _wrong(index, "", "has members that no fact has")
    if b"\\u0000" in text:
        raise _wrong(index, "", "no text has a NUL")
    return fact, text, said


def _members(sent: bytes) -> dict[str, Any]:
    """All that is said of a fact but its hash. Raises errors.Invalid where something is said twice."""
    members: dict[str, Any] = body.decode_bytes(sent, dict[str, Any])
    body.refuse_duplicates(sent)
    del members["hash"]
    return members


def _wrong(index: int, pointer: str, detail: str) -> errors.Invalid:
    return errors.Invalid.at(f"/events/{index}{pointer}", detail, whole="the log is not whole")


def _pushes(ledger_id: str, defaults: Defaults, log: Iterator[Decided]) -> Iterator[Push]:
    """At least one, also of a log that is empty."""
    start = 0
    for page in _pages(log):
        yield Push(ledger_id, page, defaults, adopts=True, expected_version=start)
        start += len(page)
    if not start:
        yield Push(ledger_id, [], defaults, adopts=True, expected_version=start)


def _pages(log: Iterator[Decided]) -> Iterator[list[Decided]]:
    """Each is decided in one step, while nobody else is answered."""
    page: list[Decided] = []
    changes = 0
    for one in log:
        page.append(one)
        changes += len(one.fact.changes)
        if len(page) == PAGE or changes >= PAGE_CHANGES:
            yield page
            page, changes = [], 0
    if page:
        yield page
