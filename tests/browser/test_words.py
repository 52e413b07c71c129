"""The catalogues of the page: every sentence that it says is in each of them, and nothing else."""

import json
import re

import pytest

from api import browser, languages

UI = browser.ROOT / "ui"
SAID = re.compile(r'\bsay\(\s*"((?:[^"\\]|\\.)*)"')
TITLES = re.compile(r'title: "([^"]+)"')
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
