"""Password hashing (argon2id): a few at a time in threads of their own, because each takes 19 MiB and a core."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api import problems

CONCURRENT_HASHES = 4
"""More would be a way to exhaust a server's memory."""
WAIT_SECONDS = 2.0
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1
"""OWASP's minimum for argon2id: 16 ms on the machine where it was measured."""


class Hasher:
    """Hashes and verifies within CONCURRENT_HASHES; whoever would wait longer than WAIT_SECONDS gets Unavailable."""

    def __init__(self) -> None:
        self._argon2 = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._threads = ThreadPoolExecutor(CONCURRENT_HASHES, thread_name_prefix="hash")
        self._slots = asyncio.Semaphore(CONCURRENT_HASHES)
        self._nobody = self._argon2.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """The encoded argon2id hash."""
        return str(await self._run(partial(self._argon2.hash, password)))

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether `password` is the one; with no hash to compare to, the same work is done for nothing."""
        right = await self._run(partial(self._verify, encoded or self._nobody, password))
        return bool(right) and encoded is not None

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, encoded: str, password: str) -> bool:
        try:
            return self._argon2.verify(encoded, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: "partial[str] | partial[bool]") -> str | bool:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._slots.acquire()
        except TimeoutError as error:
            raise problems.Unavailable("too many people sign in at once") from error
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._slots.release()
