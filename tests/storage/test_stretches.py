"""Long work in short steps: who comes in between, and who does not."""

import asyncio
from collections.abc import Iterator

import pytest

from storage import stretches
from storage.stretches import STEP


def numbers(name: str, count: int, done: list[str]) -> Iterator[int]:
    for number in range(count):
        done.append(name)
        yield number


async def test_all_of_it_comes_in_order() -> None:
    for count in (0, 1, STEP - 1, STEP, STEP + 1, 5 * STEP):
        assert await stretches.of(range(count)) == list(range(count))


async def test_somebody_who_comes_meanwhile_is_not_behind_it() -> None:
    done: list[str] = []

    async def look() -> None:
        done.append("look")

    await asyncio.gather(stretches.of(numbers("long", 10 * STEP, done)), look())
    assert done.index("look") <= 2 * STEP


async def test_what_is_long_goes_one_after_the_other() -> None:
    done: list[str] = []
    first, second = (stretches.of(numbers(name, 10 * STEP, done)) for name in ("first", "second"))
    await asyncio.gather(first, second)
    behind = done[3 * STEP :]  # once both have begun
    assert behind == sorted(behind)


async def test_what_fails_leaves_its_turn_to_the_next() -> None:
    def failing() -> Iterator[int]:
        yield from range(2 * STEP)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await stretches.of(failing())
    assert len(await stretches.of(range(2 * STEP))) == 2 * STEP
