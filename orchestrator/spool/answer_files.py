"""The files of a batch's answers: downloaded, kept, named for good.

`answers/<token>.part` grows while it is downloaded; `answers/<token>.jsonl` is whole and durable;
`answers/<serial>-<token>.jsonl` is the same file once answers.idx points into it, and stays.
"""

import fcntl
import os
from pathlib import Path

from orchestrator.domain.batches import Part
from orchestrator.domain.ids import IdempotencyKey
from orchestrator.spool import atomic
from orchestrator.spool.index_files import joined

ANSWERS_MODE = 0o600
WRITE_BACK_BYTES = 1 << 20


class PartFile:
    """Implements `ports.Sink`: a file beside the answers that goes on where it stopped."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def size(self) -> int:
        """Return how many bytes are there."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, piece: bytes) -> None:
        """Write at the end."""
        self._write(piece, os.O_APPEND)

    def restart(self) -> None:
        """Begin again with nothing."""
        self._write(b"", os.O_TRUNC)

    def _write(self, piece: bytes, how: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | how
        file = os.open(self._path, flags, ANSWERS_MODE)
        try:
            atomic.write_all(file, piece, self._path)
            self._write_back(file, len(piece))
        finally:
            os.close(file)

    def _write_back(self, file: int, fresh: int) -> None:
        """Let whole steps of what grew go to the disk meanwhile; so `keep` has little to wait for.

        The steps are small, for the caller, an event loop, waits until a slow disk takes them.
        """
        size = os.fstat(file).st_size
        begin = (size - fresh) // WRITE_BACK_BYTES * WRITE_BACK_BYTES
        end = size // WRITE_BACK_BYTES * WRITE_BACK_BYTES
        if begin < end:
            atomic.write_back(file, begin, end - begin)


def sink(folder: Path, token: IdempotencyKey) -> PartFile:
    """Return where the answers of a batch are downloaded to."""
    atomic.mkdir(folder / "answers", exist_ok=True)
    return PartFile(_part_path(folder, token))


def keep(folder: Path, token: IdempotencyKey) -> None:
    """Make downloaded answers durable under their final name. Runs in a worker; repeatable.

    The name itself is made durable by `take`, before anything refers to it: until then the answers
    can be had again.
    """
    part, whole = _part_path(folder, token), folder / "answers" / f"{token}.jsonl"
    if part.exists():
        atomic.fsync_path(part)
        atomic.rename(part, whole)
    elif not whole.exists():  # a download that was whole and brought nothing
        atomic.write_file(whole, b"", ANSWERS_MODE, sync_name=False)
    atomic.fsync_dir(folder)


def drop(folder: Path, token: IdempotencyKey) -> None:
    """Throw answers away that are not whole; they were not joined."""
    for path in (_part_path(folder, token), folder / "answers" / f"{token}.jsonl"):
        atomic.unlink(path, missing_ok=True)
    if (folder / "answers").exists():
        atomic.fsync_dir(folder / "answers")


def kept_path(folder: Path, token: IdempotencyKey) -> Path:
    """Return where whole answers lie: what was joined once stays what is joined."""
    answers = folder / "answers"
    return next(answers.glob(f"[0-9]*-{token}.jsonl"), answers / f"{token}.jsonl")


def were_joined(folder: Path, token: IdempotencyKey) -> bool:
    """Tell whether a join of these answers has begun to write."""
    return kept_path(folder, token).name != f"{token}.jsonl"


def _part_path(folder: Path, token: IdempotencyKey) -> Path:
    return folder / "answers" / f"{token}.part"


def take(folder: Path, part: Part) -> int:
    """Name the answers for answers.idx, for good; returns the serial that it knows them by.

    That is the batch's, unless a ledger that was rolled back gave the same to another batch.
    """
    answers = folder / "answers"
    lock = atomic.open_folder(answers)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        taken = joined(folder)
        for serial, path in taken.items():
            if path.name == _joined_name(serial, part.token):
                return serial
        serial = part.serial if part.serial not in taken else max(taken) + 1
        atomic.link(kept_path(folder, part.token), answers / _joined_name(serial, part.token))
        atomic.fsync_dir(answers)
    finally:
        os.close(lock)
    return serial


def _joined_name(serial: int, token: IdempotencyKey) -> str:
    return f"{serial:08d}-{token}.jsonl"
