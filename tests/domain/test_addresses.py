"""Addresses: one spelling of each mailbox, which stays what it is, and never another mailbox's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import addresses


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Ana@Example.org", "ana@example.org"),
        ("ana@Bücher.example", "ana@bücher.example"),
        ("ana@bu\u0308cher.example", "ana@bücher.example"),
        ("ana@XN--Bcher-kva.example", "ana@bücher.example"),
        ("ana@mail.xn--bcher-kva.example", "ana@mail.bücher.example"),
        ("ana@faß.example", "ana@faß.example"),
        ("ana@xn--fa-hia.example", "ana@faß.example"),
        ("ana@fass.example", "ana@fass.example"),
        ("Åna@example.org", "åna@example.org"),
        # No domains, though they look like some.
        ("ana@xn--zzzzzzz99999.example", "ana@xn--zzzzzzz99999.example"),
        ("ana@i❤.example", "ana@i❤.example"),
        ("nobody", "nobody"),
    ],
)
def test_a_mailbox_is_kept_in_one_way(written: str, kept: str) -> None:
    assert addresses.canonical(written) == kept


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_what_is_kept_stays_as_it_is(domain: str) -> None:
    kept = addresses.canonical(f"ana@{domain}")
    assert addresses.canonical(kept) == kept.lower() == kept
