"""Dagster's own tables: their revision, whether an upgrade was cut short, and the lock that has one upgrade run at a time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from storage import urls

LOOK_SECONDS: Final = 0.2
"""Between two attempts to be the one. Nobody waits inside a statement: an index that is built concurrently would wait for it."""
_UNFINISHED: Final = "An upgrade by Debitum has begun, and has not ended."
"""The schema's comment meanwhile: Dagster moves data after its tables are at the newest revision, which tells nothing of that."""

Connection = psycopg.Connection[tuple[Any, ...]]


@contextmanager
def alone(url: str, application_name: str) -> Iterator[Connection]:
    """A connection to the database of `url`, whose owner is the only one that upgrades Dagster's tables. No pooler's."""
    with psycopg.connect(urls.libpq_url(url), autocommit=True, application_name=application_name) as connection:
        while not _value(connection, "select pg_try_advisory_lock(hashtext('debitum dagster schema'))"):
            time.sleep(LOOK_SECONDS)
        yield connection


def revision(connection: Connection) -> str | None:
    """What they are at; None before Dagster has made them."""
    if _value(connection, "select to_regclass('dagster.alembic_version')") is None:
        return None
    found = _value(connection, "select version_num from dagster.alembic_version")
    return None if found is None else str(found)


def is_unfinished(connection: Connection) -> bool:
    """Whether an upgrade has begun and not ended."""
    comment = _value(connection, "select obj_description(to_regnamespace('dagster'), 'pg_namespace')")
    return bool(comment == _UNFINISHED)


def begin(connection: Connection) -> None:
    """Keep in mind that an upgrade has begun. An index that a killed one left half-made goes: Dagster would take it for whole."""
    connection.execute(f"comment on schema dagster is '{_UNFINISHED}'")
    half_made = connection.execute(
        "select format('drop index dagster.%I', relname) from pg_index join pg_class c on c.oid = indexrelid"
        " where not indisvalid and relnamespace = to_regnamespace('dagster')"
    ).fetchall()
    for (drop,) in half_made:
        connection.execute(drop)


def end(connection: Connection) -> None:
    """It has ended."""
    connection.execute("comment on schema dagster is null")


def _value(connection: Connection, statement: str) -> Any:
    row = connection.execute(statement).fetchone()
    return None if row is None else row[0]
