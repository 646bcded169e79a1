"""Counts the calls per project, endpoint and answer, and keeps the counts now and then."""

import msgspec

from orchestrator.emulator.journal import Journal

KEEP_EVERY = 200


class Calls:
    """How often each endpoint was called and what it answered; 0 means that the connection was
    cut instead.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._unkept = 0
        self.counts: dict[str, int] = {}
        self.late_refusals: list[str] = []
        for _, raw in journal.records("calls"):
            self.counts = msgspec.json.decode(raw, type=dict[str, int])

    def count(self, project: str, endpoint: str, status: int) -> None:
        """Count a call."""
        name = f"{project}\x1f{endpoint}\x1f{status}"
        self.counts[name] = self.counts.get(name, 0) + 1
        self._unkept += 1
        if self._unkept >= KEEP_EVERY:
            self.keep()

    def keep(self) -> None:
        """Write the counts to the journal; at most a few hundred calls are forgotten by a kill."""
        if self._unkept:
            self._unkept = 0
            self._journal.write("calls", "", self.counts)

    def shown(self) -> list[dict[str, object]]:
        """List the counts."""
        listed = []
        for name, count in sorted(self.counts.items()):
            project, endpoint, status = name.split("\x1f")
            listed.append(
                {"project": project, "endpoint": endpoint, "status": int(status), "calls": count}
            )
        return listed
