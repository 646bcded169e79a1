"""How lines are made: plain values, no variables in tracebacks, no secrets, one line per event."""

import logging
import os
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from orchestrator.service.printable import printable
from orchestrator.service.redaction import Redactor

FIELD_CHARACTERS_MAX = 2000
TRACE_LINES_MAX = 200
LISTED_MAX = 50
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(
    form: Literal["json", "console"],
    level: str,
    secrets: Callable[[], Iterable[str]],
    stream: TextIO | None = None,
) -> None:
    """Set the process' log up: structlog, the standard library's, warnings and crashes.

    `secrets` is asked for each line, so a key that was replaced while running is hidden too.
    """
    out = sys.stderr if stream is None else stream
    redact = Redactor(secrets)
    render = _render_json if form == "json" else _renderer_for_people(_wants_colour(out))

    def finish(_: WrappedLogger, __: str, line: Any) -> str:
        return redact(line)

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _exceptions,
        _plainly(redact),
    ]
    structlog.configure(
        processors=[*shared, render, finish],
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _catch_the_rest()
    relevel(level)


def relevel(level: str) -> None:
    """Write lines of this level and above from now on; of libraries warnings, and more at `debug`.

    All else that `configure` set up stays as it is.
    """
    number = LEVELS[level]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(number))
    logging.getLogger().setLevel(logging.INFO if number == logging.DEBUG else logging.WARNING)


# ---- one line ---------------------------------------------------------------------------------


def _plainly(redact: Redactor) -> Processor:
    """Make every value one that can be shown: short, visible, without foreign objects."""

    def shown(value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, list | tuple):
            return [shown(each) for each in value[:LISTED_MAX]]
        text = printable(value if isinstance(value, str) else str(value))
        if len(text) > FIELD_CHARACTERS_MAX:  # hide first, so that no half of a secret is left
            return redact(text)[: FIELD_CHARACTERS_MAX - 1] + "…"
        return text

    def plain(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {key: value if key == "exception" else shown(value) for key, value in event.items()}

    return plain


def _exceptions(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Turn an exception into lines of text: places and messages, never variables."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()[1]
    elif isinstance(info, tuple):
        info = info[1]
    if isinstance(info, BaseException):
        event["exception"] = _traceback(info)
    return event


def _traceback(error: BaseException) -> list[str]:
    import traceback  # noqa: PLC0415 - rarely needed

    text = "".join(traceback.format_exception(error, limit=-20))
    return [printable(line) for line in text.splitlines()][-TRACE_LINES_MAX:]


def _render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    import json  # noqa: PLC0415 - only one of the two forms is used

    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return json.dumps({**first, **event}, ensure_ascii=False, default=str)


def _renderer_for_people(colour: bool) -> Processor:  # noqa: FBT001 - one caller, three lines up
    paints = {"warning": "33", "error": "31", "critical": "31", "debug": "2"} if colour else {}

    def render(_: WrappedLogger, __: str, event: EventDict) -> str:
        time, level = str(event.pop("timestamp"))[11:19], str(event.pop("level"))
        name, trace = event.pop("event"), event.pop("exception", ())
        facts = " ".join(f"{key}={_quoted(value)}" for key, value in event.items())
        line = f"{time} {level:<7} {name:<20} {facts}".rstrip()
        painted = f"\x1b[{paints[level]}m{line}\x1b[0m" if level in paints else line
        return "\n".join([painted, *(f"    | {each}" for each in trace)])

    return render


def _quoted(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return f'"{text}"' if " " in text or not text else text


def _wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")


# ---- what does not come through structlog -------------------------------------------------------


class _Forward(logging.Handler):
    """Takes over what libraries log, so that it is redacted and escaped like the rest."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(
            record.levelno,
            "library.logged",
            logger=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info,
        )


def _catch_the_rest() -> None:
    logging.getLogger().handlers[:] = [_Forward()]
    logging.captureWarnings(capture=True)
    sys.excepthook = _on_crash


def _on_crash(
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,  # noqa: ARG001
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger().error("daemon.crashed", reason=kind.__name__, exc_info=error)
