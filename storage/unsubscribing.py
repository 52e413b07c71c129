"""Ending mails of a kind by the link that each of them has: a token that its reader's ledger has signed, stored nowhere."""

import base64
import binascii
import hmac
from typing import Final, NamedTuple, get_args
from uuid import UUID

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import reminders
from storage import tables
from storage.encryption import Cipher, KeyRing

_KINDS: Final[tuple[reminders.Kind, ...]] = get_args(reminders.Kind)
_ID_BYTES, _SIGNATURE_BYTES = 16, 16


class Token(NamedTuple):
    """What a token says; whether that is true its `signature` tells."""

    ledger_id: UUID
    kind: reminders.Kind
    signature: bytes


def token(cipher: Cipher, kind: reminders.Kind) -> str:
    """What ends mails of `kind` to the owner of the cipher's ledger, now and in years; it says nothing of an address."""
    named = UUID(cipher.ledger_id).bytes + bytes([_KINDS.index(kind)])
    return base64.urlsafe_b64encode(named + _signature(cipher, kind)).rstrip(b"=").decode()


def read(text: str) -> Token | None:
    """The token that `text` is; None: it is none."""
    try:
        named = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    if len(named) != _ID_BYTES + 1 + _SIGNATURE_BYTES or named[_ID_BYTES] >= len(_KINDS):
        return None
    return Token(UUID(bytes=named[:_ID_BYTES]), _KINDS[named[_ID_BYTES]], named[_ID_BYTES + 1 :])


async def unsubscribe(connection: AsyncConnection, given: Token, keys: KeyRing) -> bool:
    """No mail of the token's kind goes to its user any more; as the api role that sees the token's ledger.

    False: it is not one of ours, or the account is gone.
    """
    users, ledgers = tables.users, tables.ledgers
    found = (
        await connection.execute(
            select(users.c.id, users.c.reminder_settings, ledgers.c.data_key)
            .join(ledgers, ledgers.c.id == users.c.ledger_id)
            .where(users.c.ledger_id == given.ledger_id)
            .with_for_update(of=users)
        )
    ).one_or_none()
    if found is None:
        return False
    cipher = keys.cipher(str(given.ledger_id), found.data_key)
    if not hmac.compare_digest(_signature(cipher, given.kind), given.signature):
        return False
    settings = reminders.read_settings(found.reminder_settings).without(given.kind, "email")
    changed = update(users).where(users.c.id == found.id).values(reminder_settings=msgspec.to_builtins(settings))
    await connection.execute(changed)
    return True


def _signature(cipher: Cipher, kind: reminders.Kind) -> bytes:
    return cipher.sign(f"unsubscribe {kind}")[:_SIGNATURE_BYTES]
