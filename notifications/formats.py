"""How amounts, dates, numbers and other people's words are written in a message."""

import copy
import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal

from babel import Locale, UnknownLocaleError, dates, numbers
from markupsafe import Markup, escape

ISOLATE, END_OF_ISOLATE = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
"""Around a name: what is between them has a writing direction of its own, and changes none outside (UAX 9)."""

_WORLD = "001"
"""The region of CLDR for whoever reads a language away from its countries (en-001: `22 November`, `US$`)."""

_DIGITS = {"arab": str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")}
"""Babel writes the separators of a numbering system, but leaves its digits to us. The others of our locales are `latn`."""

_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
_NO_BREAK_SPACES = f"{_NO_BREAK_SPACE}\N{NARROW NO-BREAK SPACE}"
_LETTER_BESIDE_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_LEFT_TO_RIGHT_MARK = "\N{LEFT-TO-RIGHT MARK}"
_MARKS = f"{_LEFT_TO_RIGHT_MARK}\N{RIGHT-TO-LEFT MARK}\N{ARABIC LETTER MARK}"
_EMBEDDINGS = "\u202a-\u202e\u2066\u2067"
_BIDI_CONTROLS = re.compile(f"[{_MARKS}{_EMBEDDINGS}{ISOLATE}{END_OF_ISOLATE}]")
_UNSAFE_CONTROLS = re.compile(f"[{_EMBEDDINGS}]")
"""Left unclosed in a name, they would turn round the text after it."""
_BDI, _END_OF_BDI = Markup("<bdi>"), Markup("</bdi>")
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_ELLIPSIS = "…"


@functools.lru_cache(maxsize=256)
def locale_of(language: str, tag: str) -> Locale:
    """How `language` is written where the reader of the BCP 47 `tag` lives: `en` for `nl-NL` is en-NL.

    A region in which CLDR does not know the language gives its form for the world, no region the language as such.
    """
    spoken, *subtags = tag.replace("_", "-").split("-")
    region = next((subtag.upper() for subtag in _before_extensions(subtags) if re.fullmatch(r"[A-Za-z]{2}|\d{3}", subtag)), None)
    abroad = region is not None or spoken.lower() != language
    for territory in (region, _WORLD if abroad else None):
        if territory is not None:
            try:
                return Locale(language, territory)
            except UnknownLocaleError:
                continue
    return Locale(language)


def _before_extensions(subtags: Iterable[str]) -> Iterator[str]:
    for subtag in subtags:
        if len(subtag) == 1:  # what follows, such as u-ca-buddhist, may look like a region and is none
            return
        yield subtag


def money(amount_minor: int, currency: str, exponent: int, *, locale: Locale) -> str:
    """An amount of minor units as the locale writes it: `€1,234.50`, `1.234,50 €`, `CHF 12.50` (with no-break spaces).

    `exponent` is the number of digits after the point (2 for EUR, 0 for JPY, 3 for KWD), whatever CLDR thinks of the
    currency. Exact: no floats.
    """
    amount = Decimal(amount_minor).scaleb(-exponent)
    written = _pattern(locale, exponent).apply(
        amount, locale, currency=currency, currency_digits=False, numbering_system="default"
    )
    symbol = numbers.get_currency_symbol(currency, locale)
    if locale.text_direction == "rtl" and any(unicodedata.bidirectional(char) == "L" for char in symbol):
        written = written.replace(symbol, symbol + _LEFT_TO_RIGHT_MARK)  # US$ would be shown as $US
    # CLDR's currencySpacing, which Babel leaves out: a code and a number do not touch.
    return _digits(_LETTER_BESIDE_DIGIT.sub(_NO_BREAK_SPACE, written), locale)


@functools.lru_cache(maxsize=512)
def _pattern(locale: Locale, exponent: int) -> numbers.NumberPattern:
    pattern = copy.copy(locale.currency_formats["standard"])
    assert isinstance(pattern, numbers.NumberPattern)
    pattern.frac_prec = (exponent, exponent)
    return pattern


def number(value: int, *, locale: Locale) -> str:
    """A count: `1,234`, `1.234`, `١٬٢٣٤`."""
    return _digits(numbers.format_decimal(value, locale=locale, numbering_system="default"), locale)


def day(value: date, *, locale: Locale) -> str:
    """A date with its weekday: `Sunday, 22 November 2026`."""
    return _digits(dates.format_date(value, "full", locale=locale), locale)


def clock(value: datetime, *, locale: Locale) -> str:
    """The time of day in the value's own zone: `18:05`, `6:05 PM` (with a no-break space)."""
    written = dates.format_time(value.time(), "short", locale=locale)
    return _digits(written.replace(" ", _NO_BREAK_SPACE), locale)


def _digits(text: str, locale: Locale) -> str:
    return text.translate(_DIGITS.get(locale.default_numbering_system, {}))


def isolated(text: str, *, locale: Locale) -> str:
    """The text fit to stand inside a sentence of the locale: nothing in it moves what is around it.

    In a sentence from left to right only what has something from right to left needs that.
    """
    if locale.text_direction == "ltr" and not any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in text):
        return text
    return f"{ISOLATE}{text}{END_OF_ISOLATE}"


