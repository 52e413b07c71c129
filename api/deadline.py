"""How long a request may take once it has come in: whoever waits for longer is told to come back, and nothing waits on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api import problems


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Cancel what the block does after `seconds`, so that its connections go back to where they came from.

    Raises problems.Unavailable: what was to be written may have been written or not, and the same ids may be sent again.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise problems.Unavailable("this took too long") from error
