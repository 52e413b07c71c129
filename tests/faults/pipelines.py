"""What is done to Dagster: workers, its code server and Postgres killed in the middle of its jobs, its daemon away for a day."""

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from sqlalchemy import Connection, NullPool, select, text
from sqlalchemy.exc import OperationalError

from debitum import folders
from debitum.demo_stack import EVERY_MINUTE, DemoError
from pipelines.defs import resources
from pipelines.defs.snapshots.schedules import RANGE_END, RANGE_START
from storage import due, embedded, engine, names, roles, tables, urls
from storage.encryption import KeyRing, new_ring
from tests.faults.household import Figures
from tests.faults.life import DAYS, Life
from tests.faults.providers import now
from tests.faults.scenes import postgres
from tests.faults.stack import Stack, stack

OFTEN: Final = {"DEBITUM_REMINDER_CRON": EVERY_MINUTE, "DEBITUM_SNAPSHOT_CRON": EVERY_MINUTE}
DAY_SECONDS: Final = 86_400
AWAY_SECONDS: Final = 20
REST_SECONDS: Final = 15
"""In which each sensor would have looked, and each schedule of a minute perhaps."""
NEXT_TICK_SECONDS: Final = 70
LEFT_UNDONE: Final = frozenset({"outbox", "retention", "balances", "snapshots"})
LOOK_SECONDS: Final = 0.1
REACHED_SECONDS: Final = 120
"""In which a run that was asked for is where it is killed: it waits for its turn, and loads Dagster."""
RIGHT_SECONDS: Final = 480
"""In which all is right again: a tick and what waits before it. A run that got no process is noticed after 150 s."""

Say = Callable[[str], None]
"""Tells whoever waits how far it is."""
Kill = Callable[[str], None]
"""Given the job that is being worked at."""


# --- in the middle of a job -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A job and its middle: `hold` makes work and takes a lock, which a statement that begins with `waits_in` meets there."""

    name: str
    hold: Callable[[Life, Connection], None]
    waits_in: str
    tags: Callable[[Life], Mapping[str, str]] = lambda life: {}


def _hold_last_ledger(life: Life, connection: Connection) -> None:
    """The ledgers of the first transaction are covered by then."""
    last = life.changes()
    connection.execute(select(tables.ledgers.c.id).where(tables.ledgers.c.id == last).with_for_update())


def _hold_reminders(life: Life, connection: Connection) -> None:
    """The due dates are in the outbox by then; the reminders that were asked for are just being put in by somebody else."""
    life.due()
    roles.enter(connection, roles.JOBS)
    due.enqueue_page(connection, "remind_at", now=now())


def _hold_attempts(life: Life, connection: Connection) -> None:
    """The first tables are written by then, and of `delivery` there is a folder with something half done."""
    connection.execute(text("lock table debitum.delivery_attempts in access exclusive mode"))


def _hold_attempts_of_a_lost_day(life: Life, connection: Connection) -> None:
    life.lost_day()
    _hold_attempts(life, connection)


def _hold_old_count(life: Life, connection: Connection) -> None:
    """The messages are gone by then."""
    counts, key = tables.login_attempts.c, life.outlived()
    connection.execute(select(counts.key).where(counts.key == key).with_for_update())


def _days(life: Life) -> Mapping[str, str]:
    """All that are over."""
    first, last = (life.today - datetime.timedelta(days=days) for days in (DAYS, 1))
    return {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}


JOBS: Final = (
    Job("finish_snapshots", _hold_attempts_of_a_lost_day, "copy", _days),
    Job("snapshot_today", _hold_attempts, "copy", lambda life: {"dagster/partition": life.today.isoformat()}),
    Job("materialise_balances", _hold_last_ledger, "insert into debitum.projection_marks"),
    Job("remind", _hold_reminders, "insert into debitum.outbox"),
    Job("retention", _hold_old_count, "delete from debitum.login_attempts"),
)


def _in_the_middle(life: Life, job: Job, start: Callable[[Job], None], kill: Kill) -> None:
    """`start` the job, and `kill` when it is in its middle; then nothing holds it up any more."""
    holder = life.engine.connect()
    try:
        job.hold(life, holder)
        start(job)
        _wait(lambda: _waits(life, job), REACHED_SECONDS)
        kill(job.name)
    finally:
        with suppress(OperationalError):  # where it was Postgres that was killed
            holder.close()


def _waits(life: Life, job: Job) -> bool:
    with life.engine.connect() as connection:
        return bool(connection.scalar(_WAITS, {"who": resources.APPLICATION_NAME, "what": job.waits_in}))


