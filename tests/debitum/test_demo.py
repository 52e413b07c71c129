"""The demo against a real API; Dagster's pages and work are played by the test, which can thus also get them wrong."""

import asyncio
import datetime
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from debitum import cli, commands, demo, demo_stack, instance, settings
from storage import balances, roles
from storage.snapshots import writing
from storage.snapshots.places import Root
from storage.snapshots.tables import BALANCES
from tests.fixtures.api import Server

DATA = Path(__file__).parents[1] / "data"
TICKS = dict.fromkeys(demo_stack.TICKS, "* * * * *")


class Dagster:
    """Answers GraphQL on loopback: the schedules' `ticks`, and the newest run once `work` has been done."""

    def __init__(self) -> None:
        self.ticks = dict(TICKS)
        self.status = "SUCCESS"
        self.work: Callable[[], None] | None = None
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["query"]
                answer = json.dumps({"data": owner.answer(query)}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, query: str) -> dict[str, Any]:
        if "schedules" in query:
            listed = [{"name": name, "cronSchedule": cron} for name, cron in self.ticks.items()]
            return {"repositoriesOrError": {"nodes": [{"schedules": listed}]}}
        if self.work is None:
            return {"assetOrError": {"assetMaterializations": []}}
        self.work()
        run = {"runId": "11111111-2222", "status": self.status}
        return {"assetOrError": {"assetMaterializations": [{"runOrError": run}]}}


@pytest.fixture
def dagster() -> Iterator[Dagster]:
    played = Dagster()
    thread = threading.Thread(target=played.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield played
    played.server.shutdown()
    thread.join()
    played.server.server_close()


@pytest.fixture
def begin(database: Engine) -> Callable[[], AbstractContextManager[Connection]]:
    @contextmanager
    def begin() -> Iterator[Connection]:
        with database.begin() as connection:
            roles.enter(connection, roles.JOBS)
            yield connection

    return begin


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The small sample, little patience, and no .env of this machine's."""
    monkeypatch.setattr(demo, "SAMPLE", DATA / "debitum-small.zip")
    monkeypatch.setattr(demo, "EXPECTED", DATA / "debitum-small.json")
    monkeypatch.setattr(demo, "PATIENCE_SECONDS", 3.0)
    monkeypatch.chdir(tmp_path)
    for name in ("SMTP_URL", "SENDGRID_API_KEY", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


async def _play(api: Server, dagster: Dagster, data_dir: Path) -> int:
    """The exit code of `debitum demo` beside a stack that holds `data_dir`."""
    with instance.claim(data_dir) as claim:
        claim.write(instance.Note(1, "2026-11-22T20:00:00+00:00", {"api": api.url, "dagster": dagster.url}))
        return await asyncio.to_thread(cli.main, ["demo", "--data-dir", str(data_dir)])


def _mail(folder: Path, name: str, text: str, to: str = "") -> None:
    mail = EmailMessage()
    mail["To"], mail["Subject"] = to, name
    mail.set_content(text)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.eml").write_bytes(bytes(mail))


def _address(database: Engine) -> str:
    with database.connect() as connection:
        return str(connection.exec_driver_sql("select email from debitum.users").scalar_one())


@pytest.fixture
def work(database: Engine, begin: Callable[[], AbstractContextManager[Connection]], tmp_path: Path) -> Callable[[], None]:
    """What Dagster does of itself within the next minutes."""

    def done() -> None:
        balances.materialise(begin)
        writing.write(begin, Root(tmp_path / "data"), BALANCES, datetime.datetime.now(datetime.UTC).date())
        _mail(tmp_path / "data" / "mail", "due", f"{demo.DEBTOR} owes you 42.50 €", _address(database))
        _mail(tmp_path / "data" / "mail", "reminder", demo.NOTE, _address(database))

    return done


@pytest.mark.usefixtures("small")
async def test_all_is_right(
    api: Server, dagster: Dagster, tmp_path: Path, work: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    dagster.work = work
    assert await _play(api, dagster, tmp_path / "data") == commands.OK
    said = capsys.readouterr().out
    assert f"using the stack that runs at {api.url}" in said
    assert "12 of 12 people have the balance that the sample says" in said
    assert "Dagster's balances cover seq 135; the ledger is at 135" in said
    assert "the day's snapshot has 13 rows" in said
    assert f"{dagster.url}/runs/11111111-2222" in said
    assert "everything is right" in said
    assert "✗" not in said


@pytest.mark.usefixtures("small")
async def test_what_dagster_does_not_do_costs_the_exit_code(
    api: Server, dagster: Dagster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await _play(api, dagster, tmp_path / "data") == commands.WRONG
    said = capsys.readouterr().out
    assert "✗ Dagster's balances cover seq 0; the ledger is at 135" in said
    assert said.count("\n✗ ") == 4
    assert "something is wrong" in said


@pytest.mark.usefixtures("small")
async def test_a_wrong_balance_costs_the_exit_code(
    api: Server,
    dagster: Dagster,
    tmp_path: Path,
    work: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dagster.work = work
    expected = json.loads((DATA / "debitum-small.json").read_text())
    expected["balances"]["Ana Lucía"] += 1
    (tmp_path / "expected.json").write_text(json.dumps(expected))
    monkeypatch.setattr(demo, "EXPECTED", tmp_path / "expected.json")
    assert await _play(api, dagster, tmp_path / "data") == commands.WRONG
    assert "✗ 11 of 12 people" in capsys.readouterr().out


def test_a_mail_to_somebody_else_is_none(tmp_path: Path) -> None:
    _mail(tmp_path, "due", demo.DEBTOR, "ana@example.org")
    _mail(tmp_path, "reminder", demo.NOTE, "bo@example.org")
    assert not demo._mail(tmp_path, "ana@example.org").right
    _mail(tmp_path, "reminder", demo.NOTE, "ana@example.org")
    assert demo._mail(tmp_path, "ana@example.org").right


def test_a_run_that_failed_is_not_right(dagster: Dagster) -> None:
    dagster.work, dagster.status = (lambda: None), "FAILURE"
    assert not demo._run_page(dagster.url).right


def _obstacle(addresses: dict[str, str], **environment: str) -> str | None:
    loaded = settings.load(environment, Path("no.env"))
    return demo_stack._obstacle(instance.Note(1, "2026-11-22T20:00:00+00:00", addresses), loaded)


def test_which_stack_the_demo_uses(dagster: Dagster) -> None:
    both = {"api": "http://127.0.0.1:1", "dagster": dagster.url}
    assert _obstacle(both) is None
    assert _obstacle({"api": "http://127.0.0.1:1"}) == "without Dagster"
    assert _obstacle({**both, "dagster": "http://127.0.0.1:9"}) == "its Dagster does not answer"
    assert _obstacle(both, SMTP_URL="smtp://mail.example.org") == "it sends real mail (SMTP_URL is set)"
    dagster.ticks["remind_schedule"] = "*/5 * * * *"
    assert "with other ticks than every minute (remind_schedule: */5 * * * *" in str(_obstacle(both))
    del dagster.ticks["remind_schedule"]
    assert "remind_schedule: none" in str(_obstacle(both))


def test_the_ticks_are_those_of_the_definitions() -> None:
    from pipelines import definitions

    assert set(demo_stack.TICKS) <= {schedule.name for schedule in definitions.defs.schedules or ()}
