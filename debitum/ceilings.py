"""How much memory a child may come to hold: past its ceiling it is started anew, at a moment when that costs nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil

LOOK_SECONDS: Final = 30.0
"""Between two looks at what it holds: a leak is slower than that."""
QUIET_LOOK_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 600.0
"""How long a quiet moment is waited for: without a limit a busy process could grow for ever."""


async def always() -> bool:
    """For a child that may be ended at any moment."""
    return True


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """`mib` of its own memory (USS), set by `setting`. `quiet`: whether it may be ended now; after `patience_seconds` it is."""

    mib: int
    setting: str
    quiet: Callable[[], Awaitable[bool]] = always
    look_seconds: float = LOOK_SECONDS
    quiet_look_seconds: float = QUIET_LOOK_SECONDS
    patience_seconds: float = PATIENCE_SECONDS

    async def passed(self, pid: int) -> float:
        """Returns what the process holds, in MiB, once that is more and it is quiet. Never, where the system does not tell."""
        while True:
            if (held := await asyncio.to_thread(_held_mib, pid)) > self.mib:
                break
            await asyncio.sleep(self.look_seconds)
        deadline = time.monotonic() + self.patience_seconds
        while time.monotonic() < deadline:
            if await self.quiet():
                break
            await asyncio.sleep(self.quiet_look_seconds)
        return held


def _held_mib(pid: int) -> float:
    """What would be free again without the process; 0 of one that has ended, or is not ours to look at."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return float(psutil.Process(pid).memory_full_info().uss) / 2**20
    return 0.0
