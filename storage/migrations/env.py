"""Alembic's entry: runs the revisions as the owner role, with a limit on how long a lock is waited for."""

from logging.config import dictConfig
from typing import Any

from alembic import context
from sqlalchemy import Connection, text

from storage import engine, roles
from storage.migrations import LOCK_SECONDS
from storage.tables import SCHEMA, metadata


def _include_name(name: str | None, type_: str, parent_names: Any) -> bool:
    return name == SCHEMA if type_ == "schema" else True


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=_include_name,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        connection.execute(text("select pg_advisory_xact_lock(hashtext('debitum schema'))"))  # one migrates, another waits for it
        connection.execute(text(f"set local role {roles.OWNER}"))
        connection.execute(text(f"set local lock_timeout = '{LOCK_SECONDS:g}s'"))
        context.run_migrations()


def _main() -> None:
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _run(connection)
        return
    dictConfig({"version": 1, "disable_existing_loggers": False})
    with engine.sync_engine(context.get_x_argument(as_dictionary=True)["url"], "debitum-migrate").connect() as connection:
        _run(connection)


_main()
