"""Which values of a ledger's rows are sealed, and how they are read.

A contact's phone and e-mail, facts that hold them, push targets, and commands that were refused, which may hold anything.
"""

from collections import OrderedDict
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import sequence
from domain.facts import Fact
from storage import tables
from storage.encryption import Cipher, KeyRing

REMEMBERED: Final = 10_000
"""Data keys that a process keeps in mind: 2 MiB, and more ledgers than it serves in a minute."""


class StoredFact(Protocol):
    """The columns of an event that hold its fact: canonical JSON without the hash, in clear or sealed."""

    event_id: Any
    fact: str | None
    sealed: bytes | None
    hash: bytes


def store_fact(cipher: Cipher, fact: Fact, text: bytes) -> dict[str, str | None]:
    """The columns `fact` and `sealed`, as JSON values, of a fact whose canonical JSON is `text`.

    What carries a salt holds something private (domain.checks), and is sealed whole: the chain is over the text, and comes
    out byte for byte.
    """
    if not fact.salt:
        return {"fact": text.decode(), "sealed": None}
    return {"fact": None, "sealed": hexadecimal(cipher.seal("event", fact.id, "fact", text.decode()))}


def fact_text(cipher: Cipher, event_id: object, fact: str | None, sealed: bytes | None) -> bytes:
    """The canonical JSON of a stored fact. Raises KeyRingError."""
    if sealed is not None:
        return cipher.open("event", event_id, "fact", sealed).encode()
    assert fact is not None, "the schema says that it is one or the other"
    return fact.encode()


def wire(cipher: Cipher, row: StoredFact) -> bytes:
    """A stored fact as clients read it, with its hash. Raises KeyRingError."""
    return sequence.wire(fact_text(cipher, row.event_id, row.fact, row.sealed), row.hash)


def command_text(cipher: Cipher, event_id: object, sealed: bytes) -> str:
    """The text of a command that was refused. Raises KeyRingError."""
    return cipher.open("rejection", event_id, "command", sealed)


def store_command(cipher: Cipher, event_id: str, text: str) -> str:
    """The column `command` of a rejection, as a JSON value."""
    return hexadecimal(cipher.seal("rejection", event_id, "command", text))


def store_push_target(cipher: Cipher, device_id: object, value: str) -> bytes:
    """The column `push_value` of a device."""
    return cipher.seal("device", device_id, "push", value)


def push_target(cipher: Cipher, device_id: object, sealed: bytes) -> str:
    """Where pushes to a device go. Raises KeyRingError."""
    return cipher.open("device", device_id, "push", sealed)


def hexadecimal(value: bytes) -> str:
    """Bytes as Postgres reads them from JSON."""
    return f"\\x{value.hex()}"


def from_hexadecimal(text: str) -> bytes:
    """Bytes as Postgres writes them into JSON."""
    return bytes.fromhex(text.removeprefix("\\x"))


def push_fingerprints(keys: KeyRing, kind: str, value: str) -> list[bytes]:
    """By which a push target is found again, whichever key of the ring was current when it was stored; the first is stored."""
    return keys.fingerprints("push targets", f"{kind} {value}")


class Ciphers:
    """The ciphers of the ledgers that this process reads. A ledger's data key never changes, only how it is sealed."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._known: OrderedDict[UUID, Cipher] = OrderedDict()

    async def of(self, connection: AsyncConnection, ledger_id: UUID) -> Cipher:
        """The cipher of a ledger that the transaction sees. Raises KeyRingError."""
        if (found := self._known.get(ledger_id)) is not None:
            self._known.move_to_end(ledger_id)
            return found
        sealed = (await connection.execute(_DATA_KEY.where(tables.ledgers.c.id == ledger_id))).scalar_one()
        return self.known(ledger_id, sealed)

    def known(self, ledger_id: UUID, sealed: bytes) -> Cipher:
        """The same, of a ledger whose sealed data key is at hand. Raises KeyRingError."""
        found = self._known.get(ledger_id)
        if found is None:
            found = self._known[ledger_id] = self._keys.cipher(str(ledger_id), sealed)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(ledger_id)
        return found


_DATA_KEY = select(tables.ledgers.c.data_key)
