"""Keys and ciphers: what is sealed opens in its place alone, with its key alone."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.encryption import Cipher, KeyRing, KeyRingError, key_of, new_key, new_ring

LEDGER = "018f0000-0000-7000-8000-000000000001"
CIPHER = Cipher(LEDGER, b"k" * 32)
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts)
def test_what_is_sealed_comes_out_again_and_does_not_show(text: str) -> None:
    sealed = CIPHER.seal("contact", "1", "phone", text)
    assert CIPHER.open("contact", "1", "phone", sealed) == text
    assert len(sealed) == 1 + 12 + len(text.encode()) + 16
    assert len(text) < 4 or text.encode() not in sealed


@given(texts, texts)
def test_equal_texts_in_one_place_and_nothing_else_look_equal(one: str, other: str) -> None:
    sealed = [CIPHER.seal("contact", "1", "phone", text) for text in (one, one, other)]
    assert sealed[0] == sealed[1]
    assert (sealed[0] == sealed[2]) == (one == other)
    places = [("contact", "2", "phone"), ("contact", "1", "email"), ("event", "1", "phone")]
    elsewhere = [CIPHER.seal(*place, one) for place in places]
    elsewhere.append(Cipher("another", CIPHER.data_key).seal("contact", "1", "phone", one))
    elsewhere.append(Cipher(LEDGER, b"o" * 32).seal("contact", "1", "phone", one))
    nonces = {value[1:13] for value in (sealed[0], *elsewhere)}
    assert len(nonces) == 1 + len(elsewhere)


@pytest.mark.parametrize(
    ("opener", "place"),
    [
        (CIPHER, ("contact", "2", "phone")),
        (CIPHER, ("contact", "1", "email")),
        (CIPHER, ("device", "1", "phone")),
        (dataclasses.replace(CIPHER, ledger_id="another"), ("contact", "1", "phone")),
        (dataclasses.replace(CIPHER, data_key=b"o" * 32), ("contact", "1", "phone")),
    ],
)
def test_it_opens_nowhere_else(opener: Cipher, place: tuple[str, str, str]) -> None:
    sealed = CIPHER.seal("contact", "1", "phone", "+34 600 111 222")
    with pytest.raises(KeyRingError, match="does not open") as caught:
        opener.open(*place, sealed)
    assert "600" not in str(caught.value)


def test_no_changed_byte_goes_unnoticed() -> None:
    sealed = CIPHER.seal("contact", "1", "phone", "+34 600 111 222")
    for index in range(len(sealed)):
        changed = sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :]
        with pytest.raises(KeyRingError):
            CIPHER.open("contact", "1", "phone", changed)
    for length in range(len(sealed)):
        with pytest.raises(KeyRingError):
            CIPHER.open("contact", "1", "phone", sealed[:length])


def test_a_data_key_is_sealed_anew_by_another_key_and_stays_the_same() -> None:
    old = new_key("k1")
    both = KeyRing.parse(f"{new_key('k2')},{old}")
    sealed = KeyRing.parse(old).new_data_key(LEDGER)
    renewed = both.renew_data_key(LEDGER, sealed)
    assert (key_of(sealed), key_of(renewed)) == ("k1", "k2")
    assert both.open_data_key(LEDGER, renewed) == both.open_data_key(LEDGER, sealed)
    with pytest.raises(KeyRingError, match="no key 'k2'"):
        KeyRing.parse(old).open_data_key(LEDGER, renewed)


def test_fingerprints_are_keyed_and_know_every_key_of_the_ring() -> None:
    old, ring = new_ring(), new_key("k2")
    both = KeyRing.parse(f"{ring},{old}")
    [before] = KeyRing.parse(old).fingerprints("push targets", "token abc")
    now, then = both.fingerprints("push targets", "token abc")
    assert then == before != now
    assert len({before, *both.fingerprints("push targets", "token abd"), *both.fingerprints("other", "token abc")}) == 5
