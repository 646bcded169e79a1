"""The documented walls that depend on the account's tier: enqueued tokens per model.

They change often and are "not guaranteed"; `AS_OF` says when they were read. Each can be set in
`[limits.enqueued_tokens]`, and a wall that is lower than we think shows itself by 429s, which
lower the limit that is used.
"""

from collections.abc import Mapping

AS_OF = "2026-01"
MILLION = 1_000_000

# Model family → tokens that may be enqueued at once in tier 1, 2, 3 (rate-limits page).
ENQUEUED_TOKENS: Mapping[str, tuple[int, int, int]] = {
    "gemini-3-pro": (50 * MILLION, 500 * MILLION, 1_000 * MILLION),
    "gemini-3-flash": (3 * MILLION, 400 * MILLION, 500 * MILLION),
    "gemini-3-pro-image": (2 * MILLION, 270 * MILLION, 1_000 * MILLION),
    "gemini-2.5-pro": (5 * MILLION, 500 * MILLION, 1_000 * MILLION),
    "gemini-2.5-flash": (3 * MILLION, 400 * MILLION, 1_000 * MILLION),
    "gemini-2.5-flash-lite": (10 * MILLION, 500 * MILLION, 1_000 * MILLION),
    "gemini-2.0-flash": (10 * MILLION, 1_000 * MILLION, 5_000 * MILLION),
    "gemini-2.0-flash-lite": (10 * MILLION, 1_000 * MILLION, 5_000 * MILLION),
    # Not published for embeddings; users met about 2 M in tier 1 and 15 M in tier 2.
    "gemini-embedding": (2 * MILLION, 15 * MILLION, 15 * MILLION),
}


def enqueued_tokens(model: str, tier: int, overrides: Mapping[str, int]) -> int | None:
    """Return how many tokens of a model may be enqueued at once, None if nothing is known.

    An override for the very model wins, then one for its family, then the table's family; a
    family is what the model's name begins with, up to a dash.
    """
    if (family := _family(model, overrides)) is not None:
        return overrides[family]
    known = _family(model, ENQUEUED_TOKENS)
    return None if known is None else ENQUEUED_TOKENS[known][tier - 1]


def _family(model: str, names: Mapping[str, object]) -> str | None:
    fitting = [name for name in names if model == name or model.startswith(f"{name}-")]
    return max(fitting, key=len, default=None)
