"""One engine a process for all instances of Dagster, of which the code server makes one for each tick and each run that ends.

SQLAlchemy's dialect for Postgres keeps, in caches of its class, the queries by which it looks at tables, for each of the last 128
dialects; and a dialect comes with every engine. Each instance of Dagster makes three engines and looks at its tables: so the code
server came to hold 128 dialects with all that they know, and made everything anew for the next.
"""

from functools import cache
from typing import Any, Final

from dagster_postgres import utils
from sqlalchemy import Engine, NullPool, create_engine

SHARED: Final = {"isolation_level": "AUTOCOMMIT", "poolclass": NullPool}
"""What an engine must be to be shared: it holds no connection that one might take from another. The webserver has others."""


def are_shared() -> None:
    """From now on."""
    utils.create_engine = _engine  # type: ignore[attr-defined, assignment]  # imported there, and overloaded


def _engine(url: str, **options: Any) -> Engine:
    return _shared(url) if options == SHARED else create_engine(url, **options)


@cache
def _shared(url: str) -> Engine:
    return create_engine(url, **SHARED)
