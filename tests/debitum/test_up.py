"""`debitum up` as a person starts it: real processes, a real embedded Postgres, the real API."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import psycopg
import pytest

from debitum import cli, commands, processes
from storage import embedded, urls
from tests.debitum.test_children import wait_until
from tests.fixtures import logs

START_SECONDS = 120
"""The machine may be busy with other tests."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Up:
    """A running `debitum up --no-dagster`, or with the parts of `environment`, and what it has said."""

    def __init__(self, folder: Path, port: int, environment: Mapping[str, str] | None = None) -> None:
        parts = () if environment and "DEBITUM_PARTS" in environment else ("--no-dagster",)
        self.data_dir = folder / "data"
        self.port = port
        self._said = (folder / "said.txt").open("ab+")
        self._from = self._said.seek(0, os.SEEK_END)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DEBITUM_", "DATABASE_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "debitum", "up", *parts, "--data-dir", str(self.data_dir), "--port", str(port)],
            env={**inherited, **(environment or {})},
            cwd=folder,
            stdout=self._said,
            stderr=self._said,
            start_new_session=True,
        )

    def said(self) -> str:
        self._said.seek(self._from)
        return self._said.read().decode()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.said() or self.process.poll() is not None, START_SECONDS)
        assert text in self.said(), self.said()

    def api(self) -> psutil.Process:
        """The API's first process."""
        for child in psutil.Process(self.process.pid).children():
            if child.cmdline()[-1:] == ["api"] and "leash.py" not in " ".join(child.cmdline()):
                return child
        raise AssertionError(self.said())

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(START_SECONDS)

    def clean_up(self) -> None:
        self.process.kill()
        self.process.wait()
        self._said.close()
        processes.end_leftovers(self.data_dir)
        embedded.stop(self.data_dir, mode="immediate")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Outside of pytest's own folders, which Postgres's user may not enter when root runs the tests."""
    with tempfile.TemporaryDirectory(prefix="debitum-up-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_up_runs_repairs_and_stops(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    up = Up(folder, free_port(), {"SMTP_URL": "smtp://someone:hunter2@localhost", "DEBITUM_WORKES": "2"})
    try:
        up.wait_for("everything answers")
        with urllib.request.urlopen(f"http://127.0.0.1:{up.port}/health") as answer:
            assert answer.status == 200
        assert cli.main(["up", "--data-dir", str(up.data_dir)]) == commands.RUNNING_ALREADY
        assert f"http://127.0.0.1:{up.port}" in capfd.readouterr().out
        assert cli.main(["user", "create", "ada@example.org", "--data-dir", str(up.data_dir)]) == commands.OK
        probe = ["probe", "--no-dagster", "--data-dir", str(up.data_dir), "--port", str(up.port)]
        assert cli.main(probe) == commands.OK

        postgres = embedded.running(up.data_dir)
        assert postgres is not None
        os.kill(postgres.pid, signal.SIGKILL)
        up.api().kill()
        up.wait_for("postgres runs again")
        up.wait_for("api was killed by SIGKILL")
        wait_until(lambda: up.said().count("api answers at") == 2, START_SECONDS)

        assert up.end(signal.SIGTERM) == 0, up.said()
        told = logs.lines(up.said())
        assert [line["setting"] for line in told if line["event"] == "setting_unread"] == ["DEBITUM_WORKES"]
        assert [line["event"] for line in told][-2:] == ["stopping", "postgres_stopped"]
        [ended] = [line for line in told if line["event"] == "part_ended"]
        assert (ended["level"], ended["part"], ended["signal"], "exit_code" in ended) == ("error", "api", "SIGKILL", False)
        assert logs.lines("\n".join(ended["last_lines"]))[0]["event"] == "listening"
        assert embedded.running(up.data_dir) is None
        assert not (up.data_dir / "up.json").exists()
        assert processes.end_leftovers(up.data_dir) == []
        secret = (up.data_dir / "secrets").read_text().strip().partition(":")[2]
        written_to = up.data_dir / "logs"
        assert {path.stat().st_mode & 0o777 for path in (written_to, *written_to.iterdir())} == {0o700, 0o600}
        written = up.said() + "".join(log.read_text() for log in (up.data_dir / "logs").iterdir())
        assert "hunter2" not in written
        assert secret not in written

        capfd.readouterr()
        assert cli.main(probe) == commands.WRONG
        assert "api does not answer" in capfd.readouterr().err
        assert cli.main(["user", "reset-password", "ada@example.org", "--data-dir", str(up.data_dir)]) == commands.OK
        assert "/reset?token=" in capfd.readouterr().out, "also while nothing runs"
        assert embedded.running(up.data_dir) is None
    finally:
        up.clean_up()


def test_ctrl_c_at_a_terminal_ends_a_first_start_in_peace(folder: Path) -> None:
    """It reaches initdb too, which then fails."""
    up = Up(folder, free_port())

    def makes_tables() -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return any("--single" in child.cmdline() for child in psutil.Process(up.process.pid).children(recursive=True))
        return False

    try:
        wait_until(makes_tables, START_SECONDS)
        os.killpg(up.process.pid, signal.SIGINT)
        assert up.process.wait(START_SECONDS) == commands.OK, up.said()
        assert "failed" not in up.said()
    finally:
        up.clean_up()


def test_a_part_that_asks_a_code_server_elsewhere_waits_for_it(folder: Path, database_url: str) -> None:
    """And a person is told so in sentences."""
    elsewhere = {
        "DATABASE_URL": database_url,
        "DEBITUM_CODE_SOCKET": str(folder / "code.sock"),
        "DEBITUM_LOG_FORMAT": "console",
    }
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        api_port = taken.getsockname()[1]  # nobody here serves the API, so it may be in use
        up = Up(folder, api_port, {**elsewhere, "DEBITUM_PARTS": "dagster", "DEBITUM_DAGSTER_PORT": str(free_port())})
        try:
            up.wait_for(f"waiting for the code server, which runs elsewhere, at {folder / 'code.sock'}")
            told = r"Debitum \S+, data in \S+\npostgres runs: .* s\)\nschema is at .* s\)\nwaiting for the code server, .*\n"
            assert re.fullmatch(told, up.said()), up.said()
            assert psutil.Process(up.process.pid).children() == []
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(folder / "code.sock"))
                listener.listen()
                wait_until(lambda: psutil.Process(up.process.pid).children(), START_SECONDS)
            assert up.end(signal.SIGTERM) == 0, up.said()
        finally:
            up.clean_up()


def test_a_port_in_use_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEBITUM_LOG_FORMAT", "console")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["up", "--data-dir", str(tmp_path), "--port", str(port), "--no-dagster"]) == commands.WRONG
    told = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1 cannot be used" in told
    assert str(os.getpid()) in told
    assert "DEBITUM_PORT" in told
    assert not (tmp_path / "pgdata").exists()
    assert not (tmp_path / "up.json").exists()


def test_parts_are_asked_each_in_its_own_way(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    asked = ["probe", "--data-dir", str(tmp_path), "--parts"]
    with psycopg.connect(urls.libpq_url(database_url), autocommit=True) as connection:
        for said, code in ((None, commands.WRONG), ("10 minutes", commands.WRONG), ("10 seconds", commands.OK)):
            if said is not None:
                connection.execute("create table if not exists dagster.daemon_heartbeats (timestamp timestamp)")
                connection.execute("insert into dagster.daemon_heartbeats values (now() - %s::interval)", (said,))
            assert cli.main([*asked, "daemon"]) == code
    (tmp_path / "dagster").mkdir()
    assert cli.main([*asked, "code-server,daemon"]) == commands.WRONG
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "code.sock"))
        listener.listen()
        monkeypatch.setenv("DEBITUM_CODE_SOCKET", str(tmp_path / "code.sock"))
        assert cli.main([*asked, "code-server,daemon"]) == commands.OK
    assert capsys.readouterr().err.splitlines() == ["debitum: daemon does not answer"] * 2 + [
        "debitum: code-server does not answer"
    ]


def test_an_unreachable_database_is_told_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEBITUM_LOG_FORMAT", "console")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://someone:hunter2@127.0.0.1:{free_port()}/debitum")
    for command in (["up", "--no-dagster", "--port", str(free_port())], ["migrate"]):
        assert cli.main([*command, "--data-dir", str(tmp_path)]) == commands.WRONG
        told = capsys.readouterr().err
        assert "cannot be reached" in told
        assert "hunter2" not in told
