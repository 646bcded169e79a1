"""The service as the daemon holds it: its jobs and its files over one set of connections.

Trouble: none of its own; see `jobs` and `files`.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Self

from orchestrator.domain.ids import InstallId
from orchestrator.gemini.files import GeminiFiles
from orchestrator.gemini.jobs import GeminiJobs
from orchestrator.gemini.service import Service
from orchestrator.gemini.transport import Connectors, Observe, Transport
from orchestrator.gemini.upload import Progressed
from orchestrator.ports import Clock


class Gemini:
    """Enter it inside a running loop; then `jobs` and `files` are the two ports.

    `key` is called before each call and returns the secret, so that a reload works at once.
    `connectors` makes the connections (the system's TCP and TLS by default). `observe` is told
    of each call: its name, the HTTP status or the name of the failure, and its seconds.
    `progressed` is told how far an upload came: its name, bytes sent and size.
    """

    def __init__(  # noqa: PLR0913 - one argument for each thing of the world that is handed in
        self,
        service: Service,
        key: Callable[[], str],
        install: InstallId,
        clock: Clock,
        *,
        connectors: Connectors | None = None,
        observe: Observe | None = None,
        progressed: Progressed | None = None,
    ) -> None:
        self._transport = Transport(service, key, clock, connectors, observe)
        self.jobs = GeminiJobs(self._transport, install)
        self.files = GeminiFiles(self._transport, progressed)

    @property
    def skew(self) -> timedelta | None:
        """How far the service's clock is ahead of ours, as far as it told us."""
        return self._transport.skew

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._transport.__aexit__(*details)
