"""The list of common passwords, as it lies in the package."""

from importlib import resources

from domain import common_passwords


def test_the_file_is_sorted_and_holds_what_a_password_can_be() -> None:
    lines = resources.files("domain").joinpath("common_passwords.txt").read_text().splitlines()
    assert len(lines) >= 5_000
    assert lines == sorted(set(lines))
    assert {line for line in lines if not 8 <= len(line) <= 128 or not line.isprintable()} == set()


def test_an_exact_match_counts_and_nothing_else() -> None:
    assert common_passwords.has("password1")
    assert not common_passwords.has("Password1 ")
    assert not common_passwords.has("correct horse battery staple")
