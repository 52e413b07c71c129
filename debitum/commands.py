"""What a subcommand of the command line is, the flags that several have, and how one ends and speaks."""

import argparse
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from debitum.settings import Settings


@dataclass(frozen=True)
class Flag:
    """A flag of a subcommand that stands for a setting: its value goes over the environment and the .env file."""

    flag: str
    setting: str
    help: str
    is_switch: bool = False


OK: Final = 0
WRONG: Final = 1
USAGE: Final = 2
RUNNING_ALREADY: Final = 3

Run = Callable[["Settings", argparse.Namespace], int]
"""Does what a subcommand is for, with the settings (flags among them) and its arguments; returns the exit code."""


@dataclass(frozen=True)
class Command:
    """A subcommand, of a group where its name has two words."""

    name: str
    help: str
    run: Run
    flags: tuple[Flag, ...] = ()
    arguments: Callable[[argparse.ArgumentParser], object] = lambda parser: None


Say = Callable[[str], object]
"""Tells whoever gave a command one thing, in a sentence; see `say`."""


def say(text: str) -> None:
    """Tell the person at the terminal. Where that has been closed, work goes on without."""
    with suppress(OSError):
        print(text, flush=True)


def complain(text: str) -> None:
    """The same, of what went wrong."""
    with suppress(OSError):
        print(f"debitum: {text}", file=sys.stderr, flush=True)


DATA_DIR: Final = Flag("--data-dir", "DEBITUM_DATA_DIR", "where everything is kept (default .debitum)")
DAGSTER_PORT: Final = Flag("--dagster-port", "DEBITUM_DAGSTER_PORT", "port of the Dagster pages (default 3000)")
UP_FLAGS: Final = (
    Flag("--port", "DEBITUM_PORT", "port of the API (default 8000)"),
    DAGSTER_PORT,
    DATA_DIR,
    Flag("--workers", "DEBITUM_WORKERS", "processes of the API (default 1)"),
    Flag("--no-dagster", "DEBITUM_NO_DAGSTER", "only Postgres and the API", is_switch=True),
    Flag("--no-ui", "DEBITUM_NO_UI", "without the Dagster pages, which `debitum ui` starts on demand", is_switch=True),
    Flag("--parts", "DEBITUM_PARTS", "only these, by commas: api, code-server, dagster, daemon (default: these four), worker"),
)
