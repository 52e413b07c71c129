"""UUIDv7 (RFC 9562): ids that sort by the time they were made, which keeps the pages of an index warm."""

import datetime
import os
from typing import Final
from uuid import UUID

_BITS: Final = 12 + 62
_BYTES: Final = 10
_AT_ONCE: Final = 256
"""Random numbers: the kernel takes longer to be asked than to answer."""
_random: list[int] = []
os.register_at_fork(after_in_child=_random.clear)  # or two processes would make the same ids


def uuid7(now: datetime.datetime) -> UUID:
    """A new id made at `now` (aware), to the millisecond; the rest is random."""
    milliseconds, random = int(now.timestamp() * 1_000), _next()
    return UUID(int=milliseconds << 80 | 0x7 << 76 | random >> 62 << 64 | 0b10 << 62 | random & (1 << 62) - 1)


def _next() -> int:
    while True:
        try:
            return _random.pop()
        except IndexError:
            data = os.urandom(_BYTES * _AT_ONCE)
            numbers = (int.from_bytes(data[place : place + _BYTES], "big") for place in range(0, len(data), _BYTES))
            _random.extend(number >> 8 * _BYTES - _BITS for number in numbers)
