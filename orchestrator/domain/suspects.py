"""What a parser that only skips does not see: depth, infinite numbers, text that is not UTF-8.

Found for a whole block by arithmetic on arrays; the suspected lines are then read exactly.
"""

import numpy as np

from orchestrator.domain.strictness import DEPTH_MAX
from orchestrator.domain.usual import OPEN, Bytes, Lines, Places

COUNT_BYTES = 128
BITE_BYTES = 1 << 18

# First bytes that not every second byte may follow, with the lowest and the highest that may.
_SECONDS = (
    (0xE0, 0xA0, 0xBF),
    (0xED, 0x80, 0x9F),
    (0xF0, 0x90, 0xBF),
    (0xF4, 0x80, 0x8F),
    *((first, 0xFF, 0x00) for first in range(0xF5, 0x100)),
)
_FOLD = np.uint8(0x20)  # brackets become braces, E becomes e
_ZERO = np.uint8(ord("0"))
_ONES = np.uint64(0x0101010101010101)  # times this, the sum of eight bytes is in the highest
_NOWHERE = np.zeros(0, np.int64)

assert COUNT_BYTES <= 0xFF
assert BITE_BYTES % COUNT_BYTES == 0


class Suspects:
    """Finds lines that may nest too deep or hold an infinite number, in small bites.

    Each bite of `BITE_BYTES` passes through the same few arrays, which stay in a near cache.
    """

    def __init__(self) -> None:
        self._folded, self._marks, self._digits = np.zeros((3, BITE_BYTES + 8), np.uint8)

    def broken_text(self, block: Bytes, lines: Lines) -> Places:
        """Return the lines that are not UTF-8, the innocent among them few."""
        found = [
            self._broken(block, at)
            for at in range(0, block.size, BITE_BYTES)
            if np.max(block[max(0, at - 3) : at + BITE_BYTES]) >= 0x80
        ]
        if block[-1] >= 0x80:
            found.append(np.array([block.size - 1]))
        if not found:
            return _NOWHERE
        broken = _lines_of(np.concatenate(found), lines)
        # An unfinished character may hide what is wrong with the three bytes after its line.
        near = np.unique(broken[:, None] + np.arange(4))
        return near[near < lines.starts.size]

    def _broken(self, block: Bytes, at: int) -> Places:
        """Return where in the bite at `at` a byte is not what UTF-8 allows there.

        Each byte must go on a character exactly if one that began before it is not complete; the
        few beginnings that not every second byte may follow are looked at one by one.
        """
        start = max(0, at - 3)  # a character may begin in the bite before
        bite = block[start : at + BITE_BYTES]
        on, must = self._marks[: bite.size].view(np.bool_), self._digits[: bite.size].view(np.bool_)
        other = self._folded[: bite.size]
        marks = other.view(np.bool_)
        np.less(bite.view(np.int8), -0x40, out=on)
        must[:1] = False
        np.greater_equal(bite[:-1], 0xC0, out=must[1:])
        must[2:] |= np.greater_equal(bite[:-2], 0xE0, out=marks[2:])
        fours = np.greater_equal(bite[:-3], 0xF0, out=marks[3:])
        checks = _SECONDS[:2]
        if fours.any():
            must[3:] |= fours
            checks = _SECONDS
        found = []
        wrong = np.not_equal(must, on, out=must)
        wrong[: at - start] = False  # that is known from the bite before
        if wrong.any():
            found.append(wrong.nonzero()[0])
        for first, lowest, highest in checks:
            if np.equal(bite[:-1], first, out=marks[:-1]).any():
                places = marks[:-1].nonzero()[0]
                second = bite[places + 1]
                found.append(places[(second < lowest) | (second > highest)])
        np.bitwise_and(bite, np.uint8(0xFE), out=other)
        if np.equal(other, 0xC0, out=marks).any():
            found.append(marks.nonzero()[0])
        return np.concatenate(found) + start if found else _NOWHERE

    def find(self, block: Bytes, lines: Lines) -> Places:
        """Return the lines with much depth or long exponents, the innocent among them few."""
        counts = [np.zeros(1, np.int64)]
        numbers = []
        for at in range(0, block.size, BITE_BYTES):
            bite = block[at : at + BITE_BYTES]
            folded = np.bitwise_or(bite, _FOLD, out=self._folded[: bite.size])
            counts.append(self._brackets(folded))
            numbers.append(self._exponents(bite, folded) + at)
        numbers += [np.array([at - 1]) for at in range(BITE_BYTES, block.size, BITE_BYTES)]
        sums = np.cumsum(np.concatenate(counts))
        first, last = lines.starts // COUNT_BYTES, -(-lines.stops // COUNT_BYTES)
        deep = (sums[last] - sums[first] > DEPTH_MAX).nonzero()[0]
        places = _long_exponents(block, np.concatenate(numbers))
        return np.concatenate((deep, _lines_of(places, lines)))

    def _brackets(self, folded: Bytes) -> Places:
        """Count the opening brackets in each `COUNT_BYTES`, blank or not."""
        marks = self._marks[:BITE_BYTES]
        np.equal(folded, OPEN, out=marks[: folded.size].view(np.bool_))
        marks[folded.size :] = 0
        sums = marks.view(np.uint64)  # eight counts side by side, of at most COUNT_BYTES / 8 each
        for _ in range(COUNT_BYTES.bit_length() - 4):
            sums = sums[0::2] + sums[1::2]
        whole: Places = ((sums * _ONES) >> np.uint64(56)).astype(np.int64)
        return whole[: -(-folded.size // COUNT_BYTES)]

    def _exponents(self, bite: Bytes, folded: Bytes) -> Places:
        """Return where a digit stands before an e, as in every number with a long exponent.

        The second and the third byte behind the e are digits, with a plus or without.
        """
        digits = self._digits[: bite.size]
        hits = self._marks[: bite.size].view(np.bool_)
        np.subtract(bite, _ZERO, out=digits)
        np.less(digits, 10, out=digits.view(np.bool_))
        np.equal(folded, ord("e"), out=hits)
        np.logical_and(hits[1:], digits.view(np.bool_)[:-1], out=hits[1:])
        hits[:1] = False
        for behind in (2, 3):  # what lies beyond the bite may be a digit
            sure = hits[: max(hits.size - behind, 0)]
            np.logical_and(sure, digits.view(np.bool_)[behind:], out=sure)
        return hits.nonzero()[0] - 1 if hits.any() else _NOWHERE


def _long_exponents(block: Bytes, digits: Places) -> Places:
    """Return at which of these places an e and three digits follow, a plus between or not."""
    last = block.size - 1
    found = (block[np.minimum(digits + 1, last)] | _FOLD) == ord("e")
    after = np.minimum(digits + 2, last)
    after = np.minimum(after + (block[after] == ord("+")), last)
    for step in (0, 1, 2):
        found &= block[np.minimum(after + step, last)] - _ZERO < 10
    places: Places = digits[found]
    return places


def _lines_of(places: Places, lines: Lines) -> Places:
    """Return the lines that these places are in."""
    if not places.size:
        return _NOWHERE
    return np.maximum(np.searchsorted(lines.starts, places, side="right") - 1, 0)
