"""What messages say: golden files for each, laws for all.

After a change of words that you meant: `DEBITUM_WRITE_GOLDEN=1 pytest tests/notifications/test_render.py`; then read the diff.
"""

import html
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications import formats, mime
from notifications.contexts import (
    KINDS,
    AccountContext,
    Context,
    Debt,
    DigestContext,
    DueContext,
    Entry,
    Item,
    Money,
    ReminderContext,
)
from notifications.message import EmailTarget
from notifications.render import LANGUAGES, TEXT_COLUMNS, Rendered, nearest, push, render
from tests.notifications.contract import MAIL, NOW, body, parse
from tests.notifications.samples import DRILL, PLATES, READERS, RENT, SAMPLES, TICKETS

GOLDEN = Path(__file__).parents[1] / "golden" / "mails"
NASTY = "Eve\r\nBcc: x@example.org\u2028\u202e<script>alert(1)</script>&\x00\"'{{ 7*7 }}"

NEVER_PUSHED = ("verify", "reset", "welcome", "invite")
IN_HTML_TOO = ("due-items-owed-soon", "digest", "reminder-debt", "verify")
"""What the languages other than English have as HTML too: the markup is the same for all samples of a kind."""

names = st.text(min_size=1, max_size=200).filter(lambda name: bool(formats.one_line(name)))
texts = st.none() | st.text(max_size=300)
things = st.builds(Money, st.integers(1, 2**53 - 1), st.sampled_from(["EUR", "CHF"]), st.sampled_from([0, 2, 3])) | st.builds(
    Item, names, st.integers(1, 99)
)
debts = st.builds(
    Debt,
    contact=names,
    direction=st.sampled_from(["lent", "owed"]),
    what=things,
    transaction_date=st.dates(),
    description=texts,
    due_date=st.none() | st.dates(),
)
links = st.none() | st.just("https://app.example/?a=1&b=2")
contexts = (
    st.builds(
        DueContext,
        debt=debts,
        days=st.integers(-30, 400),
        user_name=texts,
        link=links,
    )
    | st.builds(
        DigestContext,
        entries=st.lists(
            st.builds(Entry, debts, st.integers(-30, 400), st.none() | st.just("https://app.example/?a=1&b=2")),
            min_size=1,
            max_size=4,
        ).map(tuple),
        more=st.integers(0, 200),
        user_name=texts,
        unsubscribe=st.none() | st.just("https://app.example/unsubscribe?token=a"),
    )
    | st.builds(
        ReminderContext,
        at=st.datetimes(),
        message=texts,
        contact=st.none() | names,
        debt=st.none() | debts,
        days=st.none() | st.integers(-30, 400),
        user_name=texts,
    )
    | st.builds(
        AccountContext, address=names, link=st.just("https://app.example/v?t=1"), valid_hours=st.integers(1, 72), user_name=texts
    )
    | st.builds(
        AccountContext, address=names, link=st.just("https://app.example/r?t=1"), valid_hours=st.integers(1, 72), user_name=texts
    )
    | st.builds(
        AccountContext, address=names, link=st.just("https://app.example/r?t=1"), valid_hours=st.integers(1, 72), user_name=texts
    )
    | st.builds(AccountContext, address=names, link=st.just("https://app.example/j?i=1"), valid_hours=st.integers(1, 400))
)


def kind_of(context: Context) -> str:
    return next(kind for kind, expected in KINDS.items() if isinstance(context, expected))


def golden_files(name: str, language: str) -> dict[str, str]:
    """What a sample looks like in a language, by file; the push has a file of its own in English alone."""
    kind, context = SAMPLES[name]
    mail = render(kind, context, language=READERS[language])
    assert mail.html is not None
    stem = name if language == "en" else f"{name}.{language}"
    files = {f"{stem}.txt": f"Subject: {mail.subject}\n\n{mail.text}"}
    if language == "en" or name in IN_HTML_TOO:
        files[f"{stem}.html"] = mail.html
    if kind not in NEVER_PUSHED:
        pushed = push(kind, context, language=READERS[language])
        if language == "en":
            files[f"{stem}.push.txt"] = f"{pushed.subject}\n\n{pushed.text}\n"
        else:
            files[f"{stem}.txt"] += f"\nPush: {pushed.subject}\n\n{pushed.text}\n"
    return files


