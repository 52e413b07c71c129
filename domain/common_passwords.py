"""Passwords that many people have chosen, which are the first that a guesser tries."""

from functools import cache
from pathlib import Path
from typing import Final

_LIST: Final = Path(__file__).with_name("common_passwords.txt")
"""One a line, sorted, each of a length that a password here may have."""


@cache
def read() -> frozenset[str]:
    """All of them; the file is read at the first call."""
    return frozenset(_LIST.read_text().splitlines())


def has(password: str) -> bool:
    """Whether `password` is one of them, to the letter."""
    return password in read()
