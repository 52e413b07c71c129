"""Numbers that all workers of a server keep together: each adds to a row of its own, in memory that they share; any reads all.

A row belongs to a worker's place and not to its process: whoever is started in place of one that was killed goes on from its
numbers, so that their sum never falls. To add is one store of 8 aligned bytes: there is no lock, no file, nothing to clear away.
"""

import itertools
import mmap
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import Final

CELL_BYTES: Final = 8


class Board:
    """A row of `width` numbers for each of `workers` places; `row` is this process's, at first that of place 0."""

    def __init__(self, workers: int, width: int) -> None:
        shared = memoryview(mmap.mmap(-1, CELL_BYTES * workers * width)).cast("d")  # anonymous, and shared over a fork
        self.rows = [shared[width * place : width * (place + 1)] for place in range(workers)]
        self.row = self.rows[0]

    def take(self, place: int) -> None:
        """Be the worker at `place` from now on."""
        self.row = self.rows[place]

    def totals(self) -> list[float]:
        """The sum of each cell over all rows."""
        if len(self.rows) == 1:
            return list(self.row)
        return [sum(cells) for cells in zip(*self.rows, strict=True)]


@dataclass(frozen=True)
class Buckets:
    """How a histogram lies in a row: the sum of what was observed, then a count for each bound and for what is above the last."""

    bounds: tuple[float, ...]

    @cached_property
    def width(self) -> int:
        """The cells of one histogram."""
        return len(self.bounds) + 2

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The bounds as Prometheus writes them, and the one above the last."""
        return (*map(str, self.bounds), "+Inf")

    def add(self, row: "memoryview[float]", at: int, value: float) -> None:
        """Observe `value` in the histogram that begins at the cell `at` of `row`."""
        row[at] += value
        row[at + 1 + bisect_left(self.bounds, value)] += 1

    def read(self, totals: list[float], at: int) -> tuple[list[tuple[str, float]], float]:
        """The counts up to each bound and up to +Inf, as Prometheus wants them, and the sum."""
        counts = itertools.accumulate(totals[at + 1 : at + self.width])
        return list(zip(self.names, counts, strict=True)), totals[at]
