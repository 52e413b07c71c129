"""What a supervisor says: a sentence for the person at the terminal, a line of the log for everybody else."""

from typing import Final, Protocol

from debitum import commands
from telemetry import output

ERRORS: Final = ("error", "critical")
"""Levels whose sentences go to standard error."""


class Voice(Protocol):
    """Tells one thing: `text`, which people read; its constant name `event`, and its fields by name, for programs."""

    def __call__(self, text: str, event: str, /, *, level: output.Level = "info", **fields: object) -> None:
        """`level` is one of telemetry.levels.NAMES; a sentence is told whatever its level is."""


def people(text: str, event: str, /, *, level: output.Level = "info", **_: object) -> None:
    """Print the sentence."""
    (commands.complain if level in ERRORS else commands.say)(text)


def voice(choice: output.Choice) -> Voice:
    """How to say things on standard output as `choice` has it: as JSON, or as sentences."""
    if not output.is_json(choice, output.STANDARD_OUTPUT):
        return people
    log = output.logger("debitum", choice, descriptor=output.STANDARD_OUTPUT)

    def machines(text: str, event: str, /, *, level: output.Level = "info", **fields: object) -> None:
        known = {name: value for name, value in fields.items() if value is not None}
        getattr(log, level)(event, text=text.partition("\n")[0], **known)

    return machines
