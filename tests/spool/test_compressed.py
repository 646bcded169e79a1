import gzip
import io

import pytest
import zstandard

from orchestrator.spool import plain
from orchestrator.spool.source import Source
from tests.spool.worlds import World, lines, order

TEXT = lines(*map(str, range(500))).encode()


async def index(world, name, data):
    world.drop(name, data)
    (claim,) = await world.take()
    report = await world.indexing.index(claim, order())
    return world.work / claim.folder, report


def zst(data, level=3, window=None):
    if window is None:
        return zstandard.ZstdCompressor(level=level).compress(data)
    parameters = zstandard.ZstdCompressionParameters.from_level(level, window_log=window)
    stream = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(
        stream, closefd=False
    ) as writer:
        writer.write(data)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl.gz", gzip.compress(TEXT)),
        ("a.jsonl.gz", gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:])),
        ("a.jsonl.zst", zst(TEXT)),
        ("a.jsonl.zst", zst(TEXT[:1000]) + zst(TEXT[1000:])),
        ("a.jsonl.zst", zst(TEXT * 1, window=23)),
    ],
)
async def test_compressed_drops_are_unpacked_once(tmp_path, name, data):
    """gzip and zstd, also in several members, give the plain bytes that offsets count in."""
    folder, report = await index(World(tmp_path), name, data)

    assert report.requests == 500
    assert report.content_bytes == len(TEXT)
    assert (folder / "plain").read_bytes() == TEXT
    with Source(folder) as source:
        source.block(0)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.jsonl.gz", TEXT, "not whole gzip data"),
        ("a.jsonl.gz", b"", "empty"),
        ("a.jsonl.gz", gzip.compress(TEXT)[:-20], "cut short"),
        ("a.jsonl.gz", gzip.compress(TEXT) + b"garbage", "not whole gzip data"),
        ("a.jsonl.gz", b"".join((gzip.compress(TEXT)[:-8], b"12345678")), "not whole gzip data"),
        ("a.jsonl.zst", TEXT, "not whole zstd data"),
        ("a.jsonl.zst", b"", "empty"),
        ("a.jsonl.zst", zst(TEXT)[:-20], "cut short"),
        ("a.jsonl.zst", zst(TEXT) + b"garbage", "not whole zstd data"),
        ("a.jsonl.zst", zst(b"x" * (40 << 20), window=27), "window of at most 8 MiB"),
        ("a.jsonl", b"", "empty"),
        ("a.jsonl", b"\n \r\n\n", "only blank lines"),
        ("a.jsonl", b"\xef\xbb\xbf", "only blank lines"),
        ("a.jsonl", TEXT.decode().encode("utf-16"), "UTF-16"),
        ("a.jsonl", TEXT.decode().encode("utf-16-le"), "UTF-16"),
    ],
)
async def test_what_cannot_be_read_has_a_problem(tmp_path, name, data, words):
    """A file that is empty, torn, foreign or another encoding is told as a whole."""
    folder, report = await index(World(tmp_path), name, data)

    assert report.requests == 0
    assert words in (report.problem or "")
    assert not (folder / ".plain.tmp").exists()


@pytest.mark.parametrize("how", [plain.GZIP, plain.ZSTD])
def test_bombs_are_stopped(tmp_path, how):
    """What unpacks to a thousand times its size is stopped long before the disk is full."""
    bomb = tmp_path / "bomb"
    if how == plain.GZIP:
        bomb.write_bytes(gzip.compress(b"\0" * (16 << 20), 9) * 40)
    else:
        bomb.write_bytes(zst(b"\0" * (400 << 20), 19))

    with pytest.raises(plain.Unreadable, match="1000 times"):
        plain.decompress(bomb, tmp_path / "plain", how, 0)

    assert [path.name for path in tmp_path.iterdir()] == ["bomb"]


def test_the_reserve_of_the_disk_is_left_alone(tmp_path):
    """Unpacking stops with a full disk while the reserve is still there."""
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(TEXT))

    with pytest.raises(OSError, match="No space left"):
        plain.decompress(packed, tmp_path / "plain", plain.GZIP, 1 << 60)
