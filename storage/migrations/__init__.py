"""Schema changes: creates what lies outside Alembic (roles, schemas), then upgrades to the newest revision."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from storage import revisions, roles
from storage.encryption import KeyRing
from storage.names import DAGSTER_SCHEMA
from storage.tables import SCHEMA

LOCK_SECONDS = 5
"""How long a revision waits for a lock, while everybody who comes waits behind it; then it gives up, and has changed nothing."""


class SchemaTooNewError(Exception):
    """A newer version has migrated the database; what that one meant, this one does not know."""


class KeysNeededError(Exception):
    """A revision has to encrypt what is there, and was given no keys."""


def migrate(connection: Connection, keys: KeyRing | None = None, *, target: str = "head") -> None:
    """Bring the database to the newest revision, or to `target`; `connection` may create roles and schemas. Safe to repeat.

    Two that migrate at once do it one after the other. Without `keys` only what needs none. Raises KeysNeededError and
    SchemaTooNewError; then nothing has changed.
    """
    if not revisions.is_known(revision := current(connection)):
        raise SchemaTooNewError(revision)
    prepare(connection)
    alembic = config()
    alembic.attributes["connection"] = connection
    alembic.attributes["keys"] = keys
    command.upgrade(alembic, target)
    connection.commit()


def prepare(connection: Connection) -> None:
    """Create the roles and the schemas, which may be there; `connection` may create both."""
    _create_roles(connection)
    _create_schemas(connection)
    connection.commit()


def current(connection: Connection) -> str | None:
    """The revision that the database is at, None before the first."""
    there = "select from pg_tables where schemaname = :schema and tablename = 'alembic_version'"
    if connection.execute(text(there), {"schema": SCHEMA}).first() is None:
        return None
    roles.enter(connection, roles.OWNER)
    revision = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA}).get_current_revision()
    connection.execute(text("set local role none"))
    return revision


def config() -> Config:
    """Alembic's settings: only where the revisions lie."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    return settings


def _create_roles(connection: Connection) -> None:
    """Roles belong to the whole server: two databases that migrate at once must not race for them."""
    connection.execute(text("select pg_advisory_xact_lock(hashtext('debitum roles'))"))
    existing = set(connection.scalars(text("select rolname from pg_roles")))
    # The login may take the roles, and has none of their rights before it does. PostgreSQL 15 cannot say that of a grant.
    only_to_take = " with inherit false, set true" if _major_version(connection) >= 16 else ""
    for role in roles.ALL:
        if role not in existing:
            connection.execute(text(f"create role {role} nologin nosuperuser nobypassrls nocreatedb nocreaterole"))
        connection.execute(text(f"grant {role} to current_user{only_to_take}"))
    if not connection.scalar(text(f"select pg_has_role('{roles.JOBS}', 'pg_read_all_stats', 'member')")):
        connection.execute(text(f"grant pg_read_all_stats to {roles.JOBS}"))


def _major_version(connection: Connection) -> int:
    return int(connection.execute(text("select current_setting('server_version_num')::int / 10000")).scalar_one())


def _create_schemas(connection: Connection) -> None:
    connection.execute(text(f"create schema if not exists {SCHEMA} authorization {roles.OWNER}"))
    connection.execute(text(f"set local role {roles.OWNER}"))
    connection.execute(text(f"grant usage on schema {SCHEMA} to {', '.join(roles.ALL[1:])}"))
    connection.execute(text("set local role none"))
    connection.execute(text(f"create schema if not exists {DAGSTER_SCHEMA}"))
