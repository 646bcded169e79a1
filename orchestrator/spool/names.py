"""Names of drops: which are taken, what they are called for people and on our disk.

A name is bytes that a stranger chose. Nothing is ever built from it but by these functions.
"""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestrator.domain.ids import digest32

NAME_BYTES_MAX = 200
FOLDER_STEM_MAX = 60
NEVER_ENDINGS = (b".tmp", b".part", b".partial", b"~")
SIDECAR = b".toml"

_DROP = re.compile(rb"(?s)(.*)\.jsonl(?:\.(gz|zst))?")
_UNSAFE = re.compile(r"[^a-zA-Z0-9._-]+")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file name that says what the file is: its stem and how it is compressed, if it is."""

    stem: bytes
    compression: str | None


def parse(name: bytes) -> Parsed | None:
    """Read NAME.jsonl, NAME.jsonl.gz or NAME.jsonl.zst; None for any other name."""
    found = _DROP.fullmatch(name)
    if found is None or not found[1]:
        return None
    return Parsed(found[1], found[2].decode() if found[2] else None)


def is_never_taken(name: bytes) -> bool:
    """Tell whether a name says that its file is not (yet) meant for us."""
    return name.startswith(b".") or name.endswith(NEVER_ENDINGS)


def shown(stem: bytes) -> str:
    """Return a name for people and for the outbox: printable, one path component, ≤ 200 bytes.

    Distinct names may come out equal; the outbox numbers them.
    """
    text = stem.decode("utf-8", "replace")
    text = "".join(
        "_" if unicodedata.category(each) in _HIDDEN_CATEGORIES or each == "/" else each
        for each in text
    )
    text = " ".join(text.split())
    while len(text.encode()) > NAME_BYTES_MAX:
        text = text[:-1]
    text = text.rstrip()
    return "_" + text[1:] if not text or text.startswith((".", "-")) else text


def folder(raw: bytes, *facts: int) -> str:
    """Name the folder in `work/` of the drop `raw` with these facts of its inode."""
    stem = PurePosixPath(shown(raw.rpartition(b"/")[2])).name
    stem = _UNSAFE.sub("_", stem)[:FOLDER_STEM_MAX]
    return f"{stem}-{digest32(raw.hex(), *map(str, facts))}"
