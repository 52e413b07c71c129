"""`debitum demo`: the whole way of a debt, from the import of a phone's backup to the mail, with Dagster's own schedules."""

import email
import email.policy
import json
import secrets
import time
import uuid
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from debitum import demo_stack
from debitum.demo_stack import DemoError, Stack
from debitum.settings import Settings
from storage.snapshots import places, questions

SAMPLE: Final = Path(__file__).parent / "samples" / "debitum-large.zip"
EXPECTED: Final = SAMPLE.with_suffix(".json")
ZONE: Final = zoneinfo.ZoneInfo("Europe/Berlin")
CURRENCY: Final = "EUR"
DEBTOR: Final = "Demo Dana"
DEBT: Final = "concert tickets"
NOTE: Final = "Ask for the tent before the weekend"
LEAD_SECONDS: Final = 5
"""The due hour is at least this far ahead when the debt is written down: what was due before is not sent."""
PATIENCE_SECONDS: Final = 180.0
"""Dagster has this long; each of its ticks comes within a minute, and a run takes some seconds."""
LOOK_SECONDS: Final = 1.0
ROWS_SHOWN: Final = 5
SNAPSHOT_QUESTION: Final = (
    "select day, contact_id, currency, amount, provisional from balances "
    "where ledger_id = '$ledger' and day = (select max(day) from balances) order by amount desc"
)
PAGE: Final = 200


@dataclass(frozen=True)
class Finding:
    """One thing that the demo shows: whether it is right, and what is there to see."""

    what: str
    right: bool
    lines: tuple[str, ...]


def run(settings: Settings, *, keep: bool = False) -> bool:
    """Play the demo and tell what came of it; True when all of it is right. `keep`: stay until Ctrl-C.

    Raises DemoError when it cannot even be played.
    """
    console = Console(highlight=False)
    say = partial(console.print, markup=False, soft_wrap=True)
    began = time.monotonic()
    with demo_stack.ready(settings, say) as stack, httpx.Client(base_url=stack.api, timeout=120) as api:
        try:
            findings = _play(stack, api, console)
        except httpx.HTTPError as error:
            raise DemoError(f"the API at {stack.api} failed: {error}") from error
        for finding in findings:
            tell(console, finding)
        right = all(finding.right for finding in findings)
        verdict = "everything is right" if right else "something is wrong, see above"
        console.print(f"\n[bold]{verdict}[/bold] ({time.monotonic() - began:.0f} s)")
        if keep:
            console.print(f"The API is at {stack.api}, Dagster at {stack.dagster}. Ctrl-C ends it.")
            _stay()
    return right


def tell(console: Console, finding: Finding) -> None:
    """Print it."""
    mark = "[green]✓[/green]" if finding.right else "[red]✗[/red]"
    console.print(f"\n{mark} [bold]{finding.what}[/bold]")
    for line in finding.lines:
        console.print(f"    {line}", markup=False, soft_wrap=True)


def _stay() -> None:
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(LOOK_SECONDS)


def _play(stack: Stack, api: httpx.Client, console: Console) -> list[Finding]:
    user = register(api)
    console.print(f"registered {user['user']['email']}")
    expected = json.loads(EXPECTED.read_text())
    answer = _import(api, expected, console)
    counts = {name: expected[name] for name in ("contacts", "transactions", "items")}
    took_over = Finding(
        f"imported {answer['contacts']} contacts, {answer['transactions']} transactions, {answer['items']} of them items",
        {name: answer[name] for name in counts} == counts,
        tuple(f"skipped {skipped['count']} {skipped['what']}: {skipped['reason']}" for skipped in answer["skipped"]),
    )
    at = write_down_what_is_due(api)
    console.print(f"added a debt that is due today at {at.astimezone(ZONE):%H:%M}, and a reminder for the same minute")
    seen = wait_for_dagster(stack, api, user, console)
    return [took_over, _balances(api, expected["balances"], console), *seen]


