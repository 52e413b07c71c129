"""One message for many: rows of the outbox that are not sent by themselves, for a digest tells of them.

A covered row is `suppressed` with the reason IN_DIGEST, and its payload names the digest's key: nothing is found twice,
and what the digest has to say is looked up when it goes out.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import structs
from sqlalchemy import Connection, Select, Text, Update, and_, bindparam, func, literal, select, update
from sqlalchemy.dialects.postgresql import Insert, insert

from storage import arrays, tables
from storage.outbox import Outgoing
from storage.outbox_keys import Key, as_rows, by_key, is_named

IN_DIGEST: Final = "in_digest"
"""The reason of a row that a digest tells of."""

_outbox = tables.outbox


def cover(connection: Connection, messages: Mapping[Key, Sequence[Outgoing]], *, now: datetime.datetime) -> set[Key]:
    """Have digests tell of `messages`, which are listed under the keys of their digests.

    Returns the digests that do: those that are pending, and stay so until the transaction ends. Messages of the others are
    not touched, for nobody knows whether they would still be told.
    """
    if not messages:
        return set()
    pending = {(row.ledger_id, row.dedupe_key) for row in connection.execute(_LOCK_PENDING, as_rows(messages))}
    told = [
        structs.replace(message, payload=message.payload | {"digest": key})
        for (ledger_id, key), covered in messages.items()
        if (ledger_id, key) in pending
        for message in covered
    ]
    if told:
        connection.execute(_COVER, {"rows": msgspec.json.encode(told).decode(), "now": now})
    return pending


def _lock_pending() -> Select[UUID, str]:
    wanted = arrays.given(_outbox.c.ledger_id, _outbox.c.dedupe_key)
    pending = select(_outbox.c.ledger_id, _outbox.c.dedupe_key).join(wanted, is_named(wanted)).where(_outbox.c.state == "pending")
    return pending.order_by(*by_key(_outbox)).with_for_update(of=_outbox)


_LOCK_PENDING: Final = _lock_pending()


def _cover() -> Insert:
    given = arrays.given(*(_outbox.c[name] for name in Outgoing.__struct_fields__))
    now = bindparam("now", type_=_outbox.c.created_at.type)
    rows = select(func.gen_random_uuid(), now, now, literal("suppressed"), literal(IN_DIGEST), given).order_by(*by_key(given))
    names = ("id", "created_at", "finished_at", "state", "reason", *Outgoing.__struct_fields__)
    statement = insert(_outbox).from_select(names, rows)
    return statement.on_conflict_do_update(
        index_elements=[_outbox.c.ledger_id, _outbox.c.dedupe_key],
        set_={name: statement.excluded[name] for name in ("reason", "finished_at", "payload")},
        where=_outbox.c.state == "suppressed",
    )


_COVER: Final = _cover()


def leave_out(connection: Connection, ledger_id: UUID, reasons: Mapping[str, str]) -> None:
    """The digest that goes out says nothing of these messages (reasons by dedupe_key): from now on they stand for themselves."""
    if reasons:
        rows = [{"ledger_id": ledger_id, "dedupe_key": key, "reason": reason} for key, reason in reasons.items()]
        connection.execute(_LEAVE_OUT, {"rows": msgspec.json.encode(rows).decode()})


def _leave_out() -> Update:
    left = arrays.given(_outbox.c.ledger_id, _outbox.c.dedupe_key, _outbox.c.reason)
    in_digest = and_(_outbox.c.state == "suppressed", _outbox.c.reason == IN_DIGEST)
    payload = _outbox.c.payload.op("-")(literal("digest", Text))
    return update(_outbox).where(is_named(left), in_digest).values(reason=left.c.reason, payload=payload)


_LEAVE_OUT: Final = _leave_out()


def covered(connection: Connection, ledger_id: UUID, digest: str) -> dict[str, dict[str, Any]]:
    """What the digest of this key tells of: payloads by dedupe_key."""
    statement = select(_outbox.c.dedupe_key, _outbox.c.payload).where(
        _outbox.c.ledger_id == ledger_id,
        _outbox.c.state == "suppressed",
        _outbox.c.reason == IN_DIGEST,
        _outbox.c.payload["digest"].astext == digest,
    )
    return {row.dedupe_key: row.payload for row in connection.execute(statement)}
