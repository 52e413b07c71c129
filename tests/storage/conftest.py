"""What tests of storage share: transactions, in the role of the jobs or as the superuser, and where snapshots lie."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine
from upath import UPath

from storage import roles
from storage.snapshots.places import Root
from tests.fixtures.database import lasting


def as_jobs(database: Engine) -> Callable[[], AbstractContextManager[Connection]]:
    """Opens a transaction in the role of the jobs, which commits at its end."""

    @contextmanager
    def opened() -> Iterator[Connection]:
        with database.begin() as connection:
            roles.enter(connection, roles.JOBS)
            yield connection

    return opened


@pytest.fixture
def begin(database: Engine) -> Callable[[], AbstractContextManager[Connection]]:
    """The same, of the test's database."""
    return as_jobs(database)


@pytest.fixture(scope="session")
def unchanged(server: str) -> Iterator[Engine]:
    """An engine on a migrated database for all tests that commit nothing."""
    with lasting(server) as created:
        yield created


@pytest.fixture
def connection(unchanged: Engine) -> Iterator[Connection]:
    """A transaction that is rolled back after the test: others have the same database."""
    with unchanged.connect() as connection:
        yield connection


@pytest.fixture
def here(tmp_path: Path) -> Root:
    """A data folder that holds its snapshots."""
    return Root(tmp_path)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Root]:
    """One whose snapshots lie in a filesystem that is not this machine's; `make scale` has them in an object store."""
    root = Root.of(tmp_path, f"{os.environ.get('TEST_ELSEWHERE', 'memory:/')}/{uuid.uuid4()}/debitum")
    yield root
    assert isinstance(root.elsewhere, UPath)
    if root.elsewhere.exists():
        root.elsewhere.fs.rm(root.elsewhere.parent.path, recursive=True)


@pytest.fixture(params=["here", "elsewhere"])
def root(request: pytest.FixtureRequest) -> Root:
    """Either."""
    either: Root = request.getfixturevalue(request.param)
    return either
