"""How amounts, dates and other people's words are written in a message."""

import re
import unicodedata
from datetime import date, datetime

_SYMBOLS = {
    "AUD": "A$",
    "BRL": "R$",
    "CAD": "CA$",
    "CNY": "CN¥",
    "EUR": "€",
    "GBP": "£",
    "HKD": "HK$",
    "ILS": "₪",
    "INR": "₹",
    "JPY": "¥",
    "KRW": "₩",
    "MXN": "MX$",
    "NZD": "NZ$",
    "PHP": "₱",
    "TWD": "NT$",
    "USD": "$",
    "VND": "₫",
}
"""The symbols of the Unicode CLDR for English; every other currency is written with its code."""

_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_BIDI_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Left unclosed in a name, they would turn round the text after it."""
_ELLIPSIS = "…"


def money(amount_minor: int, currency: str, exponent: int) -> str:
    """An amount of minor units as English writes it: `€1,234.50`, `¥500`, `CHF 12.50` (with a no-break space).

    `exponent` is the number of digits after the point (2 for EUR, 0 for JPY, 3 for KWD). Exact: no floats.
    """
    whole, fraction = divmod(abs(amount_minor), 10**exponent)
    digits = f"{whole:,}.{fraction:0{exponent}d}" if exponent else f"{whole:,}"
    symbol = _SYMBOLS.get(currency, currency + _NO_BREAK_SPACE)
    return f"{'-' if amount_minor < 0 else ''}{symbol}{digits}"


def day(value: date) -> str:
    """A date with its weekday: `Sunday, 22 November 2026`."""
    return f"{_WEEKDAYS[value.weekday()]}, {value.day} {_MONTHS[value.month - 1]} {value.year}"


def clock(value: datetime) -> str:
    """The time of day in the value's own zone: `18:05`."""
    return f"{value.hour:02d}:{value.minute:02d}"


def one_line(text: str) -> str:
    """The text without line breaks, control characters and what reverses the writing direction; blanks collapse.

    A name cannot break out of a header or rewrite what stands after it.
    """
    visible = "".join(" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in text)
    return " ".join(_BIDI_CONTROLS.sub("", visible).split())


def paragraphs(text: str) -> str:
    """The text with its line breaks, but without other control characters; runs of empty lines become one."""
    lines = [_BIDI_CONTROLS.sub("", _without_controls(line)).rstrip() for line in text.splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def capitalized(text: str) -> str:
    """The text with its first letter in upper case, to stand at the start of a line."""
    return text[:1].upper() + text[1:]


def short(text: str, limit: int) -> str:
    """One line of at most `limit` characters, cut between words where possible and then ending in `…`."""
    line = one_line(text)
    if len(line) <= limit:
        return line
    kept = line[: limit - 1]
    at_word, _, _ = kept.rpartition(" ")
    return (at_word if len(at_word) > limit // 2 else kept).rstrip(" ,.;:") + _ELLIPSIS


def _without_controls(line: str) -> str:
    return "".join(" " if unicodedata.category(char) == "Cc" else char for char in line)