def register(api: httpx.Client) -> dict[str, Any]:
    """A new user, as whom `api` speaks from here on. Raises DemoError."""
    body = {
        "email": f"demo-{uuid.uuid4().hex[:8]}@example.org",
        "password": secrets.token_urlsafe(),
        "name": "Demo",
        "time_zone": ZONE.key,
        "default_currency": CURRENCY,
        "device": {"name": "debitum demo"},
    }
    user = answer_of(api.post("/api/auth/register", json=body))
    api.headers["Authorization"] = f"Bearer {user['access_token']}"
    return user


def answer_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON of an answer. Raises DemoError, with what it says, where it is an error."""
    if response.is_error:
        raise DemoError(f"{response.request.method} {response.request.url.path}: {response.status_code} {response.text}")
    answer: dict[str, Any] = response.json()
    return answer


def _import(api: httpx.Client, expected: Mapping[str, Any], console: Console) -> dict[str, Any]:
    """Send the backup; the ledger's version says how far the server is."""
    total = expected["contacts"] + expected["transactions"]
    columns = (TextColumn("importing {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ThreadPoolExecutor(1) as pool, Progress(*columns, console=console) as progress:
        task = progress.add_task(SAMPLE.name, total=total)
        sending: Future[httpx.Response] = pool.submit(
            api.post, "/api/import/debitum", content=SAMPLE.read_bytes(), headers={"Content-Type": "application/zip"}
        )
        while not sending.done():
            progress.update(task, completed=answer_of(api.get("/api/sync/hash"))["version"])
            time.sleep(0.1)
        answer = answer_of(sending.result())
        progress.update(task, completed=answer["version"])
    return answer


def write_down_what_is_due(api: httpx.Client) -> datetime:
    """The next full minute: when the debt is due and the reminder comes."""
    at = (datetime.now(UTC) + timedelta(seconds=LEAD_SECONDS)).replace(second=0, microsecond=0) + timedelta(minutes=1)
    local = at.astimezone(ZONE)
    answer_of(api.patch("/api/me", json={"reminder_settings": {"local_time": f"{local:%H:%M}"}}))
    contact = answer_of(api.post("/api/contacts", json={"name": DEBTOR}))
    debt = {"contact_id": contact["id"], "direction": "lent", "amount": 4_250, "description": DEBT}
    answer_of(api.post("/api/transactions", json={**debt, "due_date": local.date().isoformat()}))
    answer_of(api.post("/api/reminders", json={"remind_at": at.isoformat(), "message": NOTE, "channels": ["email"]}))
    return at


def wait_for_dagster(stack: Stack, api: httpx.Client, user: Mapping[str, Any], console: Console) -> list[Finding]:
    """What Dagster did by itself. What is not there in time is a finding that is not right."""
    address, ledger_id = user["user"]["email"], user["ledger_id"]
    looks: dict[str, Callable[[], Finding]] = {
        "balances": lambda: _materialized(api),
        "mail": lambda: _mail(stack.data_dir / "mail", address),
        "snapshot": lambda: _snapshot(api, stack, ledger_id),
        "run": lambda: _run_page(stack.dagster),
    }
    findings: dict[str, Finding] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    with console.status("") as status:
        while True:
            for name, look in looks.items():
                if name not in findings or not findings[name].right:
                    findings[name] = look()
            missing = [name for name, finding in findings.items() if not finding.right]
            if not missing or time.monotonic() > deadline:
                return list(findings.values())
            status.update(f"waiting for Dagster's schedules and sensors: {', '.join(missing)}")
            time.sleep(LOOK_SECONDS)


def _materialized(api: httpx.Client) -> Finding:
    held = answer_of(api.get("/api/balances"))
    covered, version = held["materialized_version"], held["version"]
    return Finding(f"Dagster's balances cover seq {covered}; the ledger is at {version}", covered == version, ())


def _mail(folder: Path, address: str) -> Finding:
    found = [(path, mail) for path, mail in mails(folder) if address in str(mail["To"])]
    texts = [text_of(mail) for _, mail in found]
    due = any(DEBTOR in text for text in texts)
    reminded = any(NOTE in text for text in texts)
    lines = tuple(f"{mail['Subject']}  ({path})" for path, mail in found)
    return Finding("the mails of the due debt and of the reminder were written", due and reminded, lines)


def text_of(mail: EmailMessage) -> str:
    """Its plain part."""
    body = mail.get_body(("plain",))
    return "" if body is None else str(body.get_content())


def mails(folder: Path) -> Iterator[tuple[Path, EmailMessage]]:
    """The mails that were written to files, oldest first."""
    for path in sorted(folder.glob("*.eml")):
        with suppress(FileNotFoundError), path.open("rb") as file:
            yield path, email.message_from_binary_file(file, policy=email.policy.default)


def _snapshot(api: httpx.Client, stack: Stack, ledger_id: str) -> Finding:
    """Whether the newest day in the Parquet files says what the API says."""
    question = SNAPSHOT_QUESTION.replace("$ledger", str(uuid.UUID(ledger_id)))
    try:
        columns, rows = questions.query(places.Root.of(stack.data_dir, stack.snapshot_url), question)
    except questions.QueryError as error:
        return Finding("the snapshot can be asked", right=False, lines=(str(error),))
    held = {(item["contact_id"], item["currency"]): item["amount"] for item in answer_of(api.get("/api/balances"))["items"]}
    taken = {(str(contact), str(currency)): amount for _, contact, currency, amount, _ in rows if amount}
    shown = [" | ".join(map(str, row)) for row in rows[:ROWS_SHOWN]]
    return Finding(
        f"the day's snapshot has {len(rows)} rows of this ledger, equal to the API's balances",
        right=taken == held,
        lines=(
            f'debitum sql --data-dir {stack.data_dir} "{question}"',
            " | ".join(columns),
            *shown,
            *(["…"] if len(rows) > ROWS_SHOWN else []),
        ),
    )


def _balances(api: httpx.Client, expected: Mapping[str, int], console: Console) -> Finding:
    """Every person of the sample against the sample's own sums."""
    found = {contact["name"]: contact["balances"] for contact in _contacts(api)}
    table = Table("person", "in the backup", "in the ledger", "", title="balances, in cents; positive: they owe the user")
    equal = 0
    for name, amount in expected.items():
        held = {balance["currency"]: balance["amount"] for balance in found.get(name, [])}
        right = name in found and held == ({CURRENCY: amount} if amount else {})
        equal += right
        table.add_row(name, f"{amount:,}", f"{held.get(CURRENCY, 0):,}", "✓" if right else "✗")
    for column in table.columns[1:3]:
        column.justify = "right"
    console.print(table)
    return Finding(f"{equal} of {len(expected)} people have the balance that the sample says", equal == len(expected), ())


def _contacts(api: httpx.Client) -> Iterator[dict[str, Any]]:
    parameters: dict[str, Any] = {"limit": PAGE}
    while True:
        page = answer_of(api.get("/api/contacts", params=parameters))
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        parameters["cursor"] = page["next_cursor"]


_NEWEST: Final = """
query Newest($key: AssetKeyInput!) {
  assetOrError(assetKey: $key) { ... on Asset { assetMaterializations(limit: 1) { runOrError { ... on Run { runId status } } } } }
}
"""


def _run_page(dagster: str) -> Finding:
    """Where the operator sees the run that materialised the balances last."""
    try:
        asset = demo_stack.ask_dagster(dagster, _NEWEST, key={"path": ["balances"]})["assetOrError"]
    except (httpx.HTTPError, DemoError) as error:
        return Finding("Dagster's pages answer", right=False, lines=(str(error),))
    newest = asset.get("assetMaterializations") or [{"runOrError": {}}]
    run = newest[0]["runOrError"]
    if "runId" not in run:
        return Finding("Dagster knows the run that materialised the balances", right=False, lines=())
    title = f"Dagster's page of the run that materialised the balances ({run['status'].lower()})"
    return Finding(title, run["status"] == "SUCCESS", (f"{dagster}/runs/{run['runId']}",))
