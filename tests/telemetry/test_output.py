"""What a process writes: the same format for our lines and for the libraries', and as much as the settings ask for."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from debitum import children

SPEAKS = """
import asyncio, logging, os, threading, warnings
logging.getLogger("early").addHandler(logging.StreamHandler())
from telemetry import output
output.configure(output.Choice.from_environment(os.environ))
import structlog
ours = structlog.get_logger("storage.ledgers")
structlog.contextvars.bind_contextvars(request_id="r1")
ours.debug("ours", rows=1)
structlog.get_logger("api").info("quiet")
logging.getLogger("early").warning("sold to %s", "hunter2")
logging.getLogger("httpx").info("HTTP Request: %s", "hunter2")
stubborn = logging.getLogger("sqlalchemy.engine.Engine")
stubborn.setLevel(logging.DEBUG)
stubborn.info("hunter2 built before")
logging.getLogger("library").debug("hunter2 " + "built before")
logging.getLogger("dagster").setLevel(logging.DEBUG)
logging.getLogger("dagster.run").debug("less than was asked for")
logging.getLogger("dagster.daemon").info("run %s of mia@hunter2.example at https://u:hunter2@host/?x=hunter2", 7)
logging.getLogger("library").warning("%d", "not a number")
warnings.warn("hunter2")
async def fails(what):
    asyncio.get_running_loop().call_soon(lambda one: 1 / 0, what)
    await asyncio.sleep(0)
asyncio.run(fails("hunter2"))
def raises():
    raise ValueError("hunter2")
thread = threading.Thread(target=raises)
thread.start()
thread.join()
raises()
"""

MANY = """
import os, sys
from telemetry import output
output.configure(output.Choice("json"))
import structlog
children = []
for number in range(4):
    if not (pid := os.fork()):
        for _ in range(50):
            structlog.get_logger("many").info("long", text=str(number) * int(sys.argv[1]))
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
"""


def speak(program: str, environment: Mapping[str, str], **options: Any) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env={**os.environ, **environment}, timeout=60, check=False, **options)


def test_everything_that_a_process_says_has_one_format_and_no_values() -> None:
    wanted = {"DEBITUM_LOG_LEVEL": "warning,storage=debug,library=debug,httpx=debug,dagster=info"}
    spoke = speak(SPEAKS, wanted, capture_output=True)
    assert (spoke.returncode, spoke.stderr) == (1, b"")
    assert b"hunter2" not in spoke.stdout
    lines = [json.loads(line) for line in spoke.stdout.splitlines()]
    assert [(line["logger"], line["event"], line["level"]) for line in lines] == [
        ("storage.ledgers", "ours", "debug"),
        ("early", "sold to %s", "warning"),
        ("library", "library_line", "debug"),
        ("dagster.daemon", "run 7 of (removed) at https://(removed)@host/?(removed)", "info"),
        ("library", "%d", "warning"),
        ("telemetry.output", "warned", "warning"),
        ("asyncio", "library_line", "error"),
        ("telemetry.output", "uncaught", "critical"),
        ("telemetry.output", "uncaught", "critical"),
    ]
    assert list(lines[0]) == ["timestamp", "level", "logger", "event", "rows", "request_id"]
    assert [line.get("request_id") for line in lines] == [*["r1"] * 7, None, "r1"], "a thread has a context of its own"
    assert [line["exception"][0]["type"] for line in lines[6:]] == ["ZeroDivisionError", "ValueError", "ValueError"]
    assert lines[1]["at"] == "<string>:11"


def test_a_terminal_gets_lines_for_people() -> None:
    ours, theirs = pty.openpty()
    try:
        speak(SPEAKS, {"DEBITUM_LOG_LEVEL": "storage=debug"}, stdout=theirs)
        said = os.read(ours, 65_536).decode()
        spoke = speak(SPEAKS, {"DEBITUM_LOG_FORMAT": "json"}, stdout=theirs)
        assert spoke.returncode == 1
        assert json.loads(os.read(ours, 65_536).decode().splitlines()[0])["event"] == "quiet"
    finally:
        os.close(ours)
        os.close(theirs)
    assert "ours" in said
    assert "caught" in said
    assert "\r\n    at __main__:" in said
    assert "hunter2" not in said


def test_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    """However long they are in a file, as the supervisor opens it; in a pipe up to 4 KiB."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader, subprocess.Popen([sys.executable, "-c", MANY, "3900"], stdout=write):
        os.close(write)
        piped = list(reader)
    with children.private_log(tmp_path / "many.log") as file:
        subprocess.run([sys.executable, "-c", MANY, "20000"], stdout=file, check=True)
    for written in (piped, (tmp_path / "many.log").read_bytes().splitlines()):
        lines = [json.loads(line) for line in written]
        assert len(lines) == 200
        assert {len(set(line["text"])) for line in lines} == {1}
