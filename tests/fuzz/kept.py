"""The kept corpus: what is worth to be read each time. One file for each kind of text under
`corpus/`, for every target; and under `grown/` what atheris found for one target, a line each.
"""

import base64
import hashlib
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
GROWN = HERE / "grown"
KEPT_BYTES_MAX = 1000


def grown(name: str) -> list[bytes]:
    """Return what was grown for a target."""
    file = GROWN / name
    return [base64.b64decode(row) for row in file.read_bytes().split()] if file.exists() else []


def unpack(name: str, folder: Path) -> None:
    """Put what was grown for a target into a folder of atheris."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in grown(name):
        (folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)


def pack(name: str, folder: Path) -> None:
    """Keep what lies in a folder of atheris, the giants aside."""
    found = {path.read_bytes() for path in folder.iterdir()} | set(grown(name))
    rows = sorted(base64.b64encode(data) for data in found if 0 < len(data) <= KEPT_BYTES_MAX)
    GROWN.mkdir(exist_ok=True)
    (GROWN / name).write_bytes(b"".join(row + b"\n" for row in rows))
