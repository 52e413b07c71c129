"""Nobody's data is in any log: canaries go through the API's process and Dagster's runs, failures included."""

import asyncio
import contextlib
import datetime
import email
import email.policy
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import psycopg.sql
from aiosmtpd.smtp import SMTP, Envelope, Session
from websockets.asyncio.client import connect

import pipelines
from api import sockets
from storage import names, urls
from tests.fakes.smtp import FakeSmtp
from tests.fixtures import database
from tests.fixtures.process import Process

EVERYTHING = {"DEBITUM_LOG_LEVEL": "debug"}
AMOUNT = 87_654_321
SAID: Mapping[str, str] = {
    "password": "kanarie-korrekt-pferd",
    "wrong password": "kanarie-falsch-pferd",
    "e-mail": "zacharias@kanarien.example",
    "refused e-mail": "absent@kanarien.example",
    "user": "Quittenbaum",
    "contact": "Federleicht",
    "contact's e-mail": "wilhelmine@kanarien.example",
    "phone": "+4915177889911",
    "note": "velvet curtains",
    "message": "ask for the samovar",
    "device": "Zacharias' pocket",
    "push token": "kanarie-push-4711",
    "amount": str(AMOUNT),
    "amount in a mail": "876,543.21",
    "amount with a point": "876543.21",
    "made-up token": "kanarie-token-0815",
}
"""What people say to the server. Tokens that it gives out come on top."""

LEAKY = """
create function public.leak() returns trigger language plpgsql as $$ begin
    raise exception 'cannot take %', new using detail = format('Failing row contains (%s)', new);
end $$;
create trigger leak before insert on debitum.users for each row when (new.name like '%fails') execute function public.leak();
alter table debitum.contacts add constraint leak check (name not like '%fails');
create sequence public.once;
grant usage on sequence public.once to public;
create function public.leak_once() returns trigger language plpgsql as $$ begin
    if nextval('public.once') = 1 then raise exception 'cannot take %', new; end if;
    return new;
end $$;
create trigger leak before insert on debitum.balances for each row execute function public.leak_once();
"""
"""Errors whose texts are rows: two of the API's, and one in a run of Dagster's, the first time only."""

RUNS = """
import sys
import dagster as dg
import structlog
from pipelines.location import defs
marker, *names = sys.argv[1:]

@dg.op
def speak():
    print(marker)

@dg.job
def planted():
    speak()

with dg.DagsterInstance.get() as instance:
    structlog.get_logger("planted").info("planted", value=marker)
    planted.execute_in_process(instance=instance)
    preview = {"preview": dg.MetadataValue.md(marker)}
    instance.report_runless_asset_event(dg.AssetMaterialization("planted", metadata=preview))
    for name in names:
        job, _, partition = name.partition("@")
        run = defs.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=partition or None, raise_on_error=False
        )
        sys.stderr.write(f"{job} {'succeeded' if run.success else 'failed'}\\n")
"""


@dataclass
class Scene:
    """What there is to look for, and where: by the place's name everything that is written there."""

    canaries: dict[str, str] = field(default_factory=lambda: dict(SAID))
    places: dict[str, str] = field(default_factory=dict)
    marker: str = field(default_factory=lambda: f"marker-{uuid.uuid4().hex}")

    def leaks(self) -> list[str]:
        """Which canary sits where."""
        return [
            f"{what} in {place}"
            for place, text in self.places.items()
            for what, canary in self.canaries.items()
            if canary.lower() in text.lower()
        ]


class RefusesOne(FakeSmtp):
    """Does not know one address, and says so by repeating it."""

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if address == SAID["refused e-mail"]:
            return f"550 5.1.1 <{address}>: {SAID['user']} is unknown here"
        return await super().handle_RCPT(server, session, envelope, address, options)


def play(server: str, folder: Path) -> Scene:
    """Everything has happened, and what was written is in `places`."""
    played = Scene()
    with database.cloned(server) as url, RefusesOne() as mail_server:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(LEAKY)
        process = Process(folder, url, 1, environment=EVERYTHING)
        try:
            asyncio.run(_use_the_api(process, played))
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"update debitum.users set email_verified_at = now() where email = '{SAID['e-mail']}'")
            _run(url, folder, mail_server.port, played)
            texts = [_text_of(mail) for mail in mail_server.mails]
            assert any(SAID["amount in a mail"] in text for text in texts)
            [played.canaries["link of a mail"]] = re.findall(r"token=([\w-]{43})", "".join(texts))
            assert list((folder / "data" / "push").glob("*.json"))
        finally:
            played.places["the API's output"] = process.last_words()
            process.close()
        played.places |= _tables(url) | _postgres(url, played.marker)
    return played


async def _use_the_api(process: Process, scene: Scene) -> None:
    await process.listens()
    async with httpx.AsyncClient(base_url=process.url, timeout=30) as http:
        await _live(process, http, scene)
        await _fail(http, scene)
    await _speak_badly(process.url)


