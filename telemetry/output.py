"""Makes this process write its log: one line an event, as JSON or for people, from structlog and from the libraries alike."""

import asyncio
import datetime
import functools
import logging
import os
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from telemetry import exceptions, levels, libraries
from telemetry.levels import Levels

Format = Literal["json", "console"]
Level = Literal["debug", "info", "warning", "error", "critical"]
FORMAT: Final = "DEBITUM_LOG_FORMAT"
LEVEL: Final = "DEBITUM_LOG_LEVEL"
STANDARD_OUTPUT: Final = 1
STANDARD_ERROR: Final = 2
PIPE_BYTES: Final = 4_096
"""What a pipe takes whole: POSIX says that much of PIPE_BUF."""
_FIRST: Final = ("timestamp", "level", "logger", "event")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Choice:
    """How and how much; `format` None: JSON, but on a terminal lines for people."""

    format: Format | None = None
    levels: Levels = field(default_factory=Levels)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ValueError, which names the setting."""
        try:
            chosen = parse_format(environment.get(FORMAT, ""))
        except ValueError as error:
            raise ValueError(f"{FORMAT}: {error}") from error
        try:
            return cls(chosen, levels.parse(environment.get(LEVEL, "")))
        except ValueError as error:
            raise ValueError(f"{LEVEL}: {error}") from error


def parse_format(text: str) -> Format | None:
    """None where nothing is said. Raises ValueError."""
    match text:
        case "":
            return None
        case "json":
            return "json"
        case "console":
            return "console"
    raise ValueError(f"{text!r} is neither json nor console")


def configure(choice: Choice, *, descriptor: int = STANDARD_OUTPUT) -> None:
    """From now on all lines of this process go to the file `descriptor`; what libraries have set up for themselves is undone.

    Exceptions that nobody catches and warnings are lines too. A child that is forked goes on with the same.
    """
    render = _renderer(choice, descriptor)
    lines = _Lines(descriptor)
    _take_over(_Libraries(render, lines.now, choice.levels), choice.levels)
    structlog.configure(
        processors=[_Wanted(choice.levels), *_SHARED, render],
        wrapper_class=structlog.make_filtering_bound_logger(_lowest(choice.levels)),
        logger_factory=functools.partial(_Ours, lines),  # not by way of logging, which takes twice the time
        cache_logger_on_first_use=True,
    )
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    warnings.showwarning = _warned


def is_json(choice: Choice, descriptor: int) -> bool:
    """Whether lines that go to the file `descriptor` are JSON."""
    return (choice.format or ("console" if os.isatty(descriptor) else "json")) == "json"


def logger(name: str, choice: Choice, *, descriptor: int) -> structlog.typing.FilteringBoundLogger:
    """One that writes to the file `descriptor`, wherever the other lines of this process go."""
    made: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        _Ours(_Lines(descriptor), name),
        processors=[_Wanted(choice.levels), *_SHARED, _renderer(choice, descriptor)],
        wrapper_class=structlog.make_filtering_bound_logger(_lowest(choice.levels)),
    )
    return made


def _renderer(choice: Choice, descriptor: int) -> Processor:
    return _json if is_json(choice, descriptor) else _Console(os.isatty(descriptor))


def _lowest(wanted: Levels) -> int:
    return min([wanted.default, *wanted.named.values()])


Write = Callable[[str], None]


class _Lines:
    """Writes lines whole, so that those of several processes do not mix; a process that cannot write goes on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        """Of all threads: each line is taken out by one of them."""

    def now(self, line: str) -> None:
        """Behind what waits."""
        self._waiting.append(_bytes(line))
        self._flush()

    def soon(self, line: str) -> None:
        """At the end of this turn of an event loop: a busy server writes the lines of many requests at once."""
        self._waiting.append(_bytes(line))
        try:
            asyncio.get_running_loop().call_soon(self._flush)
        except RuntimeError:
            self._flush()

    def _flush(self) -> None:
        data = b""
        with suppress(IndexError):
            while True:
                line = self._waiting.popleft()
                if data and len(data) + len(line) > PIPE_BYTES:
                    self._write(data)
                    data = b""
                data += line
        self._write(data)

    def _write(self, data: bytes) -> None:
        with suppress(OSError):
            while data:
                data = data[os.write(self._descriptor, data) :]


