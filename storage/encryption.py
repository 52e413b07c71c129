"""Keys and what they seal: the ring from settings, the data key of each ledger, and the private values of a ledger."""

import base64
import hmac
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
MAX_ID_LENGTH = 32
_NONCE_BYTES = 12
_FORMAT: Final = b"\x01"
"""The first byte of a sealed value: a nonce and AES-256-GCM's output follow. Another way of sealing gets another number."""


class KeyRingError(Exception):
    """A key is missing, malformed or does not open what it should."""


@dataclass(frozen=True)
class KeyRing:
    """Key ids and 32-byte keys; the first is current, the others open what was sealed before."""

    keys: dict[str, bytes]
    _derived: dict[tuple[str, str], bytes] = field(default_factory=dict, repr=False, compare=False)
    """By key id and purpose: to derive a key takes ten times as long as to open something with it."""
    _wrappers: dict[str, AESGCM] = field(default_factory=dict, repr=False, compare=False)
    """By key id: what seals and opens data keys."""

    @classmethod
    def parse(cls, text: str, source: str = "DEBITUM_KEYS") -> Self:
        """`id:base64,id:base64`, newest first. Raises KeyRingError, which names the `source`: that setting, or a file."""
        keys: dict[str, bytes] = {}
        for part in text.split(","):
            name, _, encoded = part.strip().partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except ValueError as error:
                raise KeyRingError(f"{source}: a key is not base64") from error  # nothing of it is repeated: it is secret
            if not name.isalnum() or len(name) > MAX_ID_LENGTH or len(key) != KEY_BYTES:
                raise KeyRingError(f"{source}: write <short alphanumeric id>:<base64 of {KEY_BYTES} bytes>")
            keys[name] = key
        return cls(keys)

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        return next(iter(self.keys))

    def derive(self, key_id: str, purpose: str) -> bytes:
        """A 32-byte key for one purpose (HKDF-SHA256): what leaks of one says nothing of another. Raises KeyRingError."""
        if key_id not in self.keys:
            raise KeyRingError(f"there is no key {key_id!r} in DEBITUM_KEYS")
        known = self._derived.get((key_id, purpose))
        if known is None:
            known = self._derived[key_id, purpose] = HKDF(hashes.SHA256(), KEY_BYTES, None, purpose.encode()).derive(
                self.keys[key_id]
            )
        return known

    def new_data_key(self, ledger_id: str) -> bytes:
        """A random data key for a ledger, sealed."""
        return self._seal_data_key(ledger_id, secrets.token_bytes(KEY_BYTES))

    def open_data_key(self, ledger_id: str, sealed: bytes) -> bytes:
        """The data key that `new_data_key` sealed for this very ledger. Raises KeyRingError."""
        key_id, rest = key_of(sealed), sealed[1 + sealed[0] :]
        try:
            return self._wrapper(key_id).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], ledger_id.encode())
        except (InvalidTag, ValueError) as error:
            raise KeyRingError(f"key {key_id!r} does not open the data key of ledger {ledger_id}") from error

    def renew_data_key(self, ledger_id: str, sealed: bytes) -> bytes:
        """The same data key, sealed by the current key. Raises KeyRingError."""
        return self._seal_data_key(ledger_id, self.open_data_key(ledger_id, sealed))

    def cipher(self, ledger_id: str, sealed: bytes) -> "Cipher":
        """What seals and opens in the ledger whose data key this is. Raises KeyRingError."""
        return Cipher(ledger_id, self.open_data_key(ledger_id, sealed))

    def fingerprints(self, purpose: str, content: str) -> list[bytes]:
        """Keyed hashes of `content` by which it is found again, the current key's first: 32 bytes, one a key of the ring."""
        return [hmac.digest(self.derive(key_id, purpose), content.encode(), "sha256") for key_id in self.keys]

    def _seal_data_key(self, ledger_id: str, data_key: bytes) -> bytes:
        key_id, nonce = self.current.encode(), secrets.token_bytes(_NONCE_BYTES)
        return bytes([len(key_id)]) + key_id + nonce + self._wrapper(self.current).encrypt(nonce, data_key, ledger_id.encode())

    def _wrapper(self, key_id: str) -> AESGCM:
        known = self._wrappers.get(key_id)
        if known is None:
            known = self._wrappers[key_id] = AESGCM(self.derive(key_id, "data keys"))
        return known


@dataclass(frozen=True)
class Cipher:
    """Seals the private values of one ledger, each bound to its place: moved elsewhere, it does not open."""

    ledger_id: str
    data_key: bytes

    def seal(self, aggregate: str, aggregate_id: object, field: str, text: str) -> bytes:
        """`text` under AES-256-GCM, for this field of this aggregate and for no other; the same text gives the same bytes.

        The nonce is a keyed hash of text and place, so that it comes again only where nothing else does (docs/decisions/0013).
        """
        place, content = self._place(aggregate, aggregate_id, field), text.encode()
        nonce = hmac.digest(self._nonce_key, place + b"\0" + content, "sha256")[:_NONCE_BYTES]
        return _FORMAT + nonce + self._aead.encrypt(nonce, content, place)

    def open(self, aggregate: str, aggregate_id: object, field: str, sealed: bytes) -> str:
        """What `seal` sealed there. Raises KeyRingError."""
        nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if sealed[:1] != _FORMAT:
                raise InvalidTag
            return self._aead.decrypt(nonce, rest, self._place(aggregate, aggregate_id, field)).decode()
        except (InvalidTag, ValueError) as error:
            raise KeyRingError(f"{field} of {aggregate} {aggregate_id} in ledger {self.ledger_id} does not open") from error

    def open_any(self, aggregate: str, aggregate_id: object, field: str, sealed: bytes | None) -> str | None:
        """The same of a column that may be null: None where it is."""
        return None if sealed is None else self.open(aggregate, aggregate_id, field, sealed)

    def sign(self, purpose: str) -> bytes:
        """32 bytes that nobody can make who lacks the ledger's data key; the same for the same purpose."""
        return hmac.digest(self._derive(b"signatures"), f"{self.ledger_id} {purpose}".encode(), "sha256")

    @cached_property
    def _aead(self) -> AESGCM:
        """Made when something is sealed or opened: most pushes hold nothing private."""
        return AESGCM(self._derive(b"fields"))

    @cached_property
    def _nonce_key(self) -> bytes:
        return self._derive(b"nonces")

    def _derive(self, purpose: bytes) -> bytes:
        return HKDF(hashes.SHA256(), KEY_BYTES, None, purpose).derive(self.data_key)

    def _place(self, aggregate: str, aggregate_id: object, field: str) -> bytes:
        return f"{self.ledger_id} {aggregate} {aggregate_id} {field}".encode()


def key_of(sealed: bytes) -> str:
    """The id of the key that sealed a data key. Raises KeyRingError where that is none."""
    try:
        return sealed[1 : 1 + sealed[0]].decode()
    except (IndexError, UnicodeDecodeError) as error:
        raise KeyRingError("a data key is missing, or is none") from error


def new_key(key_id: str) -> str:
    """A random key, as DEBITUM_KEYS takes it."""
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def new_ring() -> str:
    """The text of a new ring with one random key, as DEBITUM_KEYS takes it. No other has its id: two rings can be merged."""
    return new_key(f"k{secrets.token_hex(4)}")