async def _live(process: Process, http: httpx.AsyncClient, scene: Scene) -> None:
    """What a user does."""
    account = {"email": SAID["e-mail"], "password": SAID["password"], "name": SAID["user"], "time_zone": "UTC"}
    device = {"device": {"name": SAID["device"], "platform": "canary"}}
    me = (await http.post("/api/auth/register", json={**account, **device})).raise_for_status().json()
    scene.canaries |= {"access token": me["access_token"], "refresh token": me["refresh_token"]}
    (await http.post("/api/auth/register", json={**account, "email": SAID["refused e-mail"]})).raise_for_status()
    http.headers["Authorization"] = f"Bearer {me['access_token']}"
    token = (await http.post("/api/tokens", json={"name": SAID["note"], "scope": "write"})).raise_for_status().json()
    scene.canaries["personal token"] = token["token"]
    push = {"push": {"kind": "token", "value": SAID["push token"]}}
    (await http.put(f"/api/devices/{me['device_id']}", json=push)).raise_for_status()
    names = {"name": SAID["contact"], "phone": SAID["phone"], "email": SAID["contact's e-mail"], "notes": SAID["note"]}
    contact = (await http.post("/api/contacts", json=names)).raise_for_status().json()
    debt = {"contact_id": contact["id"], "direction": "lent", "amount": AMOUNT, "description": SAID["note"]}
    debt = (await http.post("/api/transactions", json=debt)).raise_for_status().json()
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(milliseconds=300)
    ways = {"channels": ["email", "push"], "transaction_id": debt["id"]}
    wish = {"remind_at": soon.isoformat(), "contact_id": contact["id"], "message": SAID["message"], **ways}
    (await http.post("/api/reminders", json=wish)).raise_for_status()
    (await http.post("/api/auth/password/forgot", json={"email": SAID["e-mail"]})).raise_for_status()
    async with connect(process.url.replace("http", "ws") + sockets.PATH) as socket:
        await socket.send(json.dumps({"type": "auth", "token": me["access_token"]}))
        assert json.loads(await socket.recv())["type"] == "ready"


async def _fail(http: httpx.AsyncClient, scene: Scene) -> None:
    """What goes wrong for a user, with the values in the request; the last two are mistakes of the server."""
    own, text = SAID["e-mail"], {"Content-Type": "application/json"}
    login = {"email": own, "password": SAID["wrong password"]}
    assert (await http.post("/api/auth/login", json=login)).status_code == 401
    assert (await http.post("/api/auth/refresh", json={"refresh_token": SAID["made-up token"]})).status_code == 401
    assert (await http.get("/api/me", headers={"Authorization": f"Bearer {SAID['made-up token']}"})).status_code == 401
    assert (await http.post("/api/contacts", json={SAID["note"]: SAID["phone"]})).status_code == 400
    assert (await http.post("/api/contacts", content=f'{{"{SAID["contact"]}', headers=text)).status_code == 400
    assert (await http.get("/api/contacts", params={SAID["user"]: own})).status_code == 400
    assert (await http.get("/api/contacts", params={"cursor": SAID["made-up token"]})).status_code == 400
    assert (await http.get(f"/{SAID['contact']}", params={"token": SAID["made-up token"]})).status_code == 404
    assert (await http.get("/reset", params={"token": SAID["made-up token"]})).status_code == 200
    marked = {"X-Request-ID": scene.marker}
    names = {"name": f"{SAID['contact']} fails", "notes": SAID["note"]}
    assert (await http.post("/api/contacts", json=names, headers=marked)).status_code == 500
    account = {"email": f"x{own}", "password": SAID["password"], "name": f"{SAID['user']} fails"}
    assert (await http.post("/api/auth/register", json=account, headers=marked)).status_code == 500


async def _speak_badly(url: str) -> None:
    """What is no HTTP at all."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(f"GET /?{SAID['e-mail']} HTTP/1.1\r\nHost: x\r\n{SAID['user']} {SAID['phone']}\r\n\r\n".encode())
    assert b" 400 " in await reader.readline()
    writer.close()


def _run(url: str, folder: Path, smtp_port: int, scene: Scene) -> None:
    """Dagster's runs, with an instance of its own in the database and in `folder`."""
    home = folder / "dagster"
    home.mkdir()
    shutil.copy(Path(pipelines.__path__[0]) / "dagster.yaml", home)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DEBITUM_", "DATABASE_"))}
    settings = {
        "DATABASE_URL": url,
        "DEBITUM_DATA_DIR": str(folder / "data"),
        "DEBITUM_DAGSTER_DATABASE_URL": urls.psycopg2_url(url, schema=names.DAGSTER_SCHEMA),
        "DEBITUM_PUBLIC_URL": "https://debitum.example",
        "DAGSTER_HOME": str(home),
        "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
        **EVERYTHING,
    }
    today = f"{datetime.datetime.now(datetime.UTC):%F}"
    jobs = ("remind", "dispatch", "materialise_balances", "materialise_balances", f"snapshot_today@{today}", "check_balances")
    command = [sys.executable, "-P", "-c", RUNS, scene.marker, *jobs]
    ran = subprocess.run(command, env=inherited | settings, capture_output=True, text=True, timeout=240, check=False)
    ends = re.findall(r"^\w+ (succeeded|failed)$", ran.stderr, re.MULTILINE)
    assert ends == ["succeeded", "succeeded", "failed", *["succeeded"] * 3], ran.stderr[-4_000:]
    scene.places["the output of Dagster's runs"] = ran.stdout + ran.stderr
    files = [file for file in home.rglob("*") if file.is_file()]
    scene.places["compute logs"] = "".join(file.read_text() for file in files if "compute_logs" in file.parts)
    scene.places["files of Dagster"] = "".join(file.read_bytes().decode(errors="replace") for file in files)


