"""Small sets as intake leaves them, and the service's answers to them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from blake3 import blake3

from orchestrator.domain.batches import Part
from orchestrator.domain.ids import (
    ContentHash,
    Fingerprint,
    InstallId,
    JobName,
    ProjectName,
    SetId,
)
from orchestrator.domain.layout import ANSWER, FLAWED, LINE, Settled
from orchestrator.domain.policy import RETRYABLE_CODES, Limits
from orchestrator.domain.request_sets import SetInfo
from orchestrator.ports import JoinOrder, PartPlan, PlanOrder, part_of
from orchestrator.spool import source
from orchestrator.spool.pool import Inline
from orchestrator.spool.source import BLOCK_BYTES
from orchestrator.spool.work import WorkFolder

INSTALL = InstallId("0123456789abcdef")
SET = SetId("abcdefghij")
FOLDER = "set"
JOB = JobName("batches/b1")


@dataclass(frozen=True, slots=True)
class Line:
    """One input line: its key as JSON (None: the line's number), and its request."""

    key: bytes | None
    request: bytes
    flaw: str | None = None
    flags: int = 0


def written(work: Path, lines: Sequence[Line], defaults: str | None = None) -> Path:
    """Lay a set's folder down as intake leaves it."""
    folder = work / FOLDER
    folder.mkdir(parents=True)
    rows = np.zeros(len(lines), LINE)
    data, flaws = bytearray(), []
    for ordinal, line in enumerate(lines):
        key = line.key or b""
        head = b'{"key":%b,"request":' % key if key else b'{"request":'
        length = 0 if line.flaw else len(line.request)
        number = 1 if not key else 7
        flags = line.flags | (FLAWED if line.flaw else 0)
        rows[ordinal] = (len(data), len(head), length, number, len(key), flags)
        data += head + line.request + b"}\n"
        if line.flaw:
            flaws.append(_flaw(ordinal, line.flaw))
    (folder / source.INPUT).write_bytes(data)
    rows.tofile(folder / source.LINES)
    states = [Settled.FLAWED if line.flaw else Settled.OPEN for line in lines]
    np.array(states, np.uint8).tofile(folder / source.STATES)
    np.zeros(len(lines), ANSWER).tofile(folder / source.ANSWERS)
    (folder / source.FLAWS).write_bytes(b"".join(flaws))
    (folder / source.SIDE_FILE).write_bytes(b"")
    digests = [
        blake3(data[at : at + BLOCK_BYTES]).digest() for at in range(0, len(data), BLOCK_BYTES)
    ]
    (folder / source.BLOCKS).write_bytes(b"".join(digests))
    (folder / source.INDEX).write_text(json.dumps({"order": {"defaults": defaults}}))
    return folder


def _flaw(ordinal: int, message: str) -> bytes:
    record = {
        "line": ordinal + 1,
        "ordinal": ordinal,
        "offset": 0,
        "column": 3,
        "code": "NOT_JSON",
        "message": message,
    }
    return json.dumps(record).encode() + b"\n"


def plain(count: int, text: str = "x") -> list[Line]:
    """Return lines with keys k0, k1, … and requests that tell them apart."""
    return [
        Line(b'"k%d"' % n, b'{"contents":[{"parts":[{"text":"%b %d"}]}]}' % (text.encode(), n))
        for n in range(count)
    ]


def opened(work: Path, **bounds: int) -> WorkFolder:
    """Return the work folder, its calls done at once."""
    return WorkFolder(work, INSTALL, Inline(), **bounds)


def order(generation: int = 1, **changes: object) -> PlanOrder:
    """Return an order to plan everything, as files unless told otherwise."""
    wanted: dict[str, object] = {
        "request_set": SET,
        "generation": generation,
        "live": [],
        "limits": Limits(inline_max_bytes=0),
        "batch_bytes_max": 2_000_000_000,
        "requests_max": 1_000_000,
        "tokens_max": None,
        "tokens_per_byte": 0.25,
        "kind": "generate",
        "model": "gemini-2.5-flash",
        "first_serial": 1,
    }
    return PlanOrder(**{**wanted, **changes})  # type: ignore[arg-type]


def part(plan: PartPlan, generation: int = 1) -> Part:
    """Return the batch of a plan."""
    return part_of(info(), generation, plan)


def info(
    requests: int = 0,
    flawed: int = 0,
    options: str = "{}",
    outbox: str = "done",
    folder: str = FOLDER,
) -> SetInfo:
    """Return what is known of the set."""
    return SetInfo(
        id=SET,
        name="drop.jsonl",
        profile="default",
        project=ProjectName("default"),
        kind="generate",
        model="gemini-2.5-flash",
        folder=folder,
        outbox=outbox,
        fingerprint=Fingerprint("auto-x"),
        content=ContentHash("0" * 64),
        content_bytes=1,
        requests=requests,
        flawed=flawed,
        tokens=1,
        priority=0,
        run=0,
        options=options,
        answered_from=None,
        received_at=datetime(2026, 11, 24, tzinfo=UTC),
    )


def join_order(batch: Part, *, last: bool = False, as_it_is: bool = False) -> JoinOrder:
    """Return an order to join."""
    return JoinOrder(batch, JOB, RETRYABLE_CODES, last, as_it_is)


def response(ordinal: int, text: str = "yes") -> bytes:
    """Return the response to a request."""
    return json.dumps(
        {
            "candidates": [{"content": {"parts": [{"text": f"{text} {ordinal}"}]}}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 5},
        },
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()


def answered(ordinal: int, form: int = 0) -> bytes:
    """Return an answer line in one of the forms that the wire knows."""
    value = response(ordinal)
    forms = (
        b'{"response":%b,"key":"%d"}\n' % (value, ordinal),
        b'{"key":"%d","response":%b}\n' % (ordinal, value),
        b'{"response":%b,"metadata":{"key":"%d"}}\n' % (value, ordinal),
        b'{"metadata": {"key": "%d"}, "response": %b}\n' % (ordinal, value),
    )
    return forms[form % len(forms)]


def failed(ordinal: int, code: int = 3, message: str = "no") -> bytes:
    """Return a line with an error."""
    return b'{"key":"%d","error":{"code":%d,"message":"%b"}}\n' % (
        ordinal,
        code,
        message.encode(),
    )


async def collected(work: WorkFolder, batch: Part, lines: bytes) -> None:
    """Let a batch's answers be downloaded and kept."""
    sink = work.answers(FOLDER, batch.token)
    sink.restart()
    sink.append(lines)
    await work.keep_answers(FOLDER, batch.token)


def results(path: Path) -> list[Mapping[str, object]]:
    """Read result lines."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
