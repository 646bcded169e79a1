"""What a batch sends as a stream: composed ahead, gone on with, digested on the way."""

import contextlib
import hashlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.batches import Part
from orchestrator.ports import SourceChanged
from orchestrator.spool import source
from orchestrator.spool.body import AHEAD_BYTES, ComposedBody, composed
from tests.spool import sets
from tests.spool.sets import FOLDER

REQUESTS = 60_000  # several times what is composed ahead


class _Asked(Executor):
    """Workers that count how often they are asked."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a set of some MiB."""
    folder = tmp_path_factory.mktemp("room")
    sets.written(folder, sets.plain(REQUESTS))
    return folder


async def _part(room: Path) -> Part:
    (plan,) = await sets.opened(room).plan(FOLDER, sets.order())
    return sets.part(plan)


async def _read(body: ComposedBody, offset: int, size: int) -> bytes:
    """Read so many bytes as an upload does that is sent in chunks: and no more."""
    found = b""
    async with contextlib.aclosing(body.pieces(offset)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            found += piece
            if len(found) >= size:
                break
    return found[:size]


async def test_what_is_read_in_one_stream_is_digested_on_the_way(room: Path) -> None:
    """Nothing is composed again for the digest, in however many chunks it was read."""
    part, workers = await _part(room), _Asked()
    body = ComposedBody(room / FOLDER, part, workers)
    whole = b"".join(composed(room / FOLDER, part, 0))
    assert len(whole) > 3 * AHEAD_BYTES

    sent, chunk = b"", 1_000_003
    while len(sent) < body.size:
        sent += await _read(body, len(sent), chunk)
    rest = [piece async for piece in body.pieces(len(sent))]

    assert (sent, rest) == (whole, [])
    assert await body.sha256() == hashlib.sha256(whole).hexdigest()
    assert workers.calls == 0


async def test_a_reader_may_go_back(room: Path) -> None:
    """After a cut connection the service may hold less than was sent: it is read from there."""
    part, workers = await _part(room), _Asked()
    body = ComposedBody(room / FOLDER, part, workers)
    whole = b"".join(composed(room / FOLDER, part, 0))
    place = 3 * AHEAD_BYTES

    assert await _read(body, 0, place) == whole[:place]
    assert b"".join([piece async for piece in body.pieces(10)]) == whole[10:]

    assert await body.sha256() == hashlib.sha256(whole).hexdigest()
    assert workers.calls == 1


async def test_a_source_that_changes_under_a_reader_ends_the_stream(tmp_path: Path) -> None:
    """It is told when it is reached, and told again to who tries again."""
    sets.written(tmp_path, sets.plain(REQUESTS))
    body = ComposedBody(tmp_path / FOLDER, await _part(tmp_path), _Asked())
    claimed = tmp_path / FOLDER / source.INPUT
    content = bytearray(claimed.read_bytes())
    content[-5] ^= 1
    claimed.write_bytes(content)

    for _ in range(2):
        with pytest.raises(SourceChanged):
            await _read(body, 0, body.size)
