"""A published folder: born whole under its name, filled file by file, `summary.json` last.

Readers go by `summary.json`: before it is there nothing is promised, after it nothing changes.
What syncs here waits for the disk, so all of it runs in workers.

Trouble: a name that belongs to somebody else is never touched; `OutboxTaken` says so. A crash at
any point leaves a folder that the same calls complete.
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from orchestrator.domain.ids import SetId
from orchestrator.ports import OutboxTaken
from orchestrator.spool import atomic

OWNER = ".set"
SUMMARY = "summary.json"
FOLDER_MODE = 0o755
FILE_MODE = 0o644
READ_BYTES = 1 << 18
DENSE_BYTES = 1 << 10


@dataclass(frozen=True, slots=True)
class Published:
    """What `summary.json` tells about one file beside it."""

    bytes: int
    sha256: str
    lines: int


def born(root: Path, name: str, owner: SetId) -> Path:
    """Return the folder `name` of this set, made if it is not there; raises OutboxTaken."""
    folder, unborn = root / name, root / f".{name}.{owner}.new"
    if not folder.exists():
        atomic.mkdir(unborn, FOLDER_MODE, exist_ok=True)
        atomic.write_file(unborn / OWNER, owner.encode() + b"\n", FILE_MODE)
        with suppress(FileExistsError):  # somebody was faster: look whose it is
            atomic.rename_new(unborn, folder)
    if _owner(folder) != owner:
        if unborn.exists():
            atomic.remove_tree(unborn)
        raise OutboxTaken(f"{folder} belongs to somebody else; deliver under another name")
    if unborn.exists():
        atomic.remove_tree(unborn)
    atomic.fsync_dir(root)
    return folder


def _owner(folder: Path) -> str | None:
    try:
        return (folder / OWNER).read_text("utf-8").strip()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None


def subfolder(folder: Path, name: str) -> Path:
    """Return a folder in a published folder, made if it is not there."""
    inner = folder / name
    if not inner.exists():
        atomic.mkdir(inner, FOLDER_MODE, exist_ok=True)
        atomic.fsync_dir(folder)
    return inner


def begin(folder: Path, name: str, owner: SetId) -> Path:
    """Make an empty temporary file, to be filled and to `appear` as `name`; repeatable."""
    temporary = folder / f".{name}.{owner}{atomic.TEMPORARY}"
    os.close(atomic.create(temporary, FILE_MODE))
    return temporary


def appear(temporary: Path, target: Path, *, synced: bool = False) -> None:
    """Let what was begun and filled appear durably under its name; repeatable.

    `synced` says that the content of the file is durable already.
    """
    if temporary.exists() or not target.exists():  # else a worker died after the rename
        if not synced:
            atomic.fsync_path(temporary)
        atomic.rename(temporary, target)
    atomic.fsync_dir(target.parent)


class Digest:
    """Reads a file behind those who write it, and says what it is as far as it was read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._whole = hashlib.sha256()
        self._size = 0

    def reach(self, end: int) -> None:
        """Read on up to the offset `end`, or to where the file ends."""
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._size)
            while data := file.read(min(READ_BYTES, end - self._size)):
                self._whole.update(data)
                self._size += len(data)

    def told(self, lines: int) -> Published:
        """Return what `summary.json` tells about what was read; whoever wrote it counted lines."""
        return Published(self._size, self._whole.hexdigest(), lines)


def lines_in(data: bytes) -> int:
    """Count lines: byte by byte where they are short, from one end to the next elsewhere."""
    at = data.find(b"\n", 0, DENSE_BYTES)
    if at >= 0:
        return int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))
    found = 0
    while (at := data.find(b"\n", at + 1)) >= 0:
        found += 1
    return found


def digest(path: Path) -> Published:
    """Read a file and say what it is. Runs in a worker."""
    whole, size, lines = hashlib.sha256(), 0, 0
    with path.open("rb", buffering=0) as file:
        while data := file.read(READ_BYTES):
            whole.update(data)
            size += len(data)
            lines += lines_in(data)
    return Published(size, whole.hexdigest(), lines)


def conclude(folder: Path, summary: Mapping[str, object]) -> bytes:
    """Write `summary.json`, the commit point; returns its bytes.

    The folder's own name is durable since it was born.
    """
    data = msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"
    atomic.write_file(folder / SUMMARY, data, FILE_MODE)
    return data


def digest_of(summary: bytes) -> str:
    """Return the digest of `summary.json` in hex."""
    return hashlib.sha256(summary).hexdigest()


def concluded(folder: Path) -> bytes | None:
    """Return what `summary.json` says, None if the folder is not finished."""
    try:
        return (folder / SUMMARY).read_bytes()
    except FileNotFoundError:
        return None
