"""meta.json: where a claim came from and how far it has come."""

import os
import stat
from pathlib import Path
from typing import Literal

import msgspec

from orchestrator.ports import Claim
from orchestrator.spool import atomic, source

OPTIONS_BYTES_MAX = 1 << 20


class Meta(msgspec.Struct):
    """What meta.json holds: where a claim came from and how far it has come."""

    raw: str  # the path below the inbox, as hex
    name: str
    profile: str
    shape: Literal["file", "folder"]
    inner: str | None  # the requests file inside a folder, as hex
    sidecar: int | None  # the inode of NAME.toml
    compression: str | None
    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    trouble: str | None = None
    claimed: bool = False
    run: int = -1  # not named yet
    copy: int = -1
    options_bytes: int | None = None  # of the options, as they lay in the inbox
    inner_bytes: int | None = None  # of the requests file inside a folder

    @property
    def path(self) -> bytes:
        """The path below the inbox."""
        return bytes.fromhex(self.raw)


def load_meta(folder: Path) -> Meta | None:
    """Read a folder's meta.json, None if there is none."""
    try:
        return msgspec.json.decode((folder / source.META).read_bytes(), type=Meta)
    except FileNotFoundError:
        return None


def claimed_meta(folder: Path) -> Meta:
    """Read the meta.json of a claim, which must be there."""
    meta = load_meta(folder)
    assert meta is not None
    return meta


def save_meta(folder: Path, meta: Meta) -> None:
    """Write meta.json, whole and durable."""
    atomic.write_file(folder / source.META, msgspec.json.encode(meta), 0o600)


def as_claim(folder: Path, meta: Meta) -> Claim:
    """Show a finished claim to the stages; reads the options' text."""
    trouble = meta.trouble
    options = None
    path = folder / source.OPTIONS
    if os.path.lexists(path):
        try:
            options = _read_options(path)
        except ValueError as error:
            trouble = trouble or str(error)
    return Claim(folder.name, meta.name, meta.profile, options, meta.run, meta.copy, trouble)


def _read_options(path: Path) -> str:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError("its options are not a regular file")
    file = atomic.open_read(path)
    try:
        data = os.read(file, OPTIONS_BYTES_MAX + 1)
    finally:
        os.close(file)
    if len(data) > OPTIONS_BYTES_MAX:
        raise ValueError(f"its options are longer than {OPTIONS_BYTES_MAX} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"its options are not UTF-8: {error.reason}") from error
