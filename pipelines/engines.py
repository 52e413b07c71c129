"""One engine a process for all instances of Dagster, which keeps its connections.

Dagster opens a connection for each statement, which costs Postgres many times what most statements do: four fifths of its work
for a run. And the code server makes an instance for each tick and each run that ends, and each instance makes three engines and
looks at its tables. SQLAlchemy's dialect for Postgres caches the queries for that, in its class, for the last 128 dialects: the
code server came to hold 128 of them with all that they know, and none served twice.
"""

import os
from typing import Any, Final

from dagster_postgres import utils
from sqlalchemy import Engine, NullPool, create_engine

ASKED: Final = {"isolation_level": "AUTOCOMMIT", "poolclass": NullPool}
"""What Dagster asks for where it keeps no connection. The webserver asks for others, and has them to itself."""
KEPT: Final = 2
"""Connections that a process keeps open; any more are closed after use."""
_shared: Final[dict[str, Engine]] = {}
"""By URL."""


def share() -> None:
    """From now on all instances of Dagster in this process have one engine for each URL."""
    utils.create_engine = _engine  # type: ignore[attr-defined, assignment]  # imported there, and overloaded
    os.register_at_fork(after_in_child=_leave_to_the_parent)


def _engine(url: str, **options: Any) -> Engine:
    if options != ASKED:
        return create_engine(url, **options)
    if url not in _shared:
        _shared[url] = _kept(url)
    return _shared[url]


def _kept(url: str) -> Engine:
    """Its connections are in no transaction when they come back; one that Postgres has closed meanwhile is replaced."""
    pool: dict[str, Any] = {"pool_size": KEPT, "max_overflow": -1, "pool_use_lifo": True, "pool_pre_ping": True}
    return create_engine(url, isolation_level="AUTOCOMMIT", **pool)


def _leave_to_the_parent() -> None:
    """A fork begins connections of its own."""
    for engine in _shared.values():
        engine.dispose(close=False)
