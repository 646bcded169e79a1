"""A compressed drop → its plain bytes, once, streamed and guarded against bombs.

Trouble: `Unreadable` says why there is nothing to be read, in words for the user. A full disk is
no such thing: it is raised as it is, before the reserve is touched.
"""

import errno
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from orchestrator.spool import atomic

PIECE_BYTES = 1 << 18
RATIO_MAX = 1000
RATIO_FREE_BYTES = 64 << 20  # smaller outputs may have any ratio
WINDOW_BYTES_MAX = 8 << 20
_BITE_BYTES = 1 << 12
GZIP, ZSTD = "gz", "zst"


class Unreadable(Exception):
    """Nothing of the file can be read; the message says why and what to do."""


def decompress(source: Path, target: Path, how: str, reserve_bytes: int) -> int:
    """Write the plain bytes of `source` to `target`, durably; returns their number.

    Stops before less than `reserve_bytes` would be left free on the disk (OSError ENOSPC).
    """
    limit = max(RATIO_FREE_BYTES, RATIO_MAX * source.stat().st_size)
    with open_new(source) as stream, atomic.Writer(target, 0o400) as writer:
        pieces = _gunzip(stream) if how == GZIP else _unzstd(stream)
        for piece in pieces:
            if writer.size + len(piece) > limit:
                raise Unreadable(
                    f"it unpacks to more than {RATIO_MAX} times its size; "
                    "if that is meant, drop it uncompressed"
                )
            if writer.size % (64 << 20) < len(piece):
                _check_room(target.parent, reserve_bytes)
            writer.write(piece)
        writer.commit()
        return writer.size


def open_new(path: Path) -> BinaryIO:
    """Open for reading, without following a link."""
    return os.fdopen(atomic.open_read(path), "rb", buffering=0)


def _check_room(folder: Path, reserve_bytes: int) -> None:
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < reserve_bytes + (64 << 20):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _gunzip(stream: BinaryIO) -> Iterator[bytes]:
    """Unpack one gzip member after the other."""
    rest = stream.read(PIECE_BYTES)
    if not rest:
        raise Unreadable("it is empty, not a gzip file")
    try:
        while rest:
            member = zlib.decompressobj(31)
            while not _ended(member):
                yield member.decompress(rest, PIECE_BYTES)
                rest = member.unconsumed_tail or (
                    b"" if _ended(member) else stream.read(PIECE_BYTES)
                )
                if not rest and not _ended(member):
                    raise Unreadable("the gzip data is cut short; drop the file again")
            rest = member.unused_data or stream.read(PIECE_BYTES)
    except zlib.error as error:
        raise Unreadable(f"not whole gzip data ({error}); drop the file again") from error


def _unzstd(stream: BinaryIO) -> Iterator[bytes]:
    """Unpack one zstd frame after the other, with a bounded window."""
    reader = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
    rest = stream.read(PIECE_BYTES)
    if not rest:
        raise Unreadable("it is empty, not a zstd file")
    try:
        while rest:
            frame = reader.decompressobj()
            while not _ended(frame):
                if not rest:
                    raise Unreadable("the zstd data is cut short; drop the file again")
                # One byte of a bomb may stand for 32 KiB: small bites keep the pieces small.
                bite, rest = rest[:_BITE_BYTES], rest[_BITE_BYTES:]
                yield frame.decompress(bite)
                rest = rest or (b"" if _ended(frame) else stream.read(PIECE_BYTES))
            rest = frame.unused_data + rest or stream.read(PIECE_BYTES)
    except zstandard.ZstdError as error:
        why = str(error)
        hint = "compress it with a window of at most 8 MiB" if "memory" in why else "drop it again"
        raise Unreadable(f"not whole zstd data ({why}); {hint}") from error


def _ended(stream: Any) -> bool:
    ended: bool = stream.eof
    return ended