def bdi(text: str) -> Markup:
    """One line for HTML, escaped: what is isolated in it is `<bdi>`, as a mail program may drop the characters."""
    return escape(one_line(text)).replace(ISOLATE, _BDI).replace(END_OF_ISOLATE, _END_OF_BDI)


def closed_by_line(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a sentence that was broken: an isolate ends with its line, so the next one opens it again."""
    still_open = 0
    for line in lines:
        opened = ISOLATE * still_open + line
        still_open = max(0, opened.count(ISOLATE) - opened.count(END_OF_ISOLATE))
        yield opened + END_OF_ISOLATE * still_open


def one_line(text: str) -> str:
    """The text without line breaks, control characters and what reverses the writing direction; blanks collapse.

    Isolates that are closed may stay, and so may single no-break spaces. It cannot break out of a header or rewrite
    what stands after it.
    """
    visible = "".join(" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in text)
    closed = _only_closed_isolates(_UNSAFE_CONTROLS.sub("", visible))
    return re.sub(rf"\s{{2,}}|[^\S{_NO_BREAK_SPACES}]", " ", closed).strip()


def _only_closed_isolates(text: str) -> str:
    kept, opened = list(text), []
    for place, char in enumerate(text):
        if char == ISOLATE:
            opened.append(place)
        elif char == END_OF_ISOLATE:
            if opened:
                opened.pop()
            else:
                kept[place] = ""
    for place in opened:
        kept[place] = ""
    return "".join(kept)


def plain(text: str) -> str:
    """What somebody wrote, on one line and without anything that steers the writing direction."""
    return " ".join(one_line(_BIDI_CONTROLS.sub("", text)).split())


def paragraphs(text: str) -> str:
    """What somebody wrote with its line breaks, but without other control characters; runs of empty lines become one."""
    lines = [_BIDI_CONTROLS.sub("", _without_controls(line)).rstrip() for line in text.splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def capitalized(text: str) -> str:
    """The text with its first letter in upper case, to stand at the start of a line."""
    return text[:1].upper() + text[1:]


def short(text: str, limit: int) -> str:
    """What somebody wrote on one line of at most `limit` characters, cut between words where possible and then ending in `…`."""
    line = plain(text)
    if len(line) <= limit:
        return line
    kept = line[: limit - 1]
    at_word, _, _ = kept.rpartition(" ")
    return (at_word if len(at_word) > limit // 2 else kept).rstrip(" ,.;:") + _ELLIPSIS


def _without_controls(line: str) -> str:
    return "".join(" " if unicodedata.category(char) == "Cc" else char for char in line)
