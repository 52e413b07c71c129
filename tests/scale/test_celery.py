"""Balances in buckets on Celery's workers: a real Redis, workers as `debitum up --parts worker` starts them, one of them killed.

What is slow here is slow because the test holds a mark that a bucket wants.
"""

import asyncio
import json
import socket
import subprocess
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import dagster as dg
import httpx
import psutil
import pytest
import redis
from sqlalchemy import Connection, Engine, NullPool, Uuid, text

from pipelines.defs import resources
from pipelines.defs.balances import jobs
from storage import balances, buckets, engine, names, roles, urls
from storage.encryption import new_ring
from tests.debitum.test_children import wait_until
from tests.debitum.test_up import free_port
from tests.faults import scenes
from tests.faults.stack import Stack
from tests.fixtures.api import PASSWORD
from tests.fixtures.process import UNLIMITED

BUCKETS: Final = 4
PEOPLE: Final = 24
TAKEOVER_SECONDS: Final = 10
SECRET: Final = f"kanarie-{uuid.uuid4().hex}"
"""Redis's password, which is in a URL, and must be nowhere else."""
CANARY: Final = "Federleicht"
"""What a failure of Postgres has in its text."""
REACHED_SECONDS: Final = 180
LOOK_SECONDS: Final = 0.1
"""Between two looks: most of them ask a database or Dagster's pages."""
ONLY_A_WORKER: Final = {"DEBITUM_PARTS": "worker"}


@dataclass
class Person:
    """Somebody with a ledger, a contact in it, and a session."""

    ledger: UUID
    headers: dict[str, str]
    contact: str


@dataclass
class Cluster:
    """All of Debitum, two workers beside it, and people who write."""

    folder: Path
    main: Stack
    workers: list[Stack]
    database: Engine
    instance: dg.DagsterInstance
    environment: Mapping[str, str]
    people: list[Person]

    def lend(self) -> None:
        """Everybody lends something: a fact more in each ledger, by the API."""

        async def ask() -> None:
            async with httpx.AsyncClient(base_url=self.main.api, timeout=60) as http:
                answers = await asyncio.gather(
                    *(
                        http.post(
                            "/api/transactions",
                            json={"contact_id": one.contact, "direction": "lent", "amount": 700 + number},
                            headers=one.headers,
                        )
                        for number, one in enumerate(self.people)
                    )
                )
            assert {answer.status_code for answer in answers} == {201}

        asyncio.run(ask())

    def bucket(self, number: int) -> list[UUID]:
        """Its ledgers."""
        bound = buckets.Bucket(number, BUCKETS).binds()
        with self.database.connect() as connection:
            return list(connection.scalars(_OF_BUCKET, bound))

    @contextmanager
    def held(self, ledgers: Sequence[UUID]) -> Iterator[None]:
        """Whoever wants to sum one of these ledgers waits until the block ends; who writes or reads does not."""
        with self.database.connect() as connection:
            connection.execute(_MARK, {"ledgers": ledgers})
            connection.execute(_HOLD, {"ledgers": ledgers})
            yield
            connection.rollback()

    def waiting(self) -> int:
        """How many connections of jobs wait for a lock."""
        with self.database.connect() as connection:
            return int(connection.scalar(_WAITING, {"who": f"{resources.APPLICATION_NAME}%"}) or 0)

    def runs(self) -> list[dg.DagsterRun]:
        """Those that bring balances up to date, the newest first."""
        return list(self.instance.get_runs(dg.RunsFilter(job_name=jobs.materialise_balances.name)))

    def takers(self, run: dg.DagsterRun) -> dict[str, list[str]]:
        """Which workers began a step of the run, by step, in order."""
        found = defaultdict[str, list[str]](list)
        for entry in self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            metadata = entry.get_dagster_event().engine_event_data.metadata
            if "Celery worker" in metadata:
                found[str(entry.step_key)].append(str(metadata["Celery worker"].value))
        return dict(found)

    def until_right(self) -> None:
        """No ledger is left, and no run is under way; then all is as it must be."""
        _until(lambda: not self._dirty() and all(run.is_finished for run in self.runs()))
        with self.database.connect() as connection:
            found = connection.execute(_COVERED).all()
            versions = {row.id: row.version for row in connection.execute(_VERSIONS)}
        steps = defaultdict[UUID, list[tuple[int, int]]](list)
        for row in found:
            steps[row.ledger_id].append((row.before, row.after))
        assert set(steps) == set(versions)
        for ledger, covered in steps.items():
            ends = [0, *(after for _, after in covered)]
            assert [before for before, _ in covered] == ends[:-1], "a fact was covered twice, or not at all"
            assert ends[-1] == versions[ledger]
        assert list(balances.differences(self._begin)) == []

    def events_covered(self) -> int:
        """What all runs together say that they covered."""
        records = self.instance.fetch_materializations(dg.AssetKey("balances"), limit=1_000).records
        said = [record.asset_materialization for record in records]
        return sum(int(str(one.metadata["events_covered"].value)) for one in said if one is not None)

    def facts(self) -> int:
        """In all ledgers."""
        with self.database.connect() as connection:
            return sum(row.version for row in connection.execute(_VERSIONS))

    def _dirty(self) -> bool:
        with self._begin() as connection:
            return balances.any_dirty(connection)

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        with roles.transaction(self.database, roles.JOBS) as connection:
            yield connection


