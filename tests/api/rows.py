"""Whose a row is, and whether anything about one user's rows, or about those of all others, has changed."""

import uuid

from sqlalchemy import Engine, Table, text

from storage import tables

NOBODYS = (tables.login_attempts, tables.invites, tables.erasures, tables.circuits)
"""What is no user's."""
_MOVING = "last_used_at"
"""Written for whoever uses a token."""


def owner(table: Table) -> str:
    """The column of a per-ledger table that says whose a row is."""
    return "id" if table is tables.ledgers else "ledger_id"


def digests(database: Engine, user_id: str, *, of_others: bool = False) -> dict[str, str]:
    """Of every row that is this user's, or that is not, by table."""
    kept = {table: text(_query(table, of_others)) for table in tables.metadata.sorted_tables if table not in NOBODYS}
    with database.connect() as connection:
        return {table.name: str(connection.scalar(query, {"user": uuid.UUID(user_id)})) for table, query in kept.items()}


def _query(table: Table, of_others: bool) -> str:
    its = _is_of_user(table)
    row = f"(to_jsonb(t) - '{_MOVING}')::text"
    return f"select md5(string_agg({row}, chr(10) order by {row})) from {table} t where {'not' if of_others else ''} ({its})"


def _is_of_user(table: Table) -> str:
    """The condition that a row is of `:user`; refresh tokens hang on sessions."""
    if table in tables.PER_LEDGER:
        return f"{owner(table)} = (select ledger_id from debitum.users where id = :user)"
    if table is tables.refresh_tokens:
        return "session_id in (select id from debitum.sessions where user_id = :user)"
    return f"{'id' if table is tables.users else 'user_id'} = :user"
