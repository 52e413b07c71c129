"""What an upgrade finds and what kills it: tables of an older Dagster, data of an older Postgres."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg

from debitum import dagster_schema, demo_stack
from storage import embedded, names, server
from tests.debitum.test_children import wait_until
from tests.debitum.test_up import free_port
from tests.faults.household import Figures
from tests.faults.looking import LOOK_SECONDS, PATIENCE_SECONDS
from tests.faults.stack import stack
from tests.fixtures import old_dagster
from tests.storage import majors

Say = Callable[[str], None]
MIDDLES: Final = (None, 0.2, 0.5, 0.8)
"""When a stage is killed: at its beginning, and at these shares of the time that it takes."""
JOB: Final = "materialise_balances"
_RUNS: Final = "{ runsOrError { ... on Runs { results { jobName status } } } }"
_DAEMONS: Final = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"


def tables_of_an_older_dagster(folder: Path, say: Say) -> Figures:
    """`debitum up` upgrades them; then pages show the old runs, the daemon is well, and an asset is made."""
    data = folder / "data"
    with psycopg.connect(embedded.start(data).url, autocommit=True) as connection:
        connection.execute(f"create schema {names.DAGSTER_SCHEMA}")
    old_dagster.put(_url(data))
    port = free_port()
    pages = f"http://127.0.0.1:{port}"
    with stack(data, {"DEBITUM_DAGSTER_PORT": str(port)}) as up:
        assert f"brought to {dagster_schema.newest()}" in up.said()
        assert old_dagster.revision(_url(data)) == dagster_schema.newest()
        run = demo_stack.launch(pages, JOB)
        wait_until(lambda: demo_stack.status(pages, run) in ("SUCCESS", "FAILURE"), PATIENCE_SECONDS, every=LOOK_SECONDS)
        runs = {found["jobName"]: found["status"] for found in demo_stack.ask_dagster(pages, _RUNS)["runsOrError"]["results"]}
        assert runs == {**dict.fromkeys((*old_dagster.RUNS, JOB), "SUCCESS")}
        wait_until(
            lambda: server.daemon_seen_seconds(_url(data), "debitum-test") is not None, PATIENCE_SECONDS, every=LOOK_SECONDS
        )
        daemons = demo_stack.ask_dagster(pages, _DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        assert [found for found in daemons if found["required"] and not found["healthy"]] == []
        say(f"the runs {', '.join(runs)} are there, and {len(daemons)} daemons are well")
    return Figures()


def data_of_an_older_postgres(folder: Path, say: Say) -> Figures:
    """Its upgrade is killed at the beginning and in the middle of every stage; a second run ends it, and nothing is missing."""
    old, tried = folder / "old", folder / "tried"
    old.mkdir()
    expected, kills = majors.make(old), 0
    majors.copy(old, tried)
    seconds = majors.times(tried)
    majors.remove(tried)
    for stage in majors.STAGES:
        for share in MIDDLES if stage in seconds else (None,):
            majors.copy(old, tried)
            try:
                majors.kill(tried, stage, after_seconds=share and share * seconds[stage])
                majors.finish(tried, expected)
            finally:
                majors.remove(tried)
            kills += 1
        say(f"killed and ended well: {stage}")
    return Figures(kills=kills)


def _url(data: Path) -> str:
    address = embedded.running(data)
    assert address is not None
    return address.url
