"""What Postgres does for a statement: the steps of its plan, and how many rows it looks at."""

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from sqlalchemy import Connection

Node = dict[str, Any]


def nodes(plan: Node) -> Iterator[Node]:
    """The plan and all that is below it."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def looked_at(connection: Connection, statement: str, parameters: Mapping[str, Any], table: str) -> int:
    """Rows of `table` that a statement in psycopg's style reads when it is executed, also those that it throws away."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    row = driver.execute(f"explain (analyze, format json) {statement}", parameters).fetchone()
    assert row is not None
    [explained] = row[0]
    scans = [node for node in nodes(explained["Plan"]) if node.get("Relation Name") == table]
    assert scans
    return sum(round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]) for node in scans)
