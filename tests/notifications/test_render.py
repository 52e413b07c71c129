"""What messages say: golden files for each, laws for all.

After a change of words that you meant: `DEBITUM_WRITE_GOLDEN=1 pytest tests/notifications/test_render.py`; then read the diff.
"""

import html
import os
import re
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications import formats, mime
from notifications.contexts import (
    KINDS,
    Context,
    Debt,
    DueContext,
    InviteContext,
    Item,
    Money,
    ReminderContext,
    ResetContext,
    VerifyContext,
    WelcomeContext,
)
from notifications.message import EmailTarget
from notifications.render import TEXT_COLUMNS, Rendered, nearest, push, render
from tests.notifications.contract import MAIL, NOW, body, parse
from tests.notifications.samples import DRILL, PLATES, RENT, SAMPLES, TICKETS

GOLDEN = Path(__file__).parents[1] / "golden" / "mails"
NASTY = "Eve\r\nBcc: x@example.org\u2028\u202e<script>alert(1)</script>&\x00\"'{{ 7*7 }}"

NEVER_PUSHED = ("verify", "reset", "welcome", "invite")

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
contexts = (
    st.builds(
        DueContext,
        debt=debts,
        days=st.integers(-30, 400),
        user_name=texts,
        link=st.none() | st.just("https://app.example/?a=1&b=2"),
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
        VerifyContext, address=names, link=st.just("https://app.example/v?t=1"), valid_hours=st.integers(1, 72), user_name=texts
    )
    | st.builds(
        ResetContext, address=names, link=st.just("https://app.example/r?t=1"), valid_hours=st.integers(1, 72), user_name=texts
    )
    | st.builds(
        WelcomeContext, address=names, link=st.just("https://app.example/r?t=1"), valid_hours=st.integers(1, 72), user_name=texts
    )
    | st.builds(InviteContext, address=names, link=st.just("https://app.example/j?i=1"), valid_hours=st.integers(1, 400))
)


def kind_of(context: Context) -> str:
    return next(kind for kind, expected in KINDS.items() if isinstance(context, expected))


@pytest.mark.parametrize("name", SAMPLES)
def test_golden(name: str) -> None:
    kind, context = SAMPLES[name]
    mail = render(kind, context, language="en")
    assert mail.html is not None
    pushed = push(kind, context, language="en") if kind not in NEVER_PUSHED else None
    files = {f"{name}.txt": f"Subject: {mail.subject}\n\n{mail.text}", f"{name}.html": mail.html}
    if pushed is not None:
        files[f"{name}.push.txt"] = f"{pushed.subject}\n\n{pushed.text}\n"
    if os.environ.get("DEBITUM_WRITE_GOLDEN"):
        for file, content in files.items():
            (GOLDEN / file).write_text(content)
    assert {file: (GOLDEN / file).read_text() for file in files} == files


def test_every_golden_file_has_its_sample() -> None:
    assert {file.name.split(".")[0] for file in GOLDEN.iterdir()} == set(SAMPLES)
    assert {kind for kind, _ in SAMPLES.values()} == set(KINDS)


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
        (PLATES, 0, "You have Nour نور’s plates (12 of them), due today"),
        (msgspec.structs.replace(PLATES, what=Item("plate")), 0, "You have Nour نور’s plate, due today"),
        (msgspec.structs.replace(DRILL, what=Item("drills", 2)), 0, "Łucja has your drills (2 of them), due today"),
    ],
)
def test_a_subject_says_who_and_how_much(debt: Debt, days: int, subject: str) -> None:
    assert render("due", DueContext(debt=debt, days=days), language="en").subject == subject
    assert push("due", DueContext(debt=debt, days=days), language="en").subject == subject


@settings(max_examples=60, deadline=None)  # other tests may have the processor meanwhile
@given(contexts)
def test_whatever_people_write_stays_where_it_belongs(context: Context) -> None:
    kind = kind_of(context)
    rendered = [render(kind, context, language="en")]
    if kind not in NEVER_PUSHED:
        rendered.append(push(kind, context, language="en"))
    for words in rendered:
        assert words.subject.splitlines() == [words.subject]
        assert words.subject == words.subject.strip()
        assert words.subject
        assert words.text.strip()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", words.subject + words.text)
    assert "None" not in render(kind, scrubbed(context), language="en").text


def scrubbed(context: Context) -> Context:
    """The context without the word None in what people wrote."""
    return msgspec.convert(_without_none(msgspec.to_builtins(context)), type(context))


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items()}
    return value.replace("None", "Nobody") if isinstance(value, str) else value


