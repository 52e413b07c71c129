"""Erasure as Dagster runs it: nothing of who asked for it is found anywhere, whatever became of the run before it."""

import asyncio
import datetime
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from sqlalchemy import Engine, text

import pipelines
from pipelines import definitions
from pipelines.defs import resources
from storage import engine, rebuild
from tests.api.test_sync import event, lent
from tests.fixtures.api import PASSWORD
from tests.fixtures.process import Process
from tests.pipelines import haystack
from tests.storage.test_rebuild import findings


@pytest.fixture
def kept(
    database_url: str, jobs: resources.Database, data_folder: resources.DataFolder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """Dagster as it is installed: events in Postgres, the output of runs under the data folder."""
    home = data_folder.root / "dagster"
    home.mkdir()
    shutil.copy(Path(pipelines.__file__).with_name("dagster.yaml"), home)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("DEBITUM_DAGSTER_DATABASE_URL", engine.psycopg2_url(database_url, schema="dagster"))
    with dg.DagsterInstance.get() as instance:
        yield instance


@pytest.fixture
def running(database_url: str, data_folder: resources.DataFolder) -> Iterator[Process]:
    """The API, whose log is a file of the data folder."""
    (data_folder.root / "logs").mkdir()
    process = Process(data_folder.root / "logs", database_url, 1)
    yield process
    process.close()


def run(instance: dg.DagsterInstance, job: str, *, partition_key: str | None = None) -> dict[str, Any]:
    """Run a job of the code location; the metadata of what it wrote last."""
    found = definitions.defs.resolve_job_def(job)
    result = found.execute_in_process(instance=instance, partition_key=partition_key, raise_on_error=False)
    assert result.success, [each.event_specific_data for each in result.all_events if each.is_failure]
    [*_, last] = [each for each in result.all_events if each.is_step_materialization]
    return {name: value.value for name, value in last.materialization.metadata.items()}


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
    for job, key in (("materialise_balances", None), ("remind", None), ("dispatch", None), ("snapshot_balances", today)):
        await asyncio.to_thread(run, kept, job, partition_key=key)
    before = haystack.read(database, database_url, data_folder.root)
    told = [*ada.words, *ada.ids]
    assert [one for one in told if not haystack.places(before, one)] == [], "the search finds what is there"
    assert {place.partition("/")[0] for place in haystack.places(before, ada.ids[1])} == {"the database", "snapshots"}
    assert {place.partition("/")[0] for place in haystack.places(before, ada.words[1])} == {"mail", "push"}
    others = rows_of(database, bo)

    with database.begin() as connection:
        connection.execute(text("update debitum.users set deleting_at = clock_timestamp() where name = 'canaria-name'"))
    metadata = await asyncio.to_thread(run, kept, "erasure")
    assert {name: metadata[name] for name in ("users", "failed", "snapshot_files")} == {
        "users": 1,
        "failed": 0,
        "snapshot_files": 1,
    }
    with database.connect() as connection:
        [recorded] = connection.scalars(text("select removed from debitum.erasures")).all()
    assert (recorded["files"], recorded["events"], recorded["rejections"], recorded["balances"]) == (3, 4, 1, 1)
    assert (metadata["files"], metadata["rows"]) == (3, sum(recorded.values()) - 3 - 1)
    after = haystack.read(database, database_url, data_folder.root)
    assert {one: haystack.places(after, one) for one in told if haystack.places(after, one)} == {}
    assert [one for one in [*bo.words, *bo.ids] if not haystack.places(after, one)] == []

    assert rows_of(database, bo) == others
    assert findings(database) == []
    with database.connect() as connection:
        rebuild.rebuild(connection)
    assert findings(database) == []
    assert ((await ada.balance()).status_code, (await bo.balance()).status_code) == (401, 200)
