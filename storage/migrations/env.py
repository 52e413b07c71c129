"""Alembic's entry: runs the revisions on the connection that it is given, as the owner role; for locks it waits only so long."""

from typing import Any

from alembic import context
from sqlalchemy import Connection, text

from storage import roles
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


_run(context.config.attributes["connection"])
