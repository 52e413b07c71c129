"""Instances of Dagster share one engine, so that nothing of those that are gone stays."""

import os

import dagster as dg
import pytest
from dagster_postgres import DagsterPostgresStorage, utils
from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.dialects.postgresql.base import PGDialect

from pipelines import engines


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
    engines.are_shared()
    assert look(4) <= 1


def test_what_has_connections_of_its_own_is_not_shared(home: str) -> None:
    """As Dagster's pages have."""
    engines.are_shared()
    kept, pages = DagsterPostgresStorage(home), DagsterPostgresStorage(home)
    pages.run_storage.optimize_for_webserver(statement_timeout=1000, pool_recycle=60, max_overflow=1)
    shared, own = engine_of(kept.run_storage), engine_of(pages.run_storage)
    assert shared is engine_of(kept.event_log_storage)
    assert isinstance(shared.pool, NullPool)
    assert not isinstance(own.pool, NullPool)
    own.dispose()


def engine_of(storage: object) -> Engine:
    """Of runs, or of events."""
    engine: Engine = vars(storage)["_engine"]
    return engine
