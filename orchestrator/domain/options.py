"""What one set shall be: its file's options over its profile's over the settings'."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from orchestrator.domain.batches import Kind
from orchestrator.domain.ids import ProjectName


@dataclass(frozen=True, slots=True)
class Choice:
    """The effective options of one set.

    `canonical` is the canonical JSON of everything that changes what is sent or answered: it is
    part of the fingerprint. `defaults` is a request fragment as JSON, or None. `cost_max_micros`
    is the cap that the set's own file says, in millionths of a US dollar; None: the cap of the
    settings holds, as they are when it is asked. `extra` is for the outbox (compression, …).
    """

    profile: str
    project: ProjectName
    model: str
    kind: Kind
    priority: int
    requests_max: int | None
    batch_bytes_max: int | None
    generations_max: int
    parts: bool
    duplicate_keys: Literal["reject", "allow"]
    duplicate_set: Literal["reuse", "run"]
    idempotency_key: str | None
    defaults: str | None
    shape: str
    flaws_max_fraction: float
    cost_max_micros: int | None
    canonical: str
    extra: dict[str, str] = field(default_factory=dict)


class BadOptions(ValueError):
    """The options cannot be used; the message says which, where and what would be right."""


def to_text(choice: Choice) -> str:
    """Write options down, as they are kept with their set."""
    written = asdict(choice)
    written |= written.pop("extra")
    return json.dumps(written, sort_keys=True, separators=(",", ":"))


def from_text(text: str) -> Choice:
    """Read options back."""
    read = json.loads(text)
    known = {one.name for one in fields(Choice)} - {"extra"}
    extra = {name: value for name, value in read.items() if name not in known}
    return Choice(**{name: read[name] for name in known}, extra=extra)
