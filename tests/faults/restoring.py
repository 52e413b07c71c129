"""A backup is made under load, the server is lost, another begins with what the backup has; and the same to a point in time."""

import asyncio
import datetime
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psycopg
from psycopg import conninfo

from debitum import backups
from debitum.database import Database
from pipelines.defs.erasure import erasing
from storage import embedded, urls, verify
from storage.backup import shelf
from storage.encryption import KeyRing, new_ring
from storage.snapshots.places import Root
from tests.faults import checker, history, scenes
from tests.faults.household import Figures, Household, household, sent_again
from tests.faults.providers import now
from tests.fixtures.api import PASSWORD
from tests.fixtures.process import Process

PASSPHRASE: Final = "a passphrase of the drill"
COMMAND_SECONDS: Final = 300


def debitum(folder: Path, *arguments: str, environment: Mapping[str, str], code: int = 0) -> str:
    """What the command `debitum` says, in a folder without a .env; it has to end with `code`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DEBITUM_", "DATABASE_"))}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "debitum", *arguments],
        env={**kept, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == code, f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    assert PASSPHRASE not in done.stdout + done.stderr
    return done.stdout + done.stderr


def acknowledged(seen: list[history.Operation], *, before: float) -> set[str]:
    """The ids that were acknowledged by then, in monotonic seconds."""
    pushes = [one for one in seen if isinstance(one, history.Push) and one.end < before]
    return {outcome.id for push in pushes for outcome in push.outcomes if outcome.taken}


def ids(url: str) -> set[str]:
    """Of all events that a database has."""
    with psycopg.connect(urls.libpq_url(url)) as connection:
        return {str(event_id) for (event_id,) in connection.execute("select event_id from debitum.events")}


def commands() -> list[str]:
    """The three steps to a point in time, as docs/operations.md has them: to archive, to have a base, to go back."""
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    section = page.split("### To a point in time\n")[1].split("\n## ")[0]
    found = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(found) == 3
    return found


@dataclass
class _Leaver:
    """Somebody whose account is older than the backup, and who is erased after it."""

    email: str

    @classmethod
    async def of(cls, url: str) -> "_Leaver":
        email = f"leaver-{time.time_ns()}@example.org"
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            answer = await http.post("/api/auth/register", json={"email": email, "password": PASSWORD})
            http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            (await http.post("/api/contacts", json={"name": "Leaver's friend", "phone": "+4915177889911"})).raise_for_status()
        return cls(email)

    def erased(self, url: str, data: Path) -> None:
        """By the job, as the night does it."""
        with psycopg.connect(urls.libpq_url(url)) as connection:
            connection.execute("update debitum.users set deleting_at = now() where email = %s", (self.email,))
        with backups.begins(Database(url, None, "")) as begin:
            done = erasing.erase_all(begin, Root(data), now=now())
        assert (done.users, dict(done.failed)) == (1, {})

    def is_there(self, url: str) -> bool:
        with psycopg.connect(urls.libpq_url(url)) as connection:
            return connection.execute("select from debitum.users where email = %s", (self.email,)).fetchone() is not None


async def a_backup_is_restored(
    folder: Path, url: str, *, workers: int, writers: int, seconds: float, seed: int, lose: Callable[[], object] = lambda: None
) -> Figures:
    """A backup of `url` while `writers` devices write, which go on for `seconds`; then all but it and the devices is lost.

    The new machine has the file with the list beside it, and the passphrase: no database, and no keys.
    """
    ring, secret, kept, new = new_ring(), folder / "passphrase", folder / "kept", folder / "new"
    secret.write_text(f"{PASSPHRASE}\n")
    kept.mkdir()
    sealed = {"DEBITUM_BACKUP_PASSPHRASE_FILE": str(secret)}
    old = {"DATABASE_URL": url, "DEBITUM_KEYS": ring, "DEBITUM_DATA_DIR": str(kept), **sealed}
    process = Process(folder, url, workers, environment={"DEBITUM_KEYS": ring})
    try:
        await process.listens()
        leaver = await _Leaver.of(process.url)
        async with household(process.url, folder, users=writers // 2, devices=writers, seed=seed) as home:
            async with home.at_work():
                await asyncio.sleep(seconds)
                began = time.monotonic()
                said = await asyncio.to_thread(debitum, folder, "backup", environment=old)
                await asyncio.sleep(seconds)
            leaver.erased(url, kept)
            assert acknowledged(home.seen, before=time.monotonic()) <= ids(url)
            process.close()
            lose()
            assert "the keys are in it" in said
            [backup] = shelf.backups(kept / shelf.FOLDER)
            environment = {"DEBITUM_DATA_DIR": str(new), **sealed}
            said = await asyncio.to_thread(debitum, folder, "restore", str(backup.path), environment=environment)
            assert "1 of the ledgers had been erased since" in said
            return await _goes_on(folder, new, process.url, workers, home, leaver, Began(began), _keys(new))
    finally:
        process.close()


def _keys(data: Path) -> Mapping[str, str]:
    """Those that the restore has put there."""
    return {"DEBITUM_KEYS": (data / "secrets").read_text().strip()}


def _findings(url: str, ring: KeyRing) -> list[str]:
    """Whatever does not follow from the logs."""
    with backups.begins(Database(url, None, "")) as begin:
        found = []
        for ledger_id in verify.ledgers(begin):
            with begin() as connection:
                found += [finding.line() for finding in verify.verify(connection, ledger_id, ring)]
        return found


@dataclass(frozen=True)
class Began:
    """A moment that was gone back to: by the clock of this process, and where it is known by Postgres's."""

    monotonic: float
    at: datetime.datetime | None = None


