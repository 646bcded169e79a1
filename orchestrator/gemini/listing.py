"""The walk over the job list: evidence of presence always, of absence only when it is whole.

Trouble: a first page that cannot be had raises `Unavailable`; anything later, or anything that is
not well-formed, ends the walk and makes it incomplete.
"""

from orchestrator.domain.ids import JobName
from orchestrator.domain.jobs import JobSnapshot, Scan
from orchestrator.gemini import wire
from orchestrator.gemini.errors import Answer, Failure, call_trouble, is_blocked
from orchestrator.gemini.transport import Request, Transport

PAGE_SIZE = 100
PAGE_TOKEN_CHARACTERS_MAX = 4096
MASK = (
    "operations(name,done,error,response(responsesFile),metadata(name,model,displayName,state,"
    "batchStats,createTime,updateTime,endTime,inputConfig(fileName),output(responsesFile))),"
    "nextPageToken"
)


class Walk:
    """What was seen so far on one walk."""

    def __init__(self, pages_max: int) -> None:
        self.token = ""
        self.pages = 0
        self.going = True
        self._pages_max = pages_max
        self._trouble = ""
        self._tokens = {""}
        self._jobs: dict[JobName, JobSnapshot] = {}

    def read(self, body: bytes) -> None:
        """Take a page, and its token as the next place to look."""
        page = wire.page(body)
        if page is None:
            self.stop("an answer that is no list of jobs")
        else:
            self._add(page)

    def _add(self, page: wire.Page) -> None:
        self.pages += 1
        self._trouble = self._trouble or page.flaw
        for job in page.jobs:
            self._jobs.setdefault(job.name, job)
        self.token = page.next_token
        if not self.token:
            self.going = False
        elif self.token in self._tokens or len(self.token) > PAGE_TOKEN_CHARACTERS_MAX:
            self.stop("a page token that came before, or that is absurd")
        elif self.pages == self._pages_max:
            self.stop("the list does not end")
        self._tokens.add(self.token)

    def stop(self, trouble: str) -> None:
        """End the walk before the end of the list."""
        self.going = False
        self._trouble = self._trouble or f"after page {self.pages}: {trouble}"

    def scan(self) -> Scan:
        """Return what was seen."""
        return Scan(
            jobs=tuple(self._jobs.values()),
            complete=not self._trouble,
            pages=self.pages,
            trouble=self._trouble,
        )


class Listing:
    """Reads the list in pages of a hundred, without inline results where the service lets us."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._service = transport.service
        self._masked = True

    async def scan(self) -> Scan:
        """Walk to the end, over empty pages too, but never in a circle or for ever."""
        walk = Walk(self._service.pages_max)
        while walk.going:
            outcome = await self._page(walk.token)
            if isinstance(outcome, Answer) and outcome.ok:
                walk.read(outcome.body)
            elif walk.pages == 0:
                raise call_trouble("list", outcome)
            else:
                walk.stop(str(call_trouble("list", outcome)))
        return walk.scan()

    async def _page(self, token: str) -> Answer | Failure:
        outcome = await self._ask(token)
        if self._masked and _mask_failed(outcome):
            self._masked = False
            outcome = await self._ask(token)
        return outcome

    async def _ask(self, token: str) -> Answer | Failure:
        query = {"pageSize": str(PAGE_SIZE)}
        query |= {"pageToken": token} if token else {}
        query |= {"fields": MASK} if self._masked else {}
        request = Request(
            name="list",
            method="GET",
            url=self._service.url("batches", query),
            limit=self._service.call_timeout,
        )
        return await self._transport.call(request)


def _mask_failed(outcome: Answer | Failure) -> bool:
    if isinstance(outcome, Failure):
        return False
    if outcome.status == 400:
        return not is_blocked(outcome)
    page = wire.page(outcome.body) if outcome.ok else None
    return page is not None and page.stateless
