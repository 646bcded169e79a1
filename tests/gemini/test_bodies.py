"""Bodies are bounded: what swells, what is too long, what does not move."""

import gzip
import zlib

import pytest
from hypothesis import given, strategies as st

from orchestrator.gemini.bodies import PIECE_BYTES, Collect, TooMuch, Unzip, decoder


@given(plain=st.binary(max_size=5000), step=st.integers(1, 100), deflate=st.booleans())
def test_a_compressed_answer_is_read_however_it_is_cut(
    plain: bytes,
    step: int,
    deflate: bool,  # noqa: FBT001
) -> None:
    """Inflating piece by piece gives what was compressed, for both encodings."""
    zipped = zlib.compress(plain) if deflate else gzip.compress(plain)
    unzip = Unzip()

    pieces = [zipped[at : at + step] for at in range(0, len(zipped), step)]
    found = b"".join(part for piece in pieces for part in unzip.parts(piece))

    assert found == plain


def test_a_bomb_is_stopped_early() -> None:
    """What swells more than text does is refused before it fills the memory, in small parts."""
    bomb = gzip.compress(b" " * (64 << 20))
    given: list[int] = []

    def explode() -> None:
        given.extend(len(part) for part in Unzip().parts(bomb))

    with pytest.raises(TooMuch, match="swells"):
        explode()
    assert sum(given) < 16 << 20
    assert max(given) <= PIECE_BYTES


def test_what_is_no_gzip_is_refused() -> None:
    """A false label is a fault of the answer."""
    with pytest.raises(TooMuch, match="not the gzip"):
        list(Unzip().parts(b"plain words"))


@pytest.mark.parametrize(
    ("encoding", "known"),
    [
        ("", True),
        ("identity", True),
        (" GZIP ", True),
        ("deflate", True),
        ("br", False),
        ("zstd", False),
        ("gzip, gzip", False),
    ],
)
def test_only_what_can_be_bounded_is_decoded(encoding: str, known: bool) -> None:  # noqa: FBT001
    """Encodings that we do not know, or that are stacked, are not read."""
    assert (decoder(encoding) is not None) is known


def test_an_answer_is_kept_up_to_its_bound() -> None:
    """One byte more than allowed is too much."""
    kept = Collect(10)

    assert kept.feed(b"x" * 10)
    with pytest.raises(TooMuch):
        kept.feed(b"x")
    assert kept.body == b"x" * 10