async def _goes_on(
    folder: Path, new: Path, url: str, workers: int, home: Household, leaver: _Leaver, began: Began, keys: Mapping[str, str]
) -> Figures:
    """The server at the same address, on what was restored, until all devices agree with it."""
    database = embedded.start(new).url
    try:
        forgotten = acknowledged(home.seen, before=time.monotonic()) - ids(database)
        assert acknowledged(home.seen, before=began.monotonic) <= ids(database), "what was acknowledged before it is missing"
        assert forgotten, "nothing was written since the backup: this drill shows nothing"
        assert began.at is None or _newest(database) <= began.at, "something is there that was recorded later"
        assert not leaver.is_there(database), "who was erased is back"
        home.epoch += 1
        process = Process(folder, database, workers, int(url.rpartition(":")[2]), keys)
        try:
            await process.listens()
            await home.come_to_rest()
            logs = await home.logs()
            found = checker.check(home.seen, logs)
            assert found == [], [violation.text for violation in found[:5]]
            again = {event_id for _, event_id in sent_again(home.seen)}
            assert again == forgotten, "devices bring back what the backup lacks, and nothing else"
            assert forgotten <= ids(database)
            assert _findings(database, KeyRing.parse(keys["DEBITUM_KEYS"])) == []
        finally:
            process.close()
        summary = checker.summary(home.seen, logs)
        return Figures(acknowledged=summary.acknowledged, lost=summary.lost, twice=summary.twice, stops=1, restored=1)
    finally:
        embedded.stop(new, mode="immediate")


# --- to a point in time ---------------------------------------------------------------------------------------------


async def a_point_in_time_is_recovered(folder: Path, *, workers: int, writers: int, seconds: float, seed: int) -> Figures:
    """Devices write while a base backup is taken, and on; then the server is put back to a moment between, by the manual.

    A device that remembers brings the rest back, and who was erased after the moment stays erased.
    """
    data, ring = folder / "data", new_ring()
    archive, base, back = commands()
    with scenes.postgres(data) as url:
        given = {"PGDATA": str(data / "pgdata"), "ARCHIVE": str(folder / "archive"), "BASE": str(folder / "base")}
        _shell(archive, url, given)
        embedded.stop(data)
        embedded.start(data)
        process = Process(folder, url, workers, environment={"DEBITUM_KEYS": ring})
        try:
            await process.listens()
            leaver = await _Leaver.of(process.url)
            async with household(process.url, folder, users=writers // 2, devices=writers, seed=seed) as home:
                async with home.at_work():
                    await asyncio.to_thread(_shell, base, url, given)
                    await asyncio.sleep(seconds)
                    before = time.monotonic()
                    target = _clock(url)
                    await asyncio.sleep(seconds)
                leaver.erased(url, data)
                process.close()
                await asyncio.to_thread(_archived, url, folder / "archive")
                embedded.stop(data, mode="immediate")
                _shell(back, url, {**given, "TARGET": target.isoformat(sep=" ")})
                environment = {"DEBITUM_DATA_DIR": str(data), "DEBITUM_KEYS": ring}
                said = await asyncio.to_thread(debitum, folder, "recovered", target.isoformat(), environment=environment)
                assert "erased: 1 users" in said
                began = Began(before, target)
                return await _goes_on(folder, data, process.url, workers, home, leaver, began, {"DEBITUM_KEYS": ring})
        finally:
            process.close()


def _shell(script: str, url: str, given: Mapping[str, str]) -> None:
    """As somebody runs it who has set what the manual names."""
    parts = conninfo.conninfo_to_dict(urls.libpq_url(url))
    server = {"PGHOST": str(parts["host"]), "PGUSER": str(parts["user"]), "PGDATABASE": str(parts["dbname"])}
    path = f"{embedded.programs()}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        env={**os.environ, **server, **given, "PATH": path},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"


def _newest(url: str) -> datetime.datetime:
    with psycopg.connect(urls.libpq_url(url)) as connection:
        [(moment,)] = connection.execute("select max(recorded_at) from debitum.events")
        found: datetime.datetime = moment
        return found


def _clock(url: str) -> datetime.datetime:
    with psycopg.connect(urls.libpq_url(url)) as connection:
        [(moment,)] = connection.execute("select clock_timestamp()")
        found: datetime.datetime = moment.astimezone(datetime.UTC)
        return found


def _archived(url: str, archive: Path) -> None:
    """Return when what was written until now is in the archive."""
    with psycopg.connect(urls.libpq_url(url), autocommit=True) as connection:
        [(segment,)] = connection.execute("select pg_walfile_name(pg_switch_wal())")
    deadline = time.monotonic() + COMMAND_SECONDS
    while not (archive / segment).exists():
        assert time.monotonic() < deadline, "nothing is archived"
        time.sleep(0.1)  # a folder tells nobody what has come into it
