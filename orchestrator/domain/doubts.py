"""What the operator is asked when only they may say whether a job exists."""

from collections.abc import Sequence

from orchestrator.domain.ids import IdempotencyKey, SetId


def asked(request_set: SetId, tokens: Sequence[IdempotencyKey]) -> tuple[str, str]:
    """Return what nobody knows of these batches (one at least), and what is to be done.

    Each is answered by itself, so the remedy is that of the first.
    """
    first, *others = tokens
    more = f" (and those of {len(others)} more batches)" if others else ""
    why = f"in_doubt: nobody knows whether the job of {first} exists{more}"
    order = f"{request_set} {first}"
    return why, (
        "look for that display name in the service's job list: if it is there "
        f"`orchestrator adopt {order} JOB`, if it certainly is not `orchestrator absent {order}`"
    )
