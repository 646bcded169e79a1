"""How many tokens a batch has: as the answers of its set taught, those of its model, or as guessed.

Tokens are in proportion to bytes within one set, whose requests are alike; between sets they are
not (a picture has many bytes and few tokens). So what a model has taught is taken as a correction
of the guess, which knows what a set is made of.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.domain.batches import Part
from orchestrator.domain.ids import SetId

TOKENS_PER_BYTE = 0.25  # of text
# A picture has 258 tokens for each tile, a document for each page, a film for each second: of
# either, about this much as it is sent, in base64.
MEDIA_TOKENS = 258
MEDIA_BYTES = 100_000
_MEDIA = re.compile(rb'"data"\s*:\s*"[A-Za-z0-9+/=_-]{512,}+"')
# Of a limit, what a new batch may be estimated at: estimates move a little with each answer.
PLANNED_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Lesson:
    """So many prompt tokens were counted for so many bytes sent."""

    tokens: int = 0
    bytes: int = 0

    @property
    def rate(self) -> float | None:
        """Return tokens by byte, None where nothing was counted."""
        return self.tokens / self.bytes if self.tokens and self.bytes else None


@dataclass(frozen=True, slots=True)
class Estimates:
    """Tokens by byte as sent, by set; a set of which nothing was taught is not in it."""

    rates: Mapping[SetId, float] = field(default_factory=dict)

    def tokens(self, part: Part) -> int:
        """Return how many tokens a batch has by what is known now."""
        return self.sum(part.request_set, part.tokens, part.wire_bytes)

    def sum(self, set_id: SetId, planned: int, wire_bytes: int) -> int:
        """Return the tokens of so many bytes of a set, `planned` where nothing was taught."""
        known = self.rates.get(set_id)
        return planned if known is None else math.ceil(wire_bytes * known)


def planned_max(limit: int | None) -> int | None:
    """Return what a new batch may be estimated at under a limit of enqueued tokens."""
    return None if limit is None else max(int(limit * PLANNED_SHARE), 1)


def guess(tokens: int, content_bytes: int) -> float:
    """Return the first guess of a set: tokens by byte as its intake estimated them."""
    return tokens / content_bytes if tokens and content_bytes else TOKENS_PER_BYTE


def tokens_in(request: bytes) -> int:
    """Guess how many tokens a request (its JSON) has: by bytes, those of media being worth less."""
    media = [len(found[0]) for found in _MEDIA.finditer(request)]
    text = math.ceil((len(request) - sum(media)) * TOKENS_PER_BYTE)
    return text + MEDIA_TOKENS * sum(-(-size // MEDIA_BYTES) for size in media)


def text_bytes(wire_bytes: int, guessed: float) -> int:
    """Return how many bytes of text would be guessed at as many tokens: what a model is taught."""
    return math.ceil(wire_bytes * guessed / TOKENS_PER_BYTE)


def rate(guessed: float, own: Lesson, model: Lesson) -> float | None:
    """Return a set's tokens by byte; `model` counts in `text_bytes`. None: nobody has taught it."""
    if own.rate is not None:
        return own.rate
    return None if model.rate is None else guessed * model.rate / TOKENS_PER_BYTE
