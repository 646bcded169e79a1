"""The provider's input files: found by their chosen names, uploaded, deleted.

Trouble: as in `upload`; a file that is not ours and one that is not there look the same.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from orchestrator.domain.ids import FileName
from orchestrator.gemini import wire
from orchestrator.gemini.errors import Answer, Failure, call_trouble, says_no_file
from orchestrator.gemini.pages import walked
from orchestrator.gemini.transport import Request, Transport
from orchestrator.gemini.upload import Progressed, Upload
from orchestrator.ports import Body, Session, StoredFile

PAGE_SIZE = 100
SKEW_MIN = timedelta(minutes=1)  # `Date` has whole seconds, and an answer has been under way


class GeminiFiles:
    """The port `Files`, spoken over HTTP."""

    def __init__(self, transport: Transport, progressed: Progressed | None = None) -> None:
        self._transport = transport
        self._upload = Upload(transport, self._found, progressed)

    async def find(self, name: FileName) -> StoredFile | None:
        """Ask for a file by its chosen name; None if it is not there (or not ours)."""
        found = await self._found(name)
        return None if found is None else self._by_our_clock(found)

    async def _found(self, name: FileName) -> StoredFile | None:
        outcome = await self._named("file", "GET", name)
        if isinstance(outcome, Answer) and says_no_file(outcome):
            return None
        found = None
        if isinstance(outcome, Answer) and outcome.ok:
            found = wire.stored_file(wire.decode(outcome.body))
        if found is None or found.name != name:
            raise call_trouble("file", outcome, names_file=True)
        return found

    async def stored(self) -> Sequence[StoredFile]:
        """List the project's input files, of other programs too, up to the service's last page."""
        return await walked(self._transport, "files", PAGE_SIZE, wire.file_page)

    async def upload(self, name: FileName, body: Body, session: Session) -> StoredFile:
        """Upload `body` under a chosen name, going on with the journaled session if there is one.

        The caller compares size and hash of what it gets: the answer is the server's word.
        """
        return self._by_our_clock(await self._upload.upload(name, body, session))

    async def delete(self, name: FileName) -> None:
        """Delete a file; that it is gone already is no error."""
        outcome = await self._named("file.delete", "DELETE", name)
        gone = isinstance(outcome, Answer) and (outcome.ok or says_no_file(outcome))
        if not gone:
            raise call_trouble("file.delete", outcome, names_file=True)

    def _by_our_clock(self, stored: StoredFile) -> StoredFile:
        """Say when a file ends by our clock: the service says it by its own, and one may be wrong.

        Else a machine that is days ahead would take each file for one that has ended, and send it
        again for ever.
        """
        skew = self._transport.skew
        if skew is None or abs(skew) < SKEW_MIN or stored.expires is None:
            return stored
        return replace(stored, expires=stored.expires - skew)

    async def _named(self, call: str, method: str, name: FileName) -> Answer | Failure:
        service = self._transport.service
        url = service.url(name)
        return await self._transport.call(
            Request(name=call, method=method, url=url, limit=service.call_timeout)
        )
