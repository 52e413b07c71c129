"""REST writes as commands: one way from a body to the log and back to the resource."""

import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from api import idempotency, problems, services
from api.routing import Call, Reply
from domain import chain, errors, facts, ids
from domain.facts import AggregateType, Command, EventType, Unreadable
from storage.ledgers import Push, Receipt

Represent = Callable[[Call[Any, Any], UUID, Receipt | None], Awaitable[Any]]
"""Reads the current representation of a resource by its id, unless the receipt of a change shows it."""

SETTLING = ("unknown_conflict", "wrong_aggregate", "already_resolved")
"""Codes of an update that settles a conflict."""

_ETAG = re.compile(r'"?([0-9]{1,18})"?')
"""Quoted, as an ETag is; clients that leave the quotes away mean the same."""
_WEAK = re.compile(r'W/"[0-9]{1,18}"')
"""What a proxy makes of ours; it matches nothing here (RFC 9110, 13.1.1)."""
NO_VERSION = 0
"""What no resource has: each has at least the version of its first event."""


def event_data(call: Call[Any, Any]) -> dict[str, Any]:
    """The members of a REST body as they go into the fact: as sent, all but the resource's own id."""
    members: dict[str, Any] = msgspec.json.decode(call.request.body or b"{}")
    members.pop("id", None)
    return members


async def create(call: Call[Any, Any], kind: AggregateType, represent: Represent) -> Reply:
    """201 with the new resource; the body may bring its id."""
    given = call.body.id
    new_id = ids.uuid7(services.now()) if given is UNSET else given
    return await _write(call, kind, new_id, "CREATED", event_data(call), represent, status=201)


async def update(call: Call[Any, Any], kind: AggregateType, represent: Represent, members: dict[str, Any] | None = None) -> Reply:
    """200 with the changed resource; `members` instead of the body's where a route has a vocabulary of its own."""
    data = event_data(call) if members is None else members
    return await _write(call, kind, call.path["id"], "UPDATED", data, represent, status=200)


async def delete(call: Call[Any, Any], kind: AggregateType, represent: Represent) -> Reply:
    """204."""
    return await _write(call, kind, call.path["id"], "DELETED", {}, represent, status=204)


async def restore(call: Call[Any, Any], kind: AggregateType, represent: Represent) -> Reply:
    """200 with the restored resource."""
    return await _write(call, kind, call.path["id"], "RESTORED", {}, represent, status=200)


async def _write(
    call: Call[Any, Any],
    kind: AggregateType,
    resource_id: UUID,
    event_type: EventType,
    data: dict[str, Any],
    represent: Represent,
    *,
    status: int,
) -> Reply:
    command = build(call, kind, resource_id, event_type, data, if_match=if_match(call))
    shows = resource_id if kind == "transaction" else None
    push = Push(ids.text(call.caller.ledger_id), [command], call.caller.defaults, shows=shows)
    return await submit(call, push, represent, status=status)


def build(
    call: Call[Any, Any],
    kind: AggregateType,
    resource_id: UUID,
    event_type: EventType,
    data: dict[str, Any],
    *,
    if_match: int | None = None,
) -> Command:
    """The command of a REST write; a retry is known by its Idempotency-Key, method, path and body."""
    key = idempotency.key(call.request)
    sent = msgspec.to_builtins(call.body) if call.body is not None else None
    return Command(
        id=ids.text(key or ids.uuid7(services.now())),
        aggregate_type=kind,
        aggregate_id=ids.text(resource_id),
        event_type=event_type,
        payload=msgspec.convert(data, facts.PAYLOADS[kind, event_type]),
        event_data=data,
        fingerprinted=idempotency.content(call.request, sent),
        device_id=call.caller.device,
        if_match=if_match,
        remembered=key is not None,
    )


async def submit(call: Call[Any, Any], push: Push, represent: Represent, *, status: int) -> Reply:
    """Decide and store a push of one command; the answer is the resource after it."""
    receipt = await call.services.writer.submit(push)
    [command] = push.items
    assert isinstance(command, Command)
    return await _answer(call, command, receipt, represent, status)


async def refuse(call: Call[Any, Any], command: Command, unfit: errors.Rejected) -> None:
    """Refuse a command for a reason that only its route knows; under an Idempotency-Key it is remembered like any rejection.

    Raises the answer. Returns only where the same command, sent twice, has been accepted meanwhile.
    """
    if not command.remembered:
        raise unfit
    item = Unreadable(command.id, unfit, chain.canonical(command.item()).decode(), command.fingerprinted)
    receipt = await call.services.writer.submit(Push(ids.text(call.caller.ledger_id), [item], call.caller.defaults))
    if receipt.outcomes[0].status == "rejected":
        raise problems.rejected(receipt.outcomes[0])


async def _answer(call: Call[Any, Any], command: Command, receipt: Receipt, represent: Represent, status: int) -> Reply:
    outcome = receipt.outcomes[0]
    replayed = outcome.status == "duplicate"
    first = outcome.first if replayed else outcome.status
    if first == "conflict":
        raise problems.CommandConflict(str(outcome.code), receipt.events[command.id].wire(), receipt.version)
    if outcome.status == "rejected":
        raise problems.rejected(outcome)
    headers = {"X-Ledger-Version": str(receipt.version)}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
        status = 204 if status == 204 else 200
    resource_id = ids.parse(receipt.events[command.id].fact().aggregate_id if replayed else command.aggregate_id)
    resource = await represent(call, resource_id, receipt)
    headers["ETag"] = f'"{resource.version}"'
    if status == 204:
        return Reply(None, 204, headers)
    if status == 201:
        headers["Location"] = f"/api/{command.aggregate_type}s/{resource_id}"
    return Reply(resource, status, headers)


def if_match(call: Call[Any, Any]) -> int | None:
    """The version that the resource must have. Raises errors.Invalid."""
    text = call.request.headers.get("if-match")
    if text is None or text == "*":
        return None
    if _WEAK.fullmatch(text.strip()):
        return NO_VERSION
    found = _ETAG.fullmatch(text.strip())
    if found is None:
        raise errors.Invalid('If-Match is not of the form "<version>"')
    return int(found[1])
