"""Erasure as Dagster runs it: nothing of who asked for it is found anywhere, whatever became of the run before it."""

import asyncio
import datetime
import hashlib
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import httpx
import msgspec
import psutil
import pytest
from sqlalchemy import Engine, func, insert, select, text, update

from notifications import channels
from notifications.channel import Sent
from notifications.message import EmailTarget, Message, PushTarget
from pipelines import definitions
from pipelines.defs import resources
from pipelines.defs.erasure import assets, erasing
from storage import tables
from storage.backup import erased, shelf
from storage.snapshots import questions, writing
from storage.snapshots.places import Root
from storage.snapshots.tables import BALANCES
from tests.api.test_sync import event, lent
from tests.fixtures.api import PASSWORD
from tests.fixtures.instances import instance_at
from tests.fixtures.process import Process
from tests.pipelines import dying, haystack, postings
from tests.pipelines.postings import Posting
from tests.storage import test_rebuild
from tests.storage.test_ledgers import RING


@pytest.fixture
def template(template_with_dagster: str) -> str:
    return template_with_dagster


@pytest.fixture
def kept(database_url: str, jobs: resources.Database, data_folder: resources.DataFolder) -> Iterator[dg.DagsterInstance]:
    """Dagster as it is installed: events in Postgres, the output of runs under the data folder."""
    home = data_folder.root / "dagster"
    home.mkdir()
    with instance_at(database_url, home) as instance:
        yield instance


