"""Room for what is large or dear: so much of it at a time in a process; others wait for a moment, or come back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

from api import problems

WAIT_SECONDS: Final = 5.0
"""For a place; then whoever waits is told to come back."""


class Line:
    """`places`, for whoever comes first; at most `waiting` wait for one, and more are told at once to come back.

    `full` is what they are told. Who goes away while they wait gives their turn to the next.
    """

    def __init__(self, places: int, *, waiting: int, full: str) -> None:
        self._places = asyncio.Semaphore(places)
        self._most_waiting = waiting
        self._full = full
        self.waiting = 0

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Hold a place. Raises problems.Unavailable, at once or where none becomes free in time."""
        if self.waiting >= self._most_waiting:
            raise problems.Unavailable(self._full)
        async with AsyncExitStack() as held:
            self.waiting += 1
            try:
                await _enter(held, self._places, full=self._full)
            finally:
                self.waiting -= 1
            yield


class Places:
    """`places` in all, and at most `share` of them for one user, who may be slow."""

    def __init__(self, places: int, *, share: int) -> None:
        self._all = asyncio.Semaphore(places)
        self._share = share
        self._of_users = WeakValueDictionary[UUID, asyncio.Semaphore]()

    @asynccontextmanager
    async def hold(self, user_id: UUID) -> AsyncIterator[None]:
        """Hold a place for the user. Raises problems.Unavailable where none becomes free in time."""
        of_user = self._of_users.setdefault(user_id, asyncio.Semaphore(self._share))
        async with AsyncExitStack() as held:
            await _enter(held, of_user, self._all, full="too many of this size are on their way")
            yield


async def _enter(held: AsyncExitStack, *places: asyncio.Semaphore, full: str) -> None:
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            for one in places:
                await held.enter_async_context(one)
    except TimeoutError:
        raise problems.Unavailable(full) from None
