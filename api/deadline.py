"""How long a request may take once it has come in: after that it is cancelled, and its client is told to come back."""

import asyncio
from collections.abc import Awaitable
from types import TracebackType

from api import problems


class within:
    """Cancel what the block does after `seconds`, so that its connections go back to their pools.

    Raises problems.Unavailable: what was to be written may have been written or not, and the same ids may be sent again.
    """

    __slots__ = ("_limit",)

    def __init__(self, seconds: float) -> None:
        self._limit = asyncio.timeout(seconds)

    def __aenter__(self) -> Awaitable[asyncio.Timeout]:
        return self._limit.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise problems.Unavailable("this took too long") from late
