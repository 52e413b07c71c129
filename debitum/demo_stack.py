"""The stack that the demo speaks to: one that runs already, or one of its own, started and stopped with the demo."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from debitum import instance, leash, parts, processes
from debitum.children import private_log
from debitum.commands import Say
from debitum.settings import Settings

EVERY_MINUTE: Final = "* * * * *"
TICKS: Final = ("remind_schedule", "snapshot_today_schedule")
"""Dagster's schedules that the demo waits for; in a stack that it can use they tick every minute."""
PROVIDERS: Final = ("SMTP_URL", "SENDGRID_API_KEY")
"""Where one of them is set, mail leaves this machine."""
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 60.0
"""The supervisor gives its parts 15 seconds each, one after the other, and Postgres its own."""
LOOK_SECONDS: Final = 0.5
"""Between two looks at what tells nobody that it has changed: a page, a file, a run."""
ENDED: Final = ("SUCCESS", "FAILURE", "CANCELED")
"""What becomes of a run in the end."""
OUTSIDE: Final = ("DATABASE_", "DEBITUM_", "SMTP_", "SENDGRID_", "FCM_", "MAIL_", "OPERATOR_", "HEARTBEAT_", "DAGSTER_")
"""Settings by their beginning: none reaches the demo's own stack, so that it never writes to anybody or anybody's database."""


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


@dataclass(frozen=True)
class Stack:
    """A running Debitum: the API's address, Dagster's address, its data folder, and where its snapshots lie if not there."""

    api: str
    dagster: str
    data_dir: Path
    snapshot_url: str | None = field(default=None, repr=False)


def ask_dagster(dagster: str, query: str, **variables: Any) -> dict[str, Any]:
    """The answer of Dagster's GraphQL at the address `dagster`. Raises httpx.HTTPError, DemoError."""
    response = httpx.post(f"{dagster}/graphql", json={"query": query, "variables": variables}, timeout=30)
    answer: dict[str, Any] = response.raise_for_status().json()
    if errors := answer.get("errors"):
        raise DemoError(f"Dagster does not answer the question: {errors[0]['message']}")
    data: dict[str, Any] = answer["data"]
    return data


def launch(dagster: str, job: str, tags: Mapping[str, str] | None = None) -> str:
    """Have Dagster run a job, as somebody does on its pages; the run's id. Raises httpx.HTTPError, DemoError."""
    told = [{"key": key, "value": value} for key, value in (tags or {}).items()]
    execution = {"selector": {**_LOCATION, "jobName": job}, "executionMetadata": {"tags": told}}
    launched = ask_dagster(dagster, _LAUNCH, execution=execution)["launchRun"]
    if "run" not in launched:
        raise DemoError(f"Dagster does not start the job {job}: {launched.get('message', launched['__typename'])}")
    return str(launched["run"]["runId"])


def status(dagster: str, run_id: str) -> str:
    """What Dagster says of a run. Raises httpx.HTTPError, DemoError."""
    return str(ask_dagster(dagster, _STATUS, run=run_id)["runOrError"]["status"])


