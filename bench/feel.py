"""Asks what a user feels: a new device's first screen, a change seen elsewhere, the start of the whole, what it takes idle."""

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from bench import apart, beside, embedded, harness, traffic
from bench.beside import Waits
from bench.embedded import Idle, Whole
from bench.traffic import User
from client import Device


class Plan(NamedTuple):
    """How much is measured; `changes` of each of DEVICES, `idle_seconds` in each of as many looks."""

    starts: int
    rounds: int
    changes: int
    looks: int
    idle_seconds: float


LONG = Plan(starts=3, rounds=7, changes=150, looks=10, idle_seconds=30.0)
SHORT = Plan(starts=1, rounds=3, changes=20, looks=1, idle_seconds=10.0)
EVENTS: Final = 10_000
"""Of the ledger that a new device comes to."""
DEVICES: Final = 4
"""Users who change something at the same time, each on one device and looking at another."""
PAUSE_SECONDS: Final = (0.05, 0.35)
"""Between two changes of a user: never in step with anything."""
HEARD_SECONDS: Final = 10.0
"""What another device has not seen by then is lost."""
SETTLE_SECONDS: Final = 6.0
"""Without a run of Dagster."""
COLD_START_GOAL_SECONDS, IDLE_PSS_GOAL_MIB, WITHOUT_PAGES_GOAL_MIB = 60.0, 650.0, 450.0


# --- a new device ----------------------------------------------------------------------------------------------------


class Counted(httpx.AsyncHTTPTransport):
    """The network, and how many bytes of bodies came over it, by path; `plain`: the server is not asked to compress."""

    def __init__(self, *, plain: bool) -> None:
        super().__init__()
        self._plain = plain
        self.bytes: dict[str, int] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        if self._plain:
            request.headers["Accept-Encoding"] = "identity"
        answer = await super().handle_async_request(request)
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            stream=_Counting(answer.stream, self.bytes, request.url.path),
            extensions=answer.extensions,
        )


class _Counting(httpx.AsyncByteStream):
    """A body as it came over the wire."""

    def __init__(self, body: httpx.AsyncByteStream, counted: dict[str, int], path: str) -> None:
        self._body, self._counted, self._path = body, counted, path

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            self._counted[self._path] = self._counted.get(self._path, 0) + len(chunk)
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()


class Came(NamedTuple):
    """What a new device got: bytes of both answers; ms to sign in and until the first screen, s until it has all."""

    state_bytes: int
    pull_bytes: int
    login: float
    first_screen: float
    whole_ledger: float


def come(url: str, email: str, expected: int, plain: bool) -> Came:
    """The way of the reference device, with a file that is empty: it signs in, shows what is live, then pulls the log."""
    with tempfile.TemporaryDirectory(prefix="debitum-bench-device-") as folder:
        return asyncio.run(_come(Path(folder) / "device.sqlite", url, email, expected, plain=plain))


async def _come(path: Path, url: str, email: str, expected: int, *, plain: bool) -> Came:
    network = Counted(plain=plain)
    began = time.perf_counter()
    async with Device(path, url, transport=network) as device:
        await device.login(email, traffic.PASSWORD)
        signed_in = time.perf_counter()
        head, resources = await device.first_screen()
        shown = time.perf_counter()
        await device.sync()
        done = time.perf_counter()
        assert head == device.head
        assert head.version == expected
        assert {(one["kind"], one["id"]) for one in resources} == set(device.shown())
    return Came(
        state_bytes=network.bytes["/api/sync/state"],
        pull_bytes=network.bytes["/api/sync/pull"],
        login=(signed_in - began) * 1_000,
        first_screen=(shown - began) * 1_000,
        whole_ledger=done - began,
    )


def new_devices(url: str, user: User, rounds: int) -> tuple[list[Came], list[Came]]:
    """Rounds, compressed and plain in turn, each device of `user` in a process of its own."""
    found: tuple[list[Came], list[Came]] = ([], [])
    for _ in range(rounds):
        for side, plain in zip(found, (False, True), strict=True):
            side.append(apart.run(come, url, user.email, user.head[0], plain).result)
    return found


async def _filled(url: str) -> User:
    """Somebody who has done EVENTS things, and does nothing more."""
    user = await traffic.filled(url, EVENTS)
    await user.close()
    return user


# --- a change on one device, seen on another -------------------------------------------------------------------------


class Watching(Device):
    """A device that notes when it had come to which version."""

    def __init__(self, *where: Any, **more: Any) -> None:
        super().__init__(*where, **more)
        self.came: list[tuple[int, float]] = []
        self.moved = asyncio.Event()

    async def sync(self) -> Any:
        """As `Device.sync`."""
        head = await super().sync()
        self.came.append((head.version, time.perf_counter()))
        self.moved.set()
        return head


def seen_elsewhere(url: str, changes: int) -> list[float]:
    """Of each change of each user, ms from the act on one device until another, told by the feed, has pulled and folded it.

    Both devices of all users are in one process; what of that way is the feed's alone, `bench.sync` measures with many sockets.
    """
    with tempfile.TemporaryDirectory(prefix="debitum-bench-devices-") as folder:
        return asyncio.run(_all_seen(Path(folder), url, changes))


async def _all_seen(folder: Path, url: str, changes: int) -> list[float]:
    users = await traffic.accounts(url, DEVICES)
    dice = [random.Random(number) for number in range(DEVICES)]
    files = [folder / str(number) for number in range(DEVICES)]
    of_users = await asyncio.gather(*(_seen(*one, url, changes) for one in zip(files, users, dice, strict=True)))
    return [latency for latencies in of_users for latency in latencies]