@settings(max_examples=60, deadline=None)  # other tests may have the processor meanwhile
@given(contexts)
def test_every_mail_comes_out_of_its_file_as_it_went_in(context: Context) -> None:
    words = render(kind_of(context), context, language="en")
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
        ("verify", VerifyContext(address=NASTY, link='https://x.example/"><script>', valid_hours=1, user_name=NASTY)),
        ("reset", ResetContext(address=NASTY, link='https://x.example/"><script>', valid_hours=1, user_name=NASTY)),
        ("welcome", WelcomeContext(address=NASTY, link='https://x.example/"><script>', valid_hours=1, user_name=NASTY)),
        ("invite", InviteContext(address=NASTY, link='https://x.example/"><script>', valid_hours=1)),
    ]
    for kind, context in contexts:
        words = render(kind, context, language="en").html or ""
        assert "<script" not in words
        assert "\u202e" not in words
        assert "{{ 7*7 }}" in html.unescape(words)


def test_a_mail_needs_nothing_from_the_network() -> None:
    for kind, context in SAMPLES.values():
        words = render(kind, context, language="en").html or ""
        assert not re.search(r"<(img|link|script|iframe)\b|url\(|@import|src=", words)


def test_lines_are_short_but_for_links() -> None:
    for kind, context in SAMPLES.values():
        lines = render(kind, context, language="en").text.splitlines()
        assert [line for line in lines if len(line) > TEXT_COLUMNS and not line.startswith("https://")] == []


@pytest.mark.parametrize("name", NEVER_PUSHED)
def test_a_link_stays_whole(name: str) -> None:
    kind, context = SAMPLES[name]
    assert isinstance(context, VerifyContext | ResetContext | WelcomeContext | InviteContext)
    assert context.link in render(kind, context, language="en").text.splitlines()


@pytest.mark.parametrize(("asked", "given"), [("en", "en"), ("en-GB", "en"), ("EN_us", "en"), ("xx", "en"), ("", "en")])
def test_everyone_gets_a_language_that_exists(asked: str, given: str) -> None:
    assert nearest(asked) == given


def test_a_context_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="a message of kind verify needs a VerifyContext, not a DueContext"):
        render("verify", DueContext(debt=DRILL, days=0), language="en")
    with pytest.raises(LookupError):
        render("newsletter", DueContext(debt=DRILL, days=0), language="en")


@pytest.mark.parametrize("name", NEVER_PUSHED)
def test_mails_about_accounts_are_never_pushed(name: str) -> None:
    kind, context = SAMPLES[name]
    with pytest.raises(LookupError):
        push(kind, context, language="en")


def test_a_push_has_no_markup() -> None:
    kind, context = SAMPLES["due-lent-today"]
    assert push(kind, context, language="en") == Rendered("Ana Lucía owes you €12.50, due today", "Concert tickets", None)


@pytest.mark.parametrize(
    ("amount_minor", "currency", "exponent", "written"),
    [
        (1250, "EUR", 2, "€12.50"),
        (5, "USD", 2, "$0.05"),
        (123_456_789, "GBP", 2, "£1,234,567.89"),
        (500, "JPY", 0, "¥500"),
        (12_500, "KWD", 3, "KWD\N{NO-BREAK SPACE}12.500"),
        (-1250, "CHF", 2, "-CHF\N{NO-BREAK SPACE}12.50"),
        (9_007_199_254_740_991, "EUR", 2, "€90,071,992,547,409.91"),
    ],
)
def test_money(amount_minor: int, currency: str, exponent: int, written: str) -> None:
    assert formats.money(amount_minor, currency, exponent) == written


@given(st.integers(-(2**53), 2**53), st.integers(0, 4), st.sampled_from(["EUR", "KWD", "JPY", "CLF"]))
def test_money_reads_back_as_what_it_was(amount_minor: int, exponent: int, currency: str) -> None:
    written = formats.money(amount_minor, currency, exponent)
    assert int(re.sub("[^0-9-]", "", written)) == amount_minor
    assert len(written.partition(".")[2]) == exponent


@given(st.text(max_size=200), st.integers(2, 80))
def test_short_is_short_and_one_line(text: str, limit: int) -> None:
    cut = formats.short(text, limit)
    assert len(cut) <= limit
    assert cut == formats.one_line(cut)
    assert cut.endswith("…") or cut == formats.one_line(text)


def test_dates() -> None:
    assert formats.day(date(2026, 11, 22)) == "Sunday, 22 November 2026"
    assert formats.clock(datetime(2026, 1, 1, 9, 5, tzinfo=UTC)) == "09:05"
