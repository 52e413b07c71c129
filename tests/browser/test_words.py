"""The catalogues of the page: every sentence that it says is in each of them, and nothing else."""

import json
import re

import pytest

from api import browser, languages, problems
from api.app import ROUTES
from domain import errors

UI = browser.ROOT / "ui"
SAID = re.compile(r'\bsay\(\s*"((?:[^"\\]|\\.)*)"')
TITLES = re.compile(r'title: "([^"]+)"')
ASKED = re.compile(r'["`](/api/[a-z/]+)')
REASONS = re.compile(r"^  (\w+): say\(", re.MULTILINE)
ELSEWHERE = {"invalid_token", "reset"}
"""Codes after which a device signs in again, or starts over."""
UNMET = {
    *("already_exists", "id_reused", "stale", "too_many_changes"),
    *("undo_of_undo", "unknown_conflict", "unsupported_version", "wrong_aggregate"),
}
"""Codes of commands that the page does not make."""
NAMES = re.compile(r"\{\w+\}")


def said() -> set[str]:
    """All sentences, in English, as the modules have them."""
    found = {text for path in UI.rglob("*.js") for text in SAID.findall(path.read_text())}
    return found | set(TITLES.findall((UI / "routes.js").read_text()))


@pytest.mark.parametrize("language", [one for one in languages.ALL if one != "en"])
def test_every_sentence_is_translated(language: str) -> None:
    catalogue = json.loads((browser.ROOT / "words" / f"{language}.json").read_text())
    assert set(catalogue) == said()
    for english, translated in catalogue.items():
        assert translated.strip(), english
        assert sorted(NAMES.findall(translated)) == sorted(NAMES.findall(english)), english


def test_every_refusal_that_the_page_can_meet_has_a_sentence() -> None:
    """What a route that it asks, and a command of its user, can be answered with; the server's own words are English."""
    paths = {path.rstrip("/") for file in browser.ROOT.rglob("*.js") for path in ASKED.findall(file.read_text())}
    asked = {code for route in ROUTES if route.path.removesuffix("/{id}") in paths for code in route.codes}
    outcomes = {kind.code for kind in errors.Rejected.__subclasses__()}
    has = set(REASONS.findall((UI / "troubles.js").read_text()))
    assert {"ledger_not_empty", "too_late", "too_many_tokens"} <= asked, "the paths are found"
    assert (asked | outcomes) - ELSEWHERE - UNMET <= has <= set(problems.KINDS)
