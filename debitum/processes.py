"""Processes: the command of one of ours, who holds a port, what a killed supervisor left behind."""

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

MARK: Final = "DEBITUM_SUPERVISED"
"""Every descendant of a supervisor carries the data folder under this name in its environment, whatever became of its parents."""
GRACE_SECONDS: Final = 5.0
"""For processes whose work nobody waits for any more."""


class PortInUseError(Exception):
    """One of ours cannot listen where it should: another program does, or this machine has no such address."""


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs `module`. -P: a folder `api` where somebody happens to stand is not the one that is meant."""
    return (sys.executable, "-P", "-m", module, *arguments)


def check_port(host: str, port: int, setting: str) -> None:
    """Raises PortInUseError, which names the program that holds the port, where the system tells.

    `setting` is that of the port; where it is the host that is wrong, the one beside it is named, which ends with HOST.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, UnicodeError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            if isinstance(error, socket.gaierror | UnicodeError) or error.errno == errno.EADDRNOTAVAIL:
                beside = setting.partition(" ")[0].replace("_PORT", "_HOST")
                raise PortInUseError(f"{host} is not an address of this machine: {reason}. Set another {beside}") from error
            raise PortInUseError(
                f"port {port} of {host} cannot be used: {reason}{_held_by(port)}. Stop what uses it, or set another {setting}"
            ) from error


def end_leftovers(data_dir: Path) -> list[str]:
    """End what an earlier supervisor of `data_dir` left running; only the holder of the folder may ask. Returns their names."""
    found = list(_marked(data_dir))
    names = [_name(process) for process in found]
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(found, timeout=GRACE_SECONDS)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return names


def group_is_empty(group: int) -> bool:
    """Whether nothing runs in the process group; what has ended and waits to be collected does not count."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return True
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return False
    return True


def _marked(data_dir: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(data_dir):
                yield process


def _name(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return f"{process.name()} ({process.pid})"
    return str(process.pid)


def _held_by(port: int) -> str:
    with suppress(psutil.AccessDenied):
        for connection in psutil.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port and connection.pid:
                return f" by {_name(psutil.Process(connection.pid))}"
    return ""
