"""`make soak`: the whole as users get it, with schedules made fast and people who write, and how much more memory it holds.

Argument: minutes (SOAK_MINUTES; 20 unless given). Every minute stands for hours of a household's server: schedules tick every
minute, and a user pushes all the time, so that the sensors start runs as often as they look. The last line is JSON.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench import embedded, traffic
from bench.embedded import Whole
from debitum.demo_stack import EVERY_MINUTE

MINUTES: Final = 20.0
FAST: Final = {"DEBITUM_REMINDER_CRON": EVERY_MINUTE, "DEBITUM_SNAPSHOT_CRON": EVERY_MINUTE}
WARM_UP_SHARE: Final = 0.4
"""Of the time, in which caches fill: what is held then is not held against it."""
LOOK_SECONDS: Final = 5.0
PUSH, PAUSE_SECONDS, PUSHES = 5, 2.0, 100
"""Commands of a push, the time between two, and how many a user makes before the next comes: a token is good for ten minutes."""
GROWING: Final = ("supervisor", "api", "code-server", "dagster", "dagster-daemon")
"""Postgres is none of them: its shared buffers fill up to their size, and hold what runs and people write."""
MOST_MIB_PER_HUNDRED_RUNS: Final = 10.0
"""A day at rest has some 400 runs: what grows by less holds for weeks, and the ceilings of debitum.ceilings take the rest."""

Look = tuple[float, dict[tuple[str, int], float]]
"""Seconds since the beginning, and MiB by part and process that no other process shares."""


def slope(points: Sequence[tuple[float, float]]) -> float:
    """By how much y grows for one of x: the median of the slopes of all pairs, which single jumps do not move (Theil and Sen)."""
    return statistics.median(
        (later - earlier) / (after - before)
        for number, (before, earlier) in enumerate(points)
        for after, later in points[number + 1 :]
        if after > before
    )


def growth(looks: Sequence[Look], runs: int) -> dict[str, float]:
    """MiB by part for every hundred runs, of which there were `runs` meanwhile, after the warm-up.

    What counts are the processes that were there all the time: those of runs are children of the code server, come and go, and
    are the more at once the slower the machine is. Raises AssertionError where a part has none, for it was started anew.
    """
    seconds, hundreds = looks[-1][0], runs / 100
    warm = [look for look in looks if look[0] >= WARM_UP_SHARE * seconds]
    lasting = set.intersection(*(set(held) for _, held in warm))
    sums = {part: [process for process in lasting if process[0] == part] for part in GROWING}
    assert all(sums.values()), f"these were started anew: {[part for part, processes in sums.items() if not processes]}"
    return {
        part: slope([(at, sum(held[process] for process in processes)) for at, held in warm]) * seconds / hundreds
        for part, processes in sums.items()
    }


def by_part(look: Look) -> dict[str, float]:
    """MiB, whoever holds them."""
    held: dict[str, float] = {}
    for (part, _), mib in look[1].items():
        held[part] = held.get(part, 0.0) + mib
    return held


def soak(data_dir: Path, seconds: float) -> tuple[list[Look], int]:
    """What was held meanwhile, and how many runs there were."""
    looks: list[Look] = []
    with embedded.started(data_dir, FAST) as whole:
        embedded.settle(data_dir, LOOK_SECONDS)
        before = embedded.runs(whole)
        with _people(whole):
            began = time.monotonic()
            while (now := time.monotonic() - began) < seconds:
                looks.append((now, embedded.own(data_dir)))
                time.sleep(LOOK_SECONDS)  # memory tells nobody that it has grown
        return looks, embedded.runs(whole) - before


@contextmanager
def _people(whole: Whole) -> Iterator[None]:
    """Somebody who writes as long as the block runs."""
    ended = threading.Event()

    async def write() -> None:
        while not ended.is_set():
            [user] = await traffic.register(whole.api, 1)
            for _ in range(PUSHES):
                if not ended.is_set():
                    await user.push(user.prepare(PUSH))
                    await asyncio.sleep(PAUSE_SECONDS)
            await user.close()

    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(write())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failures:
        raise failures[0]


def main() -> None:
    """Raises AssertionError where a part grows."""
    minutes = float(sys.argv[1]) if sys.argv[1:] else float(os.environ.get("SOAK_MINUTES", MINUTES))
    with tempfile.TemporaryDirectory(prefix="debitum-soak-") as folder:
        data_dir = Path(folder) / "data"
        data_dir.mkdir()
        looks, runs = soak(data_dir, minutes * 60)
    grown = growth(looks, runs)
    first, last = by_part(looks[0]), by_part(looks[-1])
    print(json.dumps({"minutes": minutes, "runs": runs, "first": first, "last": last, "mib_per_100_runs": grown}))
    assert runs >= minutes, "there were too few runs to judge by"
    too_much = {part: mib for part, mib in grown.items() if mib > MOST_MIB_PER_HUNDRED_RUNS}
    assert not too_much, f"these grow by more than {MOST_MIB_PER_HUNDRED_RUNS:g} MiB for every hundred runs: {too_much}"


if __name__ == "__main__":
    main()
