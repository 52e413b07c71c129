"""Passwords: which are taken, and their hashing (argon2id), a few at a time because each takes 19 MiB and a core."""

import asyncio
import functools
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Final, TypeVar

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec import Meta

from api.languages import noted
from api.places import Line
from domain import common_passwords, errors

Password = Annotated[str, Meta(min_length=8, max_length=128)]
"""One that is set; whether too many others have it is asked by `refuse_common`."""
Given = Annotated[str, Meta(max_length=128)]
"""One that is compared: also shorter than any that is set, or the refusal would say something of the password."""
CONCURRENT_HASHES = 4
"""Of a process; more would be a way to exhaust a server's memory."""
MOST_WAITING = 100
"""For a place in a process: as many as one slow core hashes in the longest time that they wait."""
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1
"""OWASP's minimum for argon2id: 16 ms on the machine where it was measured."""
DOES_NOT_FIT: Final = noted("A password has 8 to 128 characters.")
COMMON: Final = noted("This password is one of the most common ones, which are guessed first: choose another.")

Result = TypeVar("Result")


def refuse_common(password: str, pointer: str) -> None:
    """Raises errors.Invalid that points to the member, where guessers try this password first."""
    if common_passwords.has(password):
        raise errors.Invalid.at(pointer, COMMON)


def objection(password: str) -> str | None:
    """What a page says against a password, in English (api.languages.noted); None: it may be set."""
    try:
        msgspec.convert(password, Password)
    except msgspec.ValidationError:
        return DOES_NOT_FIT
    return COMMON if common_passwords.has(password) else None


class Place:
    """The right to hash, one password after the other."""

    def __init__(self, hasher: "Hasher") -> None:
        self._hasher = hasher

    async def hash(self, password: str) -> str:
        """The encoded argon2id hash."""
        return await self._hasher.run(functools.partial(self._hasher.argon2.hash, password))

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether `password` is the one; with no hash to compare to, the same work is done for nothing."""
        right = await self._hasher.run(functools.partial(self._verify, encoded or self._hasher.nobody, password))
        return right and encoded is not None

    def _verify(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.argon2.verify(encoded, password)
        except (VerificationError, InvalidHashError):
            return False


class Hasher:
    """CONCURRENT_HASHES places, for which up to MOST_WAITING wait in the order in which they came."""

    def __init__(self) -> None:
        self.argon2 = argon2()
        self.nobody = _nobody()
        self.line = Line(CONCURRENT_HASHES, waiting=MOST_WAITING, full="too many people sign in at once")
        self._threads = ThreadPoolExecutor(CONCURRENT_HASHES, thread_name_prefix="hash")

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """Hold a place. Raises problems.Unavailable; who asks holds no connection, for it may take some seconds."""
        async with self.line.hold():
            yield Place(self)

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of `work`, done in a thread: there are as many as places, and work whose client has gone keeps its own."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def argon2() -> PasswordHasher:
    """Hashes with our parameters."""
    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


@functools.cache
def _nobody() -> str:
    """What a password is compared to where there is no account, so that it takes as long. Making it does too: so only once."""
    return nobodys_hash()


def nobodys_hash() -> str:
    """The hash of a password that nobody knows: of an account whose owner has not set one yet."""
    return argon2().hash(secrets.token_urlsafe())
