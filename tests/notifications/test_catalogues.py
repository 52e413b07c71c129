"""The gettext catalogues say all that the templates say, and nothing else."""

import gettext
import re

import pytest
from babel.messages import Message

from notifications import catalogues, render

FORMS = {"de": 2, "ar": 6}


def messages(language: str) -> list[Message]:
    return [message for message in catalogues.read(language) if message.id]


def forms(text: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text or ())


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s", text))


def test_every_language_but_the_source_has_a_catalogue() -> None:
    assert set(FORMS) == set(catalogues.TRANSLATED) == set(render.LANGUAGES) - {catalogues.SOURCE}
    assert len(list(catalogues.template())) > 40


@pytest.mark.parametrize("language", FORMS)
def test_a_catalogue_has_exactly_the_messages_of_the_templates(language: str) -> None:
    """Where it fails: `python -m notifications.catalogues`, then translate what is empty."""
    assert catalogues.path_of(language).read_bytes() == catalogues.updated(language)
    assert {message.id for message in messages(language)} == {message.id for message in catalogues.template() if message.id}
    assert not catalogues.read(language).obsolete


@pytest.mark.parametrize("language", FORMS)
def test_everything_is_translated_by_a_person(language: str) -> None:
    for message in messages(language):
        translated = forms(message.string)
        assert translated, message.id
        assert all(translated), message.id
        assert translated != forms(message.id) or not re.search("[a-z]", re.sub(r"%\(\w+\)s", "", translated[0])), message.id
        assert not message.fuzzy, message.id
        assert len(translated) == (FORMS[language] if message.pluralizable else 1), message.id


@pytest.mark.parametrize("language", FORMS)
def test_translations_fill_in_what_the_templates_give(language: str) -> None:
    for message in messages(language):
        wanted = placeholders(forms(message.id)[-1])
        for form, numbers in zip(forms(message.string), numbers_by_form(language), strict=False):
            # A form for one number alone may write it as a word, or leave it out: the singular, the dual.
            needed = wanted - {"count"} if message.pluralizable and len(numbers) == 1 else wanted
            assert needed <= placeholders(form) <= wanted, form
            assert form.count("%") == len(re.findall(r"%\(\w+\)s", form)), form


def numbers_by_form(language: str) -> list[list[int]]:
    rule = gettext.c2py(catalogues.read(language).plural_expr)
    return [[n for n in range(300) if rule(n) == form] for form in range(FORMS[language])]


@pytest.mark.parametrize("language", FORMS)
def test_translations_are_words_and_not_markup(language: str) -> None:
    """Jinja takes a translation in an HTML template as safe."""
    for message in messages(language):
        assert not set('<>&"{}') & set("".join(forms(message.string))), message.id


def test_arabic_has_a_form_for_every_count() -> None:
    zero, one, two, few, many, other = numbers_by_form("ar")
    assert (zero, one, two) == ([0], [1], [2])
    assert few[:9] == [3, 4, 5, 6, 7, 8, 9, 10, 103]
    assert many[:2] == [11, 12]
    assert other[:4] == [100, 101, 102, 200]


def test_a_catalogue_is_read_once() -> None:
    assert catalogues.translations("ar") is catalogues.translations("ar")
    assert catalogues.translations("ar").gettext("due today") == "يحلّ الموعد اليوم"
    assert catalogues.translations("en").gettext("due today") == "due today"
