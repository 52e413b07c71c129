"""Keys: the ring from settings, what is derived from it, and the data key that each ledger has of its own."""

import base64
import secrets
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
MAX_ID_LENGTH = 32
_NONCE_BYTES = 12


class KeyRingError(Exception):
    """A key is missing, malformed or does not open what it should."""


@dataclass(frozen=True)
class KeyRing:
    """Key ids and 32-byte keys; the first is current, the others open what was sealed before."""

    keys: dict[str, bytes]

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the setting DEBITUM_KEYS: `id:base64,id:base64`, newest first. Raises KeyRingError."""
        keys: dict[str, bytes] = {}
        for part in text.split(","):
            name, _, encoded = part.strip().partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except ValueError as error:
                raise KeyRingError("DEBITUM_KEYS: a key is not base64") from error  # nothing of it is repeated: it is secret
            if not name.isalnum() or len(name) > MAX_ID_LENGTH or len(key) != KEY_BYTES:
                raise KeyRingError(f"DEBITUM_KEYS: write <short alphanumeric id>:<base64 of {KEY_BYTES} bytes>")
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
        return HKDF(hashes.SHA256(), KEY_BYTES, None, purpose.encode()).derive(self.keys[key_id])

    def new_data_key(self, ledger_id: str) -> bytes:
        """A random data key for a ledger, sealed."""
        key_id = self.current.encode()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._wrapper(self.current).encrypt(nonce, secrets.token_bytes(KEY_BYTES), ledger_id.encode())
        return bytes([len(key_id)]) + key_id + nonce + sealed

    def open_data_key(self, ledger_id: str, sealed: bytes) -> bytes:
        """The data key that `new_data_key` sealed for this very ledger. Raises KeyRingError."""
        length = sealed[0]
        key_id, rest = sealed[1 : 1 + length].decode(), sealed[1 + length :]
        try:
            return self._wrapper(key_id).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], ledger_id.encode())
        except InvalidTag as error:
            raise KeyRingError(f"key {key_id!r} does not open the data key of ledger {ledger_id}") from error

    def _wrapper(self, key_id: str) -> AESGCM:
        return AESGCM(self.derive(key_id, "data keys"))


def new_ring() -> str:
    """The text of a new ring with one random key, as DEBITUM_KEYS takes it."""
    return f"k1:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"
