"""Who asks together is answered together, and nobody gets an answer to somebody else's question."""

import asyncio
from collections.abc import Mapping

import pytest

from api.dataloader import MOST_KEYS, DataLoader


class Source:
    """Answers each even number with its half, when it is let; `calls` are what it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.cancelled = 0
        self.go = asyncio.Event()
        self.fails = False

    async def load(self, keys: list[int]) -> Mapping[int, int]:
        self.calls.append(keys)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fails:
            raise OSError("gone")
        return {key: key // 2 for key in keys if key % 2 == 0}


async def begun(*tasks: "asyncio.Task[int | None]") -> None:
    await asyncio.wait(tasks, timeout=0.01)


async def test_what_is_asked_during_a_call_is_the_next_one() -> None:
    source = Source()
    loader = DataLoader(source.load)
    first = asyncio.create_task(loader.get(2))
    await begun(first)
    others = [asyncio.create_task(loader.get(key)) for key in (4, 4, 5)]
    await begun(*others)
    assert source.calls == [[2]], "an answer that is on its way may be older than the question"
    source.go.set()
    assert await asyncio.gather(first, *others) == [1, 2, 2, None]
    assert source.calls == [[2], [4, 5]]
    assert await loader.get(2) == 1
    assert source.calls[2:] == [[2]], "nothing is remembered"


async def test_a_failure_is_everybodys_and_no_longer_than_it_lasts() -> None:
    source = Source()
    source.go.set()
    source.fails = True
    loader = DataLoader(source.load)
    for found in await asyncio.gather(*(loader.get(key) for key in range(3)), return_exceptions=True):
        assert isinstance(found, OSError)
    source.fails = False
    assert await loader.get(8) == 4


async def test_who_leaves_takes_the_call_along_unless_others_wait_for_it() -> None:
    source = Source()
    loader = DataLoader(source.load)
    two, four = (asyncio.create_task(loader.get(key)) for key in (2, 4))
    await begun(two, four)
    two.cancel()
    await begun(four)
    assert source.cancelled == 0
    four.cancel()
    await begun(asyncio.create_task(loader.get(6)))
    assert source.cancelled == 1
    assert source.calls == [[2, 4], [6]], "and who asks afterwards is not told that somebody left"
    source.go.set()
    assert await loader.get(6) == 3
    with pytest.raises(asyncio.CancelledError):
        await four


async def test_more_than_fits_is_several_calls() -> None:
    source = Source()
    source.go.set()
    loader = DataLoader(source.load)
    keys = range(0, 2 * (MOST_KEYS + 1), 2)
    assert await asyncio.gather(*map(loader.get, keys)) == [key // 2 for key in keys]
    assert [len(call) for call in source.calls] == [MOST_KEYS, 1]
