"""What is done to the senders and by the providers: dispatchers killed over their calls, providers that misbehave."""

import datetime
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil
from sqlalchemy import func, select, update

from pipelines.defs.dispatch import jobs
from storage import tables
from storage.encryption import KeyRing, new_ring
from tests.faults import deliveries, providers
from tests.faults.household import Figures
from tests.faults.providers import Provider, steady
from tests.faults.scenes import postgres
from tests.faults.sender import Options
from tests.faults.stack import Stack, stack

LATENCY_SECONDS: Final = 0.05
"""Of a provider that works."""
LOOK_SECONDS: Final = 0.01
"""Between two looks at what other processes have done, who say nothing by themselves."""
RUN_LOOK_SECONDS: Final = 0.25
"""Between two looks at all processes, which cost more."""
PATIENCE_SECONDS: Final = 15.0
"""In which a run that was started begins to send: it has to load Dagster, and the machine may be busy."""
LONGEST_SENDING_SECONDS: Final = 1.0
LEAST_SECONDS: Final = 2
"""Between two kills, as the fault suite has it."""
YOUNG_SHARE: Final = 0.2
"""Of the runs: killed while they start, wherever they are."""
SHORT_JITTER: Final = 0.001
"""Of two minutes and more: what is waited for is what the provider asks for."""
SIZE_SECONDS: Final = 0.2
"""Between two looks at how large the sender is."""
WARM_CALLS: Final = 100
"""After which the sender has loaded what it needs."""
PUSH_SECONDS: Final = 0.3
"""Between two pushes that come due: a sender has found nothing more in between."""
FINISHED_SECONDS: Final = 180
"""After the last kill: a lease, a tick of the sensor, and a run."""

Say = Callable[[str], None]
"""Tells whoever waits how far it is."""


@dataclass
class Kills:
    """What was done to senders."""

    dice: random.Random
    total: int = 0
    while_sending: int = 0
    in_flight: int = 0
    """Calls in all that the providers had not answered when a sender was killed."""
    code_servers: int = 0

    def kill(self, process: psutil.Process, calls: int) -> None:
        """SIGKILL, over so many calls."""
        process.kill()
        self.total += 1
        self.while_sending += calls > 0
        self.in_flight += calls


def in_flight(*asked: Provider) -> int:
    """Calls that are not answered."""
    return sum(one.desk.in_flight for one in asked)


def called(*asked: Provider) -> int:
    """Calls so far."""
    return sum(len(one.desk.calls) for one in asked)


# --- senders are killed ---------------------------------------------------------------------------------------------


