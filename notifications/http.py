"""What answers over HTTP mean for a message, where providers agree on it."""

import email.utils
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from notifications.channel import ChannelDown, Outcome, Permanent, SettingError, Transient, Unknown
from notifications.formats import one_line

DETAIL_CHARACTERS: Final = 300
"""What is kept of a provider's words."""
LONGEST_WAIT: Final = timedelta(hours=24)
"""A provider that names a later moment has a wrong clock."""
_MISCONFIGURED: Final = frozenset({401, 403, 404, 405})
_BUSY: Final = frozenset({408, 425, 429, 503})


def base_url(setting: str, value: str) -> str:
    """The address of a provider's API, as it is given. Raises SettingError, which names `setting`."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.port != 0 and not re.search(r"[@?#\s\x00-\x1f]", value)
        (parts.hostname or "").encode("idna")  # as the look-up of the name will
    except ValueError:
        usable = False
    if not usable or not parts.hostname:
        raise SettingError(f"{setting}: is not an address like https://api.example.org")
    return value


def api_key(setting: str, value: str) -> str:
    """What may stand in the header Authorization. Raises SettingError, which names `setting` and repeats nothing of the key."""
    if not re.fullmatch(r"[!-~]+", value):
        raise SettingError(f"{setting}: holds something else than letters, digits and signs of ASCII")
    return value


def judge(status: int, detail: str, headers: Mapping[str, str], *, now: datetime) -> Outcome:
    """What an answer other than success means. After a 5xx other than 503 nobody knows how far the provider had come."""
    if status in _MISCONFIGURED:
        return ChannelDown(detail)
    if status in _BUSY:
        return Transient(detail, retry_at(headers, now=now))
    if 400 <= status <= 499:
        return Permanent(detail)
    return Unknown(detail)


def retry_at(headers: Mapping[str, str], *, now: datetime) -> datetime | None:
    """Before when the provider does not want to be asked again; None where it says nothing that can be read.

    The later of Retry-After (seconds, or a date: RFC 9110) and X-RateLimit-Reset (seconds since 1970).
    """
    found = [moment for moment in (_after(headers.get("Retry-After"), now), _reset(headers.get("X-RateLimit-Reset"))) if moment]
    return min(max(found), now + LONGEST_WAIT) if found else None


def told(status: int, words: str) -> str:
    """A status and the provider's words on one line."""
    return f"{status} {one_line(words)}".strip()[:DETAIL_CHARACTERS]


def _after(text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    if text.strip().isdecimal():
        return now + min(timedelta(seconds=min(int(text), 10**9)), LONGEST_WAIT)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _reset(text: str | None) -> datetime | None:
    if text is None or not text.strip().isdecimal():
        return None
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        return None
