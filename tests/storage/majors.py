"""Data of an older major version of Postgres, and its upgrade: told to go on stage by stage, and killed where somebody likes."""

import asyncio
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Final

import psycopg

from storage import embedded, engine, major, migrations, urls
from storage.ledgers import Push
from tests.factories import DEFAULTS, contact
from tests.fixtures.dump import dump
from tests.storage.test_ledgers import commit, new_ledger

OLD: Final = 16
STAGES: Final = (major.BEGINS, major.DUMPS, major.MAKES, major.RESTORES, major.COMPARES, major.KEEPS, major.PUTS, major.ENDS)
EVENTS: Final = 20
UPGRADE: Final = """
import sys
from pathlib import Path
from storage import major

def say(text):
    print(text, flush=True)
    sys.stdin.readline()

major.upgrade(Path(sys.argv[1]), say)
"""
"""Goes on when it is told to: after each thing that it says."""


def make(data_dir: Path) -> list[str]:
    """A cluster of PostgreSQL OLD in `data_dir`, with a database that is migrated and has something in it: which is returned."""
    with embedded.served(data_dir / "pgdata", OLD) as old:
        with psycopg.connect(old.url("postgres"), autocommit=True) as connection:
            connection.execute("create database debitum")
        opened = engine.sync_engine(old.url("debitum"), "debitum-test")
        with opened.connect() as connection:
            migrations.migrate(connection)
        ledger_id = new_ledger(opened)
        opened.dispose()
        asyncio.run(_fill(old.url("debitum"), ledger_id))
        found = data(old.url("debitum"))
    assert sum(ledger_id in line for line in found) > EVENTS
    return found


async def _fill(url: str, ledger_id: str) -> None:
    connection = await urls.async_connection(url, "debitum-test")
    await commit(connection, Push(ledger_id, [contact(str(uuid.uuid4())) for _ in range(EVENTS)], DEFAULTS))
    await connection.close()


def copy(source: Path, target: Path) -> None:
    """A data folder as it lies there, with its owners."""
    subprocess.run(("cp", "-a", str(source), str(target)), check=True)


def data(url: str) -> list[str]:
    """All rows, as pg_dump writes them; not what it says of itself."""
    opened = engine.sync_engine(url, "debitum-test")
    try:
        return [line for line in dump(opened, "--data-only").splitlines() if not line.startswith(("--", "\\"))]
    finally:
        opened.dispose()


def kill(data_dir: Path, stage: str, *, after_seconds: float | None = None) -> None:
    """Upgrade, and kill that at the beginning of `stage`, or so long after it. What it has started is left running."""
    command = (sys.executable, "-c", UPGRADE, str(data_dir))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as upgrade:
        assert upgrade.stdin is not None
        assert upgrade.stdout is not None
        try:
            for told in STAGES:
                said = upgrade.stdout.readline().decode()
                assert said.startswith(told.partition("{")[0].rstrip("\n")), said
                if told == stage:
                    break
                _go_on(upgrade)
            if after_seconds is not None:
                _go_on(upgrade)
                time.sleep(after_seconds)  # the middle of a stage tells nobody that it has come
        finally:
            upgrade.kill()


def _go_on(upgrade: "subprocess.Popen[bytes]") -> None:
    assert upgrade.stdin is not None
    upgrade.stdin.write(b"\n")
    upgrade.stdin.flush()


def times(data_dir: Path) -> dict[str, float]:
    """How long each stage takes, in seconds; `data_dir` is upgraded then."""
    taken, began = {}, time.monotonic()
    heard = iter(STAGES)
    stage = ""

    def say(_: str) -> None:
        nonlocal began, stage
        now = time.monotonic()
        taken[stage], began, stage = now - began, now, next(heard)

    major.upgrade(data_dir, say)
    return {told: taken[told] for told in STAGES[:-1]}


def finish(data_dir: Path, expected: list[str]) -> None:
    """A second run ends it: the data is there, of the newest version, and the old cluster is as it was."""
    major.upgrade(data_dir, lambda _: None)
    kept = data_dir / f"pgdata.{OLD}"
    assert sorted(path.name for path in data_dir.glob("pgdata*")) == ["pgdata", kept.name]
    assert (embedded.version_of(data_dir / "pgdata"), embedded.version_of(kept)) == (embedded.NEWEST, OLD)
    try:
        assert data(embedded.start(data_dir).url) == expected
    finally:
        embedded.stop(data_dir, mode="immediate")
    with embedded.served(kept, OLD) as old:
        assert data(old.url("debitum")) == expected


def remove(data_dir: Path) -> None:
    """Whatever runs there is stopped."""
    for name, version in (("pgdata", None), ("pgdata.next", embedded.NEWEST), (f"pgdata.{OLD}", OLD)):
        if (folder := data_dir / name).exists():
            embedded.halt(folder, version or embedded.version_of(folder) or embedded.NEWEST)
    shutil.rmtree(data_dir)
