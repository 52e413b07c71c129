"""Asks how long a mail takes that somebody waits for, and a reminder after its tick: from the API to the mail server."""

import contextlib
import datetime
import email
import email.policy
import math
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx
from aiosmtpd.smtp import SMTP, Envelope, Session

from bench import harness
from bench.traffic import PASSWORD
from debitum import demo_stack
from tests.fakes.smtp import FakeSmtp
from tests.faults.stack import stack


class Plan(NamedTuple):
    """How much is measured."""

    mails: int
    reminders: int
    """One in each minute from the beginning."""


SHORT, LONG = Plan(mails=8, reminders=1), Plan(mails=100, reminders=10)
GAP_SECONDS = (3.0, 12.0)
"""Between two mails that are asked for: more and less than the sensor's interval, and never in step with it."""
TICK_SECONDS = 60
MAIL_GOAL_SECONDS, REMINDER_GOAL_SECONDS = 20.0, 60.0
PATIENCE_SECONDS = 150.0
"""Of a mail, which is a failure then."""
LOOK_SECONDS = 0.1
"""Between two looks at what has come; when it came, the mail server knows."""
VERIFY, RESET = "/verify?token=", "/reset?token="
_MEANT = re.compile(r"(/verify\?token=|/reset\?token=|note \d+)(\S*)")
"""What a mail is about: the beginning of its link, before the token, or the note of the reminder."""

Key = tuple[str, str]
"""An address, and what the mail to it is about."""


@dataclass
class Mailbox(FakeSmtp):
    """A mail server that remembers when it said yes, by the wall clock, as ticks have it."""

    arrived: list[tuple[Key, float]] = field(default_factory=list)
    tokens: dict[Key, str] = field(default_factory=dict)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take the mail."""
        at, reply = time.time(), await super().handle_DATA(server, session, envelope)
        content = envelope.original_content
        assert content is not None
        body = email.message_from_bytes(content, policy=email.policy.default).get_body(("plain",))
        assert body is not None
        found = _MEANT.search(body.get_content())
        assert found is not None
        key = (envelope.rcpt_tos[0], found.group(1))
        self.tokens[key] = found.group(2)
        self.arrived.append((key, at))
        return reply

    def wait_for(self, keys: Collection[Key], seconds: float) -> dict[Key, float]:
        """When each came, once all have."""
        deadline = time.monotonic() + seconds
        while missing := set(keys) - {key for key, _ in self.arrived}:
            assert time.monotonic() < deadline, f"{len(missing)} mails did not come: {sorted(missing)}"
            time.sleep(LOOK_SECONDS)
        return dict(self.arrived)


# --- the stack -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(smtp_port: int) -> Iterator[str]:
    """The API's address of a `debitum up` in a folder of its own that mails to loopback; reminders tick each minute."""
    settings = {
        "DEBITUM_REMINDER_CRON": demo_stack.EVERY_MINUTE,
        "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
        **harness.UNLIMITED,
    }
    with tempfile.TemporaryDirectory(prefix="debitum-bench-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        with stack(data, settings) as up:
            yield up.api


# --- what is asked for ---------------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A mail that somebody waits for; when the request went out and when it was answered."""

    key: Key
    sent_at: float
    answered_at: float


def mails(http: httpx.Client, count: int, dice: random.Random) -> list[Asked]:
    """Accounts at random moments, and in between a new password for the newest of them, which has asked for none before."""
    asked: list[Asked] = []
    for number in range(count):
        time.sleep(dice.uniform(*GAP_SECONDS))
        address = f"user-{number // 2}@example.org"
        asked.append(_forgot(http, address) if number % 2 else _register(http, address))
    return asked


def _register(http: httpx.Client, address: str) -> Asked:
    return _ask(http, "/api/auth/register", (address, VERIFY), {"email": address, "password": PASSWORD})


def _forgot(http: httpx.Client, address: str) -> Asked:
    return _ask(http, "/api/auth/password/forgot", (address, RESET), {"email": address})


def _ask(http: httpx.Client, path: str, key: Key, body: dict[str, str]) -> Asked:
    sent_at = time.time()
    http.post(path, json=body).raise_for_status()
    return Asked(key, sent_at, time.time())


def first(http: httpx.Client, mailbox: Mailbox) -> tuple[str, float]:
    """An account whose address is proven, and signed in on `http`; the address, and how long the first mail of a start took."""
    asked = _register(http, "first@example.org")
    came = mailbox.wait_for([asked.key], PATIENCE_SECONDS)[asked.key]
    proof = {"token": mailbox.tokens[asked.key], "password": PASSWORD}
    answer = http.post("/api/auth/verify", json=proof).raise_for_status().json()
    http.headers["Authorization"] = f"Bearer {answer['access_token']}"
    return asked.key[0], came - asked.answered_at


def reminders(http: httpx.Client, address: str, count: int, dice: random.Random) -> dict[Key, float]:
    """One in each of the next minutes, anywhere in it; when the first tick comes that can see it."""
    begin, ticks = time.time(), dict[Key, float]()
    for number in range(count):
        at = begin + TICK_SECONDS * (number + dice.uniform(0.2, 1.0))  # the first is not over when it is written down
        moment, note = datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(), f"note {number}"
        wanted = {"remind_at": moment, "message": note, "channels": ["email"]}
        http.post("/api/reminders", json=wanted).raise_for_status()
        ticks[address, note] = math.ceil(at / TICK_SECONDS) * TICK_SECONDS
    return ticks


def rows(asked: list[Asked], ticks: dict[Key, float], came: dict[Key, float]) -> list[harness.Row]:
    """Account mails since the answer, and since the request; reminders since their tick."""
    waits = [came[one.key] - one.answered_at for one in asked]
    since_sent = [came[one.key] - one.sent_at for one in asked]
    after_ticks = [came[key] - tick for key, tick in ticks.items()]
    return [
        _row("account_mail_p50", waits, 0.5, None),
        _row("account_mail_p95", waits, 0.95, MAIL_GOAL_SECONDS),
        _row("account_mail_max", waits, 1.0, None),
        _row("account_mail_since_sent_p95", since_sent, 0.95, MAIL_GOAL_SECONDS),
        harness.row("reminder_after_its_tick", after_ticks, "s", goal=REMINDER_GOAL_SECONDS),
    ]


def _row(name: str, seconds: list[float], share: float, goal: float | None) -> harness.Row:
    return harness.Row(name, harness.percentile(seconds, share), min(seconds), max(seconds), "s", "less", goal=goal)


def main() -> None:
    """Run it; with --long twelve times as many mails."""
    plan, dice = LONG if "--long" in sys.argv[1:] else SHORT, random.Random(1)
    with Mailbox() as mailbox, running(mailbox.port) as url, httpx.Client(base_url=url, timeout=30) as http:
        address, first_seconds = first(http, mailbox)
        ticks = reminders(http, address, plan.reminders, dice)
        asked = mails(http, plan.mails, dice)
        expected = [(address, VERIFY), *ticks, *(one.key for one in asked)]
        came = mailbox.wait_for(expected, PATIENCE_SECONDS + TICK_SECONDS * plan.reminders)
        assert Counter(key for key, _ in mailbox.arrived) == Counter(expected), "each came once"
    harness.report(
        "arrival_long" if plan is LONG else "arrival",
        rows(asked, ticks, came),
        plan=plan._asdict(),
        first_mail_after_a_start_seconds=round(first_seconds, 1),
    )


if __name__ == "__main__":
    main()
