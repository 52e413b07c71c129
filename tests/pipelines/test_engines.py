"""Instances of Dagster share one engine, so that nothing of those that are gone stays."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack

import dagster as dg
import pytest
from dagster_postgres import DagsterPostgresStorage, utils
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.dialects.postgresql.base import PGDialect

from pipelines import engines
from tests.fixtures.instances import engine_of as engine_of_instance


@pytest.fixture
def home(instance_on_postgres: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of Dagster's tables, which are there; what this process makes of engines afterwards is undone."""
    assert instance_on_postgres.get_runs_count() == 0
    monkeypatch.setattr(utils, "create_engine", create_engine)
    return os.environ["DEBITUM_DAGSTER_DATABASE_URL"]


def dialects_met() -> int:
    """By SQLAlchemy, which keeps each (the last 128 of them) for its query about columns."""
    return PGDialect._columns_query.cache_info().misses


def look(times: int) -> int:
    """How many dialects it has met after so many instances have been made, asked and put away."""
    before = dialects_met()
    for _ in range(times):
        with dg.DagsterInstance.get() as instance:
            assert instance.get_run_by_id("none") is None
    return dialects_met() - before


@pytest.mark.usefixtures("home")
def test_of_instances_that_are_gone_nothing_is_kept() -> None:
    assert look(2) >= 2, "SQLAlchemy keeps no dialects any more, or Dagster shares its engines: pipelines.engines can go"
    engines.share()
    assert look(4) <= 1


def test_what_has_connections_of_its_own_is_not_shared(home: str) -> None:
    """As Dagster's pages have."""
    engines.share()
    kept, pages = DagsterPostgresStorage(home), DagsterPostgresStorage(home)
    pages.run_storage.optimize_for_webserver(statement_timeout=1000, pool_recycle=60, max_overflow=1)
    shared, own = engine_of(kept.run_storage), engine_of(pages.run_storage)
    assert shared is engine_of(kept.event_log_storage)
    assert own is not shared
    own.dispose()


def engine_of(storage: object) -> Engine:
    """Of runs, or of events."""
    engine: Engine = vars(storage)["_engine"]
    return engine


def backend(engine: Engine) -> int:
    with engine.connect() as connection:
        pid: int = connection.execute(text("select pg_backend_pid()")).scalar_one()
        return pid


@pytest.fixture
def shared(home: str) -> Iterator[Engine]:
    engines.share()
    with dg.DagsterInstance.get() as instance:
        yield engine_of_instance(instance)
        engine_of_instance(instance).dispose()


def test_a_connection_is_kept_and_replaced_when_postgres_ends_it(shared: Engine, database: Engine) -> None:
    first = backend(shared)
    assert backend(shared) == first
    with database.begin() as connection:
        connection.execute(text("select pg_terminate_backend(:pid, 10000)"), {"pid": first})
    assert backend(shared) != first


def test_a_fork_leaves_the_connections_to_its_parent(shared: Engine) -> None:
    """Or both would read the answers of one."""
    first = backend(shared)
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        try:
            os.write(writing, str(backend(shared)).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as said:
        assert said.read() not in ("", str(first))
    assert backend(shared) == first, "and does not end them either"


def test_of_many_at_once_few_are_kept(shared: Engine, database: Engine) -> None:
    with ExitStack() as all_at_once:
        for _ in range(8):
            all_at_once.enter_context(shared.connect())
    count = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    deadline = time.monotonic() + 10
    while True:  # a backend takes a moment to end, and its client does not wait for that
        with database.begin() as connection:
            if (left := connection.execute(text(count)).scalar_one()) <= engines.KEPT:
                break
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
