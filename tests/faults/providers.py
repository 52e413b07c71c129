"""SendGrid and FCM on loopback for thousands of messages: what each was asked for, what it accepted, and how it misbehaves."""

import datetime
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

from tests.fakes.fcm import SENT, Google, fcm, new_private_key, refusal
from tests.fakes.http import RESET, Answer, Asked, FakeHttp, Reply

Kind = Literal["ok", "error", "busy", "limited", "hang", "reset", "garbage", "refused"]
"""Accepted; 500; 503 with a time; 429, mostly with one; nothing for long; a connection that breaks; 200 without sense;
refused for good: the mail (400), or the device that a push goes to (UNREGISTERED)."""

ACCEPTING: Final = ("ok", "hang")
"""Whoever hangs has taken the message and says so when nobody listens any more: the worst it can do."""
SHARES: Final[dict[Kind, float]] = {
    "error": 0.10,
    "busy": 0.05,
    "limited": 0.05,
    "hang": 0.05,
    "reset": 0.05,
    "garbage": 0.02,
    "refused": 0.02,
}
"""Of the calls to a provider that misbehaves; the rest is accepted."""
SLOW_SHARE, SLOW, HANGING = 0.05, 0.4, 1.5
"""Some answers take that part of the time that the caller has for them, whatever they say; whoever hangs takes more than all."""


class Turn(NamedTuple):
    """What becomes of a call: the answer after `seconds`, and for how many more it asks to be left alone (0: it does not say)."""

    kind: Kind
    seconds: float
    wait_seconds: int = 0


Script = Callable[[], Turn]


@dataclass
class Call:
    """A call for `message`, which is there `at`, and before when the answer to it asked not to be called again."""

    message: str
    at: datetime.datetime
    kind: Kind
    not_before: datetime.datetime | None = None

    @property
    def accepted(self) -> bool:
        """Whether the message will be delivered because of this call."""
        return self.kind in ACCEPTING


def steady(seconds: float, kind: Kind = "ok") -> Script:
    """The same for every call."""
    return lambda: Turn(kind, seconds)


def misbehaving(seconds: float, timeout_seconds: float, waits: Sequence[int], seed: int) -> Script:
    """A provider with SHARES of each fault, which mostly answers after `seconds`, to a caller who waits for `timeout_seconds`.

    `waits`: seconds that it asks for when it is busy.
    """
    dice, alone = random.Random(seed), threading.Lock()

    def turn() -> Turn:
        with alone:
            kind = dice.choices([*SHARES, "ok"], [*SHARES.values(), 1 - sum(SHARES.values())])[0]
            slow = dice.random() < SLOW_SHARE
            wait = dice.choice(waits if kind == "busy" else (0, *waits))
        if kind == "hang":
            return Turn(kind, timeout_seconds * HANGING)
        return Turn(kind, timeout_seconds * SLOW if slow else seconds, wait if kind in ("busy", "limited") else 0)

    return turn


class Desk:
    """What both providers do with a call; `script` may be replaced at any time."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.calls: list[Call] = []
        self.in_flight = 0
        self._alone = threading.Lock()

    @contextmanager
    def attend(self, message: str, rest: Callable[[float], None]) -> Iterator[tuple[Call, Turn]]:
        """The call is noted and has waited for its answer, which leaves at the end of the block."""
        turn = self.script()
        call = Call(message, now(), turn.kind)
        with self._alone:
            self.calls.append(call)
            self.in_flight += 1
        try:
            rest(turn.seconds)
            yield call, turn
        finally:
            with self._alone:
                self.in_flight -= 1


class Provider(Protocol):
    """A fake with a desk."""

    desk: Desk


class SendGrid(FakeHttp):
    """Takes mails, and knows each by its debitum_id."""

    def __init__(self, script: Script) -> None:
        super().__init__(self._mail)
        self.desk = Desk(script)

    def _mail(self, asked: Asked) -> Reply:
        self.asked.clear()  # thousands, and the desk knows what matters of them
        with self.desk.attend(asked.json["custom_args"]["debitum_id"], self.rest) as (call, turn):
            match turn.kind:
                case "ok" | "hang":
                    return Answer(202, b"", {"X-Message-Id": "4711"})
                case "error":
                    return Answer(500, {"errors": [{"message": "oh"}]})
                case "busy":
                    return Answer(503, {"errors": [{"message": "busy"}]}, _retry_after(call, turn))
                case "limited":
                    return Answer(429, {"errors": [{"message": "too many requests"}]}, _reset(call, turn))
                case "garbage":
                    return Answer(200, b"<html>")
                case "refused":
                    return Answer(400, {"errors": [{"message": "no such mailbox"}]})
                case "reset":
                    return RESET


class Fcm(Google):
    """Takes pushes, and knows each by the key in its data."""

    def __init__(self, folder: Path, script: Script) -> None:
        super().__init__(folder, new_private_key())
        self.desk = Desk(script)

    def push(self, asked: Asked) -> Reply:
        self.asked.clear()
        with self.desk.attend(asked.json["message"]["data"]["key"], self.rest) as (call, turn):
            match turn.kind:
                case "ok" | "hang":
                    return SENT
                case "error":
                    return refusal(500, "INTERNAL")
                case "busy":
                    return refusal(503, "UNAVAILABLE", headers=_retry_after(call, turn))
                case "limited":
                    return refusal(429, "RESOURCE_EXHAUSTED", headers=_retry_after(call, turn))
                case "garbage":
                    return Answer(200, b"<html>")
                case "refused":
                    return refusal(404, "NOT_FOUND", fcm("UNREGISTERED"))
                case "reset":
                    return RESET


def _retry_after(call: Call, turn: Turn) -> dict[str, str]:
    if not turn.wait_seconds:
        return {}
    call.not_before = now() + datetime.timedelta(seconds=turn.wait_seconds)
    return {"Retry-After": str(turn.wait_seconds)}


def _reset(call: Call, turn: Turn) -> dict[str, str]:
    """A whole second since 1970, as SendGrid tells it; the one that is under way is over by then."""
    epoch = int(now().timestamp()) + max(turn.wait_seconds, 1)
    call.not_before = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    return {"X-RateLimit-Reset": str(epoch)}


def now() -> datetime.datetime:
    """The time, as the dispatcher reads it on the same machine."""
    return datetime.datetime.now(datetime.UTC)


@contextmanager
def both(folder: Path, mails: Script, pushes: Script) -> Iterator[tuple[SendGrid, Fcm]]:
    """Both providers, and in `folder` the account by which one signs in to Google."""
    with SendGrid(mails) as sendgrid, Fcm(folder, pushes) as google:
        google.write_account()
        yield sendgrid, google


def settings(sendgrid: SendGrid, google: Fcm) -> dict[str, str]:
    """The environment of a Debitum that sends through them."""
    return {
        "SENDGRID_API_KEY": "SG.test",
        "SENDGRID_HOST": sendgrid.url,
        "FCM_CREDENTIALS": str(google.account),
        "FCM_ENDPOINT": google.url,
    }