_WAITS: Final = text("""
    select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
                   and application_name = :who and query ~* ('^\\s*' || :what))
""")


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {seconds:g} s"
        time.sleep(LOOK_SECONDS)


# --- without the daemon ---------------------------------------------------------------------------------------------


def processes_are_killed(folder: Path, url: str, jobs: Sequence[Job] = JOBS) -> int:
    """Processes that do what the worker of a run does, each killed in the middle of its job; then each job is done once more.

    How many were killed.
    """
    ring = new_ring()
    life = _life(url, folder, ring, sends=False)
    life.past()
    with _workers({"DATABASE_URL": url, "DEBITUM_DATA_DIR": str(folder), "DEBITUM_KEYS": ring}) as workers:

        def start(job: Job) -> int:
            print(json.dumps({"job": job.name, "tags": job.tags(life)}), file=workers.stdin, flush=True)
            return _said(workers)

        for job in jobs:
            started: list[int] = []
            _in_the_middle(life, job, lambda job: started.append(start(job)), lambda _: os.kill(started[0], signal.SIGKILL))  # noqa: B023
            assert _said(workers) == -signal.SIGKILL, job.name
        assert {asset for asset, _ in life.all_wrong()} >= LEFT_UNDONE
        for job in jobs:
            start(job)
            assert _said(workers) == 0, job.name
    assert life.wrong(now()) == []
    return len(jobs)


@contextmanager
def _workers(environment: Mapping[str, str]) -> Iterator["subprocess.Popen[str]"]:
    command = (sys.executable, "-m", "tests.faults.worker")
    pipes: Mapping[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL, **pipes) as workers:
        try:
            yield workers
        finally:
            workers.kill()


def _said(workers: "subprocess.Popen[str]") -> int:
    assert workers.stdout is not None
    return int(workers.stdout.readline())


def _life(url: str, folder: Path, ring: str, *, sends: bool) -> Life:
    database = engine.sync_engine(url, "debitum-faults", poolclass=NullPool)  # a connection in a pool may outlive Postgres
    return Life(database, folder, KeyRing.parse(ring), sends=sends)


# --- with all of Debitum --------------------------------------------------------------------------------------------


@contextmanager
def _living(folder: Path, environment: Mapping[str, str]) -> Iterator[tuple[Stack, Life]]:
    """A whole Debitum whose ledgers have had some days that no file knows yet; `environment` may name a Postgres."""
    ring, data = new_ring(), folder / "debitum"
    data.mkdir()
    with stack(data, {"DEBITUM_KEYS": ring, **environment}) as up:
        url = environment.get("DATABASE_URL") or _postgres(data).url
        life = _life(url, data, ring, sends=True)
        life.past()
        yield up, life


def _postgres(data: Path) -> embedded.Address:
    found = embedded.running(data)
    assert found is not None
    return found


def workers_are_killed(folder: Path, say: Say) -> Figures:
    """The process of a run of each job; its schedules are far away, so that what repairs it is that Dagster tries it again."""
    with _living(folder, {}) as (up, life):
        return _each_is_right_again(up, life, JOBS, lambda job: _worker(life, job).kill(), say)


def code_servers_are_killed(folder: Path, say: Say) -> Figures:
    """The code server in the middle of each job, whose process goes with it; the supervisor starts it again."""
    with _living(folder, {}) as (up, life):
        return _each_is_right_again(up, life, JOBS, lambda _: _kill_code_server(up), say)


def code_servers_are_killed_elsewhere(folder: Path, say: Say) -> Figures:
    """The same, once, on a Postgres of somebody else, where the supervisor does not hold the database by its folder."""
    with postgres(folder / "postgres") as url, _living(folder, {"DATABASE_URL": url}) as (up, life):
        return _each_is_right_again(up, life, JOBS[:1], lambda _: _kill_code_server(up), say)


def _each_is_right_again(up: Stack, life: Life, jobs: Sequence[Job], kill: Kill, say: Say) -> Figures:
    for job in jobs:
        _in_the_middle(life, job, _start(up, life), kill)
        say(f"killed in the middle of {job.name}, right after {_until_right(life):.0f} s")
    return Figures(kills=len(jobs))


def _start(up: Stack, life: Life) -> Callable[[Job], None]:
    """Asks Dagster's pages for a run until they are able to take it."""

    def started(job: Job) -> bool:
        with suppress(httpx.HTTPError, DemoError):
            up.start(job.name, job.tags(life))
            return True
        return False

    return lambda job: _wait(lambda: started(job), REACHED_SECONDS)