@pytest.mark.parametrize("language", READERS)
@pytest.mark.parametrize("name", SAMPLES)
def test_golden(name: str, language: str) -> None:
    files = golden_files(name, language)
    if os.environ.get("DEBITUM_WRITE_GOLDEN"):
        for file, content in files.items():
            (GOLDEN / file).write_text(content)
    assert {file: (GOLDEN / file).read_text() for file in files} == files


def test_every_golden_file_has_its_sample() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {
        file for name in SAMPLES for language in READERS for file in golden_files(name, language)
    }
    assert {kind for kind, _ in SAMPLES.values()} == set(KINDS)
    assert set(READERS) == set(LANGUAGES)


@pytest.mark.parametrize(
    ("debt", "days", "subject"),
    [
        (TICKETS, -2, "Ana Lucía owes you €12.50, due in 2 days"),
        (TICKETS, -1, "Ana Lucía owes you €12.50, due tomorrow"),
        (TICKETS, 0, "Ana Lucía owes you €12.50, due today"),
        (TICKETS, 1, "Ana Lucía owes you €12.50, 1 day overdue"),
        (TICKETS, 7, "Ana Lucía owes you €12.50, 7 days overdue"),
        (RENT, 0, "You owe Hana 花 ¥123,456, due today"),
        (DRILL, 0, "Łucja has your drill, due today"),
        (PLATES, 0, "You have \u2068Nour نور\u2069’s plates (12 of them), due today"),
        (msgspec.structs.replace(PLATES, what=Item("plate")), 0, "You have \u2068Nour نور\u2069’s plate, due today"),
        (msgspec.structs.replace(DRILL, what=Item("drills", 2)), 0, "Łucja has your drills (2 of them), due today"),
    ],
)
def test_a_subject_says_who_and_how_much(debt: Debt, days: int, subject: str) -> None:
    assert render("due", DueContext(debt=debt, days=days), language="en").subject == subject
    assert push("due", DueContext(debt=debt, days=days), language="en").subject == subject


@pytest.mark.parametrize(
    ("debt", "days", "language", "subject"),
    [
        (TICKETS, -2, "de-AT", "Ana Lucía schuldet dir €\xa012,50, in 2 Tagen fällig"),
        (TICKETS, 1, "de-CH", "Ana Lucía schuldet dir EUR\xa012.50, seit einem Tag überfällig"),
        (RENT, -1, "de", "Du schuldest Hana 花 123.456\xa0¥, morgen fällig"),
        (DRILL, 0, "de-DE", "Łucja hat drill von dir, heute fällig"),
        (PLATES, 7, "de", "Du hast plates von \u2068Nour نور\u2069 (12 Stück), seit 7 Tagen überfällig"),
        (TICKETS, -1, "ar", "لك عند \u2068Ana Lucía\u2069 مبلغ \u2068\u200f12.50\xa0€\u2069، يحلّ الموعد غدًا"),
        (TICKETS, -2, "ar", "لك عند \u2068Ana Lucía\u2069 مبلغ \u2068\u200f12.50\xa0€\u2069، يحلّ الموعد بعد يومين"),
        (TICKETS, 3, "ar-EG", "لك عند \u2068Ana Lucía\u2069 مبلغ \u2068\u200f١٢٫٥٠\xa0€\u2069، فات الموعد منذ ٣ أيام"),
        (TICKETS, 11, "ar-EG", "لك عند \u2068Ana Lucía\u2069 مبلغ \u2068\u200f١٢٫٥٠\xa0€\u2069، فات الموعد منذ ١١ يومًا"),
        (TICKETS, 100, "ar", "لك عند \u2068Ana Lucía\u2069 مبلغ \u2068\u200f12.50\xa0€\u2069، فات الموعد منذ 100 يوم"),
        (DRILL, 1, "ar", "لك عند \u2068Łucja\u2069: \u2068drill\u2069، فات الموعد منذ يوم واحد"),
        (PLATES, 0, "ar-EG", "عندك من \u2068Nour نور\u2069: \u2068plates\u2069 (العدد: ١٢)، يحلّ الموعد اليوم"),
        (TICKETS, 0, "en-CH", "Ana Lucía owes you €\xa012.50, due today"),
        (TICKETS, 0, "pt-BR", "Ana Lucía owes you €12.50, due today"),
    ],
)
def test_a_subject_is_written_as_the_reader_writes(debt: Debt, days: int, language: str, subject: str) -> None:
    assert render("due", DueContext(debt=debt, days=days), language=language).subject == subject


