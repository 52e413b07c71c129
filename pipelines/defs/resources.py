"""What assets, sensors and jobs ask for by name: the database, the data folder with its snapshots."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import dagster as dg
import structlog
from sqlalchemy import Connection, Engine, NullPool

from storage import engine, roles
from storage.encryption import KeyRing
from storage.snapshots.places import Root

APPLICATION_NAME = "debitum-jobs"
"""What pg_stat_activity shows."""


class Database(dg.ConfigurableResource[None]):
    """Postgres, as the role of the jobs."""

    url: str

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """What is logged from here on bears the id of the run; a tick has none. No tear-down: a process has one run."""
        structlog.contextvars.unbind_contextvars("run_id")
        if context.run is not None:
            structlog.contextvars.bind_contextvars(run_id=context.run.run_id)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction that sees every ledger; commits when the block ends, rolls back when it raises."""
        with roles.transaction(_engine(self.url), roles.JOBS) as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """The same, and all that it reads is of one moment."""
        snapshots = _engine(self.url).execution_options(isolation_level="REPEATABLE READ")
        with roles.transaction(snapshots, roles.JOBS) as connection:
            yield connection


class DataFolder(dg.ConfigurableResource[None]):
    """The folder that holds snapshots, and mails and pushes while no provider is configured."""

    path: str

    @property
    def root(self) -> Path:
        """The folder as an absolute path."""
        return Path(self.path).resolve()

    @property
    def files(self) -> Root:
        """Where snapshots and the copy of the log lie. The URL is no configuration: Dagster would keep and show that."""
        return Root.of(self.root, os.environ.get("DEBITUM_SNAPSHOT_URL"))


def key_ring() -> KeyRing | None:
    """The keys of DEBITUM_KEYS, where there are any. No resource: Dagster would keep and show them. Raises KeyRingError."""
    ring = os.environ.get("DEBITUM_KEYS")
    return KeyRing.parse(ring) if ring else None


def bound() -> dict[str, dg.ConfigurableResource[None]]:
    """Each resource under its name; environment variables are read when a run or a tick starts, not here."""
    return {
        "database": Database(url=dg.EnvVar("DATABASE_URL")),
        "data_folder": DataFolder(path=dg.EnvVar("DEBITUM_DATA_DIR")),
    }


@cache
def _engine(url: str) -> Engine:
    """One a process. No pool: a tick needs a connection for milliseconds, and a pooled one may have outlived Postgres."""
    return engine.sync_engine(url, APPLICATION_NAME, poolclass=NullPool)
