"""Filling a file: several writers, one digest behind them."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from pathlib import Path

import pytest

from orchestrator.spool.calls import Calls
from orchestrator.spool.filling import AHEAD, fill
from orchestrator.spool.pool import Inline

PARALLEL = 2


def _write(target: Path, at: int, data: bytes) -> int:
    with target.open("r+b") as file:
        os.pwrite(file.fileno(), data, at)
    return data.count(b"\n")


def _stretches(target: Path, texts: list[bytes]) -> tuple[list[Callable[[], int]], list[int]]:
    ends = list(accumulate(map(len, texts)))
    writes = [
        partial(_write, target, end - len(text), text)
        for text, end in zip(texts, ends, strict=True)
    ]
    return list(writes), ends


async def test_the_digest_is_of_the_whole_file(tmp_path: Path) -> None:
    """However the writers come out, the file is read once, from its beginning to its end."""
    target = tmp_path / "results"
    target.touch()
    texts = [b"%d\n" % n * (1 + 7 * n % 5) for n in range(40)]
    writes, ends = _stretches(target, texts)
    heard: list[int] = []

    with ThreadPoolExecutor(PARALLEL) as workers:
        told = await fill(Calls(workers, PARALLEL), target, writes, ends, heard.append)

    whole = b"".join(texts)
    assert target.read_bytes() == whole
    assert (told.bytes, told.lines) == (len(whole), whole.count(b"\n"))
    assert told.sha256 == hashlib.sha256(whole).hexdigest()
    assert heard == list(range(1, len(texts) + 1))


async def test_writers_are_let_only_a_little_ahead_of_the_digest(tmp_path: Path) -> None:
    """While the digest is held up, no more stretches are begun than it may be behind."""
    target = tmp_path / "results"
    target.touch()
    writes, ends = _stretches(target, [b"x\n"] * 20)
    begun = 0
    go_on = asyncio.Event()

    def held(write: Callable[[], int]) -> int:
        nonlocal begun
        begun += 1
        return write()

    class Held(Calls):
        async def beside(self, fn, *args, **kwargs):
            await go_on.wait()
            return await Calls.beside(self, fn, *args, **kwargs)

    calls = Held(Inline(), PARALLEL)
    writes = [partial(held, write) for write in writes]
    filling = asyncio.create_task(fill(calls, target, writes, ends, print))
    for _ in range(100):
        await asyncio.sleep(0)
    assert begun == PARALLEL + AHEAD
    go_on.set()
    told = await filling

    assert told.lines == begun == len(writes)


async def test_the_first_error_comes_out_as_it_is(tmp_path: Path) -> None:
    """A writer that fails ends the whole, and nobody waits for what will not come."""
    target = tmp_path / "results"
    target.touch()
    writes, ends = _stretches(target, [b"x\n"] * 10)

    def full() -> int:
        raise OSError(28, "No space left on device")

    writes[4] = full
    with ThreadPoolExecutor(PARALLEL) as workers, pytest.raises(OSError, match="No space"):
        await fill(Calls(workers, PARALLEL), target, writes, ends, print)
