"""The gettext catalogues of the pages. `python -m api.catalogues` brings them up to date with what the modules here say.

As notifications.catalogues does with the mails' templates, which this package must not import: a translator then edits
locales/<language>/LC_MESSAGES/messages.po, which is read as it is, once a process. A new language begins as an empty file.
"""

import ast
import functools
import gettext
import io
import re
from pathlib import Path
from typing import Final

from babel.messages import Catalog, mofile, pofile

SOURCE: Final = "en"
"""The language that the modules are written in."""
TRANSLATED: Final = ("de", "ar")
"""The languages that have a catalogue."""
_HERE = Path(__file__).parent
_CHANGING_HEADER = re.compile(
    rb'^"(Project-Id-Version|Report-Msgid-Bugs-To|POT-Creation-Date|PO-Revision-Date|Last-Translator|Language-Team|Generated-By)'
    rb": .*\n",
    re.MULTILINE,
)
"""Git knows it better, and a new version of Babel should change no catalogue."""


@functools.cache
def translations(language: str) -> gettext.NullTranslations:
    """What gettext asks; the source language, and a message that has no translation, say what the code says."""
    if language == SOURCE:
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    mofile.write_mo(compiled, read(language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def read(language: str) -> Catalog:
    """The catalogue of a language as it is stored."""
    with path_of(language).open("rb") as file:
        return pofile.read_po(file, locale=language)


def template() -> Catalog:
    """All that the modules say, without translations: what is written out as the argument of `say` or `noted` (api.languages)."""
    catalogue = Catalog()
    for path in sorted(_HERE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):  # Babel's extractor looks into no f-string
            match node:
                case ast.Call(func=ast.Name("say" | "noted"), args=[ast.Constant(str(text))]):
                    catalogue.add(text, locations=[(f"api/{path.name}", node.lineno)])
    return catalogue


def updated(language: str) -> bytes:
    """The stored catalogue with exactly the messages of the modules. What is translated already stays as it is."""
    catalogue, written = read(language), io.BytesIO()
    catalogue.update(template(), no_fuzzy_matching=True, update_creation_date=False)
    pofile.write_po(written, catalogue, width=100, sort_output=True, ignore_obsolete=True, include_lineno=False)
    return _CHANGING_HEADER.sub(b"", written.getvalue())


def path_of(language: str) -> Path:
    """Where the catalogue of a language is stored."""
    return _HERE / "locales" / language / "LC_MESSAGES" / "messages.po"


if __name__ == "__main__":
    for language in TRANSLATED:
        path_of(language).write_bytes(updated(language))
