"""What lies in the inbox, each thing judged by its name and kind, nothing opened."""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TypeAlias

from orchestrator.spool import names
from orchestrator.spool.claim import REQUESTS, SET_OPTIONS, Wanted

Signature: TypeAlias = tuple[object, ...]  # changes whenever anything of a drop changes

ENTRIES_AT_ONCE = 500  # then others get their turn in the event loop
_KINDS = {
    stat.S_IFLNK: "it is a symbolic link; drop the file itself",
    stat.S_IFIFO: "it is a FIFO, not a file",
    stat.S_IFSOCK: "it is a socket, not a file",
    stat.S_IFCHR: "it is a device, not a file",
    stat.S_IFBLK: "it is a device, not a file",
}


def look(inbox: Path, profiles: Collection[str]) -> Iterator[tuple[Wanted, Signature] | None]:
    """Yield each thing that lies in the inbox and in the profiles' hot folders.

    None is yielded now and then while a folder is listed, so that others get their turn.
    """
    hot = {os.fsencode(profile): profile for profile in profiles}
    yield from _look_into(inbox, b"", "", frozenset(hot))
    for folder, profile in sorted(hot.items()):
        path = inbox / profile
        if path.is_dir() and not path.is_symlink():
            yield from _look_into(inbox, folder + b"/", profile, frozenset())


def _look_into(
    inbox: Path, below: bytes, profile: str, passed_over: frozenset[bytes]
) -> Iterator[tuple[Wanted, Signature] | None]:
    path = os.fsencode(inbox) + b"/" + below
    sidecars: dict[bytes, os.stat_result] = {}
    others: list[os.DirEntry[bytes]] = []
    with os.scandir(path) as entries:
        for count, entry in enumerate(entries):
            if count % ENTRIES_AT_ONCE == ENTRIES_AT_ONCE - 1:
                yield None
            if names.is_never_taken(entry.name) or entry.name in passed_over:
                continue
            facts = _facts(entry) if entry.name.endswith(names.SIDECAR) else None
            if facts is not None:
                sidecars[entry.name[: -len(names.SIDECAR)]] = facts
            elif not entry.name.endswith(names.SIDECAR):
                others.append(entry)
    for entry in others:
        facts = _facts(entry)
        if facts is None:
            continue
        if stat.S_ISDIR(facts.st_mode):
            yield _judge_folder(below + entry.name, profile, facts, path + entry.name)
        else:
            yield _judge_file(below + entry.name, profile, facts, sidecars)


def _facts(entry: "os.DirEntry[bytes]") -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None  # it went away meanwhile


def _judge_file(
    raw: bytes, profile: str, facts: os.stat_result, sidecars: dict[bytes, os.stat_result]
) -> tuple[Wanted, Signature]:
    name = raw.rpartition(b"/")[2]
    kind = stat.S_IFMT(facts.st_mode)
    parsed = names.parse(name)
    own = _signature(facts)
    if kind != stat.S_IFREG or parsed is None:
        trouble = _KINDS.get(
            kind, "its name must end in .jsonl, .jsonl.gz or .jsonl.zst; rename it"
        )
        return Wanted(raw, names.shown(name), profile, facts, trouble=trouble), own
    sidecar = sidecars.get(parsed.stem)
    wanted = Wanted(
        raw,
        names.shown(parsed.stem),
        profile,
        facts,
        sidecar=sidecar.st_ino if sidecar else None,
        options_bytes=sidecar.st_size if sidecar else None,
        compression=parsed.compression,
    )
    return wanted, own + (_signature(sidecar) if sidecar else ())


def _judge_folder(
    raw: bytes, profile: str, facts: os.stat_result, path: bytes
) -> tuple[Wanted, Signature]:
    name = raw.rpartition(b"/")[2]
    signature: list[object] = [_signature(facts)]
    inner: list[bytes] = []
    sizes: dict[bytes, int] = {}
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                found = _facts(entry)
                if found is not None:
                    signature.append((entry.name, _signature(found)))
                    sizes[entry.name] = found.st_size
                parsed = names.parse(entry.name)
                if parsed is not None and parsed.stem == REQUESTS:
                    inner.append(entry.name)
    except OSError as error:
        trouble: str | None = f"it cannot be read ({os.strerror(error.errno or 0)})"
        return Wanted(raw, names.shown(name), profile, facts, trouble=trouble), tuple(signature)
    trouble = None
    if names.parse(name) is not None:
        trouble = "it is a folder with the name of a file"
    elif len(inner) != 1:
        found_text = "no" if not inner else "more than one"
        trouble = f"there is {found_text} requests.jsonl[.gz|.zst] in the folder"
    chosen = inner[0] if len(inner) == 1 else None
    parsed = names.parse(chosen) if chosen else None
    wanted = Wanted(
        raw,
        names.shown(name),
        profile,
        facts,
        inner=chosen,
        options_bytes=sizes.get(os.fsencode(SET_OPTIONS)),
        inner_bytes=sizes.get(chosen) if chosen else None,
        compression=parsed.compression if parsed else None,
        trouble=trouble,
    )
    return wanted, tuple(sorted(map(repr, signature)))


def _signature(facts: os.stat_result) -> Signature:
    return (
        facts.st_dev,
        facts.st_ino,
        facts.st_mode,
        facts.st_size,
        facts.st_mtime_ns,
        facts.st_ctime_ns,
    )
