"""Ids as one parameter of a statement that runs for every request."""

from collections.abc import Iterable
from uuid import UUID

from domain import ids


def of(some: Iterable[UUID | str]) -> str:
    """What Postgres reads as a uuid[]; psycopg looks at the kind of each, and whether it is to be quoted, which takes longer."""
    return "{" + ",".join(map(ids.text, some)) + "}"
