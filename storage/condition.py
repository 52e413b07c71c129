"""Whether Postgres is fit to be used: schema, durability, and how far Dagster's balances lag behind."""

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import revisions, server

OK, NEWER = "ok", "newer"
"""NEWER: the schema is a later version's, which is just taking over; its migrations leave this code working (CONTRIBUTING.md)."""


class Condition(msgspec.Struct, frozen=True):
    """What /health/ready says; "ok", or what is wrong in words."""

    migrations: str
    durability: str
    projection_lag_seconds: float

    @property
    def ready(self) -> bool:
        """Whether requests may come; a lagging projection is no reason against it, the answers stay exact."""
        return self.migrations in (OK, NEWER) and self.durability == OK


async def examine(connection: AsyncConnection) -> Condition:
    """Look at the database that `connection` leads to; needs a transaction of the api role."""
    revision = await connection.scalar(text("select version_num from debitum.alembic_version"))
    rows = await connection.execute(
        text("select name, setting from pg_settings where name = any(:names) order by name"), {"names": list(server.DURABLE)}
    )
    weak = [f"{row.name} = {row.setting}" for row in rows if row.setting not in server.DURABLE[row.name]]
    lag = await connection.scalar(text("select debitum.projection_lag_seconds()"))
    return Condition(
        migrations=_judge(revision),
        durability=OK if not weak else ", ".join(weak),
        projection_lag_seconds=float(lag or 0),
    )


def _judge(revision: str | None) -> str:
    if revision == revisions.newest():
        return OK
    if not revisions.is_known(revision):
        return NEWER
    return f"the schema is at {revision}, this code needs {revisions.newest()}: run `debitum migrate`"
