"""Long work on an event loop, done in short steps, between which everybody else is answered."""

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")
STEP: Final = 16
"""Commands of a push that are read, decided or made rows of in one step: a millisecond or two. What is less is no long work."""
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
"""By event loop: whose turn it is to do long work. Side by side, all of it would end last."""


async def of(found: Iterable[T]) -> list[T]:
    """All of `found`, each of which is worked out when it is asked for. Raises what that raises."""
    source = iter(found)
    kept = list(islice(source, STEP))
    if len(kept) < STEP:
        return kept
    async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        while part := list(islice(source, STEP)):
            kept += part
            await asyncio.sleep(0)
    return kept
