"""One supervised child: started, asked whether it answers, started again when it dies, stopped within its grace."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from debitum import leash, processes
from debitum.ceilings import Ceiling
from debitum.probes import Probe
from debitum.saying import Voice

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""A child that lived this long has not failed at its start: the next pause is the first again."""
PROBE_SECONDS: Final = 0.1
SLOW_SECONDS: Final = 60.0
"""After this a part that does not answer is mentioned."""
LOG_BYTES: Final = 10 * 1024 * 1024
"""A log larger than this is put aside at the next start; with its predecessor that bounds what a part can fill."""
TAIL_LINES: Final = 8
TAIL_BYTES: Final = 16_384
"""Room for an error with all its frames."""
FRAME: Final = re.compile(r"\s+at (?:\S+:\d+ |\(\d+ more\))")
"""A frame of an error in a log for people (telemetry.exceptions), below the line that says what the error is."""
TAIL_FRAMES: Final = 2
"""Of each error: with all of them there would be no room for anything else."""
COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run. `answers` asks whether it works, `address` is told when it does; `stale` is removed before each start.

    `whole_group`: SIGTERM goes to all its processes, not to the first alone, which would not pass it on. `before` is awaited
    before each start, `after` whenever it answers then. Past its `ceiling` it is ended, and started again at once.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    grace_seconds: float
    answers: Probe | None = None
    address: str | None = None
    stale: Path | None = None
    whole_group: bool = False
    before: Callable[[], Awaitable[None]] | None = None
    after: Callable[[], Awaitable[None]] | None = None
    ceiling: Ceiling | None = None


@dataclass(frozen=True)
class Pauses:
    """How long to wait before the next start, given how many starts in a row have failed."""

    first_seconds: float = FIRST_PAUSE_SECONDS
    longest_seconds: float = LONGEST_PAUSE_SECONDS
    steady_seconds: float = STEADY_SECONDS

    def after(self, failures: int) -> float:
        """Seconds; doubles from the first, up to the longest."""
        return float(min(self.first_seconds * 2 ** min(failures - 1, 32), self.longest_seconds))


