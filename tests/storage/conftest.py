"""What the jobs use."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import Connection, Engine

from storage import roles


@pytest.fixture
def begin(database: Engine) -> Callable[[], AbstractContextManager[Connection]]:
    """Opens a transaction in the role of the jobs, which commits at its end."""

    @contextmanager
    def opened() -> Iterator[Connection]:
        with database.begin() as connection:
            roles.enter(connection, roles.JOBS)
            yield connection

    return opened
