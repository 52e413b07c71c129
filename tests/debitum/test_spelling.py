"""Settings whose names have a slip in them."""

from debitum import spelling
from tests.manual import documents

OPERATIONS = documents.ROOT / "docs" / "operations.md"


def test_the_names_are_those_that_are_documented() -> None:
    rows = [*documents.rows(OPERATIONS, "## Settings"), *documents.rows(OPERATIONS, "## Retention")]
    documented = {part for cells in rows for part in cells[0].split("`") if part.startswith(spelling.PREFIX) and "<" not in part}
    assert documented == spelling.NAMES


def test_a_slip_is_found_and_what_was_meant_is_named() -> None:
    set_by_others = ("PATH", "DATABASE_URL", "DEBITUM_SITE", "DEBITUM_SUPERVISED", "DEBITUM_PORT")
    found = spelling.unread((*set_by_others, "DEBITUM_WORKES", "DEBITUM_RATE_USERS_PER_SECOND", "DEBITUM_SERVICE_HOST"))
    assert [str(one) for one in found] == [
        "DEBITUM_RATE_USERS_PER_SECOND is no setting; DEBITUM_RATE_USER_PER_SECOND is one",
        "DEBITUM_SERVICE_HOST is no setting",
        "DEBITUM_WORKES is no setting; DEBITUM_WORKERS is one",
    ]
