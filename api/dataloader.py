"""The same question of many requests as one: whoever asks while an answer is on its way shares the next (as DataLoader does)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

MOST_KEYS = 500
"""Asked for at once."""


class DataLoader(Generic[Key, Value]):
    """`load` answers for several keys at once, one call after the other; no answer is remembered."""

    def __init__(self, load: Callable[[list[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self._load = load
        self._waiting: dict[Key, list[asyncio.Future[Value | None]]] = {}
        self._asked: dict[Key, list[asyncio.Future[Value | None]]] = {}
        """Of the call that is under way."""
        self._call: asyncio.Task[None] | None = None

    async def get(self, key: Key) -> Value | None:
        """What `load`, called after this, says of `key`; None where it says nothing. Raises what it raises."""
        answer: asyncio.Future[Value | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        self._next()
        try:
            return await answer
        except asyncio.CancelledError:
            if self._call is not None and self._asked and all(one.done() for answers in self._asked.values() for one in answers):
                self._call.cancel()  # nobody waits for it any more
            raise

    def _next(self) -> None:
        if self._call is None and self._waiting:
            self._call = asyncio.create_task(self._ask(), name="dataloader")
            self._call.add_done_callback(self._done)

    def _done(self, call: "asyncio.Task[None]") -> None:
        self._call, self._asked = None, {}
        self._next()

    async def _ask(self) -> None:
        self._asked = {key: self._waiting.pop(key) for key in list(self._waiting)[:MOST_KEYS]}  # all of this turn of the loop
        try:
            found = await self._load(list(self._asked))
        except Exception as error:  # whatever it is, it is theirs who asked: nobody else awaits this task
            for answers in self._asked.values():
                for answer in answers:
                    if not answer.done():
                        answer.set_exception(error)
        else:
            for key, answers in self._asked.items():
                for answer in answers:
                    if not answer.done():  # the others have given up waiting
                        answer.set_result(found.get(key))
