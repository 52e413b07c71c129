"""Engines and connections: one way to turn DATABASE_URL into something that speaks to Postgres in UTC.

A URL may say `pooler=transaction`: whoever answers there gives each transaction another connection of Postgres's, which does not
know what was prepared on the one before.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

Begin = Callable[[], AbstractContextManager[Connection]]
"""Opens a transaction of the jobs role that commits when its block ends."""

PREPARE_THRESHOLD = 3
"""Executions after which psycopg prepares a statement."""
_POOLER = "pooler"
_POOLERS = ("transaction",)


class PoolerError(ValueError):
    """A URL names a kind of pooler that there is not."""


def sync_engine(url: str, application_name: str, **options: Any) -> Engine:
    """An engine for jobs and the command line. `application_name` shows in pg_stat_activity."""
    return create_engine(_psycopg_url(url), connect_args=_connect_args(url, application_name), hide_parameters=True, **options)


def async_engine(url: str, application_name: str, **options: Any) -> AsyncEngine:
    """An engine for the API's reads and identity."""
    arguments = _connect_args(url, application_name)
    return create_async_engine(_psycopg_url(url), connect_args=arguments, hide_parameters=True, **options)


async def async_connection(url: str, application_name: str) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """A bare psycopg connection in autocommit, for the write path."""
    return await psycopg.AsyncConnection.connect(libpq_url(url), autocommit=True, **_connect_args(url, application_name))


def libpq_url(url: str) -> str:
    """`url` without SQLAlchemy's driver suffix and `pooler`, as libpq's programs and psycopg take it."""
    rendered = _server(url).set(drivername="postgresql").render_as_string(hide_password=False)
    address, mark, query = rendered.partition("?")
    return address + mark + query.replace("+", "%20")  # SQLAlchemy writes a space as +, which libpq takes literally


def psycopg2_url(url: str, *, schema: str, lock_seconds: float | None = None) -> str:
    """`url` for Dagster's own storage: its SQL needs psycopg2, its tables live in `schema`, and it takes all times for UTC."""
    parsed = _server(url).set(drivername="postgresql+psycopg2")
    options = f"-csearch_path={schema} -ctimezone=UTC"
    if lock_seconds is not None:
        options += f" -clock_timeout={int(lock_seconds * 1000)}"
    return parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)


def is_pooled(url: str) -> bool:
    """Whether a pooler in transaction mode answers at `url`. Raises PoolerError."""
    pooler = make_url(url).query.get(_POOLER)
    if pooler is not None and pooler not in _POOLERS:
        raise PoolerError(f"{_POOLER}={pooler} is none of {', '.join(_POOLERS)}")
    return pooler is not None


def _psycopg_url(url: str) -> URL:
    return _server(url).set(drivername="postgresql+psycopg")


def _server(url: str) -> URL:
    return make_url(url).difference_update_query([_POOLER])


def _connect_args(url: str, application_name: str) -> dict[str, Any]:
    return {"application_name": application_name, "prepare_threshold": None if is_pooled(url) else PREPARE_THRESHOLD}
