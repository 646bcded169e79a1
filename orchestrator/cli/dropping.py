"""Putting a file into the inbox so that it is taken whole or not at all, over nobody's name.

The daemon never takes names that begin with a dot, so a file grows under one; then it is synced and
renamed. The options lie there before the data does, under the same free name.

Trouble: whatever fails leaves the inbox as it was, and is a `Failure` with the remedy.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO

from orchestrator.cli import failure
from orchestrator.service import host
from orchestrator.service.printable import shown_name
from orchestrator.spool import atomic

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
PIECE_BYTES = 1 << 20
NAME_BYTES_MAX = 200
NAMES_TRIED_MAX = 10_000
MODE = 0o640  # the daemon may be another user of our group

Progress = Callable[[int], None]
Taken = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Dropped:
    """Where a file went: the name of its set, and the file in the inbox."""

    name: str
    file: Path


def split_name(file: str) -> tuple[str, str]:
    """Part a file's name into the set's name and the suffix that says how it is compressed."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if file.endswith(suffix):
            return file.removesuffix(suffix), suffix
    stem, dot, last = file.rpartition(".")
    if last in {"gz", "zst"}:
        return stem.removesuffix(".json").removesuffix(".ndjson"), f".jsonl.{last}"
    return (stem if dot and last in {"json", "ndjson", "txt"} else file), ".jsonl"


def check_file(file: str | Path) -> os.stat_result:
    """Return the facts of a file that is to be read; say what it is if it cannot be."""
    shown = shown_name(str(file))
    try:
        facts = os.stat(file)  # noqa: PTH116 - a name may hold what a Path would change
    except OSError as error:
        message = f"{shown}: cannot be read: {error.strerror}; check the path"
        raise failure.Failure(message, failure.NO_INPUT) from None
    if not stat.S_ISREG(facts.st_mode):
        advice = "name a file, or use `-` for standard input with `submit`"
        raise failure.Failure(f"{shown}: is not a regular file; {advice}", failure.NO_INPUT)
    return facts


def check_name(name: str) -> None:
    """Refuse a name that cannot become a file and a folder, or that the inbox never takes."""
    bad = (
        not name.strip()
        or name.startswith((".", "-"))
        or "/" in name
        or not name.isprintable()
        or len(os.fsencode(name)) > NAME_BYTES_MAX
    )
    if bad:
        advice = f"choose one of visible characters without '/', up to {NAME_BYTES_MAX} bytes"
        raise failure.Failure(f"{shown_name(name)!r} cannot name a set; {advice}", failure.USAGE)


def drop(  # noqa: PLR0913 - a file, where it goes, and who is told
    source: BinaryIO,
    inbox: Path,
    name: str,
    suffix: str,
    options: str,
    progress: Progress,
    *,
    taken: Taken = lambda _: False,
) -> Dropped:
    """Copy an open file into the inbox as the set `name`, or NAME-2 … if that is taken.

    `taken` tells of names that are free in the inbox and yet another set's.
    """
    check_name(name)
    temporary = inbox / f".{name}.{os.getpid()}{suffix}.tmp"
    with _explained(inbox):
        try:
            _copy(source, temporary, progress)
            free = (each for each in _names(name) if not taken(each))
            return _publish(temporary, inbox, free, suffix, options)
        finally:
            atomic.unlink(temporary, missing_ok=True)


def _copy(source: BinaryIO, target: Path, progress: Progress) -> None:
    file = atomic.create(target, MODE)
    try:
        while piece := source.read(PIECE_BYTES):
            atomic.write_all(file, piece, target)
            progress(len(piece))
        atomic.fsync(file, target)
    finally:
        os.close(file)


def _publish(
    temporary: Path, inbox: Path, names: Iterable[str], suffix: str, options: str
) -> Dropped:
    for free in names:
        target, beside = inbox / f"{free}{suffix}", inbox / f"{free}.toml"
        if any((inbox / f"{free}{each}").exists() for each in ("", ".toml", *SUFFIXES)):
            continue
        try:
            if options:
                _write_options(beside, options)
            atomic.rename_new(temporary, target)
        except FileExistsError:
            if options:
                atomic.unlink(beside, missing_ok=True)
            continue
        atomic.fsync_dir(inbox)
        return Dropped(free, target)
    raise failure.Failure(
        f"{inbox}: {NAMES_TRIED_MAX} sets have this name; choose another --name",
        failure.CANNOT_CREATE,
    )


def _write_options(file: Path, options: str) -> None:
    """Write NAME.toml whole and under its name only if that is free."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    atomic.write_file(temporary, options.encode(), MODE)
    try:
        atomic.rename_new(temporary, file)
    finally:
        atomic.unlink(temporary, missing_ok=True)


def _names(name: str) -> Iterator[str]:
    yield name
    for number in count(2):
        if number > NAMES_TRIED_MAX:
            return
        yield f"{name}-{number}"


class _explained:  # noqa: N801 - reads as a verb where it is used
    """Say what a failed write means for whoever gave the command."""

    def __init__(self, inbox: Path) -> None:
        self._inbox = inbox

    def __enter__(self) -> None:
        if not self._inbox.is_dir():
            advice = "start the daemon once, or see service.inbox in `orchestrator config`"
            raise failure.Failure(f"{self._inbox}: there is no inbox; {advice}", failure.NO_INPUT)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError):
            return
        where = f"{self._inbox}: cannot write: {error.strerror}"
        if isinstance(error, PermissionError):
            advice = "ask as the daemon's user, or join the group of the inbox"
            raise failure.Failure(f"{where}; {advice}", failure.NO_PERMISSION) from None
        if error.errno in host.NO_ROOM:
            raise failure.Failure(f"{where}; make room there", failure.CANNOT_CREATE) from None
        raise failure.Failure(f"{where}; it was not dropped", failure.CANNOT_CREATE) from None
