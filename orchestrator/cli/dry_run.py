"""Reading and planning a file in a scratch folder, with the daemon's own code and nothing else."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli import failure, screen
from orchestrator.cli.dropping import check_file, split_name
from orchestrator.config.settings import Settings
from orchestrator.daemon.translation import policies
from orchestrator.domain.batches import Usage
from orchestrator.domain.calibration import TOKENS_PER_BYTE, guess, planned_max
from orchestrator.domain.ids import InstallId, SetId
from orchestrator.domain.options import Choice
from orchestrator.domain.verdict import flaw_of_the_whole
from orchestrator.ports import Claim, IndexOrder, IndexReport, PartPlan, PlanOrder
from orchestrator.service.printable import shown_name
from orchestrator.spool import source
from orchestrator.spool.meta import Meta, save_meta
from orchestrator.spool.pool import Inline, Workers
from orchestrator.spool.work import WorkFolder

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LOOK_SECONDS = 0.2
INLINE_BYTES_MAX = 16 * 1024 * 1024  # below this, starting processes costs more than it saves
FLAWS_READ_MAX = 1000
MICROS = 1_000_000
NOWHERE = InstallId("0" * 16)
NO_SET = SetId("a" * 10)
FOLDER = "dry-run"


class DryRun:
    """One file, read as the daemon would read it."""

    def __init__(self, file: Path, scratch: Path, settings: Settings, choice: Choice) -> None:
        self._folder = scratch / FOLDER
        self._settings = settings
        self._choice = choice
        self._policies = policies(settings)
        self._rate = TOKENS_PER_BYTE
        _, suffix = split_name(file.name)
        self._folder.mkdir()
        facts = _place(file, self._folder / source.INPUT)
        how = {".jsonl.gz": "gz", ".jsonl.zst": "zst"}.get(suffix)
        save_meta(self._folder, _meta(facts, how))
        self._claim = Claim(FOLDER, shown_name(file.name), "", None, 0, 0, None)
        self._executor: Executor = Inline()
        self._parallel = 1
        if facts.st_size > INLINE_BYTES_MAX:
            self._parallel = settings.workers
            self._executor = Workers(settings.workers)

    @contextmanager
    def workers(self) -> Iterator[None]:
        """Have processes for a large file, and end them."""
        try:
            yield
        finally:
            self._executor.shutdown(wait=True, cancel_futures=True)

    async def index(self) -> IndexReport:
        """Read the file."""
        intake, choice = self._settings.intake, self._choice
        order = IndexOrder(
            kind=choice.kind,
            model=choice.model,
            defaults=choice.defaults,
            unique_keys=choice.duplicate_keys == "reject",
            line_bytes_max=intake.line_bytes_max,
            flaws_kept_max=intake.flaws_kept_max,
            shape=choice.shape,
        )
        async with self._showing() as work:
            report = await work.index(self._claim, order)
        self._rate = guess(report.tokens, report.wire_bytes)
        return report

    def reason(self, report: IndexReport) -> str | None:
        """Tell why the file would be rejected, None if it would not."""
        return flaw_of_the_whole(report, self._choice)

    async def plan(self) -> list[PartPlan]:
        """Cut it into batches."""
        limits, choice = self._policies.limits, self._choice
        account = self._settings.account_limits(choice.model)
        order = PlanOrder(
            request_set=NO_SET,
            generation=1,
            live=(),
            limits=limits,
            batch_bytes_max=min(
                choice.batch_bytes_max or limits.file_max_bytes, limits.file_max_bytes
            ),
            requests_max=choice.requests_max or limits.requests_per_batch_max,
            tokens_max=planned_max(account.enqueued_tokens.get(choice.model)),
            tokens_per_byte=self._rate,
            kind=choice.kind,
            model=choice.model,
            first_serial=1,
        )
        parts: Sequence[PartPlan] = await self._work().plan(FOLDER, order)
        return list(parts)

    def costs(self, tokens: int) -> tuple[str | None, str | None]:
        """Return what the prompts cost, and all of it if answers are as long as prompts."""
        purse, choice = self._policies.purse, self._choice
        prompts = purse.cost(choice.model, Usage(prompt=tokens))
        answers = 0 if choice.kind == "embed" else tokens
        whole = purse.cost(choice.model, Usage(prompt=tokens, candidates=answers))
        return _dollars(prompts), _dollars(whole)

    def flaws(self) -> list[dict[str, Any]]:
        """Return the flaws that were written down, the first ones of very many."""
        try:
            with (self._folder / source.FLAWS).open(encoding="utf-8") as lines:
                return [
                    json.loads(line) for line, _ in zip(lines, range(FLAWS_READ_MAX), strict=False)
                ]
        except FileNotFoundError:
            return []

    @asynccontextmanager
    async def _showing(self) -> AsyncIterator[WorkFolder]:
        """Show how far the reading is, on a terminal and for a file that takes a while."""
        work = self._work()
        if self._parallel == 1 or not screen.is_terminal():
            yield work
            return
        from rich.progress import Progress

        with Progress(console=screen.console(), transient=True) as bar:
            task = bar.add_task(f"reading {self._claim.name}", total=1.0)
            async with asyncio.TaskGroup() as group:
                looking = group.create_task(_look_on(work, bar, task))
                try:
                    yield work
                finally:
                    looking.cancel()

    def _work(self) -> WorkFolder:
        root = self._folder.parent
        return WorkFolder(root, NOWHERE, self._executor, parallel=self._parallel)


async def _look_on(work: WorkFolder, bar: "Progress", task: "TaskID") -> None:
    while True:
        bar.update(task, completed=work.progress(FOLDER) or 0.0)
        await asyncio.sleep(LOOK_SECONDS)


def _place(file: Path, target: Path) -> os.stat_result:
    """Put the file's content where a claim has it: a second name where that can be, else a copy."""
    facts = check_file(file)
    try:
        target.hardlink_to(file.resolve())
    except OSError:
        _copy(file, target)
    return facts


def _copy(file: Path, target: Path) -> None:
    try:
        shutil.copyfile(file, target)
    except OSError as error:
        message = f"{shown_name(str(file))}: cannot be read: {error.strerror}; check its mode"
        raise failure.Failure(message, failure.NO_INPUT) from None


def _meta(facts: os.stat_result, compression: str | None) -> Meta:
    return Meta(
        raw="",
        name=FOLDER,
        profile="",
        shape="file",
        inner=None,
        sidecar=None,
        compression=compression,
        dev=facts.st_dev,
        ino=facts.st_ino,
        size=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        ctime_ns=facts.st_ctime_ns,
        claimed=True,
    )


def _dollars(micros: int | None) -> str | None:
    return None if micros is None else f"{micros / MICROS:.6f}"
