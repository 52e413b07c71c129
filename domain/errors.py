"""Why something is refused: one class a reason, with a machine code and typed data; nothing here knows HTTP."""

from typing import ClassVar, Self

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one member; `pointer` is a JSON pointer (RFC 6901) into the data that was sent."""

    pointer: str
    detail: str


def inside(pointer: str, found: tuple[FieldError, ...]) -> tuple[FieldError, ...]:
    """`found`, with pointers into the value at `pointer`, pointing from the root instead."""
    return tuple(FieldError(f"{pointer}{error.pointer}", error.detail) for error in found)


class DomainError(Exception):
    """Base of everything that the domain refuses; `code` is what machines read, the text what people read."""

    code: ClassVar[str]

    def __init__(self, detail: str, *, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors


class Rejected(DomainError):
    """A command that is not taken. `remembered`: the same id gets the same answer later (docs/events.md)."""

    remembered: ClassVar[bool] = True


class Invalid(Rejected):
    """The command's members do not fit together or to what they change."""

    code = "invalid"

    @classmethod
    def at(cls, pointer: str, detail: str, *, whole: str = "a member does not fit") -> Self:
        """What is wrong with the one member at `pointer`; `whole` says it of all that was sent."""
        return cls(whole, errors=(FieldError(pointer, detail),))


class UnsupportedVersion(Rejected):
    """The command is written in a version or of a kind that this server does not know."""

    code = "unsupported_version"
    remembered = False


class UnknownAggregate(Rejected):
    """There is no such contact, transaction or reminder in this ledger."""

    code = "unknown_aggregate"
    remembered = False


class UnknownContact(Rejected):
    """The contact that the command names is not in this ledger."""

    code = "unknown_contact"
    remembered = False


class DependencyFailed(Rejected):
    """The command needs one of the same push that was rejected."""

    code = "dependency_failed"
    remembered = False


class TooManyChanges(Rejected):
    """What came before this in the same push changes as much as one push may: sent again, it passes."""

    code = "too_many_changes"
    remembered = False


class IdReused(Rejected):
    """The id belongs to a command with other content."""

    code = "id_reused"
    remembered = False


class AlreadyExists(Rejected):
    """The aggregate's id is taken, by something live or deleted."""

    code = "already_exists"


class RepaysMismatch(Rejected):
    """What is to be repaid is itself a repayment, or no money."""

    code = "repays_mismatch"


class BalanceOutOfRange(Rejected):
    """A balance would leave the range that every client can hold."""

    code = "balance_out_of_range"


class UnknownEvent(Rejected):
    """The event that is to be undone is not in this ledger."""

    code = "unknown_event"
    remembered = False


class WrongAggregate(Rejected):
    """The event that the command names is about another contact, transaction or reminder."""

    code = "wrong_aggregate"


class UndoOfUndo(Rejected):
    """An UNDO is not undone: say what you want anew."""

    code = "undo_of_undo"


class AlreadyUndone(Rejected):
    """The event has been undone before."""

    code = "already_undone"


class UndoSuperseded(Rejected):
    """Something that came later changed the same, or deleted it."""

    code = "undo_superseded"


class HasDependants(Rejected):
    """What the event created is in use: by transactions, reminders or repayments."""

    code = "has_dependants"


class UnknownConflict(Rejected):
    """The event that is to be settled is no conflict of this ledger."""

    code = "unknown_conflict"
    remembered = False


class AlreadyResolved(Rejected):
    """The conflict has been settled before."""

    code = "already_resolved"


class Stale(Rejected):
    """The resource has another version than the one that the client saw; `current` is the one it has."""

    code = "stale"
    remembered = False

    def __init__(self, current: int) -> None:
        super().__init__(f"the resource is at version {current}")
        self.current = current


class LedgerNotEmpty(DomainError):
    """An export is taken over by an empty ledger only."""

    code = "ledger_not_empty"


class Reset(DomainError):
    """The device knows a history that this ledger does not have; it starts over from 0."""

    code = "reset"

    def __init__(self, detail: str, *, common_version: int | None = None) -> None:
        super().__init__(detail)
        self.common_version = common_version
