"""The documents say what the code does."""

import importlib.util
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from domain import errors, facts

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "events.md").read_text()


def _builder() -> types.ModuleType:
    specification = importlib.util.spec_from_file_location("build", DOCS / "build.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_what_follows_from_code_is_up_to_date() -> None:
    """After a change to events or rules: `python docs/build.py`."""
    for path, text in _builder().built().items():
        assert path.read_text() == text, f"{path.name} is out of date"


def test_the_quick_start_shows_the_newest_schema() -> None:
    shown = re.search(r"schema is at revision (\d{4}) ", (DOCS.parent / "README.md").read_text())
    assert shown is not None
    assert shown[1] == max(file.name[:4] for file in (DOCS.parent / "storage/migrations/versions").glob("*.py"))


def test_every_event_type_has_its_fields_rules_and_an_example() -> None:
    examples = {fact.seq: (fact.aggregate_type, fact.event_type) for fact in _builder().story()}
    for kind, event_type in facts.PAYLOADS:
        section = PAGE.split(f"### {kind} {event_type}\n")[1].split("\n### ")[0]
        assert f"<!-- begin: fields {kind} {event_type} -->" in section
        shown = {examples[int(seq)] for seq in re.findall(r"<!-- begin: fact (\d+) -->", section)}
        assert shown == {(kind, event_type)}


def test_every_part_of_a_fact_and_every_kind_of_conflict_occurs_in_the_examples() -> None:
    log = _builder().story()
    assert {fact.conflict.kind for fact in log if fact.conflict} == set(get_args(facts.ConflictKind))
    assert {fact.event_type for fact in log} == set(get_args(facts.EventType))
    assert {change.op for fact in log for change in fact.changes} == set(get_args(facts.Operation))
    for member in ("overwrote", "conflict", "salt", "device_id"):
        assert any(getattr(fact, member) for fact in log), member


def test_every_promise_of_security_names_a_test_that_exists() -> None:
    page = (DOCS / "security.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 50
    for path, test in named:
        text = (DOCS.parent / path).read_text()
        assert not test or f"def {test}(" in text, f"{path}::{test}"
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| promise", "|---"))]
    assert [row for row in rows if "`" not in row.rsplit("|", 2)[1]] == [], "a promise without a proof"


MOST_APART = 1.5
"""Benches are run on machines that others use: what differs by less than this is the same figure."""


def test_every_constant_of_the_capacity_model_is_that_of_its_bench() -> None:
    """The rest of docs/scale.md is worked out from these."""
    page = (DOCS / "scale.md").read_text()
    constants = re.findall(r"^\| .+ \| ([\d.]+) \| .+ \| `(\w+)`, `(\w+)` \|$", page, re.MULTILINE)
    assert len(constants) > 10
    growth = re.findall(r"^\| .+ \(`(growth_\w+)`\) \|(.+)\|$", page, re.MULTILINE)
    for name, figures in growth:
        sizes = zip(figures.split("|"), ("100k", "1m", "3m", "10m"), strict=True)
        constants += [(figure.strip(), "growth_long", f"{name}_at_{size}") for figure, size in sizes]
    for quoted, file, name in constants:
        rows = json.loads((DOCS.parent / f"bench/results/{file}.json").read_text())["rows"]
        [measured] = [row["value"] for row in rows if row["name"] == name]
        assert 1 / MOST_APART < float(quoted) / measured < MOST_APART, f"{name}: {quoted} in docs/scale.md, measured {measured}"


def _codes(base: type[errors.Rejected]) -> Iterator[str]:
    for kind in base.__subclasses__():
        yield kind.code
        yield from _codes(kind)


@pytest.mark.parametrize("code", sorted({*_codes(errors.Rejected)} - {"invalid"}))
def test_every_reason_for_a_rejection_is_explained(code: str) -> None:
    assert f"`{code}`" in PAGE


def test_every_field_and_group_is_named() -> None:
    for names in (*facts.FIELDS.values(), facts.MONEY, facts.SCHEDULE):
        for name in names:
            assert f"`{name}`" in PAGE
