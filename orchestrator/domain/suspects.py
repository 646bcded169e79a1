"""What a parser that only skips does not see: depth, infinite numbers, text that is not UTF-8.

Found for a whole block by arithmetic on arrays; the suspected lines are then read exactly.
"""

import codecs
from collections.abc import Iterator

import numpy as np

from orchestrator.domain.strictness import DEPTH_MAX
from orchestrator.domain.usual import OPEN, SPACE, Bytes, Lines, Mask, Places

COUNT_BYTES = 256
BITE_BYTES = 1 << 17
GAP_BYTES = 1 << 12  # ASCII between other text that is not worth leaving out
UTF8_BYTES = 1 << 16  # decoded at once: larger temporary buffers cost page faults

assert BITE_BYTES % COUNT_BYTES == 0


class Suspects:
    """Finds lines that may nest too deep or hold an infinite number, in small bites.

    Each bite of `BITE_BYTES` passes through the same few arrays, which stay in the nearest cache.
    """

    def __init__(self) -> None:
        self._folded = np.zeros(BITE_BYTES, np.uint8)
        self._opens = np.zeros(BITE_BYTES, np.uint8)
        self._digits = np.zeros(BITE_BYTES, np.uint8)
        self._hits = np.zeros(BITE_BYTES, np.bool_)

    def find(self, block: Bytes, lines: Lines) -> Places:
        """Return the suspected lines of a block, the innocent among them few."""
        counts = [np.zeros(1, np.int64)]
        numbers = []
        for at in range(0, block.size, BITE_BYTES):
            bite = block[at : at + BITE_BYTES]
            counts.append(self._brackets(bite))
            if self._has_exponent(bite, block[at - 1] if at else SPACE):
                numbers.append(_long_exponents(block, max(at - 1, 0), at + bite.size))
        sums = np.cumsum(np.concatenate(counts))
        first, last = lines.starts // COUNT_BYTES, -(-lines.stops // COUNT_BYTES)
        deep = (sums[last] - sums[first] > DEPTH_MAX).nonzero()[0]
        if not numbers:
            return deep
        huge = np.searchsorted(lines.starts, np.concatenate(numbers), side="right") - 1
        return np.concatenate((deep, huge))

    def _brackets(self, bite: Bytes) -> Places:
        """Count the opening brackets in each `COUNT_BYTES`, blank or not."""
        folded, opens = self._folded[: bite.size], self._opens
        np.bitwise_or(bite, np.uint8(0x20), out=folded)  # brackets become braces, E becomes e
        np.equal(folded, OPEN, out=opens[: bite.size].view(np.bool_))
        opens[bite.size :] = 0
        sums = opens.view(np.uint64)  # eight counts side by side, of at most COUNT_BYTES / 8 each
        for _ in range(COUNT_BYTES.bit_length() - 4):
            sums = sums[0::2] + sums[1::2]
        whole: Places = sums.view(np.uint8).reshape(-1, 8).sum(1, np.int64)
        return whole[: -(-bite.size // COUNT_BYTES)]

    def _has_exponent(self, bite: Bytes, before: int) -> bool:
        """Tell whether a digit stands before an e, as in every number with an exponent."""
        digits, hits = self._digits[: bite.size], self._hits[: bite.size]
        np.subtract(bite, np.uint8(ord("0")), out=digits)
        np.less(digits, 10, out=digits.view(np.bool_))
        np.equal(self._folded[: bite.size], ord("e"), out=hits)
        if hits[0] and chr(before).isdecimal():
            return True
        np.logical_and(hits[1:], digits.view(np.bool_)[:-1], out=hits[1:])
        return bool(hits[1:].any())


def _long_exponents(block: Bytes, start: int, stop: int) -> Places:
    """Return where in [start, stop) numbers may have an exponent of three digits or more."""
    bite = block[start:stop]
    hits = (bite[1:] | 0x20 == ord("e")) & (bite[:-1] - np.uint8(ord("0")) < 10)
    places = hits.nonzero()[0] + start
    last = block.size - 1
    after = np.minimum(places + 2, last)
    after = np.minimum(after + (block[after] == ord("+")), last)
    three = np.ones(places.size, np.bool_)
    for step in range(3):
        three &= block[np.minimum(after + step, last)] - np.uint8(ord("0")) < 10
    found: Places = places[three]
    return found


def non_ascii_runs(block: Bytes, lines: Lines, ok: Mask) -> Iterator[tuple[int, int]]:
    """Yield from which to before which line there are bytes beyond ASCII, and not much else."""
    chosen = ((np.maximum.reduceat(block, lines.starts) >= 0x80) & ok).nonzero()[0]
    if not chosen.size:
        return
    gaps = (lines.starts[chosen[1:]] - lines.stops[chosen[:-1]] > GAP_BYTES).nonzero()[0]
    firsts = chosen[np.concatenate(([0], gaps + 1))]
    lasts = chosen[np.concatenate((gaps, [chosen.size - 1]))]
    yield from zip(firsts.tolist(), (lasts + 1).tolist(), strict=True)


def is_utf8(text: memoryview) -> bool:
    """Tell whether text is UTF-8."""
    at = 0
    try:
        while at < len(text):
            bite = text[at : at + UTF8_BYTES]
            _, used = codecs.utf_8_decode(bite, "strict", at + len(bite) == len(text))
            at += used
    except UnicodeDecodeError:
        return False
    return True