def _bytes(line: str) -> bytes:
    return f"{line}\n".encode(errors="backslashreplace")


class _Ours:
    """What structlog hands a line to. `name` is the logger's."""

    def __init__(self, lines: _Lines, name: str = "") -> None:
        self.name = name
        self.debug = self.info = lines.soon
        self.warning = self.error = self.critical = self.msg = lines.now


class _Libraries(logging.Handler):
    """Writes what libraries say to `logging`."""

    def __init__(self, render: Processor, write: Write, wanted: Levels) -> None:
        super().__init__()
        self._write = write
        self._least = functools.cache(functools.partial(_least, wanted))  # libraries set levels of their own loggers
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[_reduce, *_SHARED],
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
                pass_foreign_args=True,
                use_get_message=False,
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Of a record that cannot be written only its logger is named: logging itself would print the arguments."""
        if record.levelno < self._least(record.name):
            return
        try:
            line = self.format(record)
        except Exception as error:
            _log.error("library_line_unwritable", library=record.name, exc_info=error)
        else:
            self._write(line)


def _take_over(handler: logging.Handler, wanted: Levels) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(wanted.default)
    for logger in root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
    for name in {*wanted.named, *libraries.CAPS}:
        logging.getLogger(name).setLevel(_least(wanted, name))


def _least(wanted: Levels, logger: str) -> int:
    return max(wanted.of(logger), libraries.cap(logger))


class _Wanted:
    """Drops what is below the level of its logger."""

    def __init__(self, wanted: Levels) -> None:
        self._of = functools.cache(wanted.of)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if levels.NAMES[method] < self._of(logger.name):
            raise structlog.DropEvent
        event["logger"], event["level"] = logger.name, method
        return event


def _reduce(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    event["logger"], event["level"] = record.name, record.levelname.lower()
    event.update(libraries.reduce(record, event.pop("positional_args", ())))
    return event


def _describe(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Local variables, source and texts of an exception stay where they are."""
    event.pop("stack_info", None)
    if (error := exceptions.of(event.pop("exc_info", None))) is not None:
        event["exception"] = exceptions.describe(error)
    return event


def _stamp(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """When it was, in UTC; structlog's own way to say so takes twice as long."""
    event["timestamp"] = msgspec.to_builtins(datetime.datetime.now(datetime.UTC))
    return event


_SHARED: Final = (structlog.contextvars.merge_contextvars, _stamp, _describe)
_ENCODER: Final = msgspec.json.Encoder(enc_hook=lambda value: type(value).__name__)


def _json(_: WrappedLogger, __: str, event: EventDict) -> str:
    ordered = {name: event.pop(name) for name in _FIRST if name in event}
    return _ENCODER.encode({**ordered, **event}).decode()


class _Console:
    """A line for people; an exception below it."""

    def __init__(self, colours: bool) -> None:
        # structlog's own choice would be rich's way to draw exceptions, with the values of all variables
        self._renderer = structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        chain: list[exceptions.Described] | None = event.pop("exception", None)
        line = str(self._renderer(logger, method, event))
        return line if chain is None else f"{line}\n{exceptions.text(chain)}"


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not isinstance(error, KeyboardInterrupt):
        _log.critical("uncaught", exc_info=error.with_traceback(trace))


def _uncaught_in_thread(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is not None and not isinstance(given.exc_value, SystemExit):
        _log.critical("uncaught", exc_info=given.exc_value)


def _unraisable(given: Any) -> None:
    _log.error("unraisable", exc_info=given.exc_value)


def _warned(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: str | None = None
) -> None:
    """Not its text, which may repeat what it was given."""
    _log.warning("warned", category=exceptions.name(category), at=libraries.place(filename, lineno))
