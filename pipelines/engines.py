"""One engine a process for all instances of Dagster, which keeps its connections.

Dagster begins a connection for each statement, which takes Postgres many times what most of them take: four fifths of what
it does for a run. And the code server makes an instance for each tick and each run that ends, each of which makes three engines
and looks at its tables: of those, SQLAlchemy's dialect for Postgres keeps the queries for the last 128 dialects in caches of its
class, so that the code server came to hold 128 dialects with all that they know, and made everything anew for the next.
"""

import os
from typing import Any, Final

from dagster_postgres import utils
from sqlalchemy import Engine, NullPool, create_engine

ASKED: Final = {"isolation_level": "AUTOCOMMIT", "poolclass": NullPool}
"""What Dagster asks for where it keeps no connection. The webserver asks for others, and has them to itself."""
KEPT: Final = 2
"""Connections that a process keeps; beyond, each ends with what it was begun for."""
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
