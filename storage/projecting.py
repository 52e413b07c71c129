"""From facts to the rows that follow from them, and the statements that write rows from JSON."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import Table

from domain.facts import Fact, Key
from domain.fold import Ledger, Step
from storage import codec, tables
from storage.encryption import Cipher

ENTITIES: Final = ("contacts", "transactions", "reminders")
PROJECTED: Final = (*ENTITIES, "postings", "conflicts")
"""The tables that follow from the log, and from nothing else."""
Rows = dict[str, list[dict[str, Any]]]
"""Rows by table, as JSON values."""


def rows(cipher: Cipher, ledger: Ledger, steps: Iterable[tuple[Fact, Step]]) -> Rows:
    """What `steps` leave in PROJECTED; `ledger`, which is the cipher's, is the state after them."""
    found: Rows = {name: [] for name in PROJECTED}
    touched: set[Key] = set()
    disputed: set[str] = set()
    for fact, step in steps:
        place = {"ledger_id": ledger.id, "seq": fact.seq, "recorded_at": fact.recorded_at}
        found["postings"] += [
            place | {"line": line} | msgspec.structs.asdict(posting) for line, posting in enumerate(step.postings)
        ]
        touched |= step.entities.keys()
        disputed |= step.conflicts.keys()
    for key in touched:
        found[f"{key[0]}s"].append(codec.columns(cipher, ledger.entities[key]))
    for event_id in disputed:
        found["conflicts"].append({"ledger_id": ledger.id} | msgspec.structs.asdict(ledger.conflicts[event_id]))
    return found


def insert(name: str, schema: str = tables.SCHEMA) -> str:
    """Insert rows of a table from a JSON array; columns are named, so that newer ones may have defaults."""
    names = ", ".join(_names(name))
    source = f"json_populate_recordset(null::{schema}.{name}, %({name})s::json)"
    return f"insert into {schema}.{name} ({names}) select {names} from {source}"  # noqa: S608  # names of our own tables


def upsert(name: str, schema: str = tables.SCHEMA) -> str:
    """The same, overwriting the rows that are there."""
    keys = [column.name for column in _table(name).primary_key]
    updates = ", ".join(f"{column} = excluded.{column}" for column in _names(name) if column not in keys)
    return f"{insert(name, schema)} on conflict ({', '.join(keys)}) do update set {updates}"


def _names(name: str) -> list[str]:
    return [column.name for column in _table(name).columns]


def _table(name: str) -> Table:
    return tables.metadata.tables[f"{tables.SCHEMA}.{name}"]
