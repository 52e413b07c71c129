"""`make scale`: everything past one machine, on engines that exist. Installs them from Debian's packages where they are missing.

Arguments: names of parts, where not all of them are wanted.
"""

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import boto3
from moto.server import ThreadedMotoServer

PACKAGES: Final = {"pgbouncer": "pgbouncer", "redis-server": "redis-server"}
"""Debian's packages, by the program that each is for."""
BUCKET: Final = "snapshots"
BY_A_POOLER: Final = ("tests/api", "tests/client", "tests/conformance", "tests/simulation", "tests/faults/test_faults.py")
ELSEWHERE: Final = ("tests/storage/test_places.py", "tests/storage/test_snapshots.py", "tests/storage/test_snapshot_tables.py")


def main() -> int:
    """Run the parts one after the other; 1 where one of them fails, 2 where something that they need cannot be had."""
    parts: dict[str, Callable[[], int]] = {"hosts": _hosts, "pooler": _pooler, "celery": _celery, "store": _store}
    chosen = sys.argv[1:] or list(parts)
    if unknown := [name for name in chosen if name not in parts]:
        print(f"make scale: {', '.join(unknown)}: no such part; there are {', '.join(parts)}", file=sys.stderr)
        return 2
    if (refusal := _install()) is not None:
        print(f"make scale: {refusal}", file=sys.stderr)
        return 2
    failed = []
    for name in chosen:
        began = time.monotonic()
        print(f"{name}:", flush=True)
        if parts[name]() != 0:
            failed.append(name)
        print(f"{name}: {'failed' if name in failed else 'holds'}, {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


def _install() -> str | None:
    """Have every program there; otherwise why it cannot be had, and what to do."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if not missing:
        return None
    names = " ".join(missing)
    if shutil.which("apt-get") is None:
        return f"{names} missing, and no apt-get here: install them by what this system has, and start again"
    if os.geteuid() != 0:
        return f"{names} missing: run `apt-get install {names}` as root, and start again"
    print(f"installing {names} (apt-get)", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}"
    return None


def _hosts() -> int:
    return _pytest("tests/scale/test_hosts.py")


def _pooler() -> int:
    return _pytest(*BY_A_POOLER, environment={"TEST_POOLER": "transaction"})


def _celery() -> int:
    return _pytest("tests/scale/test_celery.py", "-n", "0")  # its tests share what takes long to start


def _store() -> int:
    with _object_store() as environment:
        return _pytest(*ELSEWHERE, "-k", "elsewhere", environment=environment)


@contextmanager
def _object_store() -> Iterator[Mapping[str, str]]:
    """A server that speaks S3, with an empty bucket; what its clients find in their environment."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "nobody's secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "TEST_ELSEWHERE": f"s3://{BUCKET}",
    }
    os.environ.update(environment)
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    yield environment
    server.stop()


def _pytest(*arguments: str, environment: Mapping[str, str] | None = None) -> int:
    command = [sys.executable, "-m", "pytest", "-n", "2", *arguments]
    return subprocess.run(command, env=os.environ | (environment or {}), check=False).returncode


sys.exit(main())
