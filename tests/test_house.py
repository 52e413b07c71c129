"""Rules of the house that no linter knows; each says which mistake it prevents."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "client", "debitum", "domain", "notifications", "pipelines", "storage", "telemetry")
MAX_MODULE_LINES, MAX_FUNCTION_LINES, LONG_FUNCTION_LINES = 400, 60, 30
FOLLOWS_FROM_THE_LOG = ("events", "postings", "conflicts", "contacts", "transactions", "reminders")


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def functions() -> Iterator[tuple[str, int]]:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{path.relative_to(ROOT)}:{node.name}", node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("table", FOLLOWS_FROM_THE_LOG)
def test_there_is_one_write_path(table: str) -> None:
    """A second writer would leave out a posting, a mark or a link of the chain one day."""
    written = re.compile(
        rf"(insert into|update|delete from)\s+debitum\.{table}\b|(insert|update|delete|upsert)\(\s*(tables\.)?{table}\b",
        re.IGNORECASE,
    )
    writers = {path.relative_to(ROOT).as_posix() for path in modules() if written.search(path.read_text())}
    assert writers <= {"storage/ledgers.py"}
    written_by = f'projecting.{"insert" if table in ("events", "postings") else "upsert"}("{table}")'
    assert written_by in (ROOT / "storage/ledgers.py").read_text()


def test_sql_lives_in_storage() -> None:
    """A query elsewhere is a query that nobody finds when a table changes."""
    statement = re.compile(r"\b(select .+ from|insert into|delete from|update \w+ set)\b.*debitum\.", re.IGNORECASE)
    assert [str(path) for path in modules() if "storage" not in path.parts and statement.search(path.read_text())] == []


LOGGED = {
    *("bytes", "category", "at", "error", "exc_info", "exit_code", "host", "kind", "library", "lived_seconds", "method", "ms"),
    *(
        "outbox_id",
        "outcome",
        "pid",
        "port",
        "provider",
        "pushes",
        "reason",
        "route",
        "signal",
        "state",
        "status",
        "step",
        "workers",
    ),
}
"""What a line of the log may say of itself: nothing of this is anybody's data. Think before you add a word."""
SAID = {
    *(
        "address",
        "ceiling_mib",
        "data_dir",
        "exit_code",
        "held_mib",
        "host",
        "last_lines",
        "level",
        "lived_seconds",
        "log",
        "marked",
        "part",
        "pause_seconds",
    ),
    *("pid", "processes", "revision", "runs", "seconds", "server", "setting", "signal", "started_at", "version"),
}
"""The same of the supervisor; `address` is where a part listens."""


@functools.cache
def telling() -> list[tuple[str, ast.Call]]:
    """Calls in modules that log, or that tell as the supervisor does, each with where it stands."""
    texts = {path.relative_to(ROOT): path.read_text() for path in modules()}
    trees = {path: ast.parse(text) for path, text in texts.items() if re.search(r"_log\.|say\(|tell\(", text)}
    nodes = ((path, node) for path, tree in trees.items() for node in ast.walk(tree))
    return [(f"{path}:{node.lineno}", node) for path, node in nodes if isinstance(node, ast.Call)]


def calls(function: str) -> list[tuple[str, ast.Call]]:
    """Those of `telling` whose function the pattern matches."""
    return [(place, call) for place, call in telling() if re.match(function, ast.unparse(call.func))]


def test_a_line_of_the_log_is_a_constant_and_fields_without_data() -> None:
    """A name or an amount inside a sentence is found by nobody who looks for what is logged, and removed by nothing."""
    logged = [(place, call, call.args, LOGGED) for place, call in calls(r"\(?_log\.(\w+)")]
    said = [
        (place, call, call.args[1:], SAID)
        for place, call in calls(r"(self\._say|say|tell)$")
        if call.args[1:] and "demo" not in place
    ]
    assert min(len(logged), len(said)) > 15
    for place, call, [event], fields in (*logged, *said):
        assert isinstance(event, ast.Constant), place
        assert re.fullmatch("[a-z_]+", str(event.value)), place
        assert {field.arg for field in call.keywords if field.arg is not None} <= fields, place


def test_only_edges_read_the_clock() -> None:
    """`now` as an argument is what makes rules of time testable."""
    reads = re.compile(r"(datetime\.now|\.utcnow|(?<!date)time\.time|date\.today)\(")
    pure = [path for path in modules() if path.relative_to(ROOT).parts[0] in ("domain", "storage")]
    assert [str(path.relative_to(ROOT)) for path in pure if reads.search(path.read_text())] == []


def test_modules_and_functions_fit_on_a_screen() -> None:
    """What does not fit in a head has a second thing in it."""
    too_long = [
        path for path in modules() if "versions" not in path.parts and len(path.read_text().splitlines()) > MAX_MODULE_LINES
    ]
    assert [str(path.relative_to(ROOT)) for path in too_long] == []
    lengths = {name: lines for name, lines in functions() if not name.startswith("storage/migrations/versions")}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}
    assert sum(lines > LONG_FUNCTION_LINES for lines in lengths.values()) <= len(lengths) / 10


def test_every_module_says_what_it_is() -> None:
    """One line at the top saves the next reader the rest of the file."""
    silent = [path for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert [str(path.relative_to(ROOT)) for path in silent] == []


def test_annotations_are_real() -> None:
    """Dagster and msgspec read annotations at run time; the future import turns them into strings."""
    assert [str(path) for path in modules() if "from __future__ import annotations" in path.read_text()] == []