_OF_BUCKET = buckets.split("select id from debitum.ledgers where {of_bucket} order by id", id=Uuid)[True]
_MARK = text("""
    insert into debitum.projection_marks (ledger_id, covered_seq, materialized_at)
    select unnest(cast(:ledgers as uuid[])), 0, now() on conflict (ledger_id) do nothing
""")
_HOLD = text("select from debitum.projection_marks where ledger_id = any(:ledgers) for update")
_WAITING = text("""
    select count(*) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and application_name like :who
""")
_VERSIONS = text("select id, version from debitum.ledgers where version > 0").columns(id=Uuid)
_COVERED = text("select ledger_id, before, after from public.covered order by at").columns(ledger_id=Uuid)
_WITNESS = """
    create table public.covered (ledger_id uuid, before bigint, after bigint, at bigserial);
    create function public.witness() returns trigger language plpgsql security definer as $$ begin
        insert into public.covered (ledger_id, before, after) values (new.ledger_id, old.covered_seq, new.covered_seq);
        return new;
    end $$;
    create trigger witness after update on debitum.projection_marks for each row
    when (old.covered_seq is distinct from new.covered_seq) execute function public.witness();
"""
"""Postgres itself writes down what was covered, from which fact to which."""


_FAILS = f"""
    create function public.fails() returns trigger language plpgsql as $$ begin
        raise exception '{CANARY}' using detail = format('Failing row contains (%s)', new);
    end $$;
    create trigger fails before insert or update on debitum.balances for each row execute function public.fails();
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One for all tests: it takes half a minute to start."""
    with tempfile.TemporaryDirectory(prefix="debitum-scale-") as made, ExitStack() as stack:
        folder = Path(made)
        url = stack.enter_context(scenes.postgres(folder / "postgres"))
        database = engine.sync_engine(url, "debitum-scale", poolclass=NullPool)
        with database.begin() as connection:
            connection.execute(text(_WITNESS))
        environment = {
            "DATABASE_URL": url,
            "DEBITUM_KEYS": new_ring(),
            "DEBITUM_BALANCE_BUCKETS": str(BUCKETS),
            "DEBITUM_EXECUTOR": "celery",
            "DEBITUM_CELERY_BROKER": stack.enter_context(_redis(folder)),
            "DEBITUM_CELERY_TAKEOVER_SECONDS": str(TAKEOVER_SECONDS),
            "DEBITUM_CELERY_PROCESSES": "1",
            **UNLIMITED,
        }
        named = {"main": environment, **{f"worker-{number}": {**environment, **ONLY_A_WORKER} for number in (1, 2)}}
        main, *workers = (stack.enter_context(_started(folder / name, given)) for name, given in named.items())
        for each in (main, *workers):
            each.wait_until_it_answers()
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("DEBITUM_DAGSTER_DATABASE_URL", urls.psycopg2_url(url, schema=names.DAGSTER_SCHEMA))
            instance = stack.enter_context(dg.DagsterInstance.from_config(str(folder / "main" / "dagster")))
            cluster = Cluster(folder, main, workers, database, instance, environment, [])
            asyncio.run(_move_in(cluster))
            cluster.until_right()
            yield cluster


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    """Its URL; it forgets everything when it ends."""
    port = free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--requirepass", SECRET, "--save", "", "--dir", str(folder))
    process = subprocess.Popen(("redis-server", *options), stdout=subprocess.DEVNULL)
    try:
        _until(lambda: _listens(port))
        yield f"redis://:{SECRET}@127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def _started(folder: Path, environment: Mapping[str, str]) -> Iterator[Stack]:
    """Which may not answer yet."""
    folder.mkdir()
    made = Stack(folder, environment)
    try:
        yield made
    finally:
        made.close()


