"""Many values as one parameter of a statement, whatever their number: Postgres takes 65,535 parameters at most."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import JSON, Column, TableValuedAlias, Text, bindparam, cast, func

from domain import ids


def of(some: Iterable[UUID | str]) -> str:
    """What Postgres reads as a uuid[]; psycopg looks at the kind of each, and whether it is to be quoted, which takes longer."""
    return "{" + ",".join(map(ids.text, some)) + "}"


def given(*columns: Column[object]) -> TableValuedAlias:
    """Rows with these columns, from the JSON array that is the parameter `rows`: nothing is compiled anew for their number."""
    return (
        func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON))
        .table_valued(*(Column(column.name, column.type) for column in columns), name="given")
        .render_derived(with_types=True)
    )
