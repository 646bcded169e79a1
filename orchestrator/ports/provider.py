"""The provider: its jobs, its files, and the bytes that go there and come back."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from orchestrator.domain.batches import Kind, Part
from orchestrator.domain.ids import (
    AccountFingerprint,
    FileName,
    JobName,
)
from orchestrator.domain.jobs import JobSnapshot, Scan, Seen


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An input file at the provider. `sha256` is lower-case hex, None where it was not told."""

    name: FileName
    size: int
    sha256: str | None
    state: str  # "active" | "processing" | "failed" | anything new, lower-case
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class Output:
    """Where the answers of an ended job are: a result file, or inline in the job itself."""

    job: JobName
    file: FileName | None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as the service describes it; `methods` as in supportedGenerationMethods."""

    name: str
    methods: frozenset[str]


class Body(Protocol):
    """Bytes that can be sent from any offset, composed on the fly from a claimed source.

    `size` is exact. `pieces(offset)` yields at most 256 KiB at a time and checks the source
    against its digests as it reads: a changed source raises `SourceChanged`.
    `sha256()` is the digest of all `size` bytes in hex; it may have to read them all.
    """

    @property
    def size(self) -> int: ...
    def pieces(self, offset: int = 0) -> AsyncIterator[bytes]: ...
    async def sha256(self) -> str: ...


class Sink(Protocol):
    """Where downloaded bytes go: appended, and started anew when the server cannot resume."""

    @property
    def size(self) -> int: ...
    def append(self, piece: bytes) -> None: ...
    def restart(self) -> None: ...


class Jobs(Protocol):
    """The provider's batch jobs. Every method may raise `Unavailable` (also `Blocked`)."""

    @property
    def account(self) -> AccountFingerprint:
        """Which account the present key belongs to."""

    async def create(
        self, part: Part, file: FileName | None, body: Body | None, *, priority: int | None = None
    ) -> JobSnapshot:
        """Create the job of `part`: from `file`, or inline with `body` as the whole request body.

        The service is told of a `priority` only if there is one.
        Sent once, without retry or redirect. Raises Refused, Unavailable or InDoubt.
        """

    async def scan(self) -> Scan:
        """Walk the whole job list. A page that cannot be had makes the scan incomplete."""

    async def look(self, job: JobName) -> Seen:
        """Ask for one job, without its inline results."""

    async def cancel(self, job: JobName) -> None:
        """Ask for a job to be cancelled; that it is too late for that is no error."""

    async def delete(self, job: JobName) -> None:
        """Delete a job and its output; that it is gone already is no error."""

    async def download(self, output: Output, sink: Sink) -> None:
        """Stream the answers into `sink`, one wire line per request, resuming at its size.

        Raises Refused when the service says that there is no such output (now).
        """

    async def count_tokens(self, model: str, kind: Kind, request: bytes) -> int | None:
        """Ask how many tokens a request (its JSON) has; None if the service does not say."""

    async def model(self, name: str) -> ModelInfo | None:
        """Describe a model, None if the service does not know it."""

    async def models(self) -> Sequence[ModelInfo]:
        """List all models that the service knows."""


class Files(Protocol):
    """The provider's input files, and the resumable upload. May raise `Unavailable`."""

    async def find(self, name: FileName) -> StoredFile | None:
        """Ask for a file by its chosen name; None if it is not there (or not ours)."""

    async def upload(self, name: FileName, body: Body, session: "Session") -> StoredFile:
        """Upload `body` under a chosen name, going on with the journaled session if there is one.

        Raises Refused when the service will not take it (the name may be used already).
        """

    async def delete(self, name: FileName) -> None:
        """Delete a file; that it is gone already is no error."""


class Session(Protocol):
    """The journaled URL of one resumable upload: a capability, so a secret."""

    def load(self) -> str | None: ...
    async def save(self, url: str) -> None: ...
    def forget(self) -> None: ...
