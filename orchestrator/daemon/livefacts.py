"""Facts that no ledger has, told to the board: what waits, what is being read, how much is free."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.config.settings import Paths
from orchestrator.daemon.assembly import Assembly
from orchestrator.domain.request_sets import Delivered
from orchestrator.service import host
from orchestrator.spool.work import WorkFolder
from orchestrator.status.assembly import StatusRoom
from orchestrator.store.journal import Recorded

SOURCES = ("plain", "input")


@dataclass(slots=True)
class LiveFacts:
    """Looks when asked, and listens for what was read and delivered."""

    room: StatusRoom
    assembly: Assembly
    work: WorkFolder
    paths: Paths
    reading: dict[str, int] = field(default_factory=dict)

    def look(self) -> None:
        """Tell the board how things are at this moment."""
        board = self.room.board
        board.free_bytes = host.space(self.paths.work).free_bytes
        board.waits_for = self.assembly.project.sending.waits_for
        board.drops = self.assembly.loops["intake"].found
        busy = self.assembly.reading
        for folder in self.reading.keys() - busy:
            board.read(_shown(folder), 1, 1)
            del self.reading[folder]
        for folder in busy:
            fraction = self.work.progress(folder)
            if fraction is None:
                continue
            size = self.reading.setdefault(folder, _size(self.paths.work / folder))
            board.read(_shown(folder), min(int(fraction * size), max(size - 1, 0)), size)

    def hear(self, recorded: Recorded) -> None:
        """Count the bytes that were read and delivered."""
        metrics = self.room.metrics
        for received in recorded.received:
            metrics.moved_bytes("read", received.info.content_bytes)
        for move in recorded.moves:
            if isinstance(move.after, Delivered):
                folder = self.paths.outbox / move.after.info.outbox
                metrics.moved_bytes("delivered", _sizes(folder.glob("results.jsonl*")))


def _shown(folder: str) -> str:
    return folder.rpartition("-")[0] or folder


def _size(folder: Path) -> int:
    return max((_sizes([folder / name]) for name in SOURCES), default=0)


def _sizes(files: Iterable[Path]) -> int:
    total = 0
    for file in files:
        try:
            total += file.stat().st_size
        except OSError:  # it has moved on: this is for the eyes only
            continue
    return total
