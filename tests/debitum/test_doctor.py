"""The doctor's lines, on sound machines and on others."""

import socket
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, make_url

from debitum import cli, commands, doctor, settings
from storage.encryption import new_key
from tests.debitum.test_up import free_port
from tests.storage.test_ledgers import RING, new_ledger


def examine(data_dir: Path, **environment: str) -> dict[str, doctor.Finding]:
    given = {"DEBITUM_PORT": str(free_port()), "DEBITUM_DAGSTER_PORT": str(free_port()), **environment}
    loaded = settings.load({"DEBITUM_DATA_DIR": str(data_dir), **given}, data_dir / "no.env")
    return {finding.what: finding for finding in doctor.examine(loaded)}


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing everything takes seconds; one test does it."""
    monkeypatch.setattr(doctor, "MODULES", ("msgspec",))


def test_a_sound_machine(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MODULES", ("psycopg", "sanic", "duckdb"))
    found = examine(tmp_path, DATABASE_URL=database_url)
    assert [finding.line() for finding in found.values() if finding.remedy] == []
    assert found["database"].found.startswith("PostgreSQL 18")
    assert found["schema"].line().startswith("ok     schema: at revision 00")
    assert "synchronous_commit" in found["durability"].found


@pytest.mark.usefixtures("no_packages")
def test_what_is_wrong_with_a_database_is_said(tmp_path: Path, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create database empty_one")
        connection.execute("alter database empty_one set synchronous_commit = off")
    try:
        found = examine(
            tmp_path, DATABASE_URL=make_url(database_url).set(database="empty_one").render_as_string(hide_password=False)
        )
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("drop database empty_one")
    assert found["durability"].line().startswith("wrong  durability: synchronous_commit = off. To do: ")
    assert "debitum migrate" in found["schema"].remedy
    assert "at revision none" in found["schema"].found


@pytest.mark.usefixtures("no_packages")
def test_an_unreachable_database_and_a_taken_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        url = f"postgresql://someone:hunter2@127.0.0.1:{free_port()}/debitum"
        found = examine(tmp_path, DATABASE_URL=url, DEBITUM_PORT=str(taken.getsockname()[1]))
    assert "cannot be reached" in found["database"].found
    assert found["database"].remedy
    assert "hunter2" not in found["database"].line()
    assert found["port of API"].remedy
    assert not found["port of Dagster"].remedy


@pytest.mark.usefixtures("no_packages")
@pytest.mark.parametrize("host", ["256.1.1.1", "192.0.2.1", "x" * 64])
def test_a_host_that_is_none_of_this_machine_is_not_the_ports_fault(tmp_path: Path, host: str) -> None:
    found = examine(tmp_path, DEBITUM_HOST=host, DEBITUM_DAGSTER_HOST=host)
    for name, setting in (("API", "DEBITUM_HOST"), ("Dagster", "DEBITUM_DAGSTER_HOST")):
        finding = found[f"port of {name}"]
        assert finding.found.startswith(f"{host} is not an address of this machine: ")
        assert finding.remedy == f"set another {setting}"


@pytest.mark.usefixtures("no_packages")
@pytest.mark.usefixtures("no_packages")
def test_a_setting_that_nothing_reads(tmp_path: Path) -> None:
    line = examine(tmp_path, DEBITUM_WORKES="4")["settings"].line()
    assert line.startswith("wrong  settings: DEBITUM_WORKES is no setting; DEBITUM_WORKERS is one. To do: unset DEBITUM_WORKES")


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = examine(tmp_path / "file" / "data")
    assert "DEBITUM_DATA_DIR" in found["data folder"].remedy


@pytest.mark.usefixtures("no_packages")
def test_keys_that_do_not_open_what_is_sealed(tmp_path: Path, database: Engine, database_url: str) -> None:
    secrets = tmp_path / "secrets"
    assert "drawn at the first" in examine(tmp_path, DATABASE_URL=database_url)["keys"].line()
    new_ledger(database)
    assert f"{secrets} is missing, and this database is sealed" in examine(tmp_path, DATABASE_URL=database_url)["keys"].line()
    for content, said in (
        ("", f"{secrets} is empty"),
        ("garbage", f"{secrets}: write <short alphanumeric id>"),
        (new_key("k1"), f"{secrets}: key k1 is not the one that sealed 1 ledgers"),
        (new_key("k2"), f"{secrets}: key k1, which sealed 1 ledgers of this database, is missing"),
    ):
        secrets.write_text(content)
        found = examine(tmp_path, DATABASE_URL=database_url)["keys"]
        assert said in found.found
        assert "restore a backup that has the keys" in found.remedy
    secrets.write_text(f"{new_key('k2')},{RING}")
    assert examine(tmp_path, DATABASE_URL=database_url)["keys"].line() == f"ok     keys: {secrets} has k2, k1"


@pytest.mark.usefixtures("no_packages")
def test_a_ring_that_is_gone_from_beside_a_database_that_does_not_run(tmp_path: Path) -> None:
    assert not examine(tmp_path)["keys"].remedy
    (tmp_path / "pgdata").mkdir()
    (tmp_path / "pgdata" / "PG_VERSION").write_text("18\n")
    assert "secrets is missing" in examine(tmp_path)["keys"].line()


def test_a_package_that_does_not_load_or_is_not_the_locked_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "MODULES", ("no_such_module",))
    lock = tmp_path / "requirements.lock"
    lock.write_text("msgspec==0.0.1 \\\n    --hash=sha256:00\npywin32==311 ; sys_platform == 'win32' \\\n")
    assert [text.split(" is ")[0] for text in doctor._not_as_locked(lock)] == ["msgspec"]
    assert "no_such_module" in doctor._packages().line()


def test_the_command_ends_with_1_when_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_packages: None
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://127.0.0.1:{free_port()}/debitum")
    assert cli.main(["doctor", "--data-dir", str(tmp_path), "--port", str(free_port()), "--no-dagster"]) == commands.WRONG
    assert "wrong  database" in capsys.readouterr().out
