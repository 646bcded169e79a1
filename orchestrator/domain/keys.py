"""A 64-bit hash of a key, for many keys at once.

Equal keys have equal hashes, so only equal hashes need a look at the keys themselves: the hash
need not be more than quick and even. It is of the decoded key: `"a"` and `"\\u0061"` are one key.
"""

import numpy as np
import xxhash
from numpy.typing import NDArray

NO_KEY = 0
ROW_BYTES_MAX = 328  # longer keys are hashed one by one

_LENGTH, _WORD, _LAST = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xFF51AFD7ED558CCD
_MASK = (1 << 64) - 1


def hash_rows(rows: NDArray[np.uint8], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the hashes of keys that lie in rows of a multiple of 8 bytes, filled up with zeros."""
    words = rows.view(np.uint64)
    hashes = lengths.astype(np.uint64) * np.uint64(_LENGTH)
    for i in range(-(-int(np.max(lengths, initial=0)) // 8)):
        mixed = (hashes ^ words[:, i]) * np.uint64(_WORD)
        mixed ^= mixed >> np.uint64(32)
        hashes = np.where(lengths > 8 * i, mixed, hashes)
    hashes = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(_LAST)
    hashes ^= hashes >> np.uint64(32)
    hashes[hashes == NO_KEY] = 1
    return hashes


def hash_key(key: bytes) -> int:
    """Return the hash of one decoded key in UTF-8; never `NO_KEY`."""
    if len(key) > ROW_BYTES_MAX:
        return xxhash.xxh3_64_intdigest(key) or 1
    found = len(key) * _LENGTH & _MASK
    for at in range(0, len(key), 8):
        found = (found ^ int.from_bytes(key[at : at + 8], "little")) * _WORD & _MASK
        found ^= found >> 32
    found = (found ^ found >> 29) * _LAST & _MASK
    return found ^ found >> 32 or 1
