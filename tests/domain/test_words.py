"""Words as search sees them."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import words

SAME = [
    ("Łukasz", "lukasz"),
    ("Øster", "oster"),
    ("Đorđe", "dorde"),
    ("Straße", "strasse"),
    ("STRAẞE", "strasse"),
    ("Æble", "aeble"),
    ("Œuvre", "oeuvre"),
    ("Işıl", "isil"),
    ("İstanbul", "istanbul"),
    ("Þór", "thor"),
    ("Guðrún", "gudrun"),
    ("José", "jose"),
    ("Jose\u0301", "jose"),
    ("ΑΘΉΝΑ", "αθηνα"),
    ("Ёлка", "елка"),
    ("مُحَمَّد", "محمد"),
    ("ﬁne", "fine"),
]


@pytest.mark.parametrize(("written", "plain"), SAME)
def test_accents_and_case_make_no_difference(written: str, plain: str) -> None:
    assert words.split(written) == words.split(plain) == [plain]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("O'Neil", ["o", "neil"]),
        ("50% off_now a&b :* <->", ["50", "off", "now", "a", "b"]),
        ("東京 tower", ["東", "京", "tower"]),
        ("…!?", []),
        ("x" * 100, ["x" * words.MAX_WORD]),
    ],
)
def test_signs_part_words(text: str, found: list[str]) -> None:
    assert words.split(text) == found


def test_what_a_hyphen_or_apostrophe_joins_is_one_word_too() -> None:
    assert words.vector({"A": "e-mail", "B": "O’Neil"}) == "'e':1A 'email':2A 'mail':3A 'neil':4B 'o':5B 'oneil':6B"


def test_a_word_weighs_as_much_as_the_best_place_it_is_in() -> None:
    assert words.vector({"A": "Ana", "B": None, "C": "ana and bo"}) == "'ana':1A 'and':2C 'bo':3C"


@given(st.text(max_size=200))
def test_words_are_letters_and_digits_whatever_the_text(text: str) -> None:
    for word in words.split(text):
        assert word.replace("'", "") == word != ""
        assert words.split(word) == [word] or unicodedata.normalize("NFKD", word) != word


def test_the_passage_is_where_the_word_is() -> None:
    text = "Lunch at the café with Łukasz, who forgot his wallet again and again"
    assert words.passage(text, ["lukas"], 30) == "…café with Łukasz, who forgot h…"
    assert words.passage(text, ["wal"], 500) == text
    assert words.passage(text, ["zebra"], 30) is None


@pytest.mark.parametrize("accents", ["\u0301\u0323", "\u0345\u0301\u0323\u0334", "\ufdfa"], ids=ascii)
def test_no_text_is_looked_at_more_than_once(accents: str) -> None:
    """Unicode wants accents in an order; to put these into it would take minutes."""
    text = "Zoe" + accents * 100_000
    assert words.folded(text).startswith("zoe")
    assert words.passage(f"{text} Bo", ["bo"], 20) is not None


def test_a_letter_is_the_same_by_itself_and_among_others() -> None:
    """All that has letters with accents, and of the rest of Unicode a part, with accents that are not in Unicode's order."""
    for sign in map(chr, (*range(0x3000), *range(0x3000, 0xD800, 53), *range(0xE000, sys.maxunicode, 211))):
        apart = unicodedata.normalize("NFKD", f"{sign}\u0301\u0323".casefold())
        bare = "".join(part for part in apart if not unicodedata.combining(part)).casefold().translate(words._TRANSLATED)
        assert words.folded(f"{sign}\u0301\u0323") == bare, ascii(sign)
