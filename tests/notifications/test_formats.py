"""How amounts, dates, counts and people's words are written."""

import re
from datetime import UTC, date, datetime

import pytest
from babel import Locale
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications import formats
from notifications.render import nearest

NO_BREAK = "\N{NO-BREAK SPACE}"
LRM = "\N{LEFT-TO-RIGHT MARK}"
RLM = "\N{RIGHT-TO-LEFT MARK}"


def locale(tag: str) -> Locale:
    return formats.locale_of(nearest(tag), tag)


@pytest.mark.parametrize(
    ("tag", "given"),
    [
        ("en", "en"),
        ("en-GB", "en_GB"),
        ("EN_us", "en_US"),
        ("de", "de"),
        ("de-AT", "de_AT"),
        ("de-Latn-CH-1996", "de_CH"),
        ("de-BR", "de"),
        ("ar-EG", "ar_EG"),
        ("ar-EG-u-nu-latn", "ar_EG"),
        ("ar-u-rg-ma", "ar"),
        ("nl-NL", "en_NL"),
        ("pt-BR", "en_001"),
        ("es-419", "en_001"),
        ("xx", "en_001"),
        ("", "en_001"),
        ("-", "en_001"),
    ],
)
def test_everyone_gets_a_locale_that_exists(tag: str, given: str) -> None:
    assert str(locale(tag)) == given


@pytest.mark.parametrize(
    ("amount_minor", "currency", "exponent", "tag", "written"),
    [
        (1250, "EUR", 2, "en", "€12.50"),
        (5, "USD", 2, "en", "$0.05"),
        (123_456_789, "GBP", 2, "en-GB", "£1,234,567.89"),
        (500, "JPY", 0, "en", "¥500"),
        (500, "ISK", 2, "en", f"ISK{NO_BREAK}5.00"),  # whose exponent it is: the caller's, CLDR has 0 here
        (12_500, "KWD", 3, "en", f"KWD{NO_BREAK}12.500"),
        (-1250, "CHF", 2, "en", f"-CHF{NO_BREAK}12.50"),
        (1250, "ZZZ", 2, "en", f"ZZZ{NO_BREAK}12.50"),
        (9_007_199_254_740_991, "EUR", 2, "en", "€90,071,992,547,409.91"),
        (123_450, "EUR", 2, "de", f"1.234,50{NO_BREAK}€"),
        (123_450, "EUR", 2, "de-AT", f"€{NO_BREAK}1.234,50"),
        (123_450, "CHF", 2, "de-CH", f"CHF{NO_BREAK}1’234.50"),
        (500, "JPY", 0, "de", f"500{NO_BREAK}¥"),
        (123_450, "EUR", 2, "ar", f"{RLM}1,234.50{NO_BREAK}€"),
        (123_450, "EUR", 2, "ar-EG", f"{RLM}١٬٢٣٤٫٥٠{NO_BREAK}€"),
        (1250, "USD", 2, "ar", f"{RLM}12.50{NO_BREAK}US${LRM}"),
        (12_500, "KWD", 3, "ar-KW", f"{RLM}١٢٫٥٠٠{NO_BREAK}د.ك.{RLM}"),
        (123_450, "MAD", 2, "ar-MA", f"{RLM}1.234,50{NO_BREAK}د.م.{RLM}"),
    ],
)
def test_money(amount_minor: int, currency: str, exponent: int, tag: str, written: str) -> None:
    assert formats.money(amount_minor, currency, exponent, locale=locale(tag)) == written


