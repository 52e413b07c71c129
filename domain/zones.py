"""Time zones by name, as this machine's data knows them."""

import zoneinfo
from functools import lru_cache

MOST_ZONES = 1_024
"""Names whose answer is kept: twice as many as there are zones, for strangers send others."""
_NO_ZONES = ("localtime", "Factory", "posixrules", "posix/", "right/")
"""Files beside the zones: the machine's own zone, and variants that count leap seconds or not."""


@lru_cache(maxsize=MOST_ZONES)
def is_zone(name: str) -> bool:
    """Whether `name` is an IANA time zone that this machine's data knows."""
    if name.startswith(_NO_ZONES):
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def zone(name: str) -> zoneinfo.ZoneInfo:
    """The IANA zone `name`, or UTC where this machine's data no longer knows it: an odd hour is better than no answer."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return zoneinfo.ZoneInfo("UTC")
