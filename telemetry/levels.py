"""From which level on something is written, as a setting says it: `info,storage=debug,sanic=warning`."""

import logging
import re
from dataclasses import dataclass, field
from typing import Final

NAMES: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_LOGGER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class Levels:
    """Levels of `logging`. `named` holds for a package or logger and what is below it, `default` for everything else."""

    default: int = logging.INFO
    named: dict[str, int] = field(default_factory=dict)

    def of(self, logger: str) -> int:
        """What holds for `logger`: what is said of it, or of the nearest package above it."""
        while logger:
            if (level := self.named.get(logger)) is not None:
                return level
            logger = logger.rpartition(".")[0]
        return self.default


def parse(text: str) -> Levels:
    """Levels by commas, one of them without a name: the default, `info` where there is none. Raises ValueError."""
    default: int | None = None
    named: dict[str, int] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, equals, word = (one.strip() for one in part.rpartition("="))
        if (level := NAMES.get(word.lower())) is None:
            raise ValueError(f"{word!r} is none of {', '.join(NAMES)}")
        if equals and not _LOGGER.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a package or logger, as in info,storage=debug")
        if name in named or (not equals and default is not None):
            raise ValueError(f"there are two levels for {name}" if equals else "there are two levels without a name")
        if equals:
            named[name] = level
        else:
            default = level
    return Levels(logging.INFO if default is None else default, named)
