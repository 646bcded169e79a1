"""The provider's batch jobs: create once and judge, list, look, cancel, delete, fetch.

Trouble: a create that brought no job is Refused, Unavailable or InDoubt, by the phase it came to
and the service's words (`errors.create_trouble`); every other call that fails is Unavailable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import msgspec

from orchestrator.domain.batches import Kind, Part
from orchestrator.domain.ids import (
    AccountFingerprint,
    FileName,
    InstallId,
    JobName,
    account_fingerprint,
)
from orchestrator.domain.jobs import Gone, JobSnapshot, Scan, Seen, has_ended
from orchestrator.gemini import wire
from orchestrator.gemini.bodies import Collect, Feed, WrongSize
from orchestrator.gemini.download import Download
from orchestrator.gemini.errors import (
    Answer,
    Failure,
    call_trouble,
    create_trouble,
    is_blocked,
    says_gone,
    says_no_model,
)
from orchestrator.gemini.items import InlineItems, NotJson
from orchestrator.gemini.listing import Listing
from orchestrator.gemini.pages import walked
from orchestrator.gemini.priority import Prioritised
from orchestrator.gemini.transport import Request, Transport
from orchestrator.ports import Body, InDoubt, ModelInfo, Output, Refused, Sink, SourceChanged

MODELS_A_PAGE = 1000
CREATE_METHODS = {"generate": "batchGenerateContent", "embed": "asyncBatchEmbedContent"}
SERVER_HEAD_START = timedelta(seconds=10)  # the service is asked to give up before we do
TOO_LATE_TO_CANCEL = frozenset({400, 404, 409})
GONE_ALREADY = frozenset({403, 404})
MASK = (
    "name,done,error,response(responsesFile),metadata(name,model,displayName,state,batchStats,"
    "createTime,updateTime,endTime,inputConfig(fileName),output(responsesFile))"
)


class Outline:
    """Keeps an answer without the inline items in it, however large they are."""

    def __init__(self, item_bytes_max: int, around_bytes_max: int) -> None:
        self._items = InlineItems(item_bytes_max, around_bytes_max)
        self._error = Collect(around_bytes_max)
        self._ok = False

    @property
    def body(self) -> bytes:
        """Return what was kept."""
        return bytes(self._items.around if self._ok else self._error.body)

    def start(self, status: int, headers: Mapping[str, str]) -> bool:
        """Look for items only in an answer to what was asked."""
        self._ok = 200 <= status < 300
        return True

    def feed(self, piece: bytes) -> bool:
        """Drop the items; stop where it is no JSON."""
        if not self._ok:
            return self._error.feed(piece)
        try:
            for _ in self._items.feed(piece):
                pass
        except NotJson:
            return False
        return True


class GeminiJobs:
    """The port `Jobs`, spoken over HTTP."""

    def __init__(self, transport: Transport, install: InstallId) -> None:
        self._transport = transport
        self._service = transport.service
        self._install = install
        self._listing = Listing(transport)
        self._download = Download(transport)
        self._masked = True

    @property
    def account(self) -> AccountFingerprint:
        """Which account the present key belongs to; no key is an account of its own."""
        return account_fingerprint(self._install, self._transport.account_key())

    async def create(
        self, part: Part, file: FileName | None, body: Body | None, *, priority: int | None = None
    ) -> JobSnapshot:
        """Create the job of `part`, sending once.

        An inline body is read through before a connection is made: if its source changed,
        `SourceChanged` is raised and nothing was sent. If it changes while it is being sent, the
        request is broken off before its end and the answer is InDoubt: no server should act on
        that, but asking the list is cheap and believing is not.
        """
        model = wire.model_path(part.model)
        if model is None:
            raise Refused(404, "NOT_FOUND", f"no model can be named {wire.clean(part.model)}")
        if body is None:
            content: bytes | Feed = _creation(part, file, priority)
        else:
            content = await _verified(body if priority is None else Prioritised(body, priority))
        outcome = await self._transport.call(
            Request(
                name="create",
                method="POST",
                url=self._service.url(f"{model}:{CREATE_METHODS[part.kind]}"),
                limit=self._service.create_timeout,
                headers={
                    "Content-Type": "application/json",
                    "X-Server-Timeout": _server_timeout(self._service.create_timeout),
                },
                body=content,
                fresh=True,
            )
        )
        if isinstance(content, Feed) and content.trouble is not None:
            raise InDoubt("create: the source changed while it was sent") from content.trouble
        made = _job(outcome)
        if made is None:
            raise create_trouble(outcome)
        return made

    async def scan(self) -> Scan:
        """Walk the whole job list. Raises Unavailable if there is not even a first page."""
        return await self._listing.scan()

    async def look(self, job: JobName) -> Seen:
        """Ask for one job, without its inline results."""
        outcome = await self._get(job)
        if self._masked and _mask_failed(outcome):
            self._masked = _job(outcome) is not None and wire.says_state(_whole(outcome))
            outcome = await self._get(job, masked=False)
        if isinstance(outcome, Answer) and says_gone(outcome):
            return Gone()
        seen = _job(outcome)
        if seen is None:
            raise call_trouble("get", outcome)
        return seen

    async def cancel(self, job: JobName) -> None:
        """Ask for a job to be cancelled; whether it was, only a later look tells."""
        outcome = await self._transport.call(self._named("cancel", "POST", f"{job}:cancel"))
        _expect("cancel", outcome, TOO_LATE_TO_CANCEL)

    async def delete(self, job: JobName) -> None:
        """Delete a job and its output; that it is gone already is no error."""
        outcome = await self._transport.call(self._named("delete", "DELETE", job))
        _expect("delete", outcome, GONE_ALREADY)

    async def download(self, output: Output, sink: Sink) -> None:
        """Stream the answers into `sink`, one wire line per request."""
        if output.file is not None:
            await self._download.file(output.file, sink)
        else:
            await self._download.inline(output.job, sink)

    async def count_tokens(self, model: str, kind: Kind, request: bytes) -> int | None:
        """Ask how many tokens a request (its JSON) has; None if the service does not say."""
        path = wire.model_path(model)
        if path is None:
            return None
        content = wire.counting(path, kind, request)
        asked = replace(self._named("count_tokens", "POST", f"{path}:countTokens"), body=content)
        outcome = await self._transport.call(asked)
        _expect("count_tokens", outcome, frozenset({400, 404}))
        return wire.total_tokens(_whole(outcome))

    async def model(self, name: str) -> ModelInfo | None:
        """Describe a model, None if the service does not know it, or no model is named so."""
        path = wire.model_path(name)
        if path is None:
            return None
        outcome = await self._transport.call(self._named("model", "GET", path))
        if isinstance(outcome, Answer) and says_no_model(outcome):
            return None
        described = wire.model(_whole(outcome))
        if described is None or not described.methods:  # nonsense condemns no set
            raise call_trouble("model", outcome)
        return described

    async def models(self) -> Sequence[ModelInfo]:
        """List all models, page by page."""
        return await walked(self._transport, "models", MODELS_A_PAGE, wire.model_page)

    async def _get(self, job: JobName, *, masked: bool = True) -> Answer | Failure:
        """Get a job; without a mask its inline results come too, however long that takes."""
        masked = masked and self._masked
        kept = Outline(self._service.item_bytes_max, self._service.answer_bytes_max)
        request = Request(
            name="get",
            method="GET",
            url=self._service.url(job, {"fields": MASK} if masked else None),
            limit=self._service.call_timeout if masked else self._service.stall_timeout,
            lasting=not masked,
        )
        outcome = await self._transport.exchange(request, kept)
        if isinstance(outcome, Failure):
            return outcome
        return Answer(outcome.status, outcome.headers, self._transport.hide(kept.body))

    def _named(self, name: str, method: str, path: str) -> Request:
        url = self._service.url(path)
        return Request(name=name, method=method, url=url, limit=self._service.call_timeout)


def _creation(part: Part, file: FileName | None, priority: int | None) -> bytes:
    assert file is not None, "a create needs a file or a body"
    batch: dict[str, object] = {"displayName": part.token, "inputConfig": {"fileName": file}}
    if priority is not None:
        batch["priority"] = str(priority)
    return msgspec.json.encode({"batch": batch})


async def _verified(body: Body) -> Feed:
    try:
        await Feed(body.pieces(), body.size).check()
    except WrongSize as error:
        raise SourceChanged(str(error)) from None
    return Feed(body.pieces(), body.size)


def _server_timeout(ours: timedelta) -> str:
    return str(max(1, int((ours - SERVER_HEAD_START).total_seconds())))


def _expect(call: str, outcome: Answer | Failure, also_fine: frozenset[int]) -> None:
    if isinstance(outcome, Failure) or is_blocked(outcome):
        raise call_trouble(call, outcome)
    if not outcome.ok and outcome.status not in also_fine:
        raise call_trouble(call, outcome)


def _whole(outcome: Answer | Failure) -> object:
    return wire.decode(outcome.body) if isinstance(outcome, Answer) and outcome.ok else None


def _job(outcome: Answer | Failure) -> JobSnapshot | None:
    return wire.job(_whole(outcome))


def _mask_failed(outcome: Answer | Failure) -> bool:
    """Tell whether to ask again without a field mask: it was refused, or cut too much out."""
    if isinstance(outcome, Failure):
        return False
    if outcome.status == 400:
        return not is_blocked(outcome)
    job = _job(outcome)
    if job is None:
        return False
    output_cut = has_ended(job) and job.input_file is not None and job.output is None
    return output_cut or not wire.says_state(_whole(outcome))
