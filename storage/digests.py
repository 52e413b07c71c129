"""One message for many: rows of the outbox that are not sent by themselves, for a digest tells of them.

A covered row is `suppressed` with the reason IN_DIGEST, and its payload names the digest's key: nothing is found twice,
and what the digest has to say is looked up when it goes out.
"""

import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from storage import tables
from storage.outbox import Outgoing

IN_DIGEST: Final = "in_digest"
"""The reason of a row that a digest tells of."""
Key = tuple[UUID, str]
"""(ledger_id, dedupe_key)."""

_outbox = tables.outbox


def cover(connection: Connection, messages: Mapping[Key, Sequence[Outgoing]], *, now: datetime.datetime) -> set[Key]:
    """Have digests tell of `messages`, which are listed under the (ledger_id, dedupe_key) of their digests.

    Returns the digests that do: those that are pending, and stay so until the transaction ends. Messages of the others are
    not touched, for nobody knows whether they would still be told.
    """
    if not messages:
        return set()
    its_key = tuple_(_outbox.c.ledger_id, _outbox.c.dedupe_key)
    locked = select(_outbox.c.ledger_id, _outbox.c.dedupe_key).where(its_key.in_(messages.keys()), _outbox.c.state == "pending")
    pending = {(row.ledger_id, row.dedupe_key) for row in connection.execute(locked.with_for_update())}
    rows = [
        {"id": uuid.uuid4(), "created_at": now, **msgspec.structs.asdict(message)}
        | {"state": "suppressed", "reason": IN_DIGEST, "finished_at": now, "payload": message.payload | {"digest": key}}
        for (ledger_id, key), covered in sorted(messages.items(), key=lambda item: item[0])
        if (ledger_id, key) in pending
        for message in covered
    ]
    if rows:
        statement = insert(_outbox).values(rows)
        told = {name: statement.excluded[name] for name in ("reason", "finished_at", "payload")}
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[_outbox.c.ledger_id, _outbox.c.dedupe_key], set_=told, where=_outbox.c.state == "suppressed"
            )
        )
    return pending


def covered(connection: Connection, ledger_id: UUID, digest: str) -> dict[str, dict[str, Any]]:
    """What the digest of this key tells of: payloads by dedupe_key."""
    statement = select(_outbox.c.dedupe_key, _outbox.c.payload).where(
        _outbox.c.ledger_id == ledger_id,
        _outbox.c.state == "suppressed",
        _outbox.c.reason == IN_DIGEST,
        _outbox.c.payload["digest"].astext == digest,
    )
    return {row.dedupe_key: row.payload for row in connection.execute(statement)}
