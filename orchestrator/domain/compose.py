"""Requests become wire bytes: the lines of an input file, or the body of an inline create.

The key on the wire is the request's ordinal. Requests are carried over as they are; only the
frame around them is ours, so the length of what is sent follows from lengths alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.batches import Mode
from orchestrator.domain.defaults import digits
from orchestrator.domain.ids import IdempotencyKey


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the requests of a batch.

    `item` is one request on the wire, with `%d` for its ordinal and `%b` for itself, in the
    order that `ordinal_first` tells, and with `between` at its end, which parts it from the next.
    """

    opening: bytes
    item: bytes
    ordinal_first: bool
    between: bytes
    closing: bytes

    @property
    def bytes_each(self) -> int:
        """Return what a request takes besides itself and the digits of its ordinal."""
        return len(self.item) - len(b"%d%b")

    def size(self, items_bytes: int) -> int:
        """Return the length of the whole; `items_bytes` sums the `item_sizes`, above 0."""
        return len(self.opening) + items_bytes - len(self.between) + len(self.closing)


LINES = Frame(b"", b'{"key":"%d","request":%b}\n', ordinal_first=True, between=b"", closing=b"")


def inline_frame(token: IdempotencyKey) -> Frame:
    """Return the frame of a create request that holds its requests itself."""
    name = msgspec.json.encode(token)
    return Frame(
        opening=b'{"batch":{"displayName":%b,"inputConfig":{"requests":{"requests":[' % name,
        item=b'{"request":%b,"metadata":{"key":"%d"}},',
        ordinal_first=False,
        between=b",",
        closing=b"]}}}}",
    )


def frame_of(mode: Mode, token: IdempotencyKey) -> Frame:
    """Return the frame of what a batch sends in this mode."""
    return LINES if mode == "file" else inline_frame(token)


def item_sizes(
    frame: Frame, lengths: NDArray[np.uint64], ordinals: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return how many bytes each request takes on the wire, with what parts it from the next."""
    return (lengths + digits(ordinals.astype(np.uint64))).astype(np.int64) + frame.bytes_each


def compose(frame: Frame, ordinals: Sequence[int], requests: Sequence[bytes]) -> bytes:
    """Return neighbouring requests as they are sent, each with what parts it from the next.

    All of them are one format and one call: a call for each takes twice as long.
    """
    values: list[int | bytes] = [0] * (2 * len(requests))
    values[::2] = ordinals if frame.ordinal_first else requests
    values[1::2] = requests if frame.ordinal_first else ordinals
    return frame.item * len(requests) % tuple(values)
