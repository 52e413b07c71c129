"""Room for what is large: so much of it at a time in a process, and of that a share for each user."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

from api import problems

WAIT_SECONDS: Final = 5.0
"""For a place; then whoever waits is told to come back."""


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
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await held.enter_async_context(of_user)
                    await held.enter_async_context(self._all)
            except TimeoutError:
                raise problems.Unavailable("too many of this size are on their way") from None
            yield
