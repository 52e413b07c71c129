"""The gettext catalogues of the messages. `python -m notifications.catalogues` brings them up to date with the templates.

It adds what the templates say anew, untranslated, and drops what they no longer say; a translator then edits
locales/<language>/LC_MESSAGES/messages.po. There are no compiled catalogues: they are read as they are, once a process.
"""

import functools
import gettext
import io
import re
from pathlib import Path

from babel.messages import Catalog, extract, mofile, pofile

SOURCE = "en"
"""The language that the templates are written in."""

TRANSLATED = ("de", "ar")
"""The languages that have a catalogue."""

TEMPLATES = Path(__file__).parent / "templates"
_LOCALES = Path(__file__).parent / "locales"
_EXTRACTION = {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}

_CHANGING_HEADER = re.compile(
    rb'^"(Project-Id-Version|Report-Msgid-Bugs-To|POT-Creation-Date|PO-Revision-Date|Last-Translator|Language-Team|Generated-By)'
    rb": .*\n",
    re.MULTILINE,
)
"""Git knows it better, and a new version of Babel should change no catalogue."""


@functools.cache
def translations(language: str) -> gettext.NullTranslations:
    """What gettext asks; the source language, and a message that has no translation, say what the template says."""
    if language == SOURCE:
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    mofile.write_mo(compiled, read(language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def read(language: str) -> Catalog:
    """The catalogue of a language as it is stored; an empty one for a new language."""
    path = path_of(language)
    if not path.exists():
        return Catalog(locale=language, project="Debitum", header_comment="# The messages of Debitum.", fuzzy=False)
    with path.open("rb") as file:
        return pofile.read_po(file, locale=language)


def template() -> Catalog:
    """All that the templates say, without translations."""
    catalogue = Catalog()
    method, options = [("**", "jinja2.ext:babel_extract")], {"**": _EXTRACTION}
    for file, line, message, comments, context in extract.extract_from_dir(TEMPLATES, method, options):
        catalogue.add(message, locations=[(f"templates/{file}", line)], auto_comments=comments, context=context)
    return catalogue


def updated(language: str) -> bytes:
    """The stored catalogue with exactly the messages of the templates. What is translated already stays as it is."""
    catalogue = read(language)
    # A guess by likeness would be marked as fuzzy, and gettext would not say it.
    catalogue.update(template(), no_fuzzy_matching=True, update_creation_date=False)
    written = io.BytesIO()
    # Without line numbers: a line that is added to a template would change those of all below it.
    pofile.write_po(written, catalogue, width=100, sort_output=True, ignore_obsolete=True, include_lineno=False)
    return _CHANGING_HEADER.sub(b"", written.getvalue())


def path_of(language: str) -> Path:
    """Where the catalogue of a language is stored."""
    return _LOCALES / language / "LC_MESSAGES" / "messages.po"


def _main() -> None:
    for language in TRANSLATED:
        path = path_of(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(updated(language))


if __name__ == "__main__":
    _main()
