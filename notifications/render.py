"""Turns a context into the words of a mail or a push. Every sentence lives under templates/."""

import functools
import re
import textwrap
from pathlib import Path

import jinja2
import msgspec

from notifications import formats
from notifications.contexts import KINDS, Context, Debt, Money

LANGUAGES = ("en",)
"""The languages that messages exist in; the first is what everyone else gets."""

TEXT_COLUMNS = 72
"""Readable on a phone and still whole after a reply has quoted it twice."""

SIGNATURE = "-- "
"""The line before what mail programs fold away or grey out (RFC 3676, 4.3)."""

_TEMPLATES = Path(__file__).parent / "templates"
_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})


class Rendered(msgspec.Struct, frozen=True):
    """The words of a message. `subject` is one line; `html` is None for a push."""

    subject: str
    text: str
    html: str | None


def render(kind: str, context: Context, *, language: str) -> Rendered:
    """The mail of a kind, in the language nearest to `language` (a BCP 47 tag such as `en` or `de-AT`).

    Raises LookupError for an unknown kind and TypeError where the context is of another kind.
    """
    environment = _environment(nearest(language))
    values = _values(kind, context)
    subject = formats.one_line(environment.get_template(f"{kind}/subject.txt").render(values))
    values["subject"] = subject
    text = _wrapped(environment.get_template(f"{kind}/body.txt").render(values))
    return Rendered(subject, text, environment.get_template(f"{kind}/body.html").render(values))


def push(kind: str, context: Context, *, language: str) -> Rendered:
    """The push of a kind: `subject` is its title, `text` its body.

    Languages and errors are those of `render`; a kind that is never pushed raises LookupError too.
    """
    environment = _environment(nearest(language))
    values = _values(kind, context)
    subject = formats.one_line(environment.get_template(f"{kind}/subject.txt").render(values))
    return Rendered(subject, formats.one_line(environment.get_template(f"{kind}/push.txt").render(values)), None)


def nearest(language: str) -> str:
    """The language that is written for whoever asks for `language`."""
    base = re.split("[-_]", language, maxsplit=1)[0].lower()
    return base if base in LANGUAGES else LANGUAGES[0]


def _values(kind: str, context: Context) -> dict[str, object]:
    expected = KINDS[kind]
    if not isinstance(context, expected):
        raise TypeError(f"a message of kind {kind} needs a {expected.__name__}, not a {type(context).__name__}")
    return msgspec.structs.asdict(context)


@functools.cache
def _environment(language: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"], default=False),
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined]  # the extension adds it
    environment.filters |= {filter.__name__: filter for filter in _FILTERS}
    environment.globals |= {name: functools.partial(_phrase, environment, name) for name in _PHRASES}
    environment.globals |= {
        "facts": functools.partial(_facts, environment),
        "is_money": lambda debt: isinstance(debt.what, Money),
        "language": language,
        "writing_direction": "rtl" if language in _RIGHT_TO_LEFT else "ltr",
    }
    return environment


_FILTERS = (formats.capitalized, formats.clock, formats.day, formats.money, formats.one_line, formats.paragraphs, formats.short)

_PHRASES = {
    "greeting": ("user_name",),
    "invite_not_you": (),
    "invite_why": ("address",),
    "link_works_for": ("valid_hours",),
    "only_you": ("contact",),
    "reset_not_you": (),
    "reset_why": ("address",),
    "settle": ("debt",),
    "statement": ("debt",),
    "verify_not_you": (),
    "verify_why": ("address",),
    "welcome_not_you": (),
    "welcome_why": ("address",),
    "when": ("days",),
}
"""Sentences that the text and the HTML of a mail share: templates/phrases/<name>.txt with what each is given."""


def _phrase(environment: jinja2.Environment, name: str, *values: object) -> str:
    # A str, where a macro would count as safe in whichever template calls it: HTML templates escape what comes back.
    given = dict(zip(_PHRASES[name], values, strict=True))
    return formats.one_line(environment.get_template(f"phrases/{name}.txt").render(given))


def _facts(environment: jinja2.Environment, debt: Debt) -> list[tuple[str, str]]:
    lines = environment.get_template("phrases/facts.txt").render(debt=debt).splitlines()
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
    return "\n".join(lines) or indent.rstrip()