async def _move_in(cluster: Cluster) -> None:
    """People until there is somebody in each bucket, everybody with a contact."""
    async with httpx.AsyncClient(base_url=cluster.main.api, timeout=60) as http:
        while len(cluster.people) < PEOPLE or not all(cluster.bucket(number) for number in range(BUCKETS)):
            account = {"email": f"{uuid.uuid4().hex}@example.org", "password": PASSWORD}
            signed_in = (await http.post("/api/auth/register", json=account)).json()
            headers = {"Authorization": f"Bearer {signed_in['access_token']}"}
            contact = (await http.post("/api/contacts", json={"name": "Ana"}, headers=headers)).json()["id"]
            cluster.people.append(Person(UUID(signed_in["ledger_id"]), headers, contact))


def _until(happened: Callable[[], bool]) -> None:
    wait_until(happened, REACHED_SECONDS, every=LOOK_SECONDS)


def test_buckets_are_summed_side_by_side_on_both_workers(cluster: Cluster) -> None:
    """A ledger of each bucket is held, so that no worker can have done all of it before the other began."""
    with cluster.held([cluster.bucket(number)[0] for number in range(BUCKETS)]):
        cluster.lend()
        _until(lambda: cluster.waiting() == 2)
        run = cluster.runs()[0]
        began = cluster.takers(run)
        assert len(began) == 2
        assert len({worker for [worker] in began.values()}) == 2
    cluster.until_right()
    assert {run.status for run in cluster.runs()} == {dg.DagsterRunStatus.SUCCESS}
    assert set(cluster.takers(run)) == {
        *(f"balances.bucket_{number}" for number in range(BUCKETS)),
        "balances.covered",
        "balances_sample_adds_up",
    }
    assert cluster.events_covered() == cluster.facts()


def test_what_takes_longer_than_a_takeover_is_begun_twice_and_counted_once(cluster: Cluster) -> None:
    """Both workers live, and wait for the same ledgers."""
    with cluster.held(cluster.bucket(1)):
        cluster.lend()
        _until(lambda: cluster.waiting() == 2)
        run = cluster.runs()[0]
        assert len(set(cluster.takers(run)["balances.bucket_1"])) == 2
    cluster.until_right()
    assert cluster.runs()[0].status == dg.DagsterRunStatus.SUCCESS
    assert cluster.events_covered() == cluster.facts()