def _text_of(mail: Envelope) -> str:
    assert isinstance(mail.content, bytes)
    body = email.message_from_bytes(mail.content, policy=email.policy.default).get_body(("plain",))
    assert body is not None
    return str(body.get_payload(decode=True))


def _tables(url: str) -> dict[str, str]:
    """Everything in Dagster's tables, some of which it packs."""
    found: list[str] = []
    with psycopg.connect(url) as connection:
        names = connection.execute("select tablename from pg_tables where schemaname = 'dagster'").fetchall()
        for (name,) in names:
            for row in connection.execute(psycopg.sql.SQL("select * from dagster.{}").format(psycopg.sql.Identifier(name))):
                found += [_unpacked(value) if isinstance(value, bytes) else str(value) for value in row]
    return {"Dagster's tables": "\n".join(found)}


def _unpacked(value: bytes) -> str:
    with contextlib.suppress(zlib.error):
        value = zlib.decompress(value)
    return value.decode(errors="replace")


def _postgres(url: str, marker: str) -> dict[str, str]:
    """What the embedded server has written, for every database of this run of tests."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"do $$ begin raise log '{marker}'; end $$")
        [folder] = connection.execute("show data_directory").fetchone() or [""]
    return {"Postgres's log": (Path(folder) / "log").read_text(errors="replace")}


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_nobodys_data_is_in_any_log_and_what_happened_is(server: str, tmp_path: Path) -> None:
    """One test, for one scene: workers that share the tests would each play it anew, for twenty seconds."""
    scene = play(server, tmp_path)
    check_that_nobodys_data_is_there(scene)
    check_that_the_search_finds_what_is_there(scene)
    check_that_every_line_of_the_api_is_json_and_those_of_a_request_bear_its_id(scene)
    check_that_a_failure_is_told_by_types_codes_and_frames(scene)
    check_that_lines_of_a_run_bear_its_id(scene)


def check_that_nobodys_data_is_there(scene: Scene) -> None:
    assert len(scene.canaries) == len(SAID) + 4
    assert scene.leaks() == []


def check_that_the_search_finds_what_is_there(scene: Scene) -> None:
    planted = Scene({"marker": scene.marker}, scene.places)
    assert planted.leaks() == [f"marker in {place}" for place in scene.places]
    assert len(scene.places) == 6


def check_that_every_line_of_the_api_is_json_and_those_of_a_request_bear_its_id(scene: Scene) -> None:
    said = scene.places["the API's output"].splitlines()
    assert all(line.startswith('{"timestamp":"') for line in said)
    mine = [line for line in lines("\n".join(said)) if line.get("request_id") == scene.marker]
    assert [(line["logger"], line["event"], line["level"]) for line in mine] == [
        ("api.lane", "write_failed", "error"),
        ("api", "request_failed", "error"),
        ("api", "request", "info"),
        ("api", "request_failed", "error"),
        ("api", "request", "info"),
    ]
    ids = [line["request_id"] for line in lines("\n".join(said)) if line["event"] == "request"]
    assert len(ids) == len(set(ids)) + 1, "two requests had the marker, no other two had the same"


def check_that_a_failure_is_told_by_types_codes_and_frames(scene: Scene) -> None:
    chains = [line["exception"] for line in lines(scene.places["the API's output"]) if line["event"] == "request_failed"]
    [check], [wrapped, raised] = chains
    assert (check["type"], check["sqlstate"]) == ("psycopg.errors.CheckViolation", "23514")
    assert (check["constraint"], check["table"]) == ("leak", "contacts")
    assert any(frame.startswith("api.lane:") for frame in check["frames"])
    assert (wrapped["type"], raised["type"]) == ("sqlalchemy.exc.ProgrammingError", "psycopg.errors.RaiseException")
    assert any(frame.startswith("storage.identity:") for frame in wrapped["frames"])
    kept = scene.places["Dagster's tables"]
    assert "psycopg.errors.RaiseException" in kept
    assert "storage/balances.py" in kept


def check_that_lines_of_a_run_bear_its_id(scene: Scene) -> None:
    [refused] = [line for line in lines(scene.places["compute logs"]) if line["event"] == "message_not_sent"]
    assert (refused["outcome"], refused["state"]) == ("permanent", "dead")
    assert refused["run_id"] in scene.places["Dagster's tables"]
    assert any(line["logger"] == "dagster.run" for line in lines(scene.places["the output of Dagster's runs"]))
