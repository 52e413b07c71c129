"""The languages of the pages, and which one of them a browser would rather read."""

import re
from dataclasses import dataclass
from typing import Final

from babel import Locale
from sanic import Request

from api import catalogues

ALL: Final = (catalogues.SOURCE, *catalogues.TRANSLATED)
_WANTED: Final = re.compile(
    r"(?P<base>[A-Za-z]{1,8}|\*)(-[A-Za-z0-9]{1,8})*([ \t]*;[ \t]*[Qq]=(?P<weight>0(\.[0-9]{0,3})?|1(\.0{0,3})?))?"
)
"""One of the languages in an Accept-Language (RFC 9110, 12.4.2 and 12.5.4)."""


@dataclass(frozen=True)
class Language:
    """Says a text that the code has in English: `say = languages.of(request)`, then `say("Thank you")`.

    The text is written out where it is said, or where it is `noted`: from there the catalogues have it. What comes back is text,
    not HTML yet.
    """

    tag: str

    def __call__(self, text: str) -> str:
        """`text` in this language."""
        return catalogues.translations(self.tag).gettext(text)

    @property
    def direction(self) -> str:
        """As HTML's `dir`: `ltr` or `rtl`."""
        return str(Locale.parse(self.tag).text_direction)


ENGLISH: Final = Language(catalogues.SOURCE)


def noted(text: str) -> str:
    """`text` itself, which a page says elsewhere."""
    return text


def of(request: Request) -> Language:
    """The language of the page that answers `request`."""
    return Language(nearest(",".join(request.headers.getall("accept-language", ()))))


def nearest(accepted: str) -> str:
    """The one of ALL that an Accept-Language header likes most, the first of equals; English for whoever reads none of them.

    `*` is English too. What is not well-formed does not count.
    """
    found, most = catalogues.SOURCE, 0.0
    for wanted in accepted.split(","):
        if (match := _WANTED.fullmatch(wanted.strip())) is None:
            continue
        base, weight = match["base"].lower().replace("*", catalogues.SOURCE), float(match["weight"] or 1)
        if base in ALL and weight > most:
            found, most = base, weight
    return found
