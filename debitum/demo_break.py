"""`debitum demo --break`: plants a fault and shows the whole way from the alert to the mend, on a stack of its own."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from sqlalchemy import text

from debitum import demo, demo_stack, repair, schema, settings
from debitum.demo import Finding
from debitum.demo_stack import DemoError, Stack
from debitum.settings import Settings

OPERATOR: Final = "operator@example.org"
OWED: Final = 4_250
STOLEN: Final = 1_000
"""What the fault takes away from a balance, in minor units."""
PATIENCE_SECONDS: Final = 120.0
_CHECK: Final = """
query Check($run: ID!) {
  runOrError(runId: $run) { ... on Run { eventConnection(limit: 1000) { events {
    ... on AssetCheckEvaluationEvent { evaluation { checkName success description } }
  } } } }
}
"""


def run(where: Settings) -> bool:
    """Play it, and tell what came of it; True when everything was noticed, told and mended. Raises DemoError."""
    console = Console(highlight=False)
    say = partial(console.print, markup=False, soft_wrap=True)
    began = time.monotonic()
    with (
        demo_stack.own(where.data_dir / "demo", say, {"OPERATOR_EMAIL": OPERATOR}) as stack,
        httpx.Client(base_url=stack.api, timeout=30) as api,
    ):
        right = True
        for step in _story(stack, api):
            finding = step()
            demo.tell(console, finding)
            right = right and finding.right
            if not right:
                break
        verdict = "noticed, told and mended" if right else "that is not how it should go"
        console.print(f"\n[bold]{verdict}[/bold] ({time.monotonic() - began:.0f} s)")
    return right


def _story(stack: Stack, api: httpx.Client) -> list[Callable[[], Finding]]:
    """The steps in their order; what one finds out, those after it know."""
    folder = settings.load({}, stack.data_dir / "none.env", {"DEBITUM_DATA_DIR": str(stack.data_dir)})
    ledger = str(demo.register(api)["ledger_id"])
    scene = _Scene(stack, api, folder, ledger)
    return [
        scene.balance_is_right,
        scene.plant,
        scene.check_fails,
        scene.operator_is_told,
        scene.verify_names_it,
        scene.mend,
        scene.all_is_right,
    ]


@dataclass(frozen=True)
class _Scene:
    """A stack, and in it a ledger that somebody is owed money in."""

    stack: Stack
    api: httpx.Client
    folder: Settings
    ledger: str

    def balance_is_right(self) -> Finding:
        """As long as nothing is wrong."""
        contact = demo.answer_of(self.api.post("/api/contacts", json={"name": demo.DEBTOR}))
        debt = {"contact_id": contact["id"], "direction": "lent", "amount": OWED, "description": demo.DEBT}
        demo.answer_of(self.api.post("/api/transactions", json=debt))
        covered = _until(lambda: (held := self._balances())["materialized_version"] == held["version"])
        return Finding(f"{demo.DEBTOR} owes {OWED} cents, and Dagster's balances say so", covered and self._owed() == OWED, ())

    def plant(self) -> Finding:
        """Somebody writes into the table, past everything that Debitum does."""
        wrong = text("update debitum.balances set amount = amount - :stolen where ledger_id = :ledger")
        with schema.opened(self.folder, "debitum-demo") as found, found.begin() as connection:
            rows = connection.execute(wrong, {"stolen": STOLEN, "ledger": self.ledger}).rowcount
        owed = self._owed()
        return Finding(
            f"planted: a row of the table balances is wrong, and the API says {owed} cents",
            rows == 1 and owed == OWED - STOLEN,
            (str(wrong),),
        )

    def check_fails(self) -> Finding:
        """What runs every night, now."""
        passed, lines = self._checks("check_balances")
        return Finding("the nightly check finds it", not passed and bool(lines), lines)

    def operator_is_told(self) -> Finding:
        """By the first mail that is addressed to them, past the outbox."""
        told = _until(lambda: self._alerts() != {})
        lines = [line for text in self._alerts().values() for line in text.splitlines()]
        return Finding(f"an alert is mailed to {OPERATOR}", told, tuple(lines))

    def verify_names_it(self) -> Finding:
        """What the runbook says first."""
        lines = list[str]()
        found = repair.prove(self.folder, lambda line: lines.append(str(line)), self.ledger)
        return Finding(f"debitum verify --ledger {self.ledger}", found == 1, tuple(lines))

    def mend(self) -> Finding:
        """What it says next."""
        status = self._run("resum_balances")[1]
        return Finding("the job resum_balances sums the postings anew", status == "SUCCESS", ())

    def all_is_right(self) -> Finding:
        """Nothing is left of it."""
        passed, lines = self._checks("check_balances")
        owed = self._owed()
        return Finding(f"the check passes, and the API says {owed} cents", passed and owed == OWED, lines)

    def _balances(self) -> Mapping[str, Any]:
        return demo.answer_of(self.api.get("/api/balances"))

    def _owed(self) -> int:
        return sum(int(item["amount"]) for item in self._balances()["items"])

    def _alerts(self) -> dict[Path, str]:
        mails = demo.mails(self.stack.data_dir / "mail")
        return {path: f"{mail['Subject']}\n{demo.text_of(mail)}" for path, mail in mails if OPERATOR in str(mail["To"])}

    def _checks(self, job: str) -> tuple[bool, tuple[str, ...]]:
        """Run a job of checks: whether all passed, and what they say."""
        run = self._run(job)[0]
        events = demo_stack.ask_dagster(self.stack.dagster, _CHECK, run=run)["runOrError"]["eventConnection"]["events"]
        found = [event["evaluation"] for event in events if "evaluation" in event]
        lines = tuple(f"{one['checkName']}: {one['description']}" for one in found)
        return bool(found) and all(one["success"] for one in found), lines

    def _run(self, job: str) -> tuple[str, str]:
        """Launch a job as an operator does on Dagster's page, and wait for its end: its id and its status."""
        launched = list[str]()

        def launch() -> bool:
            """The code server may still be starting."""
            with suppress(httpx.HTTPError, DemoError):
                launched.append(demo_stack.launch(self.stack.dagster, job))
            return bool(launched)

        if not _until(launch):
            raise DemoError(f"Dagster does not start the job {job}")
        [run] = launched
        _until(lambda: demo_stack.status(self.stack.dagster, run) in demo_stack.ENDED)
        return run, demo_stack.status(self.stack.dagster, run)


def _until(happened: Callable[[], bool]) -> bool:
    """Whether it happened before patience was at its end."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(demo_stack.LOOK_SECONDS)
    return True
