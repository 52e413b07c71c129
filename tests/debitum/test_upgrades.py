"""A new version on an old database, and the other way round: what goes on, what waits, and what is refused in words."""

import subprocess
import threading
import uuid
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import Engine, text

from debitum import cli, commands
from storage import migrations, revisions, urls
from tests.debitum.test_children import wait_until
from tests.debitum.test_up import free_port
from tests.fixtures.api import PASSWORD
from tests.fixtures.process import Process

CHECKOUT = Path(__file__).parents[2]
REVISIONS = "storage/migrations/versions"


def git(*arguments: str) -> bytes:
    return subprocess.run(("git", *arguments), cwd=CHECKOUT, check=True, capture_output=True).stdout


@pytest.fixture
def yesterdays_code(tmp_path: Path) -> Path:
    """The code as it was before the newest revision."""
    if not (CHECKOUT / ".git").exists():
        pytest.skip("there is no history here, and so no earlier code")
    [newest] = (CHECKOUT / REVISIONS).glob(f"{revisions.newest()}_*.py")
    came_with = git("log", "--diff-filter=A", "--format=%H", "--", f"{REVISIONS}/{newest.name}").decode().split()
    before = f"{came_with[-1]}^" if came_with else "HEAD"  # it may not be committed yet
    try:
        archive = git("archive", "--format=zip", before, "api", "domain", "storage", "telemetry")
    except subprocess.CalledProcessError:
        pytest.skip(f"the history here is too short: it lacks {before}")
    folder = tmp_path / "yesterday"
    with zipfile.ZipFile(BytesIO(archive)) as packed:
        packed.extractall(folder)
    assert not (folder / REVISIONS / newest.name).exists()
    return folder


async def test_the_api_of_the_revision_before_goes_on_working(yesterdays_code: Path, tmp_path: Path, database_url: str) -> None:
    """Old processes answer while new ones start: on the schema that the new ones have just made."""
    api = Process(tmp_path, database_url, 1, environment={"PYTHONPATH": str(yesterdays_code)})
    try:
        await api.listens()
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as http:
            await _live(http)
    finally:
        api.close()


async def _live(http: httpx.AsyncClient) -> None:
    """Every kind of write, and the reads that show it."""
    registered = await http.post("/api/auth/register", json={"email": "ada@example.org", "password": PASSWORD})
    assert registered.status_code == 201, registered.text
    http.headers["Authorization"] = f"Bearer {registered.json()['access_token']}"
    contact, debt, reminder = (str(uuid.uuid4()) for _ in range(3))
    await _post(http, "/api/contacts", {"id": contact, "name": "Ana", "phone": "+34 600"})
    money = {"contact_id": contact, "direction": "lent", "amount": 4250, "currency": "EUR", "type": "money"}
    await _post(http, "/api/transactions", {"id": debt, **money, "due_date": "2030-01-01"})
    await _post(
        http, "/api/reminders", {"id": reminder, "contact_id": contact, "remind_at": "2030-01-01T09:00:00Z", "message": "x"}
    )
    changed = await http.patch(f"/api/transactions/{debt}", json={"amount": 4300})
    assert changed.status_code == 200, changed.text
    assert (await http.delete(f"/api/reminders/{reminder}")).status_code in (200, 204)
    pulled = await http.post("/api/sync/pull", json={"since": 0})
    assert (pulled.status_code, contact in pulled.text) == (200, True), pulled.text
    for path, expected in {
        "/api/balances": "4300",
        "/api/contacts": "+34 600",
        "/api/transactions": debt,
        "/api/events": reminder,
        "/api/search?q=ana": contact,
        "/api/reports/ageing": "4300",
    }.items():
        answer = await http.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        assert expected in answer.text, f"{path}: {answer.text}"


async def _post(http: httpx.AsyncClient, path: str, content: Mapping[str, object]) -> None:
    answer = await http.post(path, json=content)
    assert answer.status_code == 201, answer.text


def test_who_migrates_waits_for_another_who_does(database: Engine) -> None:
    with database.connect() as connection:
        connection.execute(text("drop schema debitum cascade"))
        connection.commit()
        migrations.migrate(connection, target="0002")
    done = threading.Event()

    def migrate() -> None:
        with database.connect() as connection:
            migrations.migrate(connection)
        done.set()

    with database.connect() as other, database.connect() as looking:
        other.execute(text("select pg_advisory_xact_lock(hashtext('debitum schema'))"))
        thread = threading.Thread(target=migrate)
        thread.start()
        waiting = (
            "select count(*) from pg_locks join pg_database d on d.oid = database"
            " where locktype = 'advisory' and not granted and datname = current_database()"
        )
        try:
            wait_until(lambda: looking.scalar(text(waiting)))
            assert migrations.current(looking) == "0002"
        finally:
            other.rollback()
            looking.rollback()
            thread.join(60)
        assert done.is_set()
        assert migrations.current(looking) == revisions.newest()


def test_a_table_in_use_is_not_waited_for_for_ever(
    database: Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 0.2)
    with database.connect() as connection:
        connection.execute(text("drop schema debitum cascade"))
        connection.commit()
        migrations.migrate(connection, target="0002")
    with psycopg.connect(urls.libpq_url(database_url)) as reader:
        reader.execute("select from debitum.transactions")
        assert cli.main(["migrate", "--data-dir", str(tmp_path)]) == commands.WRONG
        told = capsys.readouterr().err
        assert "in use for more than 0.2 s. Nothing has changed" in told
        assert "run `debitum migrate`" in told
    with database.connect() as connection:
        assert migrations.current(connection) == "0002"
    assert cli.main(["migrate", "--data-dir", str(tmp_path)]) == commands.OK


def test_a_schema_that_is_too_new_or_too_old_is_refused_with_what_to_do(
    database: Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DEBITUM_KEYS", "k1:" + "QUFB" * 10 + "QUE=")
    for revision, told in (("9999", "does not know: a newer version has migrated it"), ("0009", "run `debitum migrate` first")):
        with database.begin() as connection:
            connection.execute(text("update debitum.alembic_version set version_num = :revision"), {"revision": revision})
        assert cli.main(["outbox", "list", "--data-dir", str(tmp_path)]) == commands.WRONG
        assert told in capfd.readouterr().err
        if revision == "9999":
            for command in (["migrate"], ["up", "--no-dagster", "--port", str(free_port())]):
                assert cli.main([*command, "--data-dir", str(tmp_path)]) == commands.WRONG
                assert told in "".join(capfd.readouterr())  # `up` writes a line of the log where it has no terminal


async def test_a_server_is_ready_on_a_later_schema_and_not_on_an_earlier_one(
    database: Engine, database_url: str, tmp_path: Path
) -> None:
    api = Process(tmp_path, database_url, 1)
    try:
        await api.listens()
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as http:
            for revision, status, said in (("9999", 200, "newer"), ("0009", 503, "`debitum migrate`")):
                with database.begin() as connection:
                    connection.execute(text("update debitum.alembic_version set version_num = :to"), {"to": revision})
                answer = await http.get("/health/ready")
                assert (answer.status_code, said in answer.text) == (status, True), answer.text
    finally:
        api.close()