def test_no_password_and_no_text_of_an_error_gets_out(cluster: Cluster) -> None:
    """A third worker is there for a while, for the lines of its stop, and all buckets fail, by a text with a row in it."""
    with _started(cluster.folder / "worker-3", {**cluster.environment, **ONLY_A_WORKER}) as third:
        third.wait_until_it_answers()
        with _failing(cluster.database):
            cluster.lend()
            _until(lambda: cluster.runs()[0].status == dg.DagsterRunStatus.FAILURE)
        cluster.until_right()
    logs = [path for path in cluster.folder.glob("*/logs/*.log") if path.stat().st_size]
    assert {path.name for path in logs} >= {"worker.log", "code-server.log", "dagster-daemon.log"}
    said = {path: path.read_text() for path in [*logs, *cluster.folder.glob("*/said.txt")]}
    assert [path for path, words in said.items() if SECRET in words or CANARY in words] == []
    for path, words in said.items():
        if path.name == "worker.log":
            assert all({"timestamp", "level", "logger", "event"} <= set(json.loads(line)) for line in words.splitlines())
    with cluster.database.connect() as connection:
        kept = connection.execute(text("select event from dagster.event_logs union all select run_body from dagster.runs"))
        assert not any(SECRET in words or CANARY in words for words in kept.scalars())
    told = _told(cluster.environment["DEBITUM_CELERY_BROKER"])
    assert "RaiseException" in told, "what became of the step is not among it"
    assert CANARY not in told


@contextmanager
def _failing(database: Engine) -> Iterator[None]:
    """Whoever writes a balance fails, by a text of Postgres's that may have the row in it."""
    with database.begin() as connection:
        connection.execute(text(_FAILS))
    yield
    with database.begin() as connection:
        connection.execute(text("drop trigger fails on debitum.balances; drop function public.fails()"))


def _told(broker: str) -> str:
    """All that Redis holds: steps that wait, and what became of others."""
    with redis.Redis.from_url(broker, decode_responses=True) as connection:
        return " ".join(str(connection.get(key)) for key in connection.scan_iter(_type="string"))


def test_the_bucket_of_a_killed_worker_is_taken_over(cluster: Cluster) -> None:
    """Nothing is left of one worker, as of a machine that is gone. Its run goes on, and ends well."""
    with cluster.held(cluster.bucket(2)):
        cluster.lend()
        _until(lambda: cluster.waiting() == 1)
        run = cluster.runs()[0]
        [victim] = cluster.takers(run)["balances.bucket_2"]
        _kill_all_of(cluster, victim)
        _until(lambda: len(cluster.takers(run)["balances.bucket_2"]) > 1)
        [_, heir] = cluster.takers(run)["balances.bucket_2"]
        assert heir != victim
        assert not cluster.runs()[0].is_finished
    cluster.until_right()
    ended = cluster.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert (ended.status, cluster.runs()[0].run_id) == (dg.DagsterRunStatus.SUCCESS, run.run_id)
    assert cluster.events_covered() == cluster.facts()


def test_a_run_that_nobody_takes_is_ended_and_leaves_no_process(cluster: Cluster) -> None:
    """No worker is left; Dagster gives the run up, and so does its process."""
    for worker in cluster.workers:
        worker.close()
    cluster.main.start(jobs.materialise_balances.name, {"dagster/max_runtime": "5", "dagster/max_retries": "0"})
    _until(lambda: bool(cluster.main.runs()))
    _until(lambda: cluster.runs()[0].status == dg.DagsterRunStatus.FAILURE)
    _until(lambda: not cluster.main.runs())


def _kill_all_of(cluster: Cluster, worker: str) -> None:
    """SIGKILL to its supervisor, which would start it again, and to its processes."""
    pid = int(worker.partition("@")[0].removeprefix("debitum-"))
    [supervisor] = [process for process in psutil.Process(pid).parents() if "up" in process.cmdline()]
    doomed = [supervisor, *supervisor.children(recursive=True)]
    assert psutil.Process(pid) in doomed
    for process in doomed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
