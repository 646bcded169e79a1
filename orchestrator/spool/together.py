"""Many small drops taken and read at once: what is made durable is made so for all of them.

One file alone is synced step by step (`claim`, `index`). Of many, each step is done for all and
then the whole file system is synced once, so the order of what a power cut may leave is the same:

    1  a folder for each, and its meta.json beside its place; sync; in its place; sync
    2  each drop renamed into its folder, found to have no writer and made read-only; sync
    3  the index files of each, and its index.json beside its place; sync; in its place; sync

A crash leaves claims that are not finished, or not indexed: they are taken up one by one. Whatever
is in the least unusual (a writer, a second name, a flaw, a key that comes twice) is left to that
path, too.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from blake3 import blake3
from msgspec.json import encode

from orchestrator.domain.calibration import TOKENS_PER_BYTE
from orchestrator.domain.defaults import (
    default_fields,
    default_fragments,
    filled_bytes,
    request_lengths,
    wire_lengths,
)
from orchestrator.domain.ids import ContentHash
from orchestrator.domain.layout import ANSWER, Settled
from orchestrator.domain.requests import Rules
from orchestrator.domain.scan import Piece, Scanner
from orchestrator.ports import Claim, IndexOrder, IndexReport
from orchestrator.spool import atomic, flush, source
from orchestrator.spool.claim import Wanted, begin, is_still, move, move_sidecar
from orchestrator.spool.freeze import writers
from orchestrator.spool.index import check_start, committed, index_json
from orchestrator.spool.merge import may_hold_media, without_media
from orchestrator.spool.meta import Meta, as_claim, claimed_meta
from orchestrator.spool.plain import Unreadable

SMALL_BYTES = 256 << 10  # a drop of this size, or smaller, may be taken together with others


@dataclass(frozen=True, slots=True)
class Taken:
    """Claims that are finished, folders of those that have to be finished one by one, and drops
    that were begun before: those are to be claimed one by one.
    """

    claims: tuple[Claim, ...]
    unfinished: tuple[str, ...]
    begun_before: tuple[bytes, ...]


def is_small(wanted: Wanted, device: int) -> bool:
    """Tell whether a drop may be taken together with others: a small file of our own disk."""
    facts = wanted.facts
    plain = stat.S_ISREG(facts.st_mode) and wanted.trouble is None and wanted.compression is None
    return plain and facts.st_size <= SMALL_BYTES and facts.st_dev == device


def take(inbox: Path, work: Path, wanted: Sequence[Wanted]) -> Taken:
    """Make small drops ours, durably; those that went away or changed are left out."""
    before = tuple(each.raw for each in wanted if (work / each.folder).exists())
    begun = [
        each
        for each in wanted
        if each.raw not in before and is_still(inbox / os.fsdecode(each.raw), each.facts)
    ]
    for each in begun:
        atomic.mkdir(work / each.folder)
    _put(work, [(work / each.folder / source.META, encode(begin(each))) for each in begun], 0o600)
    moved = [each for each in begun if _move(inbox, work / each.folder, each)]
    closed = [_close(work / each.folder, begin(each)) for each in moved]
    flush.everything(work)
    claims = [one for one in closed if one is not None]
    unfinished = [e.folder for e, one in zip(moved, closed, strict=True) if one is None]
    return Taken(tuple(claims), tuple(unfinished), before)


def name_runs(work: Path, named: Sequence[tuple[str, int, int]]) -> None:
    """Fix durably which (folder, run, copy) each claim is, all at once."""
    metas = [(work / folder, claimed_meta(work / folder)) for folder, _, _ in named]
    for (_, meta), (_, run, copy) in zip(metas, named, strict=True):
        meta.claimed, meta.run, meta.copy = True, run, copy
    _put(work, [(folder / source.META, encode(meta)) for folder, meta in metas], 0o600)


def index(work: Path, orders: Sequence[tuple[str, IndexOrder]]) -> Sequence[IndexReport | None]:
    """Read claims that are small; None for each that has to be read by itself.

    What is returned is durable. The same again gives the same.
    """
    found = [_read(work / folder, order) for folder, order in orders]
    written = [
        (work / folder / source.INDEX, index_json(order, report, source.INPUT))
        for (folder, order), report in zip(orders, found, strict=True)
        if report is not None and committed(work / folder) is None
    ]
    _put(work, written)
    return found


def _put(work: Path, files: Sequence[tuple[Path, bytes]], mode: int = 0o640) -> None:
    """Put small files in their places, each whole or not at all; durable with all before them."""
    besides = [path.with_name(f".{path.name}{atomic.TEMPORARY}") for path, _ in files]
    for beside, (_, data) in zip(besides, files, strict=True):
        _write(beside, data, mode)
    flush.everything(work)
    for beside, (path, _) in zip(besides, files, strict=True):
        atomic.rename(beside, path)
    flush.everything(work)


# ---- taking -------------------------------------------------------------------------------------


def _move(inbox: Path, folder: Path, wanted: Wanted) -> bool:
    if move(inbox / os.fsdecode(wanted.raw), folder / source.INPUT):
        move_sidecar(inbox, folder, begin(wanted))
        return True
    atomic.remove_tree(folder)
    return False


def _close(folder: Path, meta: Meta) -> Claim | None:
    """Make the input read-only if it is ours alone and nobody writes to it; else None."""
    path = folder / source.INPUT
    if meta.options_bytes is not None and not (folder / source.OPTIONS).exists():
        return None
    try:
        file = atomic.open_read(path)
    except OSError:
        return None
    try:
        facts = os.fstat(file)
        ours = facts.st_nlink == 1 and facts.st_uid == os.geteuid()
        if not stat.S_ISREG(facts.st_mode) or facts.st_size != meta.size or not ours:
            return None
        if writers(file) != "none":
            return None
        atomic.chmod(file, 0o400, path)
    finally:
        os.close(file)
    return as_claim(folder, meta)


def _write(path: Path, data: bytes, mode: int = 0o640) -> None:
    file = atomic.create(path, mode)
    try:
        if data:
            atomic.write_all(file, data, path)
    finally:
        os.close(file)


# ---- reading ------------------------------------------------------------------------------------


def _read(folder: Path, order: IndexOrder) -> IndexReport | None:
    known = committed(folder)
    if known is not None:
        return msgspec.convert(known.report, IndexReport) if known.answers(order) else None
    try:
        rules = Rules(order.kind, order.model, default_fields(order.defaults), order.shape)
        check_start(folder / source.INPUT)
    except (ValueError, Unreadable):
        return None
    data = (folder / source.INPUT).read_bytes()
    scanner = Scanner(rules, order.line_bytes_max)
    piece = scanner.read(data, 0)
    if not scanner.rows or piece.flaws or piece.warnings or not _unique(piece, order):
        return None
    added = filled_bytes(default_fragments(order.defaults))
    wire = wire_lengths(piece.rows, np.arange(scanner.rows, dtype=np.uint64), added)
    tokens = np.ceil(request_lengths(piece.rows, added) * TOKENS_PER_BYTE)
    digest = blake3(data).digest()
    _write_index(folder, piece, digest)
    by_bytes = int(tokens.sum())
    return IndexReport(
        requests=scanner.rows,
        flawed=0,
        duplicates=0,
        warnings=0,
        content=ContentHash(blake3(digest).hexdigest()),
        content_bytes=len(data),
        wire_bytes=int(wire.sum()),
        tokens=without_media(folder, by_bytes) if may_hold_media(piece.rows) else by_bytes,
        problem=None,
    )


def _unique(piece: Piece, order: IndexOrder) -> bool:
    """Tell whether no key comes twice, of those that are surely no line numbers."""
    if not order.unique_keys:
        return True
    keyless = np.count_nonzero(piece.rows["key_length"] == 0)
    if keyless:
        return bool(keyless == piece.rows.size)  # a key may equal the number of a line
    return bool(np.unique(piece.hashes).size == piece.hashes.size)


def _write_index(folder: Path, piece: Piece, digest: bytes) -> None:
    count = piece.rows.size
    _write(folder / source.LINES, piece.rows.tobytes())
    _write(folder / source.SIDE_FILE, b"".join(piece.side))
    _write(folder / source.BLOCKS, digest)
    _write(folder / source.FLAWS, b"")
    _write(folder / source.WARNINGS, b"")
    _write(folder / source.STATES, bytes([Settled.OPEN]) * count)
    _write(folder / source.ANSWERS, bytes(ANSWER.itemsize * count))
