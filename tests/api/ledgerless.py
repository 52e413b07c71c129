"""Every query of the API without its WHERE: what it asks of one ledger is cut out of the SQL on its way to Postgres.

Postgres's own plan then says whether anything was left, in whatever form: no condition may name a ledger but the policy's.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from storage import tables
from tests.storage import plans

_REAL = psycopg.AsyncCursor.execute
_OTHER_WAYS = ("executemany", "stream", "copy")
_GUARDED = {table.name for table in tables.PER_LEDGER}
_NAMES_A_GUARDED_TABLE = re.compile(rf"\bdebitum\.({'|'.join(_GUARDED)})\b", re.IGNORECASE)
_FETCH = re.compile(r"fetch \d+ from ")
_COLUMN, _VALUE = r"(?:\w+\.)*ledger_id", r"(?:%\(\w+\)s(?:::\w+)?|%s|any\(%\(\w+\)s(?:::\w+\[\])?\)|(?:\w+\.)*\w+)"
_ASKED = (
    re.compile(rf"(?<![\w.]){_COLUMN} = {_VALUE}", re.IGNORECASE),
    re.compile(rf"(?<![\w.]){_VALUE} = {_COLUMN}\b", re.IGNORECASE),
    re.compile(rf"(?<![\w.])debitum\.ledgers\.id = {_VALUE}", re.IGNORECASE),
    re.compile(rf"(?<=from debitum\.ledgers where )id = {_VALUE}", re.IGNORECASE),
    re.compile(rf"(?<![\w.])(?:ledger|l)\.id = {_VALUE}", re.IGNORECASE),
)
"""How our statements say which ledger they mean."""
_IN_ROWS = re.compile(r"(?<=\.contact_id), \w+\.ledger_id")
"""The same where rows are compared, of the columns of an index."""
_OF_USERS = re.compile(r"\(?\busers\.ledger_id = '[0-9a-f-]+'::uuid\)?")
"""The one condition that stays: who owns the ledger is asked of a table of identity, which has no policy."""
_POLICY = re.compile(r"\(?array_position\(\(?(?:InitPlan \d+\)\.col1|\$\d+), [\w.]+\) IS NOT NULL\)?")
"""As a plan shows the policy of the api role (0005)."""


def without_ledger(sql: str) -> str:
    """`sql` without what it asks of the ledger."""
    for asked in _ASKED:
        sql = asked.sub(lambda found: found[0] if found[0].lower().startswith("debitum.users.") else _anything(found[0]), sql)
    return _IN_ROWS.sub("", sql)


def _anything(condition: str) -> str:
    """What always holds in its place; a value without a name is still counted."""
    return "%s::uuid is not null" if condition.endswith("%s") else "true"


class Line:
    """The way from the API to Postgres. `cuts`: whether statements lose their conditions; `faults`: what the guard found."""

    def __init__(self) -> None:
        self.cuts = False
        self.faults: list[str] = []
        self.trace: list[tuple[str, int]] = []
        """Statements that touch ledgers as they were meant, and how many rows each gave or changed."""
        self._explained: set[str] = set()

    async def execute(self, cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
        """In the place of AsyncCursor.execute."""
        meant = query if isinstance(query, str) else query.as_string(cursor)
        touches = _NAMES_A_GUARDED_TABLE.search(meant) is not None
        sent = without_ledger(meant) if self.cuts and touches else meant
        if touches and self.cuts and sent not in self._explained:
            self._explained.add(sent)
            self.faults += [f"{fault}\n{sent}" for fault in await _faults(cursor.connection, sent, params, is_cut=sent != meant)]
        result = await _REAL(cursor, sent, params, **options)
        if touches or _FETCH.match(meant):
            self.trace.append((meant, cursor.rowcount))
        return result

    def begin(self, *, cuts: bool) -> None:
        """Anew, with or without cuts."""
        self.cuts, self.trace, self.faults, self._explained = cuts, [], [], set()


async def _faults(connection: Any, sql: str, params: Any, *, is_cut: bool) -> Iterator[str]:
    """What the plan of a statement that was cut still has, and has not."""
    cursor = psycopg.AsyncCursor(connection)
    await _REAL(cursor, f"explain (verbose, costs off, format json) {sql}", params, prepare=False)
    [[[explained]]] = await cursor.fetchall()
    return faults(explained["Plan"], is_cut=is_cut)


def faults(plan: dict[str, Any], *, is_cut: bool) -> Iterator[str]:
    """Scans without a policy, scans in a statement of which nothing was cut, and conditions that still name a ledger."""
    nodes = list(plans.nodes(plan))
    scans = [node for node in nodes if node.get("Relation Name") in _GUARDED and "Scan" in node["Node Type"]]
    for scan in scans:
        if not any(_POLICY.search(condition) for condition in _conditions(scan)):
            yield f"{scan['Relation Name']} is read without its policy"
        if not is_cut:
            yield f"{scan['Relation Name']} is read without a condition on its ledger that this test knows"
    heads = "|".join({rf"{scan['Alias']}\.(?:id|owner_id)" for scan in scans if scan["Relation Name"] == "ledgers"} or {"(?!)"})
    names_a_ledger = re.compile(rf"\bledger_id\b|\b(?:{heads})\b")
    for node in nodes:
        for condition in _conditions(node):
            if names_a_ledger.search(_OF_USERS.sub("", _POLICY.sub("", condition))):
                yield f"a condition on the ledger is left: {condition}"


def _conditions(node: dict[str, Any]) -> list[str]:
    return [str(value) for name, value in node.items() if name.endswith(("Cond", "Filter"))]


@contextmanager
def tapped() -> Iterator[Line]:
    """Put a Line in the way of every asynchronous psycopg connection."""
    line = Line()

    async def execute(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
        return await line.execute(cursor, query, params, **options)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a way to Postgres that tests/api/ledgerless.py does not look at")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.AsyncCursor, "execute", execute)
        for kind in (psycopg.AsyncCursor, psycopg.AsyncServerCursor):
            for name in _OTHER_WAYS if kind is psycopg.AsyncCursor else ("execute", *_OTHER_WAYS):
                patch.setattr(kind, name, refuse)
        yield line
