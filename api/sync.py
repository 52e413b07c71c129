"""Sync: devices push commands and pull facts; the hash of the chain tells whether two of them agree."""

import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct

from api import body, problems
from api.routing import Call, Nothing, Reply, Routes
from domain import errors, facts, ids
from domain.facts import Command, Key, Unreadable
from domain.sequence import Outcome
from storage import events, stretches
from storage.ledgers import LedgerGone, Push

routes = Routes("sync")
MAX_PUSH, MAX_PULL, DEFAULT_PULL = 500, 1_000, 500
_DATA = "/event_data"
"""Where the pointers of the rules begin, in an item."""
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]


class PushBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Commands in the order in which the user acted; `base_hash`: the chain's hash at the highest base_seq."""

    events: Annotated[list[Raw], Meta(max_length=MAX_PUSH)]
    base_hash: Hash | None = None
    dry_run: bool = False


class PushItem(Struct, frozen=True, forbid_unknown_fields=True):
    """One command; each is decoded by itself, so that a bad one never fails its neighbours."""

    id: UUID
    aggregate_type: facts.AggregateType
    aggregate_id: UUID
    event_type: facts.EventType
    event_data: Raw
    base_seq: facts.Seq
    timestamp: Annotated[datetime.datetime, Meta(tz=True)]
    version: Literal[1]


class PushResult(Struct, frozen=True):
    """One outcome an item, in their order, and the head after them."""

    results: list[Outcome]
    version: int
    hash: Hash | None


class PullBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`since`: the seq that the device has folded; `hash`: the chain's hash there."""

    since: facts.Seq = 0
    hash: Hash | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PULL)] = DEFAULT_PULL


class PullResult(Struct, frozen=True):
    """Facts since + 1 … in order without gaps, and the head of the ledger."""

    events: list[facts.WireFact]
    version: int
    hash: Hash | None
    has_more: bool


class HashQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`seq`: instead of the head's."""

    seq: facts.Seq | None = None


class Head(Struct, frozen=True):
    """A seq and the chain's hash there; an empty ledger has 0 and null."""

    version: int
    hash: Hash | None


class _Named(Struct, frozen=True):
    """What of an item must be readable for it to have an outcome at all."""

    id: UUID


@routes.add("POST", "/api/sync/push", answer=PushResult, body=PushBody, codes=("ledger_gone", "reset"))
async def push(call: Call[PushBody, Nothing]) -> Reply:
    """Hand in commands; each has an outcome of its own."""
    items = await stretches.of(_item(raw, index, call.caller.device) for index, raw in enumerate(call.body.events))
    base_hash = None if call.body.base_hash is None else bytes.fromhex(call.body.base_hash)
    receipt = await call.services.writer.submit(
        Push(ids.text(call.caller.ledger_id), items, call.caller.defaults, base_hash=base_hash, dry_run=call.body.dry_run)
    )
    headers = {"X-Ledger-Version": str(receipt.version)}
    return Reply(PushResult(receipt.outcomes, receipt.version, _hex(receipt.hash)), headers=headers)


def _item(raw: Raw, index: int, device_id: str | None) -> Command | Unreadable:
    """The command in `raw`. Raises errors.Invalid where not even its id can be read."""
    sent = bytes(raw)
    try:
        return _command(sent, device_id)
    except errors.Rejected as error:
        members, text = _members(sent), sent.decode(errors="replace").replace("\x00", "\ufffd")
        key = _key(members)
        content = _content(members, sent, None if key is None else key[1])
        return Unreadable(_event_id(sent, index), _alone(error), text, content, key, _base_seq(members))


