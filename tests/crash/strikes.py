"""Strikes a process at the n-th call that changes something, by a library that is preloaded.

Numbers run over all threads and workers of a life, so that to strike at 1, 2, 3 … until a life
passes without being struck is to strike everywhere. A kill ends the whole process group before the
call acts; a failure is the call's own, once or, as on a disk that stays full, from there on.
"""

import errno
import mmap
import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("strikes.c")
TEXT_BYTES, ROWS = 160, 8192
_HEAD = struct.Struct("=qq")
PAGES = "pwrite64"
NOTHING = "nothing"


@dataclass(frozen=True)
class Strike:
    """What happens at call number `at`; at 0 nothing does, and the calls are only told.

    `failure` names an error number, or is empty for a kill. With `deaf` all syncs are reported
    done, and none is.
    """

    at: int
    failure: str = ""
    lasts: bool = False
    deaf: bool = False

    def __str__(self) -> str:
        return f"{self.failure or 'SIGKILL'} {'from' if self.lasts else 'at'} {self.at}"


@dataclass(frozen=True)
class Told:
    """What a life was seen to do: its calls in order, and the one that was struck."""

    calls: Sequence[str]
    struck: int

    @property
    def where(self) -> str:
        """The call that was struck, or that nothing was."""
        return self.calls[self.struck - 1] if 0 < self.struck <= len(self.calls) else NOTHING


@cache
def unavailable() -> str | None:
    """Say why no library can be built here, None if one can."""
    return None if shutil.which("cc") else "there is no C compiler (cc) here"


def build(folder: Path) -> Path:
    """Build the library and return where it is."""
    library = folder / "strikes.so"
    options = ("-O2", "-Wall", "-Werror", "-shared", "-fPIC")
    subprocess.run(["cc", *options, "-o", library, SOURCE, "-ldl"], check=True)
    return library


def orders(strike: Strike, below: Path, book: Path) -> dict[str, str]:
    """Return the environment that gives a process its strike; `book` is made anew."""
    with book.open("wb") as file:
        file.truncate(_HEAD.size + ROWS * TEXT_BYTES)
    given = {
        "STRIKE_BELOW": str(below),
        "STRIKE_BOOK": str(book),
        "STRIKE_AT": str(strike.at),
        "STRIKE_WHAT": str(getattr(errno, strike.failure) if strike.failure else 0),
    }
    given |= {"STRIKE_LASTS": "1"} if strike.lasts else {}
    return given | ({"STRIKE_DEAF": "1"} if strike.deaf else {})


def read(book: Path) -> Told:
    """Read what a life was seen to do."""
    with book.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        count, struck = _HEAD.unpack(data[: _HEAD.size])
        rows = [_HEAD.size + n * TEXT_BYTES for n in range(min(count, ROWS))]
        texts = [data[at : at + TEXT_BYTES].partition(b"\0")[0] for at in rows]
    return Told([text.decode(errors="replace") for text in texts], struck)


def points(calls: Sequence[str]) -> list[int]:
    """Choose the calls to strike at: all, but of a run of page writes the first and the last.

    A life that ends between two pages of one transaction leaves the same unfinished transaction.
    """
    return [
        number
        for number, call in enumerate(calls, 1)
        if not (
            call.startswith(PAGES)
            and 1 < number < len(calls)
            and calls[number - 2] == call == calls[number]
        )
    ]