@pytest.fixture
def running(database_url: str, data_folder: resources.DataFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """The API, whose log is a file of the data folder."""
    (data_folder.root / "logs").mkdir()
    monkeypatch.setenv("DEBITUM_KEYS", RING)
    process = Process(data_folder.root / "logs", database_url, 1, environment={"DEBITUM_KEYS": RING})
    yield process
    process.close()


def run(instance: dg.DagsterInstance, job: str, *, partition_key: str | None = None) -> dict[str, Any]:
    """Run a job of the code location; the metadata of the asset that it wrote last, if it writes any."""
    found = definitions.defs.resolve_job_def(job)
    result = found.execute_in_process(instance=instance, partition_key=partition_key, raise_on_error=False)
    assert result.success, [each.event_specific_data for each in result.all_events if each.is_failure]
    written = [each.materialization.metadata for each in result.all_events if each.is_step_materialization]
    return {name: value.value for name, value in written[-1].items()} if written else {}


class Person:
    """Somebody who uses everything, and whose every word begins with `mark`."""

    def __init__(self, url: str, mark: str, amount: int) -> None:
        self.url, self.mark, self.amount = url, mark, amount
        self.ids: list[str] = []
        self.token = ""

    @property
    def words(self) -> list[str]:
        """Everything that they told us."""
        names = ["name", "contact", "phone", "notes", "item", "device", "push", "message", "token", "refused", "description"]
        mails = [f"{self.mark}-address@example.org", f"{self.mark}-mail@example.net"]
        return [str(self.amount), f"{self.amount / 100:,.2f}", *mails, *(f"{self.mark}-{name}" for name in names)]

    @property
    def sealed(self) -> set[str]:
        """What is encrypted where it is stored: nobody finds it before or after."""
        return {f"{self.mark}-mail@example.net", *(f"{self.mark}-{name}" for name in ("phone", "push", "refused"))}

    async def live(self) -> None:
        """Register, write things down, and be refused once."""
        mark, device_id = self.mark, str(uuid.uuid4())
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as http:
            self._http = http
            account = {"email": f"{mark}-address@example.org", "password": PASSWORD, "name": f"{mark}-name"}
            answer = await self._send(
                "POST", "/api/auth/register", account | {"device": {"id": device_id, "name": f"{mark}-device"}}
            )
            self.token = answer["access_token"]
            http.headers["Authorization"] = f"Bearer {self.token}"
            await self._send("PUT", f"/api/devices/{device_id}", {"push": {"kind": "token", "value": f"{mark}-push"}})
            made = await self._send("POST", "/api/tokens", {"name": f"{mark}-token", "scope": "read"})
            soon = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)).isoformat()
            person = {"name": f"{mark}-contact", "phone": f"{mark}-phone", "email": f"{mark}-mail@example.net"}
            events = [
                event("contact", "CREATED", person | {"notes": f"{mark}-notes"}),
                event("contact", "CREATED", {"name": f"{mark}-refused", "nothing": 1}),
            ]
            contact_id = events[0]["aggregate_id"]
            thing = {"contact_id": contact_id, "direction": "lent", "type": "item", "item": f"{mark}-item", "amount": 1}
            debt = event("transaction", "CREATED", lent(contact_id, self.amount, description=f"{mark}-description"))
            about = {"transaction_id": debt["aggregate_id"], "message": f"{mark}-message", "remind_at": soon}
            events += [debt, event("transaction", "CREATED", thing), event("reminder", "CREATED", about)]
            pushed = await self._send("POST", "/api/sync/push", {"events": events})
            assert [one["status"] for one in pushed["results"]] == ["accepted", "rejected", *["accepted"] * 3]
            self.ids = [answer["user"]["id"], answer["ledger_id"], device_id, made["id"]]
            self.ids += [one["aggregate_id"] for one in events if one is not events[1]] + [one["id"] for one in events]

    async def balance(self) -> httpx.Response:
        """What they see."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30, headers={"Authorization": f"Bearer {self.token}"}) as http:
            return await http.get("/api/balances")

    async def _send(self, method: str, path: str, body: dict[str, Any]) -> Any:
        answer = await self._http.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json()


def rows_of(database: Engine, person: Person) -> dict[str, list[str]]:
    """Every row that has an id or a word of theirs."""
    with database.begin() as connection:
        names = connection.scalars(text("select tablename from pg_tables where schemaname = 'debitum'")).all()
        found = {name: connection.scalars(text(f"select t::text from debitum.{name} t order by 1")).all() for name in names}
    needles = [person.mark, *person.ids]
    return {name: [row for row in rows if any(one in row for one in needles)] for name, rows in found.items()}


async def test_nothing_is_found_of_who_was_erased(
    database: Engine, database_url: str, data_folder: resources.DataFolder, kept: dg.DagsterInstance, running: Process
) -> None:
    await running.listens()
    ada, bo = Person(running.url, "canaria", 987_654_321), Person(running.url, "bovary", 912_873_465)
    await ada.live()
    await bo.live()
    await asyncio.sleep(1.2)  # the reminder is due
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    for job, key in (
        ("materialise_balances", None),
        ("remind", None),
        ("dispatch", None),
        ("snapshot_today", today),
        ("audit", None),
    ):
        await asyncio.to_thread(run, kept, job, partition_key=key)
    before = haystack.read(database, database_url, data_folder.root)
    told = [*ada.words, *ada.ids]
    assert {one for one in told if not haystack.places(before, one)} <= ada.sealed, "the search finds what is there"
    assert {place.partition("/")[0] for place in haystack.places(before, ada.ids[1])} == {"the database", "snapshots"}
    assert {place.partition("/")[0] for place in haystack.places(before, ada.words[1])} == {"mail", "push"}
    others = rows_of(database, bo)

    with database.begin() as connection:
        connection.execute(text("update debitum.users set deleting_at = clock_timestamp() where name = 'canaria-name'"))
    metadata = await asyncio.to_thread(run, kept, "erasure")
    assert {name: metadata[name] for name in ("users", "failed", "snapshot_files")} == {
        "users": 1,
        "failed": 0,
        "snapshot_files": 6,  # transactions, balances, postings, deliveries, reminders, dim_ledger
    }
    with database.connect() as connection:
        [recorded] = connection.scalars(text("select removed from debitum.erasures")).all()
    assert (recorded["files"], recorded["events"], recorded["rejections"], recorded["balances"]) == (3, 4, 1, 1)
    assert (metadata["files"], metadata["rows"]) == (3, sum(recorded.values()) - 3 - 6)
    after = haystack.read(database, database_url, data_folder.root)
    assert {one: haystack.places(after, one) for one in told if haystack.places(after, one)} == {}
    assert {one for one in [*bo.words, *bo.ids] if not haystack.places(after, one)} <= bo.sealed

    assert rows_of(database, bo) == others
    assert test_rebuild.findings(database) == []
    test_rebuild.run(database)
    assert test_rebuild.findings(database) == []
    assert ((await ada.balance()).status_code, (await bo.balance()).status_code) == (401, 200)


# --- killed, and what goes wrong ------------------------------------------------------------------------------------

LONG_AGO = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
DAYS = [datetime.date(2026, 3, day) for day in (1, 2)]


@dataclass
class Leaver:
    """A user who is due, with a debt, two mails and a push."""

    ledger_id: UUID
    user_id: UUID
    files: set[str]


def leaver(database: Engine, root: Path, *, due: bool = True) -> Leaver:
    with database.begin() as connection:
        ledger_id = postings.ledger(connection)
        postings.commit(connection, ledger_id, Posting(UUID(int=1), 500))
        mine = tables.users.c.ledger_id == ledger_id
        user = connection.execute(
            update(tables.users).where(mine).values(deleting_at=LONG_AGO if due else None).returning(tables.users)
        ).one()
    ways = channels.from_environment({}, root)
    note = Message(id=uuid.uuid4(), key="-", kind="due", to=EmailTarget(user.email), subject="-", text="-", created_at=LONG_AGO)
    notes = [note, msgspec.structs.replace(note, id=uuid.uuid4())]
    notes.append(msgspec.structs.replace(note, id=uuid.uuid4(), to=PushTarget(user_id=user.id)))
    outcomes = [ways["push" if isinstance(one.to, PushTarget) else "email"][0].send(one, now=LONG_AGO) for one in notes]
    return Leaver(ledger_id, user.id, {outcome.detail for outcome in outcomes if isinstance(outcome, Sent)})


def kept_files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for folder in ("mail", "push") for path in (root / folder).iterdir()}


def in_snapshots(root: Path) -> set[str]:
    return {str(row[0]) for row in questions.query(Root(root), "select ledger_id from balances")[1]}


def counts(database: Engine) -> dict[str, int]:
    with database.connect() as connection:
        named = (tables.users, tables.ledgers, tables.postings, tables.erasures)
        return {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in named}


def test_killed_anywhere_the_next_run_ends_it(
    database: Engine, database_url: str, jobs: resources.Database, data_folder: resources.DataFolder
) -> None:
    root = data_folder.root
    gone, stays = leaver(database, root), leaver(database, root, due=False)
    for day in DAYS:
        writing.write(jobs.begin, Root(root), BALANCES, day)
    with database.begin() as connection:
        connection.execute(select(tables.ledgers).where(tables.ledgers.c.id == gone.ledger_id).with_for_update())
        program = [sys.executable, "-P", dying.__file__, database_url, str(root)]
        with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
            try:
                postings.until(lambda: postings.waiting(database) == 1)  # three have died by themselves, over files
                [child] = psutil.Process(process.pid).children()
                child.kill()
                ended, _ = process.communicate(timeout=30)
            finally:
                process.kill()
    assert json.loads(ended) == [signal.SIGKILL] * dying.DEATHS
    assert counts(database) == {"users": 2, "ledgers": 2, "postings": 2, "erasures": 0}
    done = [erasing.erase_all(jobs.begin, Root(root), now=datetime.datetime.now(datetime.UTC)) for _ in range(2)]
    assert [(each.users, each.failed) for each in done] == [(1, {}), (0, {})]
    assert counts(database) == {"users": 1, "ledgers": 1, "postings": 1, "erasures": 1}
    assert (kept_files(root), in_snapshots(root)) == (stays.files, {str(stays.ledger_id)})
    assert list(root.glob("snapshots/*/*/.building-*")) == []


def test_who_cannot_be_erased_keeps_nobody_and_fails_the_run(
    database: Engine, jobs: resources.Database, data_folder: resources.DataFolder, instance: dg.DagsterInstance
) -> None:
    root = data_folder.root
    held, gone = leaver(database, root), leaver(database, root)
    now = datetime.datetime.now(datetime.UTC)
    message = {"ledger_id": held.ledger_id, "id": uuid.uuid4(), "dedupe_key": "-", "kind": "reset", "channel": "email"}
    times = {"created_at": now, "next_at": now, "lease_until": now + datetime.timedelta(minutes=1)}
    with database.begin() as connection:
        connection.execute(insert(tables.outbox).values(**message, **times, payload={}, state="leased"))
    result = erase(jobs, data_folder, instance)
    told = failure(result)
    assert told.description == "users who could not be erased: 1 (a message is on its way)"
    assert told.metadata["users"].value == 1
    assert (counts(database)["users"], counts(database)["erasures"]) == (1, 1)
    with database.begin() as connection:
        connection.execute(text("update debitum.outbox set lease_until = now()"))
    assert erase(jobs, data_folder, instance).success
    assert (counts(database)["users"], kept_files(root)) == (0, set())
    assert gone.files


def test_an_error_tells_nobody_whose_it_was(
    database: Engine, jobs: resources.Database, data_folder: resources.DataFolder, instance: dg.DagsterInstance
) -> None:
    """Here a folder in the place of a file; its name, like that of a key, could be anything."""
    held = leaver(database, data_folder.root)
    with database.begin() as connection:
        address = connection.execute(select(tables.users.c.email)).scalar_one()
    (data_folder.root / "mail" / f"{address}.eml").mkdir()
    result = erase(jobs, data_folder, instance)
    assert failure(result).description == "users who could not be erased: 1 (IsADirectoryError)"
    stored = [str(record.to_json()) for record in instance.all_logs(result.run_id)]
    assert [one for one in stored if address in one or str(held.user_id) in one or str(held.ledger_id) in one] == []
    assert counts(database)["users"] == 1


def test_who_comes_back_with_a_backup_is_erased_again(
    database: Engine, jobs: resources.Database, data_folder: resources.DataFolder, instance: dg.DagsterInstance
) -> None:
    leaver(database, data_folder.root)
    kept = {}
    with database.begin() as connection:
        for table in (tables.users, tables.ledgers, tables.postings):
            kept[table] = [dict(row) for row in connection.execute(select(table)).mappings()]
    assert erase(jobs, data_folder, instance).success
    assert [one.ledger for one in erased.read(data_folder.root / shelf.FOLDER)] == [_digest(kept[tables.users][0]["ledger_id"])]
    kept[tables.users][0]["deleting_at"] = None
    with database.begin() as connection:
        for table, rows in kept.items():
            connection.execute(insert(table).values(rows))
    result = erase(jobs, data_folder, instance)
    [written] = result.asset_materializations_for_node("erasure_report")
    assert (written.metadata["came_back_with_a_backup"].value, written.metadata["users"].value) == (1, 1)
    assert counts(database) == {"users": 0, "ledgers": 0, "postings": 0, "erasures": 2}


def _digest(ledger_id: UUID) -> str:
    return hashlib.sha256(ledger_id.bytes).hexdigest()


def failure(result: dg.ExecuteInProcessResult) -> Any:
    """What a run that failed said."""
    [event] = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data.user_failure_data


def erase(jobs: resources.Database, data_folder: resources.DataFolder, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    bound = {"database": jobs, "data_folder": data_folder}
    return dg.materialize([assets.erasure_report], instance=instance, resources=bound, raise_on_error=False)
