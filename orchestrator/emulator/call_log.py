"""The log of calls: one line for each, with stable columns for grep and awk, or as JSON."""

from dataclasses import dataclass

import msgspec

from orchestrator.emulator.clock import stamp

COLUMNS = ("time", "status", "ms", "project", "endpoint", "method", "path", "faults")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call that was served. `wall` is when it came (nanoseconds), `status` is 0 when the
    connection was cut instead of answered; `path` is without its query, which may hold a key.
    """

    wall: int
    status: int
    milliseconds: int
    project: str
    endpoint: str
    method: str
    path: str
    faults: tuple[str, ...] = ()


def columns(record: CallRecord) -> str:
    """Write a call as eight words with one blank between them; `-` stands for nothing."""
    words = (
        f"{stamp(record.wall)[:-7]}Z",
        str(record.status) if record.status else "cut",
        str(record.milliseconds),
        record.project or "-",
        record.endpoint or "-",
        record.method,
        record.path,
        ",".join(record.faults) or "-",
    )
    return " ".join(words)


def json_line(record: CallRecord) -> str:
    """Write a call as one line of JSON, under the names of the columns."""
    shown = {
        "time": f"{stamp(record.wall)[:-7]}Z",
        "status": record.status,
        "ms": record.milliseconds,
        "project": record.project,
        "endpoint": record.endpoint,
        "method": record.method,
        "path": record.path,
        "faults": record.faults,
    }
    return msgspec.json.encode(shown).decode()
