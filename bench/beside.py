"""Asks how long others wait while somebody takes over a large ledger: a part of `bench.feel`."""

import asyncio
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import httpx

from bench import apart, push, traffic
from bench.traffic import User

PAUSE_SECONDS: Final = 0.01
"""Between two looks."""
QUIET_SECONDS: Final = 2.0
"""Of looks beside nothing."""
SOON_SECONDS: Final = 0.5
"""Until the process that imports has begun: then it sends, and the server reads, decides and stores."""


class Waits(NamedTuple):
    """Of somebody who looks at their balances again and again, in ms: while nothing else happens, and during an import."""

    quiet: list[float]
    beside: list[float]


def an_import(url: str, owner: User, events: int) -> Waits:
    """What `owner` has, `events` of it, is exported, and taken over by another user while a third one looks."""
    other, third = asyncio.run(traffic.accounts(url, 2))
    with TemporaryDirectory(prefix="debitum-bench-") as folder:
        file = Path(folder, "export.json")
        push.export(url, owner.token, file)
        quiet = _looks(url, third, functools.partial(time.sleep, QUIET_SECONDS))
        importing = functools.partial(apart.run, push.take_over, url, other.token, file, events)
        return Waits(quiet, _looks(url, third, importing, after=SOON_SECONDS))


def _looks(url: str, user: User, work: Callable[[], object], *, after: float = 0.0) -> list[float]:
    """How long each look took while `work` was at it. Raises what that raises."""
    found = []
    with (
        httpx.Client(base_url=url, headers=user.headers, timeout=traffic.TIMEOUT_SECONDS) as http,
        ThreadPoolExecutor(1) as aside,
    ):
        http.get("/api/balances").raise_for_status()
        working = aside.submit(work)
        time.sleep(after)  # an interpreter that starts tells nobody how far it is
        while not working.done():
            began = time.perf_counter()
            http.get("/api/balances").raise_for_status()
            found.append((time.perf_counter() - began) * 1_000)
            time.sleep(PAUSE_SECONDS)  # a person does not look without a pause, and the looks are no load of their own
        working.result()
    return found
