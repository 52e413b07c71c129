"""`make docs-test`: every shell block of README and docs/ in a copy of the checkout, in the order in which one reads them.

What runs until it is stopped runs beside the rest; blocks that say why they are not run are left out. 1 where one failed.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path

from debitum import processes
from debitum.demo_stack import OUTSIDE
from tests.debitum.test_children import wait_until
from tests.debitum.test_up import free_port
from tests.manual import documents
from tests.manual.documents import ROOT, Block

START_SECONDS = 300
BLOCK_SECONDS = 1_200
"""`make demo` waits for Dagster's ticks; a busy machine takes its time."""
STOP_SECONDS = 120
OFTEN = {"DEBITUM_SNAPSHOT_CRON": "* * * * *"}
"""Some blocks ask the running day's snapshot, which is written hourly."""
WRITTEN = {"DEBITUM_PORT": "127.0.0.1:8000", "DEBITUM_DAGSTER_PORT": "127.0.0.1:3000"}
"""What the documents say of where the server is, which runs on ports that are free."""


def main() -> int:
    """0 where everything that was run worked."""
    wrong = []
    with tempfile.TemporaryDirectory(prefix="debitum-docs-") as folder, ExitStack() as servers:
        Path(folder).chmod(0o755)  # Postgres's user passes through
        copy = _copied(Path(folder) / "debitum")
        given = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
        environment = given | OFTEN | {name: str(free_port()) for name in WRITTEN}
        for block in _typed():
            title = f"{block.page}: {block.text.splitlines()[0]}"
            if block.reason:
                print(f"not run  {title} ({block.reason})", flush=True)
                continue
            began = time.monotonic()
            try:
                if block.stays:
                    servers.enter_context(_running(block, copy, environment))
                else:
                    _run(block, copy, environment)
            except subprocess.SubprocessError as error:
                wrong.append(title)
                print(f"FAILED   {title}\n{error}\n{getattr(error, 'output', '')}", flush=True)
            else:
                print(f"worked   {title} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{len(wrong)} failed" if wrong else "every block works")
    return int(bool(wrong))


def _typed() -> Iterator[Block]:
    """Blocks in `bash` of one document are one, which stands where the last of them does."""
    for (page, shell), group in groupby(documents.blocks(), key=lambda block: (block.page, block.shell)):
        if shell == "bash":
            yield Block(page, shell, "".join(block.text for block in group), None, stays=False)
        else:
            yield from group


def _copied(target: Path) -> Path:
    """What git knows of and what is new, with the times of the files, by which make goes, and with the same environment."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to(ROOT / ".venv")
    return target


def _script(block: Block, environment: Mapping[str, str]) -> str:
    text = block.text
    for name, written in WRITTEN.items():
        text = text.replace(written, f"127.0.0.1:{environment[name]}")
    return f"set -eu\n{text}"


def _run(block: Block, folder: Path, environment: Mapping[str, str]) -> None:
    """Raises subprocess.SubprocessError, also where it is a problem that the API answers with."""
    ran = subprocess.run(
        [block.shell],
        input=_script(block, environment),
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BLOCK_SECONDS,
        check=True,
    )
    if re.search(r'"/docs/problems/', ran.stdout):
        raise subprocess.CalledProcessError(0, block.shell, ran.stdout)


@contextmanager
def _running(block: Block, folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Until the block ends; Ctrl-C ends the server, with 0. Raises subprocess.SubprocessError where it does not get so far."""
    log = folder.parent / "said"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [block.shell, "-c", _script(block, environment)],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while "everything answers" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise subprocess.CalledProcessError(process.returncode or 0, block.text, log.read_text())
            time.sleep(0.2)  # a file tells nobody that it has grown
        yield
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal: to the shell and to make too
        process.wait(STOP_SECONDS)
        wait_until(lambda: "postgres is stopped" in log.read_text(), STOP_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        processes.end_leftovers(folder / ".debitum")


if __name__ == "__main__":
    sys.exit(main())
