"""The whole as a person starts it, `debitum up` with the settings that users get: how it begins, and what it takes while idle."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import psutil

from bench import harness
from debitum import demo_stack, instance
from storage import embedded, server
from tests.debitum.test_up import free_port
from tests.faults.stack import Stack

DEFAULTS: Final = {"DEBITUM_REMINDER_CRON": "*/5 * * * *", "DEBITUM_SNAPSHOT_CRON": "0 * * * *"}
"""Schedules as users have them: the stack of the fault scenes has its own."""
START_SECONDS: Final = 180.0
LOOK_SECONDS: Final = 0.05
"""Between two questions whether it answers: as exact as a start is told."""
REST_SECONDS: Final = 1.0
"""Between two looks whether a run of Dagster is under way."""
PARTS: Final = {"api": "api", "daemon": "dagster-daemon", "webserver": "dagster", "code-server": "code-server"}
"""By the word that says what a child of the supervisor runs, the name under which `debitum up` tells of it."""


class Whole(NamedTuple):
    """A running whole; seconds from its start until the API was ready, and until Dagster's pages answered."""

    api: str
    dagster: str
    data_dir: Path
    api_seconds: float
    dagster_seconds: float


@contextmanager
def started(data_dir: Path, settings: Mapping[str, str] | None = None) -> Iterator[Whole]:
    """`debitum up` on a folder that is empty: Postgres makes its cluster, and everything is imported and migrated."""
    port = free_port()
    dagster = f"http://127.0.0.1:{port}"
    began = time.perf_counter()
    up = Stack(data_dir, {**DEFAULTS, **harness.UNLIMITED, **(settings or {}), "DEBITUM_DAGSTER_PORT": str(port)})
    try:
        with httpx.Client(timeout=5) as http:  # one: it reads the certificates that it trusts once
            api_seconds = _answers(http, f"{up.api}/health/ready", began)
            dagster_seconds = _answers(http, f"{dagster}/server_info", began)
        up.wait_until_it_answers()
        yield Whole(up.api, dagster, data_dir, api_seconds, dagster_seconds)
    finally:
        up.close()


@contextmanager
def without_pages(data_dir: Path) -> Iterator[None]:
    """The same with `--no-ui`, as whoever has little memory runs it."""
    up = Stack(data_dir, {**DEFAULTS, "DEBITUM_NO_UI": "1"})
    try:
        up.wait_until_it_answers()
        yield
    finally:
        up.close()


def _answers(http: httpx.Client, url: str, began: float) -> float:
    """How long after `began` it first answers with 200."""
    while True:
        with suppress(httpx.HTTPError):
            if http.get(url).status_code == httpx.codes.OK:
                return time.perf_counter() - began
        assert time.perf_counter() - began < START_SECONDS, f"{url} does not answer"
        time.sleep(LOOK_SECONDS)  # a server that is not there yet tells nobody when it is


# --- at rest ---------------------------------------------------------------------------------------------------------


class Idle(NamedTuple):
    """By part: percent of a core that it took, and MiB that it held, what several share split among them (PSS)."""

    cpu_percent: dict[str, float]
    pss_mib: dict[str, float]


def idle(data_dir: Path, seconds: float) -> Idle:
    """Over so long. What a process used that has ended meanwhile is in its parent, which waited for it."""
    before, began = _of_parts(data_dir, _cpu_seconds), time.perf_counter()
    time.sleep(seconds)  # it is measured while nothing happens
    after, took = _of_parts(data_dir, _cpu_seconds), time.perf_counter() - began
    cpu = {part: 100 * (used - before[part]) / took for part, used in after.items()}
    return Idle(cpu, held(data_dir))


def held(data_dir: Path) -> dict[str, float]:
    """MiB by part, as Idle has them."""
    return _of_parts(data_dir, lambda process: float(process.memory_full_info().pss) / 2**20)


def own(data_dir: Path) -> dict[tuple[str, int], float]:
    """MiB by part and process that nobody shares (USS): what others load or leave does not move it."""
    found = {}
    for part, process in _processes(data_dir):
        with suppress(psutil.NoSuchProcess):
            found[part, process.pid] = float(process.memory_full_info().uss) / 2**20
    return found


def settle(data_dir: Path, seconds: float) -> None:
    """Until no run of Dagster has been under way for `seconds`."""
    kept = embedded.running(data_dir)
    assert kept is not None
    quiet_since = time.monotonic()
    deadline = quiet_since + START_SECONDS
    while time.monotonic() - quiet_since < seconds:
        if server.launching_runs(kept.url, "debitum-bench") or server.unfinished_runs(kept.url, "debitum-bench"):
            quiet_since = time.monotonic()
        assert time.monotonic() < deadline, "it does not settle"
        time.sleep(REST_SECONDS)  # the tables of Dagster tell nobody


def runs(whole: Whole) -> int:
    """How many runs of Dagster have ended well so far."""
    return int(demo_stack.ask_dagster(whole.dagster, _ENDED_WELL)["runsOrError"]["count"])


_ENDED_WELL: Final = "{ runsOrError(filter: {statuses: [SUCCESS]}) { ... on Runs { count } } }"


def _of_parts(data_dir: Path, measured: Callable[[psutil.Process], float]) -> dict[str, float]:
    """The sum over all processes of each part."""
    found = dict.fromkeys(("supervisor", "postgres", *PARTS.values()), 0.0)
    for part, process in _processes(data_dir):
        with suppress(psutil.NoSuchProcess):  # a run, or a connection's process, that has just ended
            found[part] += measured(process)
    return found


def _processes(data_dir: Path) -> Iterator[tuple[str, psutil.Process]]:
    note, kept = instance.holder(data_dir), embedded.running(data_dir)
    assert note is not None
    assert kept is not None
    supervisor, postgres = psutil.Process(note.pid), psutil.Process(kept.pid)
    yield "supervisor", supervisor
    yield from (("postgres", process) for process in (postgres, *postgres.children(recursive=True)))
    for child in supervisor.children():
        if child != postgres:
            words = child.cmdline()
            part = next(PARTS[word] for word in words[words.index("-m") + 1 :] if word in PARTS)
            yield from ((part, process) for process in (child, *child.children(recursive=True)))


def _cpu_seconds(process: psutil.Process) -> float:
    """Of itself, and of its children that have ended."""
    return float(sum(process.cpu_times()[:4]))