class Child:
    """`run` keeps the plan's command running until `stop`; `ready` is set while it answers."""

    def __init__(self, plan: Plan, say: Voice, *, pauses: Pauses | None = None) -> None:
        self.plan = plan
        self.ready = asyncio.Event()
        self.starts = 0
        self._say = say
        self._pauses = pauses or Pauses()
        self._stopping = asyncio.Event()
        self._launching = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._recycling = False

    async def run(self) -> None:
        """Returns after `stop`."""
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                log_start, process = await self._launch()
            except OSError as error:  # no room for a process, or for its log: that may change
                failures += 1
                pause = self._pauses.after(failures)
                text = f"{self.plan.name} cannot be started ({error.strerror}); again in {pause:g} s"
                self._say(text, "part_not_started", level="error", part=self.plan.name, pause_seconds=pause)
                await self._pause(failures)
                continue
            beside = [asyncio.create_task(self._announce(began)), asyncio.create_task(self._recycle(process))]
            code = await process.wait()
            for task in beside:
                task.cancel()
            self.ready.clear()
            if self._stopping.is_set():
                return
            self._clear_group(process.pid)
            if self._recycling:
                self._recycling, failures = False, 0
                continue
            lived = time.monotonic() - began
            failures = 1 if lived >= self._pauses.steady_seconds else failures + 1
            self._tell_of_end(code, lived, self._pauses.after(failures), _tail(self.plan.log, log_start))
            await self._pause(failures)

    async def _launch(self) -> tuple[int, asyncio.subprocess.Process]:
        """Where in its log it begins, and itself. Raises OSError."""
        log_start = _rotate(self.plan.log)
        if self.plan.before is not None:
            await self.plan.before()
        async with self._launching:  # `stop` waits meanwhile, until there is a process to stop
            self._process = await self._start()
        return log_start, self._process

    async def _pause(self, failures: int) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self._pauses.after(failures))

    async def stop(self) -> None:
        """Ask it to end (SIGTERM); what is left of its process group after the grace is killed."""
        self._stopping.set()
        async with self._launching:
            process = self._process
        if process is not None:
            await self._end(process)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            self._send(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + self.plan.grace_seconds
        while process.returncode is None or not processes.group_is_empty(process.pid):
            if time.monotonic() > deadline:
                text = f"{self.plan.name} did not end within {self.plan.grace_seconds:g} s: killed"
                self._say(text, "part_killed", level="warning", part=self.plan.name)
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
                return
            await asyncio.sleep(0.05)

    async def _start(self) -> asyncio.subprocess.Process:
        self.starts += 1
        if self.plan.stale is not None:
            self.plan.stale.unlink(missing_ok=True)
        with private_log(self.plan.log) as log:
            return await asyncio.create_subprocess_exec(
                *leash.tied(*self.plan.command),
                env=dict(self.plan.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal reaches the supervisor alone, which stops children in order
            )

    async def _announce(self, began: float) -> None:
        slow = began + SLOW_SECONDS
        while self.plan.answers is not None and not await self.plan.answers():
            await asyncio.sleep(PROBE_SECONDS)
            if time.monotonic() > slow:
                slow = float("inf")
                text = f"{self.plan.name} has not answered for {SLOW_SECONDS:g} s; its log is {self.plan.log}"
                self._say(text, "part_is_silent", level="warning", part=self.plan.name, log=str(self.plan.log))
        self.ready.set()
        what = f"answers at {self.plan.address}" if self.plan.address else "runs"
        seconds = round(time.monotonic() - began, 1)
        text = f"{self.plan.name} {what} ({seconds} s)"
        self._say(text, "part_runs", part=self.plan.name, address=self.plan.address, seconds=seconds)
        if self.plan.after is not None:
            await self.plan.after()

    async def _recycle(self, process: asyncio.subprocess.Process) -> None:
        """Once it holds more than it may."""
        if (ceiling := self.plan.ceiling) is None:
            return
        held = await ceiling.passed(process.pid)
        self._recycling = True
        text = f"{self.plan.name} holds {held:.0f} MiB, more than {ceiling.setting}={ceiling.mib}: it is started anew"
        self._say(text, "part_recycled", level="warning", part=self.plan.name, held_mib=round(held), ceiling_mib=ceiling.mib)
        await self._end(process)

    def _send(self, pid: int, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            (os.killpg if self.plan.whole_group else os.kill)(pid, number)

    def _clear_group(self, pid: int) -> None:
        """Kill what is left: workers of a dead parent hold its port, and runs of a dead code server could end unnoticed."""
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    def _tell_of_end(self, code: int, lived: float, pause: float, tail: list[str]) -> None:
        name = signal.Signals(-code).name if code < 0 else None
        reason = f"was killed by {name}" if name else f"ended with exit code {code}"
        said = "Its last lines:" + "".join(f"\n    {line}" for line in tail) if tail else "It wrote nothing."
        self._say(
            f"{self.plan.name} {reason} after {lived:.1f} s and is started again in {pause:g} s. {said}",
            "part_ended",
            level="error",
            part=self.plan.name,
            exit_code=None if name else code,
            signal=name,
            lived_seconds=round(lived, 1),
            pause_seconds=pause,
            last_lines=tail,
        )


def private_log(path: Path, *, anew: bool = False) -> BinaryIO:
    """`path` for writing at its end, or `anew`, readable to its owner alone, whatever it was before and whatever the umask is."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if anew else 0), 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab")


def _rotate(log: Path) -> int:
    """Put an overlong log aside; returns where the next line will be."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
    with private_log(log) as file:
        return file.tell()


def _tail(log: Path, since: int) -> list[str]:
    """The last lines that were written after position `since`, without the deeper frames of errors."""
    with log.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(since, end - TAIL_BYTES))
        text = COLOURS.sub("", file.read().decode(errors="replace"))
    lines = [line for line in text.splitlines() if line.strip()]
    frames = [FRAME.match(line) is not None for line in lines]
    deep = [number >= TAIL_FRAMES and all(frames[number - TAIL_FRAMES : number + 1]) for number in range(len(lines))]
    return [line for line, is_deep in zip(lines, deep, strict=True) if not is_deep][-TAIL_LINES:]
