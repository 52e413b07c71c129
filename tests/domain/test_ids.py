"""Ids that are made here: of the form that RFC 9562 gives them, in the order of time, and no two alike."""

import datetime
from uuid import RFC_4122, UUID

from domain.ids import parse, text, uuid7

AT = datetime.datetime(2026, 3, 2, 9, 30, 0, 123_999, tzinfo=datetime.UTC)


def test_the_form_is_that_of_the_standard() -> None:
    made = uuid7(AT)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == int(AT.timestamp() * 1_000)


def test_text_is_that_of_the_standard_library_and_is_read_back() -> None:
    for number in (0, 2**128 - 1, uuid7(AT).int):
        one = UUID(int=number)
        assert text(one) == text(str(one)) == str(one)
        assert parse(str(one)) == one
        assert hash(parse(str(one))) == hash(one)


def test_what_is_made_later_sorts_behind_and_no_two_are_alike() -> None:
    later = AT + datetime.timedelta(milliseconds=1)
    first, second = ([uuid7(at) for _ in range(2_000)] for at in (AT, later))
    assert max(first) < min(second)
    assert len({*first, *second}) == 4_000


def test_every_bit_that_may_be_random_is() -> None:
    fixed = UUID(int=(2**48 - 1) << 80 | 0xF << 76 | 0b11 << 62).int
    ones, zeros = 0, 2**128 - 1
    for _ in range(200):
        ones |= uuid7(AT).int
        zeros &= uuid7(AT).int
    assert (ones | fixed) == 2**128 - 1
    assert (zeros & ~fixed) == 0
