"""The passphrase of backups: from a file or the environment, never from a command line, where others would see it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

SETTING: Final = "DEBITUM_BACKUP_PASSPHRASE"
FILE_SETTING: Final = "DEBITUM_BACKUP_PASSPHRASE_FILE"
LEAST_CHARACTERS: Final = 12
"""A file that was stolen can be tried at leisure; argon2 makes each try dear, and length makes them many."""


def read(settings: Mapping[str, str]) -> str | None:
    """The passphrase that is set, None where none is. Raises ValueError, which never repeats it."""
    given, file = settings.get(SETTING), settings.get(FILE_SETTING)
    if given and file:
        raise ValueError(f"{SETTING} and {FILE_SETTING} are both set: leave one")
    if file:
        given = _content(file)
    if not given:
        return None
    try:
        return judged(given)
    except ValueError as error:
        raise ValueError(f"{FILE_SETTING if file else SETTING}: {error}") from None


def judged(passphrase: str) -> str:
    """The same, if it will do. Raises ValueError."""
    if len(passphrase) < LEAST_CHARACTERS:
        raise ValueError(f"a passphrase of backups has {LEAST_CHARACTERS} characters or more")
    return passphrase


def _content(name: str) -> str:
    path = Path(name)
    if not path.is_absolute():
        raise ValueError(f"{FILE_SETTING}: {name!r} is not an absolute path, and runs of Dagster have another folder")
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{FILE_SETTING}: {name} cannot be read: {type(error).__name__}") from None
    if len(lines) != 1:
        raise ValueError(f"{FILE_SETTING}: {name} must hold one line, the passphrase")
    return lines[0]
