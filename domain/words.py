"""Words as search sees them: without case, accents and punctuation, the same for what is stored and for what is asked."""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

MAX_WORD: Final = 64
"""Characters of a word that are looked at; a longer one is found by its beginning."""
MAX_QUERY_WORDS: Final = 16
MOST_ACCENTS: Final = 30
"""On one letter: as many as Unicode's Stream-Safe Text Format allows (UAX 15, 13)."""
_WORD = re.compile(r"[^\W_]+(?:['’‑-][^\W_]+)*")
_PART = re.compile(r"[^\W_]+")
_JOINT = re.compile(r"['’‑-]")
_IDEOGRAPH = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
"""Chinese and Japanese are written without spaces: each of their characters is a word."""
LETTERS: Final = {
    "ł": "l",
    "ø": "o",
    "đ": "d",
    "ð": "d",
    "ħ": "h",
    "ı": "i",
    "ŋ": "n",
    "ŧ": "t",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "ĸ": "k",
    "ə": "e",
    "ƒ": "f",
}
"""Letters that people without them on their keyboard write otherwise, and that no decomposition of Unicode takes apart."""
_TRANSLATED: Final = str.maketrans(LETTERS)


def folded(text: str) -> str:
    """`text` without case and accents."""
    return text.lower() if text.isascii() else "".join(map(_plain, text))


@lru_cache(maxsize=8_192)
def _plain(sign: str) -> str:
    """One character at a time: to sort many accents takes the square of their number, and all of them are dropped."""
    apart = unicodedata.normalize("NFKD", sign.casefold())
    return "".join(part for part in apart if not unicodedata.combining(part)).casefold().translate(_TRANSLATED)


def split(text: str) -> list[str]:
    """The words of `text`, folded, in their order; "o'neil" and "e-mail" give their parts."""
    return _parts(folded(text))


def _parts(seen: str) -> list[str]:
    apart = seen if seen.isascii() else _IDEOGRAPH.sub(r" \1 ", seen)
    return [part[:MAX_WORD] for part in _PART.findall(apart)]


def vector(texts: Mapping[str, str | None]) -> str:
    """A Postgres tsvector of the words of `texts`, which stand by weight ("A" counts most); in the notation of its input.

    What is joined by an apostrophe or a hyphen is found by its parts and as one word.
    """
    places: dict[str, str] = {}
    for weight, text in sorted(texts.items()):
        if text is None:
            continue
        seen = folded(text)
        places = dict.fromkeys(_parts(seen), weight) | places
        if _JOINT.search(seen):
            for found in _WORD.findall(seen):
                if not found.isalnum():
                    places.setdefault(_JOINT.sub("", found)[:MAX_WORD], weight)
    return " ".join(f"'{word}':{number}{places[word]}" for number, word in enumerate(sorted(places), start=1))


def query(text: str) -> list[str]:
    """The words that are asked for, each to be found as the beginning of a word; none where `text` has only signs."""
    return list(dict.fromkeys(split(text)))[:MAX_QUERY_WORDS]


def passage(text: str, asked: list[str], width: int) -> str | None:
    """About `width` characters of `text` around the first word that begins like one of `asked`; None where none does."""
    composed = _composed(text)
    for found in _WORD.finditer(composed):
        if any(word.startswith(one) for word in (*split(found[0]), folded(found[0])) for one in asked):
            return _cut(composed, found.start(), width)
    return None


def _composed(text: str) -> str:
    """`text` in NFC, with no more than MOST_ACCENTS on a letter (see `_plain`)."""
    if text.isascii():
        return text
    kept, accents = [], 0
    for sign in text:
        accents = accents + 1 if unicodedata.combining(sign) else 0
        if accents <= MOST_ACCENTS:
            kept.append(sign)
    return unicodedata.normalize("NFC", "".join(kept))


def _cut(text: str, at: int, width: int) -> str:
    start = max(0, min(at - width // 3, len(text) - width))
    piece = " ".join(text[start : start + width].split())
    return f"{'…' if start else ''}{piece}{'…' if start + width < len(text) else ''}"
