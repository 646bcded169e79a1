"""Are all keys of a set different? Exact, at eight bytes a key.

Equal keys have equal hashes, so only equal hashes need a look at the keys themselves. The hash is
of the decoded key: `"a"` and `"\\u0061"` are one key.
"""

from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

NO_KEY = 0


def hash_keys(keys: Sequence[bytes | None]) -> NDArray[np.uint64]:
    """Return the 64-bit hash of each decoded key in UTF-8, `NO_KEY` for None."""
    return np.fromiter(map(hash_key, keys), np.uint64, len(keys))


def hash_key(key: bytes | None) -> int:
    """Return the hash of one decoded key; never `NO_KEY` for a key."""
    return NO_KEY if key is None else xxhash.xxh3_64_intdigest(key) or 1
