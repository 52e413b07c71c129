"""Engines: SQLAlchemy's way to the database of DATABASE_URL. How its URL is read is in storage.urls."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from storage.urls import connect_args, psycopg_url

Begin = Callable[[], AbstractContextManager[Connection]]
"""Opens a transaction of the jobs role that commits when its block ends."""
_OPTIONS: Final[dict[str, Any]] = {"hide_parameters": True, "json_deserializer": msgspec.json.decode}
"""Of each engine. Python's own json takes several times as long for a column of settings, and there is one in each row."""


def sync_engine(url: str, application_name: str, **options: Any) -> Engine:
    """An engine for jobs and the command line. `application_name` shows in pg_stat_activity."""
    arguments = connect_args(url, application_name)
    return create_engine(psycopg_url(url), connect_args=arguments, **_OPTIONS, **options)


@contextmanager
def temporary(url: str, application_name: str) -> Iterator[Engine]:
    """Such an engine for as long as the block lasts."""
    made = sync_engine(url, application_name)
    try:
        yield made
    finally:
        made.dispose()


def async_engine(url: str, application_name: str, **options: Any) -> AsyncEngine:
    """The same for asyncio, as the API needs it."""
    arguments = connect_args(url, application_name)
    return create_async_engine(psycopg_url(url), connect_args=arguments, **_OPTIONS, **options)