def test_a_name_of_many_lines_is_isolated_on_each() -> None:
    contact = "نور " + "محمود " * 12
    lines = render(
        "due", DueContext(debt=msgspec.structs.replace(TICKETS, contact=contact), days=0), language="en"
    ).text.splitlines()
    assert sum("محمود" in line for line in lines) > 2
    assert all(line.count("\u2068") == line.count("\u2069") for line in lines)


def test_isolates_are_elements_in_html() -> None:
    kind, context = SAMPLES["reminder-debt"]
    words = render(kind, context, language="ar").html or ""
    title, _, visible = words.partition("</title>")
    assert "\u2068Ana Lucía\u2069" in title
    assert "لك عند <bdi>Ana Lucía</bdi> مبلغ <bdi>\u200f12.50\xa0€</bdi></h1>" in visible
    assert not {"\u2068", "\u2069"} & set(visible)


def test_arabic_is_laid_out_from_right_to_left() -> None:
    kind, context = SAMPLES["reminder-debt"]
    english, arabic = (render(kind, context, language=language).html or "" for language in ("en", "ar"))
    assert '<html lang="ar" dir="rtl">' in arabic
    sides = re.compile(r"\b(left|right)\b")
    mirrored = {"left": "right", "right": "left"}
    assert sides.findall(arabic) == [mirrored[side] for side in sides.findall(english)]
    assert "border-right: 3px solid" in arabic


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_is_left_in_english(name: str) -> None:
    kind, context = SAMPLES[name]
    mail = render(kind, context, language="ar")
    assert mail.html is not None
    visible = re.sub(r"<style>.*</style>|<[^>]*>", " ", mail.html, flags=re.DOTALL)
    ours = "\n".join([mail.subject, mail.text, html.unescape(visible)])
    if kind not in NEVER_PUSHED:
        pushed = push(kind, context, language="ar")
        ours += f"\n{pushed.subject}\n{pushed.text}"
    theirs = "\n".join(_strings(msgspec.to_builtins(context)))
    assert _latin(ours) - _latin(theirs) <= {"Debitum", "JP"}  # JP¥ is what CLDR calls the yen in Arabic


def _latin(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z]{2,}", text))


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _strings(item)]
    return [value] if isinstance(value, str) else []


@given(contexts, st.sampled_from(["en", "de", "ar-EG"]))
def test_whatever_people_write_stays_where_it_belongs(context: Context, language: str) -> None:
    kind = kind_of(context)
    rendered = [render(kind, context, language=language)]
    if kind not in NEVER_PUSHED:
        rendered.append(push(kind, context, language=language))
    for words in rendered:
        assert words.subject.splitlines() == [words.subject]
        assert words.subject == words.subject.strip()
        assert words.subject
        assert words.text.strip()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066\u2067]", words.subject + words.text)
        assert all(isolates_are_closed(line) for line in [words.subject, *words.text.splitlines()])
        assert (words.html or "").count("<bdi>") == (words.html or "").count("</bdi>")
    assert "None" not in render(kind, scrubbed(context), language=language).text


def isolates_are_closed(line: str) -> bool:
    inside = 0
    for char in line:
        inside += {"\u2068": 1, "\u2069": -1}.get(char, 0)
        if inside not in (0, 1):
            return False
    return inside == 0


def scrubbed(context: Context) -> Context:
    """The context without the word None in what people wrote."""
    return msgspec.convert(_without_none(msgspec.to_builtins(context)), type(context))


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items()}
    return value.replace("None", "Nobody") if isinstance(value, str) else value


