"""A URL of a database as each driver takes it: what SQLAlchemy makes of the same, without SQLAlchemy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from storage import urls

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=12)
NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,10}", fullmatch=True)
HOSTS = st.sampled_from(["", "localhost", "db.example.org", "[::1]", "10.0.0.1"])


@st.composite
def typed(draw: st.DrawFn) -> str:
    """As somebody may write one: a password holds what it likes, escaped or, but for @, not."""
    backend, driver = draw(st.sampled_from(["postgresql", "postgres"])), draw(st.sampled_from(["", "+psycopg", "+psycopg2"]))
    login = draw(st.sampled_from(["", "ada@", "ada:@", "ada:p%40ss%2Fw%3Frd@", "a%20b:p ss+w/rd?#&@"]))
    port = draw(st.sampled_from(["", ":5432"])) if (host := draw(HOSTS)) else ""
    values = draw(st.dictionaries(NAMES, WORDS.map(lambda word: word.replace("%", "%25").replace("&", "%26")), max_size=3))
    pairs = [*values.items(), *draw(st.sampled_from([[], [("host", "a:1"), ("host", "b:2")]]))]
    query = "&".join(f"{name}={value.replace('#', '%23')}" for name, value in pairs)
    return f"{backend}{driver}://{login}{host}{port}/{draw(NAMES)}{query and '?'}{query}"


@given(typed())
def test_urls_are_read_as_sqlalchemy_reads_them(url: str) -> None:
    theirs = make_url(url)
    assert make_url(urls.psycopg_url(url)) == theirs.set(drivername="postgresql+psycopg")
    rendered = theirs.set(drivername="postgresql").render_as_string(hide_password=False)
    assert make_url(urls.libpq_url(url)) == make_url(rendered)
    options = {"options": "-csearch_path=dagster -ctimezone=UTC -clock_timeout=200"}
    dagsters = make_url(urls.psycopg2_url(url, schema="dagster", lock_seconds=0.2))
    assert dagsters == theirs.set(drivername="postgresql+psycopg2").update_query_dict(options)
    assert urls.backend(url) == theirs.get_backend_name()


def test_libpq_gets_what_it_can_read() -> None:
    url = "postgresql+psycopg://a b:p/?#w@h:6432/d?application_name=x+y&pooler=transaction&sslmode=require"
    assert urls.libpq_url(url) == "postgresql://a b:p%2F%3F%23w@h:6432/d?application_name=x%20y&sslmode=require"
    assert urls.is_pooled(url)


@pytest.mark.parametrize("wrong", ["", "localhost", "postgresql:/x", "://x", "postgresql//h/d"])
def test_what_is_no_url_is_refused(wrong: str) -> None:
    with pytest.raises(urls.AddressError):
        urls.libpq_url(wrong)
