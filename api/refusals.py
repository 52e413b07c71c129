"""Values of settings that are refused, some only in production; for `python -m api` and for `debitum up`."""

import ipaddress
import itertools
import re
from collections.abc import Mapping
from typing import Final, Literal, get_args
from urllib.parse import urlsplit

Signup = Literal["open", "verified", "invite", "closed"]
"""Who may register: anybody, whoever proves the address, whoever has an invitation, nobody."""
LEAST_DISTINCT_BYTES: Final = 16
"""Of 32 random bytes about 30 differ; fewer than this happens to less than one key in 10**15."""
LEAST_TOKEN_CHARACTERS: Final = 16
"""Of a token that somebody else could try to guess."""
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
"""Also of apps that are pages inside, like capacitor://localhost."""
_PRINTABLE: Final = range(0x20, 0x7F)

MOST_WORKERS: Final = 64
"""Each has its own pool of connections; Postgres's max_connections is reached long before this."""
LARGEST_PORT: Final = 65_535
MOST: Final = 999_999_999
"""Of settings that nothing else bounds."""
NOT_DIRECT: Final = (
    "must lead to Postgres itself where DATABASE_URL says pooler=transaction: LISTEN and locks belong to a session"
)


def whole_number(text: str, least: int, most: int) -> int:
    """The number that a setting or an argument says. Raises ValueError."""
    if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise ValueError(f"{text!r} is not a whole number from {least} to {most}")
    return int(text)


def signup(text: str) -> Signup:
    """How people register; unset, anybody may. Raises ValueError."""
    for one in get_args(Signup):
        if text in ("", one):
            found: Signup = one
            return found
    raise ValueError(f"{text!r} is none of {', '.join(get_args(Signup))}")


def origins(text: str) -> tuple[str, ...]:
    """Origins as browsers write them, by commas; never all of them. Raises ValueError."""
    found = tuple(one.strip() for one in text.split(",") if one.strip())
    for one in found:
        if "*" in one:
            raise ValueError("every origin is too many; write out those that are trusted")
        if not _ORIGIN.fullmatch(one):
            raise ValueError(f"{one!r} is not an origin like https://app.example.org, in small letters and without a path")
    return found


def metrics_token(text: str) -> str:
    """What a header can carry, and nobody guesses; it is not repeated. Raises ValueError."""
    if text and (len(text) < LEAST_TOKEN_CHARACTERS or not text.isascii() or not text.isprintable() or " " in text):
        raise ValueError(f"not {LEAST_TOKEN_CHARACTERS} or more letters, digits and signs; make one with `openssl rand -hex 32`")
    return text


def webhook_key(text: str) -> str:
    """The key that SendGrid shows for its signed event webhook (base64 of DER). Raises ValueError."""
    if not text:
        return ""
    # They load slowly, and every program of ours reads the settings.
    from cryptography.hazmat.primitives.asymmetric import ec
    from sendgrid.helpers.eventwebhook import EventWebhook

    try:
        key = EventWebhook().convert_public_key_to_ecdsa(text)
    except ValueError as error:
        raise ValueError("is not a public key as SendGrid shows it") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("is not a key of an elliptic curve")
    return text


def keys(ring: Mapping[str, bytes]) -> None:
    """In production: keys that somebody wrote rather than drew. Raises ValueError, which names the key's id and not the key."""
    for name, key in ring.items():
        if any(_is_written(key)):
            raise ValueError(f"the key {name!r} is not random; make one with `openssl rand -base64 {len(key)}`")


def _is_written(key: bytes) -> tuple[bool, ...]:
    steps = {(after - before) % 256 for before, after in itertools.pairwise(key)}
    return (
        len(set(key)) < LEAST_DISTINCT_BYTES,  # one byte again and again, a short word again and again
        len(steps) == 1,  # 0, 1, 2, …
        all(byte in _PRINTABLE for byte in key),  # a sentence, "change me", a hash in hexadecimal
    )


def public_url(url: str, host: str) -> None:
    """In production: an address where passwords and tokens could be read on the way. Raises ValueError.

    `url` is empty where nobody has set it: then `host`, where the API listens, says who comes.
    """
    if not url and not is_loopback(host):
        raise ValueError(f"not set, though {host} is not of this machine alone; set the https:// address by which people come")
    if url and urlsplit(url).scheme != "https" and not is_loopback(urlsplit(url).hostname or ""):
        raise ValueError(f"{url!r} is neither https nor of this machine alone: passwords and tokens could be read on the way")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`, a name or an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
