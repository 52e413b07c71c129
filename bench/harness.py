"""What measurements share: a scratch server as users run it, medians with their range, tables and result files."""

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import psutil
import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy import NullPool

from bench.reasons import REASONS
from storage import embedded, engine, migrations, roles, urls

RESULTS = Path(__file__).parent / "results"
UNLIMITED = {"DEBITUM_RATE_AUTH_PER_MINUTE": "0", "DEBITUM_RATE_USER_PER_SECOND": "0"}
"""What is measured is what a server can do, not what it allows."""
START_SECONDS, STOP_SECONDS = 30.0, 15.0
"""Of an API server: it imports everything; and it gives the requests in flight ten seconds."""
LOOK_SECONDS = 0.02


def as_jobs(url: str) -> engine.Begin:
    """Transactions of the jobs role, each on a connection of its own, as a run has them."""
    database = engine.sync_engine(url, "debitum-bench", poolclass=NullPool)
    return partial(roles.transaction, database, roles.JOBS)


class Row(msgspec.Struct, omit_defaults=True):
    """A figure: the median of several (or a percentile) with its range; `floor` must hold, `goal` should."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    better: Literal["more", "less"]
    floor: float | None = None
    goal: float | None = None
    reason: str | None = None
    """Why it does not reach its goal."""

    @property
    def holds(self) -> bool:
        """Whether it reaches its goal, or there is none."""
        return self.goal is None or (self.value >= self.goal if self.better == "more" else self.value <= self.goal)


@contextmanager
def database() -> Iterator[str]:
    """URL of a migrated database on an embedded server of its own, with the settings that users get."""
    with tempfile.TemporaryDirectory(prefix="debitum-bench-") as folder:
        data = Path(folder) / "data"
        url = embedded.start(data).url
        try:
            with engine.sync_engine(url, "debitum-bench").connect() as connection:
                migrations.migrate(connection)
            yield url
        finally:
            embedded.stop(data, mode="immediate")


class Api(NamedTuple):
    """A running API server, and its process."""

    url: str
    process: psutil.Process


@contextmanager
def api(database_url: str, keys: str, workers: int = 1) -> Iterator[Api]:
    """A server on a free port of loopback, in processes of its own, started as `debitum up` does it."""
    settings = {"DATABASE_URL": database_url, "DEBITUM_KEYS": keys, "DEBITUM_PORT": "0", **UNLIMITED}
    with serve(["-P", "-m", "api"], settings | {"DEBITUM_WORKERS": str(workers)}) as server:
        yield server


@contextmanager
def serve(arguments: Sequence[str], settings: Mapping[str, str]) -> Iterator[Api]:
    """Any server that is a Python program and says where it listens as ours does."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DEBITUM_", "DATABASE_"))}
    with tempfile.TemporaryFile() as log:
        process = psutil.Popen([sys.executable, *arguments], env={**inherited, **settings}, stdout=log, stderr=subprocess.STDOUT)
        try:
            said = _listening(process, log.fileno())
            yield Api(f"http://{said['host']}:{said['port']}", process)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait()


def _listening(process: psutil.Process, log: int) -> dict[str, Any]:
    """What a server says once it listens."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        text = os.pread(log, 1_000_000, 0)  # it and the server share the file's position
        for line in text.splitlines(keepends=True):
            if line.startswith(b"{") and line.endswith(b"}\n") and (said := json.loads(line))["event"] == "listening":
                found: dict[str, Any] = said
                return found
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE or time.monotonic() > deadline:
            raise RuntimeError(f"the API did not start: {text.decode()}")
        time.sleep(LOOK_SECONDS)  # a file tells nobody that it has grown


def postgres(url: str) -> psutil.Process:
    """The server at `url`: the parent of each of its connections' processes."""
    with psycopg.connect(urls.libpq_url(url)) as connection:
        return psutil.Process(psutil.Process(connection.info.backend_pid).ppid())


def cpu_seconds(process: psutil.Process) -> dict[int, float]:
    """What a process and its children have used of the processors since they began, by pid."""
    used = {}
    for one in (process, *process.children()):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            used[one.pid] = float(sum(one.cpu_times()[:2]))
    return used


def cpu_since(process: psutil.Process, before: Mapping[int, float]) -> float:
    """What they have used since; of those that have ended meanwhile nothing is known."""
    return sum(used - before.get(pid, 0.0) for pid, used in cpu_seconds(process).items())


class Cores:
    """How many cores each of some processes, with those of its children that are not named themselves, keeps busy."""

    def __init__(self, **processes: psutil.Process) -> None:
        self._processes = processes
        self._looked_at, self._used = self._look()

    def since(self) -> dict[str, float]:
        """By name, since the last call or the beginning."""
        before, used, (self._looked_at, self._used) = self._looked_at, self._used, self._look()
        return {name: (self._used[name] - used[name]) / (self._looked_at - before) for name in used}

    def _look(self) -> tuple[float, dict[str, float]]:
        named = set(self._processes.values())
        used = {
            name: sum(sum(one.cpu_times()[:2]) for one in {process, *process.children()} - (named - {process}))
            for name, process in self._processes.items()
        }
        return time.perf_counter(), used


def row(name: str, rounds: Sequence[float], unit: str, better: Literal["more", "less"] = "less", **limits: float) -> Row:
    """The median of `rounds`, with the least and the most of them."""
    ordered = sorted(rounds)
    return Row(name, statistics.median(ordered), ordered[0], ordered[-1], unit, better, limits.get("floor"), limits.get("goal"))


async def timed(work: Awaitable[object]) -> float:
    """How long it takes, in milliseconds."""
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1_000


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def database_seconds(connection: psycopg.Connection[tuple[object, ...]]) -> float:
    """For which sessions of this database that have ended have been executing statements."""
    connection.execute("select pg_stat_force_next_flush()")
    time.sleep(0.2)  # a session that ends says so a moment later
    row = connection.execute("select active_time from pg_stat_database where datname = current_database()").fetchone()
    assert row is not None
    return float(str(row[0])) / 1_000


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 … 1) of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(name: str, rows: Sequence[Row], **notes: object) -> None:
    """Print a table and write bench/results/<name>.json; a row that is short of its goal says why, where that is known."""
    for one in rows:
        one.reason = None if one.holds else REASONS.get(one.name)
    table = Table(title=name)
    for heading in ("row", "median", "range", "unit", "goal", ""):
        table.add_column(heading)
    for one in rows:
        goal = "" if one.goal is None else f"{'≥' if one.better == 'more' else '≤'} {one.goal:g}"
        verdict = "" if one.goal is None else ("✓" if one.holds else "✗")
        table.add_row(one.name, f"{one.value:.3g}", f"{one.low:.3g} … {one.high:.3g}", one.unit, goal, verdict)
    Console().print(table)
    RESULTS.mkdir(exist_ok=True)
    today = datetime.datetime.now(datetime.UTC).date()
    found = {"taken": today.isoformat(), "machine": machine(), "rows": [msgspec.to_builtins(one) for one in rows], **notes}
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")


def machine() -> dict[str, object]:
    """What the figures were taken on, and what ran beside."""
    return {
        "cpus": os.cpu_count(),
        "cpu": platform.processor() or platform.machine(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 1),
    }
