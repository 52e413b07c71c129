"""The gettext catalogues say all that the pages say, and nothing else."""

import ast

import pytest
from babel.messages import Message

from api import catalogues, languages


def messages(language: str) -> list[Message]:
    return [message for message in catalogues.read(language) if message.id]


@pytest.mark.parametrize("language", catalogues.TRANSLATED)
def test_a_catalogue_has_exactly_the_messages_of_the_pages(language: str) -> None:
    """Where it fails: `python -m api.catalogues`, then translate what is empty."""
    assert catalogues.path_of(language).read_bytes() == catalogues.updated(language)
    assert {message.id for message in messages(language)} == {message.id for message in catalogues.template() if message.id}
    assert len(messages(language)) > 30
    assert not catalogues.read(language).obsolete


@pytest.mark.parametrize("language", catalogues.TRANSLATED)
def test_everything_is_translated_by_a_person(language: str) -> None:
    for message in messages(language):
        assert isinstance(message.string, str), message.id
        assert message.string not in ("", message.id), message.id
        assert not message.fuzzy, message.id
        assert not set('<>&"{}') & set(message.string), message.id


def test_what_a_page_says_is_written_out_or_noted() -> None:
    """A text that is put together is in no catalogue."""
    names = [
        name.id if isinstance(name, ast.Name) else ast.unparse(name)
        for path in catalogues.path_of("de").parents[3].glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("say", "noted")
        for name in call.args
        if not isinstance(name, ast.Constant)
    ]
    assert set(names) == {"text"}, "what a form is given: a constant that is noted"


def test_a_catalogue_is_read_once() -> None:
    assert catalogues.translations("ar") is catalogues.translations("ar")
    assert languages.Language("ar")("Thank you") == "شكرًا لك"
    assert languages.Language("de")("never said") == languages.ENGLISH("never said") == "never said"