def senders_are_killed(
    folder: Path, *, messages: int, seconds: float, kills: int, code_server_kills: int, seed: int, say: Say
) -> Figures:
    """A whole Debitum sends while its runs of `dispatch` are killed, for `seconds` and until there were `kills`.

    A run takes some seconds to begin to send: a kill every 2 s would hit nothing but beginnings. So most runs are killed up
    to a second after the first call that they make, and one in five at any moment of its start; between kills lie at least
    2 s. The next run is asked for at once, as somebody does by hand, for the sensor would take its 5 s. Meanwhile the code
    server is killed `code_server_kills` times, and its run with it.
    """
    ring = new_ring()
    with postgres(folder / "data") as url, providers.both(folder, steady(LATENCY_SECONDS), steady(LATENCY_SECONDS)) as asked:
        deliveries.fill(url, KeyRing.parse(ring), messages // 2)
        with stack(folder / "data", {"DEBITUM_KEYS": ring, **providers.settings(*asked)}) as up:
            did = _kill_runs(up, asked, seconds, kills, code_server_kills, random.Random(seed), say)
            ended = time.monotonic()
            _wait_until_over(url, FINISHED_SECONDS)
            say(f"all sent {time.monotonic() - ended:.0f} s after the last kill")
            return _figures(url, asked, did, messages)


def _kill_runs(
    up: Stack,
    asked: tuple[Provider, Provider],
    seconds: float,
    kills: int,
    code_server_kills: int,
    dice: random.Random,
    say: Say,
) -> Kills:
    did, began, known = Kills(dice), time.monotonic(), 0.0
    while did.total < kills or time.monotonic() < began + seconds:
        runs = [run for run in up.runs() if run.create_time() > known]
        if not runs:
            time.sleep(RUN_LOOK_SECONDS)
            continue
        known = runs[-1].create_time()
        _wait_for_its_moment(runs[-1], asked, dice)
        if did.code_servers < code_server_kills and did.total >= (did.code_servers + 1) * kills // (code_server_kills + 1):
            did.code_servers += _kill_code_server(up)
            say(f"{time.monotonic() - began:.1f} s: the code server is killed")
            time.sleep(dice.uniform(0, LONGEST_SENDING_SECONDS))
        if runs[-1].is_running():
            calls = in_flight(*asked)
            did.kill(runs[-1], calls)
            say(f"{time.monotonic() - began:.1f} s: kill {did.total} over {calls} calls, {called(*asked)} so far")
            up.start_dispatch()
            time.sleep(LEAST_SECONDS)
    return did


def _wait_for_its_moment(run: psutil.Process, asked: tuple[Provider, Provider], dice: random.Random) -> None:
    before, began = called(*asked), time.monotonic()
    young = dice.random() < YOUNG_SHARE
    patience = dice.uniform(0, 6) if young else PATIENCE_SECONDS
    while run.is_running() and time.monotonic() < began + patience:
        if called(*asked) > before:
            time.sleep(dice.uniform(0, LONGEST_SENDING_SECONDS))
            with suppress(AssertionError):  # it has just sent everything
                _wait(lambda: in_flight(*asked) > 0, LONGEST_SENDING_SECONDS)
            return
        time.sleep(LOOK_SECONDS)


def _kill_code_server(up: Stack) -> bool:
    if (found := up.code_server()) is None:
        return False
    found.kill()
    return True


# --- the same without Dagster ---------------------------------------------------------------------------------------


def as_a_run(url: str, **different: Any) -> Options:
    """The options of a sender that is a run of `dispatch` but for what is `different`."""
    return Options(**{"url": url, "senders": jobs.SENDERS, "budget_seconds": jobs.BUDGET.total_seconds(), **different})


@contextmanager
def sender(options: Options, environment: Mapping[str, str]) -> Iterator[psutil.Popen]:
    """A process that sends as a run of `dispatch` does; killed in the end, if it has not ended."""
    command = (sys.executable, "-m", "tests.faults.sender", msgspec.json.encode(options).decode())
    process = psutil.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.is_running():
            process.kill()
        process.wait()


def processes_are_killed(folder: Path, url: str, *, messages: int, kills: int, seed: int) -> Figures:
    """Processes that do what a run does, each killed over its calls; the leases of the dead are over at once."""
    ring, did = new_ring(), Kills(random.Random(seed))
    with providers.both(folder, steady(LATENCY_SECONDS), steady(LATENCY_SECONDS)) as asked:
        deliveries.fill(url, KeyRing.parse(ring), messages // 2)
        environment = {"DEBITUM_KEYS": ring, **providers.settings(*asked)}
        for _ in range(kills):
            before = called(*asked)
            with sender(as_a_run(url), environment) as process:
                _wait(lambda: called(*asked) > before or not process.is_running(), 60)  # noqa: B023 - it is asked before the loop goes on
                time.sleep(did.dice.uniform(0, LATENCY_SECONDS * 3))
                did.kill(process, in_flight(*asked))
            _end_leases(url)
        with sender(as_a_run(url), environment) as process:
            assert process.wait(60) == 0
        return _figures(url, asked, did, messages)


def _end_leases(url: str) -> None:
    """As if two minutes had passed in which nobody sent anything."""
    ended = update(tables.outbox).where(tables.outbox.c.state == "leased").values(lease_until=providers.now())
    with deliveries.database(url) as database, database.begin() as connection:
        connection.execute(ended)


# --- providers misbehave --------------------------------------------------------------------------------------------


class Endured(msgspec.Struct, frozen=True):
    """How the sender bore it: messages by state, attempts at most by channel, how much it grew (MB), and how long it took."""

    states: dict[str, int]
    most_attempts: dict[str, int]
    calls: int
    growth_mb: float
    seconds: float


def providers_misbehave(
    folder: Path, url: str, *, messages: int, senders: int, timeout_seconds: float, waits: Sequence[int], seed: int
) -> tuple[Figures, Endured]:
    """Both providers fail in every way they can (providers.SHARES); what they ask for is heeded, and every message ends.

    Whoever hangs does so for half as long again as the sender waits. The back-off of our own is next to nothing.
    """
    ring, began = new_ring(), time.monotonic()
    scripts = [providers.misbehaving(LATENCY_SECONDS, timeout_seconds, waits, seed + number) for number in range(2)]
    with providers.both(folder, *scripts) as asked:
        deliveries.fill(url, KeyRing.parse(ring), messages // 2)
        options = as_a_run(url, senders=senders, timeout_seconds=timeout_seconds, jitter=SHORT_JITTER)
        with sender(options, {"DEBITUM_KEYS": ring, **providers.settings(*asked)}) as process:
            sizes = _sizes(process, asked)
            assert process.wait() == 0
        verdict = _judged(url, asked, messages)
    assert not verdict.states.keys() - {"sent", *deliveries.DEAD}, verdict.states
    growth = (max(sizes) - sizes[0]) / 2**20
    endured = Endured(
        dict(verdict.states), verdict.most_attempts, verdict.calls, round(growth, 1), round(time.monotonic() - began)
    )
    return Figures(messages=messages, duplicates=verdict.duplicates, duplicates_counted=verdict.duplicates_counted), endured


def _sizes(process: psutil.Popen, asked: tuple[Provider, Provider]) -> list[int]:
    """Bytes that it holds in memory, from when it has made WARM_CALLS until it ends."""
    found = []
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            size = process.memory_info().rss
            if called(*asked) >= WARM_CALLS and size:
                found.append(size)
        time.sleep(SIZE_SECONDS)
    return found


# --- a provider hangs -----------------------------------------------------------------------------------------------


def a_provider_hangs(folder: Path, url: str, *, pushes: int, timeout_seconds: float) -> tuple[list[float], list[float]]:
    """How late pushes arrive (seconds after they were ready, ascending), while mails go out and while SendGrid hangs at each."""
    ring = new_ring()
    with providers.both(folder, steady(LATENCY_SECONDS), steady(LATENCY_SECONDS)) as asked:
        deliveries.fill(url, KeyRing.parse(ring), pushes * 2 + 1)
        due = deliveries.Schedule(url)
        due.postpone_all()
        options = as_a_run(url, timeout_seconds=timeout_seconds, jitter=SHORT_JITTER, until_stopped=True)
        with sender(options, {"DEBITUM_KEYS": ring, **providers.settings(*asked)}):
            due.let(1, every_seconds=0)
            _wait(lambda: all(called(one) for one in asked), 60)
            alone = _lateness(due.let(pushes, every_seconds=PUSH_SECONDS), asked[1])
            asked[0].desk.script = steady(timeout_seconds * 1.5, "hang")
            beside = _lateness(due.let(pushes, every_seconds=PUSH_SECONDS), asked[1])
            assert in_flight(asked[0]), "SendGrid does not hang"
    return alone, beside


def _lateness(ready: Mapping[str, datetime.datetime], fcm: Provider) -> list[float]:
    arrived: dict[str, datetime.datetime] = {}

    def all_there() -> bool:
        arrived.update({call.message.rpartition(":")[0]: call.at for call in fcm.desk.calls})
        return ready.keys() <= arrived.keys()

    _wait(all_there, FINISHED_SECONDS)
    return sorted((arrived[key] - at).total_seconds() for key, at in ready.items())


# --- the end --------------------------------------------------------------------------------------------------------


def _figures(url: str, asked: tuple[Provider, Provider], did: Kills, messages: int) -> Figures:
    verdict = _judged(url, asked, messages)
    assert verdict.states == {"sent": messages}, verdict.states
    most = did.total * 2 * jobs.SENDERS
    assert verdict.duplicates <= verdict.unanswered <= most, (verdict, did)
    return Figures(
        messages=messages,
        duplicates=verdict.duplicates,
        duplicates_counted=verdict.duplicates_counted,
        kills=did.total,
        kills_while_sending=did.while_sending,
    )


def _judged(url: str, asked: tuple[Provider, Provider], messages: int) -> deliveries.Verdict:
    verdict = deliveries.judge(url, *asked)
    assert verdict.messages == messages
    assert not verdict.lost, (len(verdict.lost), verdict.lost[:3])
    assert verdict.duplicates == verdict.duplicates_counted, verdict
    return verdict


def _wait_until_over(url: str, seconds: float) -> None:
    unfinished = select(func.count()).where(tables.outbox.c.state.in_(("pending", "leased")))

    def over() -> bool:
        with database.connect() as connection:
            return connection.execute(unfinished).scalar_one() == 0

    with deliveries.database(url) as database:
        _wait(over, seconds)


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {seconds:g} s"
        time.sleep(LOOK_SECONDS)
