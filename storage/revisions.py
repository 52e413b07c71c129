"""Which revisions of the schema this code has, by the names of their files: who only compares them needs no Alembic."""

from functools import cache
from pathlib import Path


def newest() -> str:
    """The one that this code was written for."""
    return _known()[-1]


def is_known(revision: str | None) -> bool:
    """Whether this code has it, or it is that of an empty database; where not, a newer version has been there."""
    return revision is None or revision in _known()


@cache
def _known() -> list[str]:
    """Oldest first."""
    folder = Path(__file__).parent / "migrations" / "versions"
    return sorted(path.name.partition("_")[0] for path in folder.glob("[0-9]*.py"))
