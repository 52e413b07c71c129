"""Turns a context into the words of a mail or a push. Every sentence lives under templates/."""

import functools
import re
import textwrap
from collections.abc import Callable

import babel
import jinja2
import msgspec

from notifications import catalogues, formats
from notifications.contexts import KINDS, Context, Debt, Money

LANGUAGES = (catalogues.SOURCE, *catalogues.TRANSLATED)
"""The languages that messages exist in; the first is what everyone else gets."""

TEXT_COLUMNS = 72
"""Readable on a phone and still whole after a reply has quoted it twice."""

SIGNATURE = "-- "
"""The line before what mail programs fold away or grey out (RFC 3676, 4.3)."""


class Rendered(msgspec.Struct, frozen=True):
    """The words of a message. `subject` is one line; `html` is None for a push."""

    subject: str
    text: str
    html: str | None


def render(kind: str, context: Context, *, language: str) -> Rendered:
    """The mail of a kind, in the language nearest to `language` (a BCP 47 tag such as `en` or `de-AT`).

    Amounts and dates are written as that language writes them in the region of the tag.
    Raises LookupError for an unknown kind and TypeError where the context is of another kind.
    """
    environment = _environment(nearest(language))
    values = _values(kind, context, language)
    subject = formats.one_line(environment.get_template(f"{kind}/subject.txt").render(values))
    values["subject"] = subject
    text = _wrapped(environment.get_template(f"{kind}/body.txt").render(values))
    return Rendered(subject, text, environment.get_template(f"{kind}/body.html").render(values))


def push(kind: str, context: Context, *, language: str) -> Rendered:
    """The push of a kind: `subject` is its title, `text` its body.

    Languages and errors are those of `render`; a kind that is never pushed raises LookupError too.
    """
    environment = _environment(nearest(language))
    values = _values(kind, context, language)
    subject = formats.one_line(environment.get_template(f"{kind}/subject.txt").render(values))
    return Rendered(subject, formats.one_line(environment.get_template(f"{kind}/push.txt").render(values)), None)


def nearest(language: str) -> str:
    """The language that is written for whoever asks for `language`."""
    base = re.split("[-_]", language, maxsplit=1)[0].lower()
    return base if base in LANGUAGES else LANGUAGES[0]


def _values(kind: str, context: Context, language: str) -> dict[str, object]:
    expected = KINDS[kind]
    if not isinstance(context, expected):
        raise TypeError(f"a message of kind {kind} needs a {expected.__name__}, not a {type(context).__name__}")
    return {**msgspec.structs.asdict(context), "locale": formats.locale_of(nearest(language), language)}


@functools.cache
def _environment(language: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(catalogues.TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"], default=False),
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.policies["ext.i18n.trimmed"] = True
    said = catalogues.translations(language)
    environment.install_gettext_translations(said, newstyle=True)  # type: ignore[attr-defined]  # the extension adds it
    environment.filters |= {filter.__name__: filter for filter in _FILTERS}
    environment.filters |= {filter.__name__: _in_locale(filter) for filter in _LOCAL_FILTERS}
    environment.globals |= {name: _phrase(name) for name in _PHRASES}
    right_to_left = babel.Locale(language).text_direction == "rtl"
    environment.globals |= {
        "facts": _facts,
        "is_money": lambda debt: isinstance(debt.what, Money),
        "language": language,
        "start": "right" if right_to_left else "left",
        "end": "left" if right_to_left else "right",
        "writing_direction": "rtl" if right_to_left else "ltr",
    }
    return environment


_FILTERS = (formats.bdi, formats.capitalized, formats.paragraphs, formats.plain, formats.short)
_LOCAL_FILTERS = (formats.clock, formats.day, formats.isolated, formats.money, formats.number)


def _in_locale(filter: Callable[..., str]) -> Callable[..., str]:
    @jinja2.pass_context
    def filter_in_locale(context: jinja2.runtime.Context, *values: object) -> str:
        return filter(*values, locale=context["locale"])

    return filter_in_locale


_PHRASES = {
    "and_more": ("more",),
    "due_now": ("total",),
    "fact": ("label", "value"),
    "greeting": ("user_name",),
    "invite_not_you": (),
    "invite_why": ("address",),
    "link_works_for": ("valid_hours",),
    "only_you": ("contact",),
    "only_you_all": (),
    "reset_not_you": (),
    "reset_why": ("address",),
    "settle": ("debt",),
    "statement": ("debt",),
    "statement_and_when": ("debt", "days"),
    "verify_not_you": (),
    "verify_why": ("address",),
    "welcome_not_you": (),
    "welcome_why": ("address",),
    "when": ("days",),
}
"""Sentences that the text and the HTML of a mail share: templates/phrases/<name>.txt with what each is given."""


def _phrase(name: str) -> Callable[..., str]:
    # A str, where a macro would count as safe in whichever template calls it: HTML templates escape what comes back.
    @jinja2.pass_context
    def phrase(context: jinja2.runtime.Context, *values: object) -> str:
        given = dict(zip(_PHRASES[name], values, strict=True))
        template = context.environment.get_template(f"phrases/{name}.txt")
        return formats.one_line(template.render(given, locale=context["locale"]))

    return phrase


@jinja2.pass_context
def _facts(context: jinja2.runtime.Context, debt: Debt) -> list[tuple[str, str]]:
    lines = context.environment.get_template("phrases/facts.txt").render(debt=debt, locale=context["locale"]).splitlines()
    return [(label, value) for label, separator, value in (line.partition("\t") for line in lines) if separator]


def _wrapped(text: str) -> str:
    filled = "\n".join(_wrapped_line(line) for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", filled).strip("\n") + "\n"


def _wrapped_line(line: str) -> str:
    if line == SIGNATURE:
        return line
    margin = re.match(r"> |\s*", line)
    indent = margin[0] if margin else ""
    # Words stay whole: a link that is broken in two does not open.
    lines = textwrap.wrap(
        line.removeprefix(indent),
        TEXT_COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(formats.closed_by_line(lines)) or indent.rstrip()
