"""A set's `[defaults]`: request fields that are filled in on the fly, and the length it gives.

Each top-level field of the defaults is one fragment, in the order of the defaults' JSON. Bit i of
`LINE.flags` says that fragment i is appended to the request when its wire line is composed: before
the last brace, each fragment after a comma. That is always right JSON, because a request that is
an empty object is rewritten at intake and needs no filling.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.layout import DEFAULTS_MASK
from orchestrator.domain.placing import as_content, camel, fields_of, place_config

DEFAULTS_MAX = DEFAULTS_MASK.bit_length()
FRAME_BYTES = len(b'{"key":"","request":}\n')  # a wire line without its ordinal and request


def default_fields(defaults: str | None) -> Mapping[str, bytes]:
    """Return the defaults' fields as JSON by camelCase name, in order; a flat `config` is placed.

    Raises ValueError for what cannot be filled in, in words for the user.
    """
    if defaults is None:
        return {}
    try:
        written = fields_of(defaults.encode())
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"[defaults] is no JSON object: {error}") from error
    fields: dict[str, bytes] = {}
    for name, value in place_config(written).items():
        if camel(name) in fields:
            raise ValueError(f"[defaults] gives {camel(name)} twice, in two spellings")
        if camel(name) == "model":
            raise ValueError("[defaults] gives a model; it is an option of the set, not a default")
        fields[camel(name)] = as_content(value) if camel(name) == "systemInstruction" else value
    if len(fields) > DEFAULTS_MAX:
        raise ValueError(
            f"[defaults] has {len(fields)} fields, at most {DEFAULTS_MAX} are possible"
        )
    return fields


def default_fragments(defaults: str | None) -> tuple[bytes, ...]:
    """Return what bit i of `LINE.flags` appends, e.g. `"systemInstruction":{…}`, without comma."""
    return tuple(
        msgspec.json.encode(name) + b":" + value for name, value in default_fields(defaults).items()
    )


def fill(request: bytes, fragments: Sequence[bytes], flags: int) -> bytes:
    """Append the fragments whose bits are set in `flags` to a request object."""
    wanted = flags & DEFAULTS_MASK
    if not wanted:
        return request
    chosen = [fragment for i, fragment in enumerate(fragments) if wanted >> i & 1]
    return request[:-1] + b"," + b",".join(chosen) + b"}"


def filled_bytes(fragments: Sequence[bytes]) -> NDArray[np.uint32]:
    """Return how many bytes `fill` adds, for every value of `flags & DEFAULTS_MASK`."""
    added = np.zeros(1 << len(fragments), np.uint32)
    choices = np.arange(added.size)
    for i, fragment in enumerate(fragments):
        added[choices >> i & 1 == 1] += len(fragment) + 1
    return added


def request_lengths(lines: NDArray[np.void], added: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return the length in bytes of each composed request; 0 for a flaw.

    `lines` are LINE rows, `added` comes from `filled_bytes`.
    """
    lengths = lines["length"].astype(np.uint64)
    if added.size > 1:
        lengths += added[lines["flags"] & (added.size - 1)]
        lengths[lines["length"] == 0] = 0
    return lengths


def wire_lengths(
    lines: NDArray[np.void], ordinals: NDArray[np.uint64], added: NDArray[np.uint32]
) -> NDArray[np.uint64]:
    """Return the length in bytes of each wire line `{"key":"N","request":R}\\n`; 0 for a flaw.

    `lines` are the LINE rows of these ordinals, `added` comes from `filled_bytes`.
    """
    lengths = request_lengths(lines, added)
    whole = lengths + digits(ordinals) + np.uint64(FRAME_BYTES)
    return np.where(lengths == 0, np.uint64(0), whole)


def digits(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return how many decimal digits each number has."""
    return np.searchsorted(_POWERS, numbers, side="right").astype(np.uint64) + np.uint64(1)


_POWERS = np.array([10**n for n in range(1, 20)], np.uint64)
