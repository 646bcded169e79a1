"""Finds keys that come twice: equal hashes first, then the keys themselves.

Hashes are eight bytes a key on disk, sorted a bucket at a time, so memory does not grow with the
set. Equal hashes are only candidates: the keys are read and compared before anyone is refused.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.keys import NO_KEY, hash_key
from orchestrator.domain.scan import PLACE
from orchestrator.spool import atomic
from orchestrator.spool.merge import Before, befores
from orchestrator.spool.ranges_scan import Counted, part_path
from orchestrator.spool.source import Source, open_lines

BUCKET_ROWS = 1 << 20
CONFIRM_AT_ONCE = 100_000
SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Twin:
    """A key that was there before; lines count from 1, `offset` is that of the later line."""

    key: bytes
    ordinal: int
    line: int
    offset: int
    first_line: int


@dataclass(frozen=True, slots=True)
class Twins:
    """How many keys came before, and the first few of them."""

    count: int
    shown: tuple[Twin, ...]


def find_twins(folder: Path, counts: Sequence[Counted], bucket_rows: int = BUCKET_ROWS) -> Twins:
    """Find the keys that came before; about `bucket_rows` hashes are held at a time.

    The count is exact up to `CONFIRM_AT_ONCE` repeated keys; beyond, it is that of equal hashes.
    """
    if all(count.keyless == count.rows for count in counts):
        return Twins(0, ())
    hashes = _Hashes(folder, counts)
    repeated, repeats = hashes.repeated(bucket_rows)
    for at in range(0, len(repeated), CONFIRM_AT_ONCE):
        twins = _confirm(folder, hashes, repeated[at : at + CONFIRM_AT_ONCE])
        if twins.count:
            whole = len(repeated) <= CONFIRM_AT_ONCE
            return Twins(twins.count if whole else repeats, twins.shown)
    return Twins(0, ())


class _Hashes:
    """The hashes of all rows, by part; a row without a key has that of its line number."""

    def __init__(self, folder: Path, counts: Sequence[Counted]) -> None:
        self.folder = folder
        self.parts = [each for each in zip(counts, befores(counts), strict=False) if each[0].rows]
        self.lines = open_lines(folder)
        self.total = sum(count.rows for count in counts)

    def of_part(self, count: Counted, before: Before) -> NDArray[np.uint64]:
        """Return the hashes of a part's rows, in order."""
        found = np.fromfile(part_path(self.folder, count.part, "hashes"), np.uint64)
        if count.keyless:
            offsets = self.lines["key"][before.rows : before.rows + count.rows]
            for row in np.flatnonzero(found == NO_KEY).tolist():
                found[row] = hash_key(b"%d" % (before.rows + row + int(offsets[row])))
        return found

    def place(self, ordinal: int) -> tuple[int, int]:
        """Return the number, from 1, of a row's line and its offset in the source."""
        for count, before in self.parts:
            row = ordinal - before.rows
            if row < count.rows:
                path = part_path(self.folder, count.part, "places")
                found = np.fromfile(path, PLACE, 1, offset=row * PLACE.itemsize)[0]
                return before.lines + int(found["line"]) + 1, int(found["offset"])
        raise IndexError(ordinal)

    def repeated(self, bucket_rows: int) -> tuple[NDArray[np.uint64], int]:
        """Return the hashes that come more than once, and how many came before.

        Each part is sorted by itself; then the parts are merged a bucket of hashes at a time.
        """
        parts = [self._sorted(*part) for part in self.parts]
        buckets = max(1, -(-self.total // bucket_rows))
        bounds = [np.uint64((i << 64) // buckets) for i in range(1, buckets)]
        cuts = [[0, *np.searchsorted(part, bounds).tolist(), part.size] for part in parts]
        found: list[NDArray[np.uint64]] = []
        repeats = 0
        for bucket in range(buckets):
            held = [
                part[cut[bucket] : cut[bucket + 1]] for part, cut in zip(parts, cuts, strict=True)
            ]
            ordered = np.sort(np.concatenate(held))
            again = ordered[1:][ordered[1:] == ordered[:-1]]
            repeats += again.size
            found.append(again[np.diff(again, prepend=again[:1] ^ np.uint64(1)) != 0])
        return np.concatenate(found), repeats

    def rows_of(self, wanted: NDArray[np.uint64]) -> Iterator[int]:
        """Yield the ordinal of each row whose hash is wanted, in order."""
        for count, before in self.parts:
            whole = self.of_part(count, before)
            place = np.minimum(np.searchsorted(wanted, whole), len(wanted) - 1)
            for row in np.flatnonzero(wanted[place] == whole).tolist():
                yield before.rows + row

    def _sorted(self, count: Counted, before: Before) -> NDArray[np.uint64]:
        path = part_path(self.folder, count.part, "sorted")
        file = atomic.create(path)
        atomic.write_all(file, np.sort(self.of_part(count, before)).tobytes(), path)
        os.close(file)
        return np.memmap(path, np.uint64, "r")


def _confirm(folder: Path, hashes: _Hashes, wanted: NDArray[np.uint64]) -> Twins:
    firsts: dict[bytes, int] = {}
    shown: list[Twin] = []
    count = 0
    with Source(folder) as source:
        for ordinal in hashes.rows_of(wanted):
            key = source.key(hashes.lines[ordinal], ordinal)
            real = msgspec.json.decode(key, type=str).encode()
            first = firsts.setdefault(real, ordinal)
            if first == ordinal:
                continue
            count += 1
            if len(shown) < SHOWN_MAX:
                shown.append(Twin(key, ordinal, *hashes.place(ordinal), hashes.place(first)[0]))
    return Twins(count, tuple(shown))
