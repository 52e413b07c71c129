"""`make wheel-test`: the wheel where there is no checkout. It is built, run by uvx in an environment of its own, and asked.

It installs what the wheel requires, as of today: it needs the network. The last line says how long a second start took.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import psutil

from debitum import processes
from storage import embedded
from tests.debitum.test_up import free_port

CHECKOUT: Final = Path(__file__).parents[1]
KEPT: Final = ("UV_", "PIP_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""How packages are reached here; all else that somebody has set stays outside."""
START_SECONDS: Final = 180.0
COLD_START_GOAL_SECONDS: Final = 60.0
"""Until it first answers, dependencies being there."""
LOOK_SECONDS: Final = 0.1
"""Between two questions whether it answers."""


def main() -> None:
    """Raises AssertionError or CalledProcessError where something does not hold."""
    with tempfile.TemporaryDirectory(prefix="debitum-wheel-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # Postgres's user passes through, where root runs this
        build = (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder))
        subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
        [wheel] = folder.glob("debitum-*.whl")
        uvx = (str(Path(sys.executable).with_name("uvx")), "--from", str(wheel), "debitum")
        environment = _environment(folder)
        began = time.monotonic()
        subprocess.run((*uvx, "--version"), cwd=folder, env=environment, check=True)
        print(f"installed in {time.monotonic() - began:.0f} s", flush=True)
        first_answer = _up(uvx, folder, environment)
        subprocess.run((*uvx, "demo", "--data-dir", str(folder / "data")), cwd=folder, env=environment, check=True)
        print(f"the first answer came {first_answer:.1f} s after the start")
        assert first_answer < COLD_START_GOAL_SECONDS


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    python = str(Path(sys.prefix, "pyvenv.cfg").read_text().split("home = ")[1].splitlines()[0])
    return {
        **kept,
        "PATH": f"{python}:/usr/bin:/bin",
        "HOME": str(folder),
        "UV_CACHE_DIR": str(folder / "cache"),
        "UV_PYTHON_DOWNLOADS": "never",
    }


def _up(uvx: Sequence[str], folder: Path, environment: Mapping[str, str]) -> float:
    """A whole `debitum up` on an empty folder; the seconds until the API was ready. It is ended as Ctrl-C ends it."""
    data_dir, port, dagster_port = folder / "data", free_port(), free_port()
    flags = ("--data-dir", str(data_dir), "--port", str(port), "--dagster-port", str(dagster_port))
    began = time.monotonic()
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen((*uvx, "up", *flags), cwd=folder, env=environment, stdout=said, stderr=said)
    try:
        seconds = _answers(f"http://127.0.0.1:{port}/health/ready", process, began)
        _answers(f"http://127.0.0.1:{dagster_port}/server_info", process, began)
        while "everything answers" not in (folder / "said.txt").read_text():
            assert time.monotonic() - began < START_SECONDS, (folder / "said.txt").read_text()
            time.sleep(LOOK_SECONDS)  # a file tells nobody that it has grown
        _nothing_of_the_checkout(psutil.Process(process.pid))
        for command in ("doctor", "probe"):
            subprocess.run((*uvx, command, *flags), cwd=folder, env=environment, check=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_SECONDS) == 0, (folder / "said.txt").read_text()
        assert embedded.running(data_dir) is None
    finally:
        print((folder / "said.txt").read_text(), flush=True)
        process.kill()
        process.wait()
        processes.end_leftovers(data_dir)
        embedded.stop(data_dir, mode="immediate")
    return seconds


def _answers(url: str, process: "subprocess.Popen[bytes]", began: float) -> float:
    """How long after `began` it first answers with 200."""
    while True:
        with suppress(httpx.HTTPError):
            if httpx.get(url).status_code == httpx.codes.OK:
                return time.monotonic() - began
        assert process.poll() is None, f"it has ended with {process.returncode}"
        assert time.monotonic() - began < START_SECONDS, f"{url} does not answer"
        time.sleep(LOOK_SECONDS)  # who does not listen yet tells nobody when


def _nothing_of_the_checkout(process: psutil.Process) -> None:
    """No process of it runs a program, or stands in a folder, of this checkout."""
    for one in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found = [word for word in (one.exe(), one.cwd(), *one.cmdline()) if word.startswith(str(CHECKOUT))]
            assert not found, f"{one.cmdline()} uses {found}"


if __name__ == "__main__":
    main()
