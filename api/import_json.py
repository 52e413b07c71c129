"""Import of an export: the log is taken over as it was decided, whole or not at all, into an empty ledger."""

import asyncio
import mmap
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from msgspec import Raw, Struct, structs
from sanic.views import stream

from api import body
from api.routing import Call, Nothing, Reply, Routes
from api.transfer import PAGE, receive
from domain import chain, errors, facts, sequence
from domain.adoption import Decided
from domain.case import Defaults
from storage.ledgers import Moved, Push

routes = Routes("transfer")
MEDIA_TYPE = "application/json"


class File(Struct, frozen=True):
    """Of an export what is taken over: the log; everything else in it follows from that."""

    format: Literal["debitum-export"]
    version: Literal[1]
    events: list[Raw]


class TakenOver(Struct, frozen=True):
    """How much of the log created what, and where the ledger stands now."""

    contacts: int
    transactions: int
    items: int
    reminders: int
    version: int


@routes.add("POST", "/api/import/json", answer=TakenOver, codes=("ledger_not_empty", "balance_out_of_range"), streams=MEDIA_TYPE)
@stream  # type: ignore[untyped-decorator]  # Sanic leaves this decorator untyped
async def take_over(call: Call[None, Nothing]) -> Reply:
    """Take over what /api/export wrote, into an empty ledger: every fact as it was decided, with new times and hashes."""
    body.check_media_type(call.request, MEDIA_TYPE)
    with tempfile.TemporaryDirectory(prefix="debitum-import-") as folder:
        file = Path(folder, "export.json")
        await receive(call.request, file)
        log = await asyncio.to_thread(_read, file)
        created = await asyncio.to_thread(_created, log)  # before anything is stored: then only the answer is left
    pushes = _pushes(str(call.caller.ledger_id), call.caller.defaults, log)
    try:
        version = await call.services.writer.take_over(str(call.caller.ledger_id), pushes)
    except Moved as error:
        raise errors.LedgerNotEmpty("this ledger has events already") from error
    return Reply(TakenOver(**created, version=version), headers={"X-Ledger-Version": str(version)})


def _read(file: Path) -> list[facts.Fact]:
    """The log in `file`, whose hashes are right. Raises errors.Invalid with the place of the first that is not."""
    if file.stat().st_size == 0:
        raise errors.Invalid("the body is not JSON in UTF-8")
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        content = bytes(mapped)
        found = body.decode_bytes(content, File)
        body.refuse_doubled(content, inside=False)
    log, digest = [], None
    for index, raw in enumerate(found.events):
        fact, said = _fact(bytes(raw), index)
        digest = chain.link(digest, chain.canonical(fact))
        if digest.hex() != said:
            raise _wrong(index, "/hash", "is not that of this fact after the one before")
        log.append(fact)
    return log


def _fact(sent: bytes, index: int) -> tuple[facts.Fact, str]:
    try:
        wired = body.decode_bytes(sent, facts.WireFact)
        known = structs.asdict(wired)
        said = known.pop("hash")
        fact = facts.Fact(**known)
        text = chain.canonical(fact)
        as_exported = sent == sequence.wire_text(text.decode(), said).encode()  # then there is nothing else in it
        members = None if as_exported else _members(sent)
    except errors.Invalid as error:
        inside = tuple(errors.FieldError(f"/events/{index}{found.pointer}", found.detail) for found in error.errors)
        raise errors.Invalid(error.detail, errors=inside) from error
    if members is not None and chain.canonical(members) != text:
        raise _wrong(index, "", "has members that no fact has")
    if b"\\u0000" in text:
        raise _wrong(index, "", "no text has a NUL")
    return fact, said


def _members(sent: bytes) -> dict[str, Any]:
    """All that is said of a fact but its hash. Raises errors.Invalid where something is said twice."""
    members: dict[str, Any] = body.decode_bytes(sent, dict[str, Any])
    body.refuse_doubled(sent)
    del members["hash"]
    return members


def _wrong(index: int, pointer: str, detail: str) -> errors.Invalid:
    return errors.Invalid("the log is not whole", errors=(errors.FieldError(f"/events/{index}{pointer}", detail),))


def _pushes(ledger_id: str, defaults: Defaults, log: list[facts.Fact]) -> Iterator[Push]:
    for start in range(0, len(log) or 1, PAGE):
        items = [Decided(fact, start + number) for number, fact in enumerate(log[start : start + PAGE])]
        yield Push(ledger_id, items, defaults, adopts=True, expected_version=start)


def _created(log: list[facts.Fact]) -> dict[str, int]:
    """How many of what, by the members of TakenOver."""
    created = [change for fact in log for change in fact.changes if change.op == "create"]
    found = {f"{kind}s": sum(change.aggregate_type == kind for change in created) for kind in facts.FIELDS}
    return found | {"items": sum(change.fields.get("type") == (None, "item") for change in created)}
