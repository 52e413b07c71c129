"""The file `.env`: settings by name, read whole or refused with the line."""

import io
from pathlib import Path

from dotenv import parser


def read(file: Path) -> dict[str, str]:
    """Its settings, but for those that are empty; none where there is no file.

    Raises ValueError, which names the file and each line that is none: what is left out in silence may be the keys.
    """
    if not file.is_file():
        return {}
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{file}: line {line} is not UTF-8") from error
    found = list(parser.parse_stream(io.StringIO(text)))  # without interpolation: a password may hold a dollar sign
    if wrong := [f"{file}: line {_line(one.original)} is not of the form NAME=value" for one in found if one.error]:
        raise ValueError("\n".join(wrong))
    values = {one.key: one.value for one in found if one.key}
    return {name: value for name, value in values.items() if value}


def _line(read: parser.Original) -> int:
    """Where it stands; blank lines before it count as its own."""
    blank = len(read.string) - len(read.string.lstrip())
    return read.line + read.string.count("\n", 0, blank)
