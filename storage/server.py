"""What the supervisor and the doctor ask of a Postgres server: version, rights, durability, who runs Dagster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from storage import names, urls

MINIMUM_VERSION: Final = 15
"""The oldest major version that the schema and the grants are written for."""
CONNECT_TIMEOUT_SECONDS: Final = 5
"""Somebody waits at a terminal; a server on the network answers in well under this."""
DURABLE: Final = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_write", "remote_apply"),
}
"""What an acknowledged event relies on: settings, and the values that will do."""
UNFINISHED: Final = ("STARTING", "STARTED", "CANCELING")
"""States of a Dagster run that has a process."""
LAUNCHING: Final = ("NOT_STARTED", "STARTING")
"""States of a Dagster run that the daemon has taken from the queue, and that does not run yet."""


class UnreachableError(Exception):
    """The Postgres server does not answer, or does not let us in."""


@dataclass(frozen=True)
class Server:
    """What a server said of itself: `major` is its version, `durability` the settings named in DURABLE."""

    major: int
    version: str
    durability: Mapping[str, str]
    missing_roles: tuple[str, ...]
    may_create_roles: bool

    @property
    def not_durable(self) -> dict[str, str]:
        """The settings by which an acknowledged event could be lost, with their values."""
        return {name: value for name, value in self.durability.items() if value not in DURABLE[name]}

    @property
    def objection(self) -> str | None:
        """Why nobody should start on this server, where it could forget what it has acknowledged."""
        weak = ", ".join(f"{name} = {value}" for name, value in self.not_durable.items())
        return f"this Postgres could lose acknowledged changes ({weak}): turn that on, then start again" if weak else None


def inspect(url: str, application_name: str) -> Server:
    """Ask the server of `url`. Raises UnreachableError, whose text holds no password."""
    with _connected(url, application_name) as connection:
        return _ask(connection)


def unfinished_runs(url: str, application_name: str) -> list[str]:
    """The ids of the Dagster runs that claim to have a process; none before Dagster's tables exist."""
    return _runs(url, application_name, UNFINISHED)


def launching_runs(url: str, application_name: str) -> list[str]:
    """The ids of the Dagster runs that a daemon is about to start, likewise."""
    return _runs(url, application_name, LAUNCHING)


def _runs(url: str, application_name: str, states: Sequence[str]) -> list[str]:
    with psycopg.connect(urls.libpq_url(url), application_name=application_name) as connection:
        if _scalar(connection, "select to_regclass(%s)", f"{names.DAGSTER_SCHEMA}.runs") is None:
            return []
        found = connection.execute("select run_id from dagster.runs where status = any(%s)", (list(states),))
        return [str(run_id) for (run_id,) in found]


def daemon_seen_seconds(url: str, application_name: str) -> float | None:
    """How long ago Dagster's daemon gave a sign of life, seconds; None where it never did. Raises UnreachableError."""
    with _connected(url, application_name) as connection:
        if _scalar(connection, "select to_regclass(%s)", f"{names.DAGSTER_SCHEMA}.daemon_heartbeats") is None:
            return None
        # The column has no zone: it holds the time of the session's zone, which is the database's, for Dagster and for us.
        seen = _scalar(
            connection, "select extract(epoch from now() - max(timestamp)::timestamptz) from dagster.daemon_heartbeats"
        )
        return None if seen is None else float(seen)


def holds_ledgers(url: str, application_name: str) -> bool:
    """Whether anything is sealed there: every ledger's data key is. False before there is a schema. Raises UnreachableError."""
    try:
        with _connected(url, application_name) as connection:
            _scalar(connection, "select set_config('role', rolname, false) from pg_roles where rolname = %s", names.OWNER)
            if _scalar(connection, "select to_regclass('debitum.ledgers')") is None:
                return False
            return connection.execute("select from debitum.ledgers limit 1").fetchone() is not None
    except psycopg.Error as error:
        raise UnreachableError(str(error)) from error


async def lead_dagster(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Try to become the one that runs Dagster's daemon on this database, for as long as `connection` lives."""
    cursor = await connection.execute("select pg_try_advisory_lock(hashtext('debitum dagster daemon'))")
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def ping(connection: psycopg.AsyncConnection[Any]) -> None:
    """Raises psycopg.OperationalError when the connection, and with it what it locks, is gone."""
    await connection.execute("select")


def _connected(url: str, application_name: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(
            urls.libpq_url(url), autocommit=True, application_name=application_name, connect_timeout=CONNECT_TIMEOUT_SECONDS
        )
    except psycopg.OperationalError as error:
        raise UnreachableError(str(error)) from error


def _ask(connection: psycopg.Connection[Any]) -> Server:
    existing = {name for (name,) in connection.execute("select rolname from pg_roles")}
    may_create = _scalar(connection, "select rolsuper or rolcreaterole from pg_roles where rolname = current_user")
    return Server(
        major=connection.info.server_version // 10_000,
        version=str(_scalar(connection, "select current_setting('server_version')")),
        durability={name: str(_scalar(connection, "select current_setting(%s)", name)) for name in DURABLE},
        missing_roles=tuple(role for role in names.ROLES if role not in existing),
        may_create_roles=bool(may_create),
    )


def _scalar(connection: psycopg.Connection[Any], statement: str, *values: Any) -> Any:
    row = connection.execute(statement, values).fetchone()
    return None if row is None else row[0]
