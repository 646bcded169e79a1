"""What one line of a batch's answers turned out to be: a fixed-width row each.

A row says whose answer the line is, where its useful JSON lies, and what is wrong with it if
something is.
"""

import codecs
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from orchestrator.domain.batches import Usage

FOUND = np.dtype(
    [
        ("ordinal", "<i8"),  # whose answer it is; NO_KEY and NOT_OURS are below 0
        ("offset", "<u8"),  # of the JSON of the response or error, or of the whole malformed line
        ("length", "<u4"),
        ("code", "<i4"),  # RESPONSE, a google.rpc number, or one of the kinds of malformed lines
    ]
)
Found: TypeAlias = npt.NDArray[np.void]

RESPONSE = 0
NOT_JSON, NOT_UTF8, NEITHER, TOO_LONG = -1, -2, -3, -4
WHY = {
    NOT_JSON: "it is not valid JSON",
    NOT_UTF8: "it is not valid UTF-8",
    NEITHER: "it has neither a response nor an error",
    TOO_LONG: "it is longer than what is accepted",
}
NO_KEY, NOT_OURS = -1, -2
TEXT_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Reading:
    """What some lines are: one FOUND row for each that is not blank, in their order."""

    found: Found
    usage: Usage


def is_utf8(data: bytes) -> bool:
    """Tell whether bytes are valid UTF-8, without decoding them all at once."""
    if data.isascii():
        return True
    view, at = memoryview(data), 0
    try:
        while at < len(data):
            end = at + TEXT_BYTES
            at += codecs.utf_8_decode(view[at:end], "strict", end >= len(data))[1]
    except UnicodeDecodeError:
        return False
    return True
