"""Rows and values: encoding writes a state's own columns and clears the rest."""

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeAlias, assert_never

from sqlalchemy import RowMapping

from orchestrator.domain.batches import (
    Batch,
    Collected,
    Ended,
    Lapsed,
    LapseReason,
    Part,
    Planned,
    Submitted,
    Submitting,
    Tally,
    Unsent,
    Uploaded,
    Usage,
)
from orchestrator.domain.jobs import JobError, JobState
from orchestrator.domain.request_sets import (
    Cancelled,
    Delivered,
    Flags,
    Indexed,
    Received,
    Rejected,
    RequestSet,
    Running,
    SetInfo,
    Totals,
)

Row: TypeAlias = RowMapping | dict[str, Any]
Columns: TypeAlias = dict[str, Any]

PART_COLUMNS = (
    *("token", "serial", "generation", "lo", "hi", "wire_bytes", "tokens", "ranges", "mode"),
    *("kind", "model", "project"),
)
INFO_COLUMNS = tuple(field.name for field in dataclasses.fields(SetInfo))
FLAG_COLUMNS = tuple(field.name for field in dataclasses.fields(Flags))
TALLY_COLUMNS = tuple(field.name for field in dataclasses.fields(Tally))
USAGE_COLUMNS = tuple(field.name for field in dataclasses.fields(Usage))
BATCH_STATE_COLUMNS = (
    *("upload", "file", "file_expires", "not_before", "intended_at", "account", "epoch", "doubt"),
    *("job", "submitted_at", "ended_at", "outcome", "error_code", "error_message"),
    *("collected_at", *TALLY_COLUMNS, *USAGE_COLUMNS, "reason", "detail", "lapsed_at"),
)
BATCH_COLUMNS = ("set_id", "requests", "state", *PART_COLUMNS, *BATCH_STATE_COLUMNS)
SET_STATE_COLUMNS = (
    *("outbox", "answered_from", "run"),  # of an open set: rehomed, or run for itself
    *("batch_bytes_max", "finished_at", "answered", "failed", "summary_sha256", "reason"),
)
SET_COLUMNS = tuple(dict.fromkeys((*INFO_COLUMNS, "state", *SET_STATE_COLUMNS)))


def batch_row(batch: Batch) -> Columns:
    """Encode a batch."""
    part = batch.part
    return {
        **dict.fromkeys(BATCH_COLUMNS),
        **fields(part, PART_COLUMNS),
        "set_id": part.request_set,
        "requests": part.count,
        "state": batch.state,
        **_own_columns(batch),
    }


def batch_value(row: Row) -> Batch:
    """Decode a batch."""
    match row["state"]:
        case "planned" | "uploaded":
            return _unsent(row)
        case "submitting":
            return Submitting(
                _unsent(row), row["intended_at"], row["account"], row["epoch"], row["doubt"]
            )
        case "submitted":
            return Submitted(_part(row), row["file"], *_job(row))
        case "ended":
            return Ended(_part(row), row["file"], *_job(row), *_end(row))
        case "collected":
            return Collected(
                _part(row),
                row["file"],
                *_job(row),
                *_end(row),
                row["collected_at"],
                Tally(**fields_of(row, TALLY_COLUMNS)),
                Usage(**fields_of(row, USAGE_COLUMNS)),
            )
        case "lapsed":
            return Lapsed(_part(row), LapseReason(row["reason"]), row["detail"], row["lapsed_at"])
        case state:
            raise AssertionError(f"no batch has the state {state!r}")


def set_row(request_set: RequestSet) -> Columns:
    """Encode a set, without the flags."""
    return {
        **dict.fromkeys(SET_COLUMNS),
        **fields(request_set.info, INFO_COLUMNS),
        "state": request_set.state,
        **_own_set_columns(request_set),
    }


