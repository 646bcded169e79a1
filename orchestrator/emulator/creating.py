"""From the body of a create to a job: checks in the service's order, all or nothing, and the
faults that a create can meet.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.emulator import bodies, faults
from orchestrator.emulator.bodies import pick
from orchestrator.emulator.fates import doomed
from orchestrator.emulator.faults import ROW_ACTIONS, Fault, FaultBook
from orchestrator.emulator.files import Files
from orchestrator.emulator.intake import Taken, Terms, take_file, take_inline
from orchestrator.emulator.job import FAILED, Job, Order
from orchestrator.emulator.jobs import Jobs
from orchestrator.emulator.limits import Limits
from orchestrator.emulator.refusals import Refusal, invalid, model_not_found
from orchestrator.emulator.settings import EMBED, GENERATE, EmulatorSettings

BODY_MESSAGES = {
    "generate": "BatchGenerateContentRequest",
    "embed": "AsyncBatchEmbedContentRequest",
}
METHODS = {"generate": GENERATE, "embed": EMBED}


_ABSENT = msgspec.Raw(b"")


class _Inlined(msgspec.Struct):
    request: msgspec.Raw = _ABSENT
    metadata: msgspec.Raw = _ABSENT


class _Requests(msgspec.Struct):
    requests: list[_Inlined] | _Inlined = []


class _Config(msgspec.Struct):
    requests: _Requests | None = None


class _Batch(msgspec.Struct):
    input_config: _Config | None = None
    inputConfig: _Config | None = None  # noqa: N815 - the other spelling of the same field


class _Body(msgspec.Struct):
    batch: _Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One create as it came in."""

    project: str
    version: str
    kind: str
    model: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A create whose requests were taken, but which is not accepted yet."""

    asked: Asked
    batch: dict[str, Any]
    fired: list[Fault]
    taken: Taken
    input_file: str | None


class Creator:
    """Makes jobs."""

    def __init__(
        self,
        settings: EmulatorSettings,
        files: Files,
        jobs: Jobs,
        limits: Limits,
        book: FaultBook,
        *,
        place: Callable[[int, str], Path],
    ) -> None:
        self._settings = settings
        self._files = files
        self._jobs = jobs
        self._limits = limits
        self._book = book
        self._place = place
        self._taking = 0

    async def create(self, asked: Asked, fired: list[Fault], wall: int | None = None) -> list[Job]:
        """Check and accept a create; a twin fault makes more than one job of it."""
        self._check_model(asked)
        body = bodies.read_as(asked.body, BODY_MESSAGES[asked.kind])
        batch = body.get("batch")
        if batch is None:
            raise invalid("* batch: batch is not specified\n")
        self._taking += 1
        name = f"draft-{self._taking}"
        try:
            taken, input_file = await self._take(asked, batch, name, fired)
            draft = Draft(asked=asked, batch=batch, fired=fired, taken=taken, input_file=input_file)
            return self._accept(draft, name, wall)
        finally:
            for suffix in ("in", "rows"):
                self._draft(name, suffix).unlink(missing_ok=True)

    def _check_model(self, asked: Asked) -> None:
        model = self._settings.model(asked.model)
        if model is None or METHODS[asked.kind] not in model.methods:
            raise model_not_found(asked.model, asked.version, METHODS[asked.kind])

    def _draft(self, draft: str, suffix: str) -> Path:
        return self._place(0, suffix).with_name(f"{draft}.{suffix}")

    async def _take(
        self, asked: Asked, batch: dict[str, Any], draft: str, fired: list[Fault]
    ) -> tuple[Taken, str | None]:
        config = pick(batch, "input_config", "inputConfig") or {}
        name = pick(config, "file_name", "fileName")
        spool, rows = self._draft(draft, "in"), self._draft(draft, "rows")
        terms = self._terms(asked, fired)
        self._check_batch(asked, batch)
        if name:
            file_id = self._open_input(asked.project, str(name), spool)
            return await take_file(spool, rows, terms), file_id
        if len(asked.body) > self._settings.inline_bytes_max:
            raise invalid(
                f"Request payload size exceeds the limit: {self._settings.inline_bytes_max} bytes."
            )
        return take_inline(_inlined(asked.body), spool, rows, terms), None

    def _open_input(self, project: str, name: str, spool: Path) -> str:
        if not name.startswith("files/"):
            raise invalid(
                "* BatchGenerateContentRequest.batch.input_config.file_name: Invalid file name: "
                f"{name}. It must have the form files/<id>.\n"
            )
        file = self._files.get(project, name.removeprefix("files/"))
        if self._files.state(file) != "ACTIVE":
            raise Refusal(
                400,
                f"The File {file.id} is not in an ACTIVE state and usage is not allowed.",
                "FAILED_PRECONDITION",
            )
        if file.source == "REGISTERED" and not self._settings.unknowns.registered_input:
            raise invalid("Registered files are not supported as batch input.")
        os.link(self._files.blob(file), spool)
        return file.id

    def _check_batch(self, asked: Asked, batch: dict[str, Any]) -> None:
        hook = "webhook_config" if "webhook_config" in batch else "webhookConfig"
        if asked.kind == "embed" and hook in batch and not self._settings.unknowns.webhook_on_embed:
            text = f"Invalid JSON payload received. Unknown name \"{hook}\" at 'batch': "
            raise invalid(text + "Cannot find field.", [("batch", text + "Cannot find field.")])
        most = self._settings.unknowns.batch_display_name_chars
        name = pick(batch, "display_name", "displayName") or ""
        if most and len(name) > most:
            raise invalid(f"* batch.display_name: must be no more than {most} characters.\n")

    def _terms(self, asked: Asked, fired: list[Fault]) -> Terms:
        rules = [fault for fault in fired if fault.do in ROW_ACTIONS]
        number = self._jobs.next_number()

        def fate(ordinal: int, key: str | None) -> int:
            for index, rule in enumerate(rules, 1):
                if self._book.hits_row(rule, number, ordinal, key):
                    return index
            return 0

        errors = {"row_error", "row_empty_error", "row_missing"}  # none of them is a success
        unknowns = self._settings.unknowns
        return Terms(
            kind=asked.kind,
            model=asked.model,
            line_bytes_max=unknowns.line_bytes,
            requests_max=unknowns.requests_per_batch,
            line_model=unknowns.line_model,
            pick=fate,
            error_fates=frozenset(i for i, rule in enumerate(rules, 1) if rule.do in errors),
        )

    def _accept(self, draft: Draft, name: str, wall: int | None) -> list[Job]:
        over = self._over_quota(draft)
        if over is not None and self._settings.unknowns.quota_checked == "at create":
            raise over
        twin = faults.of(draft.fired, "twin")
        copies = 1 + (max(twin.count, 1) if twin is not None else 0)
        jobs = []
        for copy in range(copies):
            number = self._jobs.next_number()
            for suffix in ("in", "rows"):
                place = self._place(number, suffix)
                place.unlink(missing_ok=True)  # a kill may have left one that nobody knows
                os.link(self._draft(name, suffix), place)
            order = self._order(draft, number)
            if over is not None:
                order.fate.end, order.fate.code = FAILED, 8
                order.fate.message = "Enqueued token quota exceeded for this model."
            origin = "twin" if copy else "late" if wall is not None else "create"
            jobs.append(self._jobs.create(replace(order, origin=origin), wall))
        return jobs

    def _over_quota(self, draft: Draft) -> Refusal | None:
        try:
            self._limits.check_job(draft.asked.project, draft.asked.model, draft.taken.tokens)
        except Refusal as refusal:
            return refusal
        return None

    def _order(self, draft: Draft, number: int) -> Order:
        batch = draft.batch
        webhook = pick(batch, "webhook_config", "webhookConfig") or {}
        rename = faults.of(draft.fired, "rename")
        name = rename.text if rename is not None else pick(batch, "display_name", "displayName")
        return Order(
            project=draft.asked.project,
            kind=draft.asked.kind,
            model=draft.asked.model,
            count=draft.taken.count,
            tokens=draft.taken.tokens,
            row_errors=draft.taken.errors,
            fate=doomed(self._jobs.plan(number), draft.fired),
            rules=[fault for fault in draft.fired if fault.do in ROW_ACTIONS],
            display_name=name,
            priority=int(batch.get("priority") or 0),
            input_file=draft.input_file,
            uris=tuple(webhook.get("uris") or ()),
            user_metadata=pick(webhook, "user_metadata", "userMetadata") or {},
        )


def _inlined(body: bytes) -> list[tuple[bytes, bytes | None]]:
    try:
        decoded = msgspec.json.decode(body, type=_Body)
    except msgspec.DecodeError:
        decoded = msgspec.json.decode(bodies.strict_form(body), type=_Body)
    config = decoded.batch.input_config or decoded.batch.inputConfig
    if config is None or config.requests is None:
        raise invalid("* batch.input_config: input_config is not specified\n")
    found = config.requests.requests
    listed = found if isinstance(found, list) else [found]
    pairs = []
    for index, item in enumerate(listed):
        if bytes(item.request) in {b"", b"null"}:
            raise invalid(
                f"* batch.input_config.requests.requests[{index}].request: "
                "request is not specified\n"
            )
        metadata = bytes(item.metadata)
        pairs.append((bytes(item.request), None if metadata in {b"", b"null"} else metadata))
    return pairs