async def _seen(file: Path, user: User, dice: random.Random, url: str, changes: int) -> list[float]:
    async with Device(file.with_suffix(".one"), url) as one, Watching(file.with_suffix(".other"), url) as other:
        for device in (one, other):
            await device.login(user.email, traffic.PASSWORD)
        contact = one.create("contact", {"name": "Ana"})
        await one.sync()
        following = asyncio.create_task(other.follow())
        await _come_to(other, one.head.version)
        latencies = []
        for number in range(changes):
            await asyncio.sleep(dice.uniform(*PAUSE_SECONDS))
            began = time.perf_counter()
            one.create("transaction", {"contact_id": contact, "direction": "lent", "amount": 1 + number, "currency": "EUR"})
            await one.sync()
            latencies.append((await _come_to(other, one.head.version) - began) * 1_000)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        assert other.head == one.head
        assert other.state() == one.state()
        assert one.balances() == {(contact, "EUR"): changes * (changes + 1) // 2}
        return latencies


async def _come_to(device: Watching, version: int) -> float:
    """When it had come there."""
    async with asyncio.timeout(HEARD_SECONDS):
        while not (at := [at for there, at in device.came if there >= version]):
            device.moved.clear()
            await device.moved.wait()
    return at[0]


# --- the report ------------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """Of all starts and rounds."""

    starts: list[Whole]
    idle: list[Idle]
    packed: list[Came]
    plain: list[Came]
    seen: list[float]
    waits: Waits
    after_work: dict[str, float]
    without_pages: dict[str, float]


def measure(plan: Plan) -> Found:
    """The last whole that was started is the one in which everything else is measured: first idle, then at work."""
    starts = []
    for number in range(plan.starts):
        with tempfile.TemporaryDirectory(prefix="debitum-bench-") as folder:
            data_dir = Path(folder) / "data"
            data_dir.mkdir()
            with embedded.started(data_dir) as whole:
                starts.append(whole)
                if number < plan.starts - 1:
                    continue
                embedded.settle(data_dir, SETTLE_SECONDS)
                idle = [embedded.idle(data_dir, plan.idle_seconds) for _ in range(plan.looks)]
                user = asyncio.run(_filled(whole.api))
                packed, plain = new_devices(whole.api, user, plan.rounds)
                seen: list[float] = apart.run(seen_elsewhere, whole.api, plan.changes).result
                embedded.settle(data_dir, SETTLE_SECONDS)
                after_work = embedded.held(data_dir)
                waits = beside.an_import(whole.api, user, EVENTS)
    return Found(starts, idle, packed, plain, seen, waits, after_work, _without_pages())


def _without_pages() -> dict[str, float]:
    """What the whole holds at rest that has Dagster's pages on demand; MiB by part."""
    with tempfile.TemporaryDirectory(prefix="debitum-bench-") as folder:
        data_dir = Path(folder) / "data"
        data_dir.mkdir()
        with embedded.without_pages(data_dir):
            embedded.settle(data_dir, SETTLE_SECONDS)
            return embedded.held(data_dir)


def _rows(found: Found) -> list[harness.Row]:
    row, rows = harness.row, []
    for suffix, came in (("", found.packed), ("_plain", found.plain)):
        rows += [
            row(f"feel_state_bytes{suffix}", [one.state_bytes for one in came], "bytes"),
            row(f"feel_pull_bytes{suffix}", [one.pull_bytes for one in came], "bytes"),
            row(f"feel_login{suffix}", [one.login for one in came], "ms"),
            row(f"feel_first_screen{suffix}", [one.first_screen for one in came], "ms"),
            row(f"feel_whole_ledger{suffix}", [one.whole_ledger for one in came], "s"),
        ]
    for what, times in (("seen_elsewhere", found.seen), ("balances", found.waits.quiet), ("beside_import", found.waits.beside)):
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            value = harness.percentile(times, share)
            rows.append(harness.Row(f"feel_{what}_{name}", value, min(times), max(times), "ms", "less"))
    return [
        *rows,
        row("feel_cold_start", [one.api_seconds for one in found.starts], "s", goal=COLD_START_GOAL_SECONDS),
        row("feel_cold_start_dagster", [one.dagster_seconds for one in found.starts], "s", goal=COLD_START_GOAL_SECONDS),
        row("feel_idle_cpu", [sum(one.cpu_percent.values()) for one in found.idle], "% of a core"),
        row("feel_idle_pss", [sum(one.pss_mib.values()) for one in found.idle], "MiB", goal=IDLE_PSS_GOAL_MIB),
        row("feel_idle_pss_after_work", [sum(found.after_work.values())], "MiB", goal=IDLE_PSS_GOAL_MIB),
        row("feel_idle_pss_without_pages", [sum(found.without_pages.values())], "MiB", goal=WITHOUT_PAGES_GOAL_MIB),
    ]


def _by_part(looks: Sequence[dict[str, float]]) -> dict[str, float]:
    return {part: round(statistics.median(look[part] for look in looks), 1) for part in looks[0]}


def main() -> None:
    """Run it; --long for more starts, rounds and looks, long enough that every schedule has ticked."""
    is_long = "--long" in sys.argv[1:]
    plan = LONG if is_long else SHORT
    found = measure(plan)
    harness.report(
        "feel_long" if is_long else "feel",
        _rows(found),
        plan=plan._asdict(),
        events=EVENTS,
        changes=len(found.seen),
        idle_cpu_percent_by_part=_by_part([one.cpu_percent for one in found.idle]),
        idle_pss_mib_by_part=_by_part([one.pss_mib for one in found.idle]),
        idle_pss_after_work_mib_by_part=_by_part([found.after_work]),
        idle_pss_without_pages_mib_by_part=_by_part([found.without_pages]),
    )


if __name__ == "__main__":
    main()