def _alone(error: errors.Rejected) -> errors.Rejected:
    """Without what has raised it, which would keep all that was decoded there for as long as the push waits, and longer."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _event_id(sent: bytes, index: int) -> str:
    try:
        return ids.text(body.decode_bytes(sent, _Named).id)
    except errors.Invalid as error:
        raise errors.Invalid.at(f"/events/{index}/id", "not a UUID", whole="an item has no readable id") from error


def _command(sent: bytes, device_id: str | None) -> Command:
    try:
        members = body.decode_bytes(sent, dict[str, Any])
    except errors.Invalid:
        _typed(sent)  # which knows the names of what it reads, and so can say where
        raise
    body.refuse_duplicates(sent)
    if isinstance(version := members.get("version"), int) and version != facts.VERSION:
        raise errors.UnsupportedVersion(f"this server reads version {facts.VERSION}")
    item, payload = _typed(sent)
    facts.check_time(members["timestamp"], "/timestamp")
    aggregate_id = ids.text(item.aggregate_id)
    return Command(
        id=ids.text(item.id),
        aggregate_type=item.aggregate_type,
        aggregate_id=aggregate_id,
        event_type=item.event_type,
        payload=payload,
        event_data=members["event_data"],
        fingerprinted=_content(members, sent, aggregate_id),
        base_seq=item.base_seq,
        timestamp=members["timestamp"],
        device_id=device_id,
        within=_DATA,
    )


def _typed(sent: bytes) -> tuple[PushItem, facts.Payload]:
    item = body.decode_bytes(sent, PushItem)
    shape = facts.PAYLOADS[item.aggregate_type, item.event_type]
    try:
        return item, body.decode_bytes(bytes(item.event_data), shape)
    except errors.Invalid as error:
        raise errors.Invalid(error.detail, errors=errors.inside(_DATA, error.errors)) from error


def _members(sent: bytes) -> dict[str, Any]:
    try:
        return body.decode_bytes(sent, dict[str, Any])
    except errors.Invalid:
        return {}


def _content(members: dict[str, Any], sent: bytes, aggregate_id: str | None) -> Any:
    """What a retry must repeat, whichever way the id is written; base_seq and timestamp are not part of it."""
    if not members:
        return sent.decode(errors="replace")
    get = members.get
    return {
        "aggregate_type": get("aggregate_type"),
        "aggregate_id": aggregate_id or get("aggregate_id"),
        "event_type": get("event_type"),
        "event_data": get("event_data"),
    }


def _key(members: dict[str, Any]) -> Key | None:
    try:
        key: Key = msgspec.convert((members.get("aggregate_type"), str(UUID(str(members.get("aggregate_id"))))), Key)
    except (ValueError, msgspec.ValidationError):
        return None
    return key


def _base_seq(members: dict[str, Any]) -> int | None:
    try:
        return msgspec.convert(members.get("base_seq"), facts.Seq)
    except msgspec.ValidationError:
        return None


@routes.add("POST", "/api/sync/pull", answer=PullResult, body=PullBody, codes=("ledger_gone", "reset"), needs="read")
async def pull(call: Call[PullBody, Nothing]) -> Reply:
    """Read the facts behind a seq."""
    wanted, here = call.body, call.services
    found = await events.behind(here.reader, call.caller.ledger_id, wanted.since, wanted.limit, here.ciphers)
    if found is None:
        raise LedgerGone()
    if wanted.since > found.version:
        raise errors.Reset("`since` lies beyond the head of this ledger")
    if wanted.hash is not None and wanted.since and found.hash_there != wanted.hash:
        raise errors.Reset("`hash` is not this chain's at `since`")
    has_more = wanted.since + len(found.facts) < found.version
    rest = msgspec.json.encode({"version": found.version, "hash": found.hash, "has_more": has_more})
    return Reply(f'{{"events":[{",".join(found.facts)}],'.encode() + rest[1:])


@routes.add("GET", "/api/sync/hash", answer=Head, query=HashQuery, codes=("ledger_gone", "not_found"))
async def hash_(call: Call[None, HashQuery]) -> Reply:
    """The version and hash of the head, or the hash at a seq: two devices agree where these are equal."""
    here, seq = call.services, call.query.seq
    found = await events.behind(here.reader, call.caller.ledger_id, seq or 0, 0, here.ciphers)
    if found is None:
        raise LedgerGone()
    if seq is None:
        return Reply(Head(found.version, found.hash))
    if seq and found.hash_there is None:
        raise problems.NotFound("the ledger has no event of that seq")
    return Reply(Head(seq, found.hash_there))


def _hex(digest: bytes | None) -> str | None:
    return None if digest is None else digest.hex()