@given(contexts, st.sampled_from(["en", "de", "ar-EG"]))
def test_every_mail_comes_out_of_its_file_as_it_went_in(context: Context, language: str) -> None:
    words = render(kind_of(context), context, language=language)
    message = msgspec.structs.replace(MAIL, subject=words.subject, text=words.text, html=words.html)
    mail = parse(mime.compose(message, sender=EmailTarget("debitum@example.net"), now=NOW).content)
    assert (mail["Subject"], body(mail, "plain")) == (words.subject, words.text)
    assert body(mail, "html").rstrip("\n") == (words.html or "").rstrip("\n")


def test_markup_in_names_is_text() -> None:
    nasty = msgspec.structs.replace(DRILL, contact=NASTY, description=NASTY, what=Item(NASTY))
    contexts: list[tuple[str, Context]] = [
        ("due", DueContext(debt=nasty, days=0, user_name=NASTY, link='https://x.example/"><script>')),
        ("reminder", ReminderContext(at=datetime(2026, 1, 1, tzinfo=UTC), message=NASTY, debt=nasty, user_name=NASTY)),
        ("reminder", ReminderContext(at=datetime(2026, 1, 1, tzinfo=UTC), message=NASTY, contact=NASTY)),
        ("verify", AccountContext(address=NASTY, link='https://x.example/"><script>', valid_hours=1, user_name=NASTY)),
        ("reset", AccountContext(address=NASTY, link='https://x.example/"><script>', valid_hours=1, user_name=NASTY)),
        ("welcome", AccountContext(address=NASTY, link='https://x.example/"><script>', valid_hours=1, user_name=NASTY)),
        ("invite", AccountContext(address=NASTY, link='https://x.example/"><script>', valid_hours=1)),
    ]
    for kind, context in contexts:
        for language in READERS.values():
            words = render(kind, context, language=language).html or ""
            assert "<script" not in words
            assert "\u202e" not in words
            assert "{{ 7*7 }}" in html.unescape(words)


def test_a_mail_needs_nothing_from_the_network() -> None:
    for kind, context in SAMPLES.values():
        words = render(kind, context, language="en").html or ""
        assert not re.search(r"<(img|link|script|iframe)\b|url\(|@import|src=", words)


def test_lines_are_short_but_for_links() -> None:
    for kind, context in SAMPLES.values():
        lines = [line for tag in READERS.values() for line in render(kind, context, language=tag).text.splitlines()]
        assert [line for line in lines if len(line) > TEXT_COLUMNS and not line.lstrip().startswith("https://")] == []


@pytest.mark.parametrize("name", NEVER_PUSHED)
def test_a_link_stays_whole(name: str) -> None:
    kind, context = SAMPLES[name]
    assert isinstance(context, AccountContext)
    assert all(context.link in render(kind, context, language=tag).text.splitlines() for tag in READERS.values())


@pytest.mark.parametrize(
    ("asked", "given"),
    [("en", "en"), ("en-GB", "en"), ("EN_us", "en"), ("de-AT", "de"), ("ar-EG", "ar"), ("pt-BR", "en"), ("xx", "en"), ("", "en")],
)
def test_everyone_gets_a_language_that_exists(asked: str, given: str) -> None:
    assert nearest(asked) == given


def test_a_context_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="a message of kind verify needs a AccountContext, not a DueContext"):
        render("verify", DueContext(debt=DRILL, days=0), language="en")
    with pytest.raises(LookupError):
        render("newsletter", DueContext(debt=DRILL, days=0), language="en")


@pytest.mark.parametrize("name", NEVER_PUSHED)
def test_mails_about_accounts_are_never_pushed(name: str) -> None:
    kind, context = SAMPLES[name]
    with pytest.raises(LookupError):
        push(kind, context, language="en")


@pytest.mark.parametrize("language", READERS)
@pytest.mark.parametrize("name", [name for name, (kind, _) in SAMPLES.items() if kind not in NEVER_PUSHED])
def test_a_push_does_not_say_the_same_twice(name: str, language: str) -> None:
    kind, context = SAMPLES[name]
    pushed = push(kind, context, language=READERS[language])
    assert pushed.text.removesuffix(".") not in pushed.subject


def test_a_push_has_no_markup() -> None:
    kind, context = SAMPLES["due-lent-today"]
    assert push(kind, context, language="en") == Rendered("Ana Lucía owes you €12.50, due today", "Concert tickets", None)