@settings(deadline=None)  # the first use of a locale reads its file
@given(
    st.integers(-(2**53), 2**53),
    st.integers(0, 4),
    st.sampled_from(["EUR", "KWD", "JPY", "CLF", "ZZZ"]),
    st.sampled_from(["en", "de-AT", "de-CH", "ar", "ar-EG", "ar-MA"]),
)
def test_money_reads_back_as_what_it_was(amount_minor: int, exponent: int, currency: str, tag: str) -> None:
    written = formats.money(amount_minor, currency, exponent, locale=locale(tag))
    digits = "".join(re.findall(r"\d", written))
    assert int(digits) == abs(amount_minor)
    assert ("-" in written) == (amount_minor < 0)
    groups = re.findall(r"\d+", written)
    assert (len(groups[-1]) if exponent else 0) == exponent


def test_dates() -> None:
    sunday, morning = date(2026, 11, 22), datetime(2026, 1, 1, 9, 5, tzinfo=UTC)
    written = {tag: (formats.day(sunday, locale=locale(tag)), formats.clock(morning, locale=locale(tag))) for tag in TAGS}
    assert written == TAGS


TAGS = {
    "en": ("Sunday, November 22, 2026", "9:05\N{NARROW NO-BREAK SPACE}AM"),
    "en-GB": ("Sunday, 22 November 2026", "09:05"),
    "pt-BR": ("Sunday, 22 November 2026", "9:05\N{NARROW NO-BREAK SPACE}am"),
    "de-AT": ("Sonntag, 22. November 2026", "09:05"),
    "ar": ("الأحد، 22 نوفمبر 2026", "9:05\xa0ص"),
    "ar-EG": ("الأحد، ٢٢ نوفمبر ٢٠٢٦", "٩:٠٥\xa0ص"),
    "ar-MA": ("الأحد، 22 نونبر 2026", "09:05"),
    "ar-SY": ("الأحد، ٢٢ تشرين الثاني ٢٠٢٦", "٩:٠٥\xa0ص"),
}


@pytest.mark.parametrize(("tag", "written"), [("en", "1,234"), ("de", "1.234"), ("de-CH", "1’234"), ("ar-EG", "١٬٢٣٤")])
def test_counts(tag: str, written: str) -> None:
    assert formats.number(1234, locale=locale(tag)) == written


@given(st.text(max_size=200), st.integers(2, 80))
def test_short_is_short_and_one_line(text: str, limit: int) -> None:
    cut = formats.short(text, limit)
    assert len(cut) <= limit
    assert cut == formats.plain(cut)
    assert cut.endswith("…") or cut == formats.plain(text)


@given(st.text(st.sampled_from("ab \n\t\xa0\u202f\u2003\u2028\u200f\u202e\u202b\u2066\u2067\u2068\u2069"), max_size=40))
def test_nothing_reaches_out_of_a_line(text: str) -> None:
    line = formats.one_line(text)
    assert line == formats.one_line(line)
    assert line.splitlines() == [line][: len(line)]
    assert not set("\u202b\u202e\u2066\u2067") & set(line)
    inside = 0
    for char in line:
        inside += {"\u2068": 1, "\u2069": -1}.get(char, 0)
        assert inside >= 0
    assert inside == 0


def test_only_closed_isolates_stay() -> None:
    assert formats.one_line("\u2069a\u2068b\u2068c\u2069d\u202e") == "ab\u2068c\u2069d"
    assert formats.plain("\u2068b\u2069\u200f") == "b"


@pytest.mark.parametrize(
    ("text", "tag", "written"),
    [
        ("Ana", "en", "Ana"),
        ("نور 7", "en", "\u2068نور 7\u2069"),
        ("עדי", "de", "\u2068עדי\u2069"),
        ("Ana", "ar", "\u2068Ana\u2069"),
        ("نور", "ar", "\u2068نور\u2069"),
    ],
)
def test_what_would_move_its_neighbours_is_isolated(text: str, tag: str, written: str) -> None:
    assert formats.isolated(text, locale=locale(tag)) == written


def test_markup_for_isolates_escapes_the_rest() -> None:
    assert formats.bdi("\u2068<b>\u2069 & \u2068c") == "<bdi>&lt;b&gt;</bdi> &amp; c"
