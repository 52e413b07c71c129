"""A process that sends what is in the outbox, as a run of `dispatch` does it, and ends when nothing is left or is killed."""

import datetime
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import func, select

from notifications.fcm import FcmPush
from notifications.links import Links
from notifications.message import EmailTarget
from notifications.sendgrid import SendGridMail
from pipelines.defs.dispatch import delivery
from storage import tables
from storage.encryption import KeyRing
from storage.engine import Begin

LOOK_SECONDS: Final = 0.1
"""Between two rounds; in place of the sensor's 5 s and a process's start."""
_LINKS: Final = Links("https://debitum.example")
_SENDER: Final = EmailTarget("debitum@debitum.example")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of `dispatch` takes from pipelines.defs.dispatch.jobs, which would load Dagster; and how this differs."""

    url: str
    senders: int
    budget_seconds: float
    timeout_seconds: float = 10.0
    jitter: float = 0.0
    """Of the wait after a failure, 0 … 1: near 0 only what the provider asks for is waited for."""
    until_stopped: bool = False
    """Goes on when nothing is left."""

    @property
    def budget(self) -> datetime.timedelta:
        """Of a round."""
        return datetime.timedelta(seconds=self.budget_seconds)


def main(options: Options) -> None:
    """Rounds in which all lanes send until nothing is ready for them, as in a run."""
    with ExitStack() as stack:
        begin = stack.enter_context(delivery.transactions(options.url))
        lanes = _lanes(options, begin, stack)
        while options.until_stopped or _left(begin):
            delivery.drain_all(lanes, options.budget, delivery.prepare(begin, now=_now()))
            time.sleep(LOOK_SECONDS)


def _lanes(options: Options, begin: Begin, stack: ExitStack) -> list[delivery.Lane]:
    found = []
    keys, environ = KeyRing.parse(os.environ["DEBITUM_KEYS"]), os.environ
    for _ in range(options.senders):
        mail = SendGridMail(
            environ["SENDGRID_API_KEY"],
            sender=_SENDER,
            host=environ["SENDGRID_HOST"],
            timeout_seconds=options.timeout_seconds,
        )
        account, endpoint = Path(environ["FCM_CREDENTIALS"]), environ["FCM_ENDPOINT"]
        push = FcmPush(account, endpoint=endpoint, timeout_seconds=options.timeout_seconds)
        for way in (mail, push):
            stack.callback(way.close)
            found.append(delivery.Lane(begin, (way,), _LINKS, _now, keys, lambda: options.jitter))
    return found


def _left(begin: Begin) -> int:
    with begin() as connection:
        open_ = tables.outbox.c.state.in_(("pending", "leased"))
        return connection.execute(select(func.count()).select_from(tables.outbox).where(open_)).scalar_one()


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Options))
