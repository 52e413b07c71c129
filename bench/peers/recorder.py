"""Inserts events by the recorders of the `eventsourcing` library: a program for its environment, which knows nothing of ours.

Its argument is JSON: kind, database, folder (of the socket), aggregates, seconds, processes, threads, functions. It prints JSON:
how many events were inserted, and how many of them while it counted.
"""

import json
import random
import sys
import time
import uuid
from multiprocessing import get_context
from threading import Thread
from typing import Any, Final

from eventsourcing.persistence import StoredEvent  # type: ignore[import-not-found]  # it is not in our environment
from eventsourcing.postgres import (  # type: ignore[import-not-found]
    PostgresAggregateRecorder,
    PostgresDatastore,
    PostgresProcessRecorder,
)

RECORDERS: Final = {"log": PostgresProcessRecorder, "aggregates": PostgresAggregateRecorder}
TOPIC: Final = "bench.ledgers:Ledger.DebtCreated"
STATE: Final = json.dumps(
    {
        "contact_id": str(uuid.UUID(int=1)),
        "direction": "lent",
        "amount": 1250,
        "currency": "EUR",
        "description": "lunch and taxi to the concert",
        "transaction_date": "2026-11-20",
        "due_date": "2026-12-20",
        "timestamp": "2026-11-20T12:00:00.000000+00:00",
    },
    separators=(",", ":"),
).encode()
"""What one of its applications would store of a debt like ours: the fact, in JSON."""
START_SECONDS, WARM_SECONDS = 1.5, 0.5
"""Until all processes have their connections; and what is inserted at first does not count."""


def recorder(load: dict[str, Any]) -> Any:
    """One of the library's, with a connection for each thread."""
    store = PostgresDatastore(
        load["database"],
        load["folder"],
        5432,
        "postgres",
        "",
        pool_size=load["threads"],
        enable_db_functions=load["functions"],
    )
    return RECORDERS[load["kind"]](store, events_table_name=f"{load['kind']}_events")


def insert(load: dict[str, Any], began_at: float) -> tuple[int, int]:
    """Events by one process: all of them, and those that count."""
    records = recorder(load)
    found: list[tuple[int, int]] = []
    threads = [Thread(target=lambda: found.append(_insert(records, load, began_at))) for _ in range(load["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records.datastore.close()
    assert len(found) == len(threads), "a thread failed: see above"
    return sum(all_ for all_, _ in found), sum(counted for _, counted in found)


def _insert(records: Any, load: dict[str, Any], began_at: float) -> tuple[int, int]:
    """One event a call, each of an aggregate drawn by lot, with its next version."""
    aggregates = [uuid.uuid4() for _ in range(load["aggregates"] // load["processes"] // load["threads"])]
    versions = [0] * len(aggregates)
    counted_from = began_at + WARM_SECONDS
    ends_at = counted_from + load["seconds"]
    counted = 0
    time.sleep(max(0.0, began_at - time.monotonic()))  # all threads of all processes begin at once
    while time.monotonic() < ends_at:
        one = random.randrange(len(aggregates))
        versions[one] += 1
        records.insert_events([StoredEvent(aggregates[one], versions[one], TOPIC, STATE)])
        counted += counted_from <= time.monotonic() <= ends_at
    return sum(versions), counted


def main() -> None:
    """All processes at the same time."""
    load = json.loads(sys.argv[1])
    first = recorder(load)
    first.create_table()  # once: several at a time would be in each other's way
    first.datastore.close()
    with get_context("spawn").Pool(load["processes"]) as pool:
        began_at = time.monotonic() + START_SECONDS
        found = pool.starmap(insert, [(load, began_at)] * load["processes"], chunksize=1)
    print(json.dumps({"inserted": sum(all_ for all_, _ in found), "counted": sum(counted for _, counted in found)}))


if __name__ == "__main__":
    main()