def _worker(life: Life, job: str) -> psutil.Process:
    with life.engine.connect() as connection:
        pid = connection.scalar(_PID, {"job": job})
    assert pid is not None, f"no run of {job} has a process"
    return psutil.Process(int(pid))


def _kill_code_server(up: Stack) -> None:
    found = up.code_server()
    assert found is not None
    found.kill()


def postgres_is_killed(folder: Path, say: Say) -> Figures:
    """Postgres, all of it, in the middle of each job; the supervisor starts it again, and the next ticks do what is left."""
    with _living(folder, OFTEN) as (up, life):
        data = folder / "debitum"
        for job in JOBS:
            _in_the_middle(life, job, _start(up, life), lambda _: _kill_postgres(data))
            say(f"Postgres is killed in the middle of {job.name}, Dagster at rest after {_until_at_rest(life):.0f} s")
        _days_go_by(up, life, folder)
        say(f"right {_until_right(life):.0f} s after the next ticks of all schedules")
    return Figures(stops=len(JOBS))


def _kill_postgres(data: Path) -> None:
    os.kill(_postgres(data).pid, signal.SIGKILL)


def postgres_is_away(folder: Path, say: Say) -> Figures:
    """A Postgres of somebody else stops in the middle of a run and stays away until its process is dead; then a run is killed.

    AWAY_SECONDS are more than Dagster tries to reach it for. The code server must have seen the second death, too.
    """
    with postgres(folder / "postgres") as url, _living(folder, {**OFTEN, "DATABASE_URL": url}) as (up, life):
        for kill in (lambda _: _stop_for_a_while(folder), lambda job: _worker(life, job).kill()):
            _in_the_middle(life, JOBS[0], _start(up, life), kill)
            say(f"Dagster is at rest after {_until_at_rest(life):.0f} s")
        _days_go_by(up, life, folder)
        say(f"right {_until_right(life):.0f} s after the next ticks of all schedules")
    return Figures(stops=1, kills=1)


def _stop_for_a_while(folder: Path) -> None:
    embedded.stop(folder / "postgres", mode="immediate")
    time.sleep(AWAY_SECONDS)
    embedded.start(folder / "postgres")


def the_daemon_rests(folder: Path, say: Say) -> Figures:
    """Days without the daemon, in which things happen, come due and outlive their time; what is told once stays told once."""
    with _living(folder, OFTEN) as (up, life):
        _days_go_by(up, life, folder, live=True)
        say(f"right {_until_right(life):.0f} s after the daemon was back")
        time.sleep(NEXT_TICK_SECONDS)
        say(f"and still right after the next ticks ({_until_right(life):.0f} s)")
    return Figures(kills=1)


def _days_go_by(up: Stack, life: Life, folder: Path, *, live: bool = False) -> None:
    """The daemon hangs; when it dies and is started again, a day has passed for it, in which, with `live`, much has happened.

    Once a stack: Dagster starts no second run for a tick of the same time.
    """
    daemon = up.daemon()
    assert daemon is not None
    daemon.suspend()
    try:
        if live:
            for happens in (life.lost_day, life.changes, life.due, life.outlived):
                happens()
            time.sleep(REST_SECONDS)
            assert {asset for asset, _ in life.all_wrong()} >= LEFT_UNDONE, "somebody else did the daemon's work"
        dagster = {
            "DAGSTER_HOME": str(folders.dagster_home(folder / "debitum")),
            "DEBITUM_DAGSTER_DATABASE_URL": urls.psycopg2_url(life.url, schema=names.DAGSTER_SCHEMA),
        }
        command = (sys.executable, "-m", "tests.faults.yesterday", str(DAY_SECONDS))
        subprocess.run(command, env={**os.environ, **dagster}, check=True)
    finally:
        daemon.kill()


def _until_at_rest(life: Life) -> float:
    return _until(life.under_way)


def _until_right(life: Life) -> float:
    return _until(life.wrong)


def _until(found: Callable[[datetime.datetime], list[str]]) -> float:
    """Until nothing is found any more of what there is now; how long it took, in seconds."""
    began, before = time.monotonic(), now()
    while True:
        try:
            left = found(before)
        except OperationalError as error:
            left = [str(error)]
        if not left:
            return time.monotonic() - began
        assert time.monotonic() < began + RIGHT_SECONDS, left
        time.sleep(LOOK_SECONDS)


_PID: Final = text(r"""
    select substring(event from 'Started process for run \(pid: (\d+)\)')
    from dagster.event_logs join dagster.runs using (run_id)
    where pipeline_name = :job and status = 'STARTED' and event like '%Started process for run%'
    order by event_logs.id desc limit 1
""")
