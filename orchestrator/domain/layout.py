"""The fixed-width index of a set: 24 + 12 + 1 bytes a request, written before any row refers to it.

Three files in the set's folder, each indexed by ordinal:

`lines.idx`    LINE    where a request and its key lie, and how it is composed for the wire
`answers.idx`  ANSWER  where the answer lies
`states.idx`   u8      low nibble: what became of the request (`Settled`), high nibble: the
                       newest generation that tried it, at most 15
"""

from enum import IntEnum

import numpy as np

LINE = np.dtype(
    [
        ("base", "<u8"),  # offset of the line in the source, or of its record in the side file
        ("request", "<u4"),  # start of the request's JSON, from base
        ("length", "<u4"),  # its length in bytes; 0 for a flaw
        ("key", "<u4"),  # start of the key's JSON, from base; with key_length 0: line no. - ordinal
        ("key_length", "<u2"),  # length of the key's JSON with its quotes; 0: the line number
        ("flags", "<u2"),  # SIDE, FLAWED, and in the low bits which defaults are filled in
    ]
)
ANSWER = np.dtype(
    [
        ("where", "<u8"),  # the batch's serial << OFFSET_BITS | offset in its answers file
        ("length", "<u4"),
    ]
)
OFFSET_BITS = 40
OFFSET_MASK = (1 << OFFSET_BITS) - 1
SERIAL_MAX = (1 << 24) - 1
SIDE = 1 << 15  # the request was rewritten: base points into `side.jsonl`
FLAWED = 1 << 14
DEFAULTS_MASK = (1 << 13) - 1
KEY_BYTES_MAX = (1 << 16) - 1
GENERATION_SHIFT = 4
GENERATION_MAX = 15


class Settled(IntEnum):
    """What became of one request (the low nibble of its state byte)."""

    OPEN = 0  # nobody has answered it yet
    RESPONSE = 1  # answers.idx points at the JSON of the response
    ERROR = 2  # answers.idx points at the JSON of a lasting error
    FLAWED = 3  # its line was flawed; the flaw lies in flaws.jsonl
    RETRYABLE = 4  # open, and answers.idx points at the JSON of its last error


IN_POOL = (Settled.OPEN, Settled.RETRYABLE)
