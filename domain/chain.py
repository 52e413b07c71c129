"""The hash chain that lets a log prove itself: canonical JSON, fingerprints, salts. SHA-256 throughout."""

import hashlib
import hmac
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(order="sorted")


def canonical(value: Any) -> bytes:
    """`value` as JSON with sorted keys, no spaces, UTF-8, and no escape that JSON does not require."""
    return _encoder.encode(value)


def link(previous: bytes | None, fact: bytes) -> bytes:
    """The 32-byte hash of a fact (canonical, without `hash`) that follows `previous`; None before the first."""
    return hashlib.sha256((previous or b"") + hashlib.sha256(fact).digest()).digest()


def fingerprint(data_key: bytes, content: Any) -> bytes:
    """What tells a retry from another command under the same id, keyed: it gives away nothing about the content."""
    return hmac.digest(data_key, b"fingerprint\0" + canonical(content), "sha256")


def salt(data_key: bytes, event_id: str) -> str:
    """32 hex digits that keep the hash of a guessable phone number from being looked up; the same for every retry."""
    return hmac.digest(data_key, b"salt\0" + event_id.encode(), "sha256")[:16].hex()