_LOCATION: Final = {"repositoryLocationName": "debitum", "repositoryName": "__repository__"}
_LAUNCH: Final = """
mutation Launch($execution: ExecutionParams!) {
  launchRun(executionParams: $execution) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""
_STATUS: Final = "query Status($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


@contextmanager
def ready(settings: Settings, say: Say) -> Iterator[Stack]:
    """A stack whose schedules tick every minute: the one on the data folder of `settings`, or else the demo's own beside it.

    What this starts it also stops. Raises DemoError.
    """
    note = instance.holder(settings.data_dir)
    if note is not None:
        if (obstacle := _obstacle(note, settings)) is None:
            found = Stack(note.addresses[parts.API], note.addresses[parts.WEBSERVER], settings.data_dir, settings.snapshot_url)
            say(f"using the stack that runs at {found.api}")
            yield found
            return
        say(f"a stack runs on {settings.data_dir}, but {obstacle}; the demo starts its own beside it")
    with own(settings.data_dir / "demo", say, {}) as started:
        yield started


_SCHEDULES: Final = "{ repositoriesOrError { ... on RepositoryConnection { nodes { schedules { name cronSchedule } } } } }"


def _obstacle(note: instance.Note, settings: Settings) -> str | None:
    """Why the demo cannot show what it shows with the stack that `note` tells of."""
    if parts.WEBSERVER not in note.addresses:
        return "without Dagster"
    if parts.API not in note.addresses:
        return "without the API"
    if outward := [name for name in PROVIDERS if settings.environment.get(name)]:
        return f"it sends real mail ({', '.join(outward)} is set)"
    try:
        answer = ask_dagster(note.addresses[parts.WEBSERVER], _SCHEDULES)["repositoriesOrError"]
    except (httpx.HTTPError, DemoError):
        return "its Dagster does not answer"
    ticks = {schedule["name"]: schedule["cronSchedule"] for node in answer.get("nodes", []) for schedule in node["schedules"]}
    told = ", ".join(f"{name}: {ticks.get(name, 'none')}" for name in TICKS)
    return None if all(ticks.get(name) == EVERY_MINUTE for name in TICKS) else f"with other ticks than every minute ({told})"


@contextmanager
def own(data_dir: Path, say: Say, environment: Mapping[str, str]) -> Iterator[Stack]:
    """A stack of the demo's own, with these settings beside its own; stopped in the end. Raises DemoError."""
    data_dir.mkdir(parents=True, exist_ok=True)
    if (note := instance.holder(data_dir)) is not None:
        raise DemoError(f"another demo is running here, pid {note.pid}")
    api_port, dagster_port = _free_ports()
    stack = Stack(f"http://127.0.0.1:{api_port}", f"http://127.0.0.1:{dagster_port}", data_dir)
    say(f"starting a stack of its own in {data_dir}")
    log = data_dir / "demo.log"
    with private_log(log, anew=True) as output:
        process = _start(data_dir, api_port, dagster_port, environment, output)
    with _stopped_in_the_end(process, say):
        _wait(process, stack, log)
        yield stack


def _start(
    data_dir: Path, api_port: int, dagster_port: int, environment: Mapping[str, str], output: Any
) -> "subprocess.Popen[bytes]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
    return subprocess.Popen(
        leash.tied(*processes.python("debitum", "up", "--data-dir", str(data_dir))),
        env={
            **kept,
            "DEBITUM_PORT": str(api_port),
            "DEBITUM_DAGSTER_PORT": str(dagster_port),
            "DEBITUM_REMINDER_CRON": EVERY_MINUTE,
            "DEBITUM_SNAPSHOT_CRON": EVERY_MINUTE,
            "DEBITUM_LOG_FORMAT": "console",  # what is shown of its log is for a person
            **environment,
        },
        cwd=data_dir,  # no .env lies here
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches the demo alone, which stops it
    )


def _wait(process: "subprocess.Popen[bytes]", stack: Stack, log: Path) -> None:
    """Until the API is ready; Dagster may still be starting."""
    deadline = time.monotonic() + START_SECONDS
    while not _answers(f"{stack.api}/health/ready"):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = "\n    ".join(log.read_text(errors="replace").splitlines()[-8:])
            raise DemoError(f"the stack did not start; the end of {log}:\n    {tail}")
        time.sleep(LOOK_SECONDS)


def _answers(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    return False


@contextmanager
def _stopped_in_the_end(process: "subprocess.Popen[bytes]", say: Say) -> Iterator[None]:
    with ExitStack() as undo:
        before = signal.signal(signal.SIGTERM, _interrupt)
        undo.callback(signal.signal, signal.SIGTERM, before)
        try:
            yield
        finally:
            say("stopping what the demo started")
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _free_ports() -> tuple[int, int]:
    """Two ports of loopback that were free a moment ago."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