def set_value(row: Row) -> RequestSet:
    """Decode a set."""
    info = SetInfo(**fields_of(row, INFO_COLUMNS))
    match row["state"]:
        case "received":
            return Received(info)
        case "indexed":
            return Indexed(info)
        case "running":
            return Running(info, row["batch_bytes_max"])
        case "delivered":
            return Delivered(info, row["finished_at"], _totals(row), row["summary_sha256"])
        case "rejected":
            return Rejected(info, row["reason"], row["finished_at"])
        case "cancelled":
            return Cancelled(info, row["finished_at"], _totals(row), row["summary_sha256"])
        case state:
            raise AssertionError(f"no set has the state {state!r}")


def flags_row(flags: Flags) -> Columns:
    """Encode what was laid upon a set."""
    return fields(flags, FLAG_COLUMNS)


def flags_value(row: Row) -> Flags:
    """Decode what was laid upon a set."""
    return Flags(**fields_of(row, FLAG_COLUMNS))


def fields(value: object, names: Iterable[str]) -> Columns:
    """Return these attributes of a value as columns."""
    return {name: getattr(value, name) for name in names}


def fields_of(row: Row, names: Iterable[str]) -> Columns:
    """Return these columns of a row as arguments."""
    return {name: row[name] for name in names}


def _own_columns(batch: Batch) -> Columns:
    match batch:
        case Planned():
            return fields(batch, ["upload", "not_before"])
        case Uploaded():
            return fields(batch, ["upload", "file", "file_expires", "not_before"])
        case Submitting():
            own = ["intended_at", "account", "epoch", "doubt"]
            return {**_own_columns(batch.origin), **fields(batch, own)}
        case Submitted():
            return _job_columns(batch)
        case Ended():
            return {**_job_columns(batch), **_end_columns(batch)}
        case Collected():
            return {
                **_job_columns(batch),
                **_end_columns(batch),
                "collected_at": batch.collected_at,
                **fields(batch.tally, TALLY_COLUMNS),
                **fields(batch.usage, USAGE_COLUMNS),
            }
        case Lapsed():
            return {**fields(batch, ["detail", "lapsed_at"]), "reason": batch.reason.value}
        case _:
            assert_never(batch)


def _job_columns(batch: Submitted | Ended | Collected) -> Columns:
    return fields(batch, ["file", "job", "account", "submitted_at"])


def _end_columns(batch: Ended | Collected) -> Columns:
    return {
        "ended_at": batch.ended_at,
        "outcome": batch.outcome.value,
        "error_code": batch.error.code if batch.error else None,
        "error_message": batch.error.message if batch.error else None,
    }


def _own_set_columns(request_set: RequestSet) -> Columns:
    match request_set:
        case Received() | Indexed():
            return {}
        case Running():
            return {"batch_bytes_max": request_set.batch_bytes_max}
        case Delivered():
            return {"finished_at": request_set.delivered_at, **_delivery_columns(request_set)}
        case Rejected():
            return {"finished_at": request_set.rejected_at, "reason": request_set.reason}
        case Cancelled():
            return {"finished_at": request_set.cancelled_at, **_delivery_columns(request_set)}
        case _:
            assert_never(request_set)


def _delivery_columns(request_set: Delivered | Cancelled) -> Columns:
    totals = fields(request_set.totals, ["answered", "failed"])
    return {**totals, "summary_sha256": request_set.summary_sha256}


def _part(row: Row) -> Part:
    return Part(request_set=row["set_id"], count=row["requests"], **fields_of(row, PART_COLUMNS))


def _unsent(row: Row) -> Unsent:
    """Decode what was sent or will be: with a file it is an `Uploaded`, without one a `Planned`."""
    if row["file"] is None:
        return Planned(_part(row), row["upload"], row["not_before"])
    return Uploaded(_part(row), row["upload"], row["file"], row["file_expires"], row["not_before"])


def _job(row: Row) -> tuple[Any, Any, Any]:
    return row["job"], row["account"], row["submitted_at"]


def _end(row: Row) -> tuple[Any, JobState, JobError | None]:
    error = None
    if row["error_code"] is not None:
        error = JobError(row["error_code"], row["error_message"])
    return row["ended_at"], JobState(row["outcome"]), error


def _totals(row: Row) -> Totals:
    return Totals(row["answered"], row["failed"])
