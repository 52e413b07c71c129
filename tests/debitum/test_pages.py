"""`debitum ui`, beside a stand-in for the supervisor: it holds the folder, and something listens where the code server would."""

import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from debitum import cli, commands, instance
from storage.encryption import new_ring
from tests.debitum.test_children import gone, wait_until
from tests.debitum.test_up import START_SECONDS, free_port


def test_without_a_supervisor_it_says_what_to_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ui", "--data-dir", str(tmp_path)]) == commands.WRONG
    assert "start `debitum up --no-ui` first" in capsys.readouterr().err


def test_pages_that_run_already_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with instance.claim(tmp_path) as held:
        held.write(instance.Note(1, "2026-11-22T20:00:00+00:00", {"dagster": "http://127.0.0.1:3000"}))
        assert cli.main(["ui", "--data-dir", str(tmp_path)]) == commands.RUNNING_ALREADY
    assert "http://127.0.0.1:3000" in capsys.readouterr().out


def test_production_refuses_to_show_them_to_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"DEBITUM_ENV": "production", "DEBITUM_NO_UI": "1", "DEBITUM_DAGSTER_HOST": "0.0.0.0"}.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["ui", "--data-dir", str(tmp_path)]) == commands.USAGE
    assert "DEBITUM_DAGSTER_HOST" in capsys.readouterr().err


def test_they_run_until_the_supervisor_ends(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DEBITUM_KEYS", new_ring())
    monkeypatch.setenv("DEBITUM_LOG_FORMAT", "console")
    command = ["ui", "--data-dir", str(tmp_path), "--dagster-port", str(free_port())]
    with socket.socket(socket.AF_UNIX) as code_server, (tmp_path / "said.txt").open("w+") as said:
        with instance.claim(tmp_path) as held:
            held.write(instance.Note(1, "2026-11-22T20:00:00+00:00"))
            for name in ("logs", "dagster"):
                (tmp_path / name).mkdir()
            assert cli.main(command) == commands.WRONG
            assert "no code server answers" in capsys.readouterr().err
            code_server.bind(str(tmp_path / "dagster" / "code.sock"))
            code_server.listen()
            ui = subprocess.Popen([sys.executable, "-m", "debitum", *command], stdout=said, stderr=said)
            try:
                wait_until(lambda: psutil.Process(ui.pid).children() or ui.poll() is not None, START_SECONDS)
                [pages] = psutil.Process(ui.pid).children()
                wait_until(lambda: "webserver" in pages.cmdline())
            except BaseException:
                ui.kill()
                raise
        try:
            assert ui.wait(START_SECONDS) == 0
        finally:
            ui.kill()
        said.seek(0)
        assert said.read() == "the supervisor has ended, and so do its pages\n"
        assert gone(pages.pid)
