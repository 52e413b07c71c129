"""UUIDv7 (RFC 9562): ids that sort by the time they were made, which keeps the pages of an index warm."""

import datetime
import secrets
from uuid import UUID


def uuid7(now: datetime.datetime) -> UUID:
    """A new id made at `now` (aware), to the millisecond; the rest is random."""
    milliseconds = int(now.timestamp() * 1_000)
    random_a, random_b = secrets.randbits(12), secrets.randbits(62)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b)
