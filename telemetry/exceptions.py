"""What is written of an exception: its types, its codes and where it came from, never its text.

The text of an exception holds values: Postgres says "Key (email)=(…) already exists" and "Failing row contains (…)", `int()`
repeats what it could not read, a KeyError is the key. So do local variables. What is left tells a developer nearly as much.
"""

import os
import re
import sys
import traceback
from types import TracebackType
from typing import Any, Final

MOST_CHARACTERS: Final = 3_000
"""Of all frames of a chain, the innermost: with the rest of its line that is less than a pipe takes whole (4 KiB)."""
MOST_LINKS: Final = 8
"""Of a chain of causes, and of a group."""
_CODE: Final = re.compile(r"[A-Za-z0-9_]{1,64}")

Described = dict[str, Any]
"""`type`; `code`, `sqlstate`, `constraint`, `table`, `reason`, `elsewhere` if known; `frames`, outermost first; of a `group`
the members."""


def describe(error: BaseException, *, characters: int = MOST_CHARACTERS) -> list[Described]:
    """`error`, then what caused it, and so on; `characters` for their frames."""
    found: list[Described] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(found) < MOST_LINKS:
        seen.add(id(current))
        found.append(_one(current, characters))
        characters -= sum(map(len, found[-1]["frames"]))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return found


def of(given: Any) -> BaseException | None:
    """The exception that `exc_info` of a log call means: one, a triple of sys.exc_info(), or True for the current one."""
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1] if isinstance(given[1], BaseException) else None
    return sys.exc_info()[1] if given else None


def text(chain: list[Described]) -> str:
    """The same for people: one line a type, one a frame below it."""
    lines: list[str] = []
    for link in chain:
        facts = [f"{name}={value}" for name, value in link.items() if name not in ("type", "frames", "group")]
        lines.append("caused by " * bool(lines) + " ".join([link["type"], *facts]))
        lines += [f"    at {frame}" for frame in reversed(link["frames"])]
        lines += [f"  | {line}" for member in link.get("group", ()) for line in text(member).splitlines()]
    return "\n".join(lines)


def name(kind: type[BaseException]) -> str:
    """The type with its module, as one imports it."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _one(error: BaseException, characters: int) -> Described:
    found: Described = {"type": name(type(error)), **_codes(error), "frames": _frames(error.__traceback__, characters)}
    if elsewhere := _elsewhere(error):
        found["elsewhere"] = elsewhere
    if isinstance(error, BaseExceptionGroup):
        members = error.exceptions[:MOST_LINKS]
        found["group"] = [describe(member, characters=characters // len(members)) for member in members]
    return found


def _elsewhere(error: BaseException) -> list[str]:
    """The types of what another process of Dagster's has raised, outermost first."""
    found: list[str] = []
    told = next(iter(getattr(error, "user_code_process_error_infos", ())), None)
    while told is not None and len(found) < MOST_LINKS:
        found.append(str(told.cls_name))
        told = told.cause
    return found


def _codes(error: BaseException) -> dict[str, str]:
    """Names that our schema, Postgres or the system has given: nobody's data is among them."""
    diagnosis = getattr(error, "diag", None)
    candidates = {
        "code": getattr(type(error), "code", None),
        "sqlstate": getattr(error, "sqlstate", None),
        "constraint": getattr(diagnosis, "constraint_name", None),
        "table": getattr(diagnosis, "table_name", None),
    }
    found = {what: value for what, value in candidates.items() if isinstance(value, str) and _CODE.fullmatch(value)}
    if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno > 0:
        found["reason"] = os.strerror(error.errno)
    return found


def _frames(innermost: TracebackType | None, characters: int) -> list[str]:
    """The last few that fit, at least one."""
    found: list[str] = []
    frames = list(traceback.walk_tb(innermost))
    for number, (frame, line) in enumerate(reversed(frames)):
        told = f"{frame.f_globals.get('__name__', '?')}:{line} {frame.f_code.co_qualname}"
        characters -= len(told)
        if found and characters < 0:
            found.append(f"({len(frames) - number} more)")
            break
        found.append(told)
    return found[::-1]
