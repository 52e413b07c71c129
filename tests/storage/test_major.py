"""Data of PostgreSQL 16 becomes data of 18: the wheel has the programs of both."""

import asyncio
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from debitum import cli, commands
from storage import embedded, engine, major, migrations
from storage.ledgers import Push
from tests.debitum.test_children import wait_until
from tests.factories import DEFAULTS, contact
from tests.fixtures import memory
from tests.fixtures.dump import dump
from tests.storage.test_ledgers import commit, new_ledger

UPGRADE = "import sys; from pathlib import Path; from storage import major; major.upgrade(Path(sys.argv[1]), print)"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Postgres's user may enter it, where root runs the tests."""
    with tempfile.TemporaryDirectory(prefix="debitum-major-", dir=memory.home()) as made:
        Path(made).chmod(0o755)
        yield Path(made)


async def _fill(url: str, ledger_id: str) -> None:
    connection = await engine.async_connection(url, "debitum-test")
    await commit(connection, Push(ledger_id, [contact(str(uuid.uuid4())) for _ in range(20)], DEFAULTS))
    await connection.close()


def _data(url: str) -> list[str]:
    """All rows, as pg_dump writes them; not what it says of itself."""
    opened = engine.sync_engine(url, "debitum-test")
    try:
        return [line for line in dump(opened, "--data-only").splitlines() if not line.startswith(("--", "\\"))]
    finally:
        opened.dispose()


def test_old_data_is_brought_over_whatever_kills_it_and_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pgdata, new, kept = folder / "pgdata", folder / "pgdata.next", folder / "pgdata.16"
    with embedded.served(pgdata, 16) as old:
        with psycopg.connect(old.url("postgres"), autocommit=True) as connection:
            connection.execute("create database debitum")
        opened = engine.sync_engine(old.url("debitum"), "debitum-test")
        with opened.connect() as connection:
            migrations.migrate(connection)
        ledger_id = new_ledger(opened)
        opened.dispose()
        asyncio.run(_fill(old.url("debitum"), ledger_id))
        before = _data(old.url("debitum"))
    assert sum(ledger_id in line for line in before) > 20

    with subprocess.Popen([sys.executable, "-c", UPGRADE, str(folder)], stdout=subprocess.DEVNULL) as killed:
        wait_until(lambda: (new / "postmaster.pid").exists() or killed.poll() is not None, 120)
        killed.kill()
    assert new.exists(), "it was killed while the new cluster was made"
    assert embedded.version_of(pgdata) == 16

    try:
        assert cli.main(["migrate", "--data-dir", str(folder)]) == commands.OK, capsys.readouterr().err
        assert "PostgreSQL 18" in capsys.readouterr().out
        assert sorted(path.name for path in folder.glob("pgdata*")) == ["pgdata", "pgdata.16"]
        assert (embedded.version_of(pgdata), embedded.version_of(kept)) == (18, 16)

        os.rename(pgdata, new)  # as if it had been killed between its two last steps
        major.upgrade(folder, print)
        assert not new.exists()
        assert _data(embedded.start(folder).url) == before
    finally:
        embedded.stop(folder, mode="immediate")


def test_what_cannot_be_brought_over_is_told_with_what_to_do(tmp_path: Path) -> None:
    pgdata = tmp_path / "pgdata"
    pgdata.mkdir()
    for version, told in (("17", "this version of Debitum brings 16 and 18"), ("16", "exists already")):
        (pgdata / "PG_VERSION").write_text(f"{version}\n")
        (tmp_path / f"pgdata.{version}").mkdir()
        with pytest.raises(embedded.EmbeddedServerError, match=told):
            major.upgrade(tmp_path, print)
        assert pgdata.exists()
    (tmp_path / "pgdata.16").rmdir()
    with (pgdata / "large").open("wb") as large:
        large.truncate(2**50)  # a file with a hole: it takes no room, and a copy would
    with pytest.raises(embedded.EmbeddedServerError, match="make some"):
        major.upgrade(tmp_path, print)
