"""What was delivered already, by the outbox itself: the ledger may have forgotten it.

Believed is a `summary.json` of exactly this set (its id, its content, its options), beside which
every file that it names lies to the byte. Nothing here is written.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from orchestrator.domain.request_sets import SetInfo, Totals
from orchestrator.ports import Delivery
from orchestrator.spool import publish


class _File(msgspec.Struct):
    bytes: int
    sha256: str


class _Told(msgspec.Struct):
    set: str
    content: str
    fingerprint: str
    requests: int
    answered: int
    failed: int
    state: str
    files: dict[str, _File]


def finished(outbox: Path, names: Sequence[str]) -> frozenset[str]:
    """Return those of these folders that look finished. Runs in a worker."""
    return frozenset(name for name in names if (outbox / name / publish.SUMMARY).exists())


def delivered(outbox: Path, info: SetInfo) -> Delivery | None:
    """Return what lies whole in the set's folder, None if anything of it is not as it was told.

    Reads every file to its end. Runs in a worker.
    """
    folder = outbox / info.outbox
    if (summary := publish.concluded(folder)) is None:
        return None
    try:
        told = msgspec.json.decode(summary, type=_Told)
    except msgspec.DecodeError:  # of an older program, or somebody else's
        return None
    if not _is_of(told, info) or not all(
        _is_whole(folder / name, file) for name, file in told.files.items()
    ):
        return None
    totals = Totals(told.answered, told.failed)
    cancelled = told.state == "cancelled"
    return Delivery(info.outbox, totals, publish.digest_of(summary), cancelled=cancelled)


def _is_of(told: _Told, info: SetInfo) -> bool:
    same = (told.set, told.content, told.fingerprint) == (info.id, info.content, info.fingerprint)
    return same and told.answered + told.failed == told.requests == info.requests


def _is_whole(path: Path, told: _File) -> bool:
    if not path.is_file() or path.stat().st_size != told.bytes:
        return False
    return publish.digest(path).sha256 == told.sha256
