"""The stages over their ports, and the loops that drive them: the daemon without a process.

It takes adapters and policies and knows neither files nor sockets, so that the same assembly runs
under systemd and in a simulation.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from orchestrator.daemon.bells import Bells
from orchestrator.daemon.crashes import Crashes
from orchestrator.daemon.fitting import Fitting
from orchestrator.daemon.money_holds import MoneyHolds
from orchestrator.daemon.project import RECOVER_EVERY, OneProject, Policies
from orchestrator.daemon.waits import Waits
from orchestrator.domain.evidence import Start
from orchestrator.domain.ids import InstallId
from orchestrator.domain.options import Choice
from orchestrator.ports import Clock, Files, Ids, Inbox, Jobs, Notifier, Outbox, Work
from orchestrator.stages.cancel import Cancel
from orchestrator.stages.collect import Collect
from orchestrator.stages.control import Control
from orchestrator.stages.deliver import Deliver
from orchestrator.stages.intake import Intake
from orchestrator.stages.loop import LOOKS_SHARE, REST_SECONDS, Loop, Stage
from orchestrator.stages.notify import Notify
from orchestrator.stages.plan import Plan
from orchestrator.stages.recognise import Recognise
from orchestrator.stages.reconcile import Reconcile
from orchestrator.stages.submit import Submit
from orchestrator.stages.tidy import Retention, Tidy
from orchestrator.stages.upload import Upload
from orchestrator.stages.watch import Watch
from orchestrator.store.journal import Journal

DRAIN = timedelta(seconds=7)
DOUBT_LOOK = timedelta(minutes=1)
UPLOADS_MAX = 3
CREATES_MAX = 4
COLLECTS_MAX = 3
DELIVERIES_MAX = 2


@dataclass(frozen=True, slots=True)
class Adapters:
    """The world as the stages see it."""

    jobs: Jobs
    files: Files
    inbox: Inbox
    work: Work
    outbox: Outbox
    notifier: Notifier
    clock: Clock
    ids: Ids


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say beside the project's policies."""

    choose: Callable[[str, str | None], Choice]
    retention: Retention
    line_bytes_max: int = 20_000_000
    flaws_kept_max: int = 10_000
    scan_every: timedelta = timedelta(seconds=1)


@dataclass(slots=True)
class Assembly:
    """One life of the daemon's stages. `troubled` is told what is wrong (None: well again).

    `certain` is called once a doubtful start has watched the job list for long enough. `passes`
    tells of an error whether it is the machine's, is shown, and is over by itself.
    """

    journal: Journal
    project: OneProject
    install: InstallId
    adapters: Adapters
    policies: Policies
    rules: Rules
    troubled: Callable[[str, str, str | None], None] = lambda _kind, _subject, _why: None
    certain: Callable[[], None] = lambda: None
    passes: Callable[[Exception], bool] = lambda _error: False
    bells: Bells = field(default_factory=Bells)
    loops: dict[str, Loop[Any]] = field(default_factory=dict)
    _intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        self.journal.listeners.append(self.bells.hear)
        self.project.told = replace(
            self.project.told, look=self.bells.of("watch").ring, report=self.troubled
        )
        crashes = Crashes(self.project, self.troubled, self.passes)
        for title, stage, at_most, idle in self._stages():
            bell = self.bells.of(title)
            self.loops[title] = Loop(
                title,
                stage,
                self.adapters.clock,
                bell,
                idle,
                at_most,
                crashes.crashed,
                crashes.recovered,
                1.0 if title == "intake" else LOOKS_SHARE,  # to find what is there is its work
            )

    @property
    def control(self) -> Control:
        """The operator's verbs."""
        world = self.adapters
        return Control(self.journal, world.work, world.jobs, world.files, world.clock, self.project)

    @property
    def reading(self) -> frozenset[str]:
        """The folders in `work/` that are being read."""
        return frozenset(self._intake.busy)

    async def run(self, stop: asyncio.Event) -> None:
        """Drive all stages until `stop` is set, then let creates under way come to their end."""
        await self.project.load()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop.run()) for loop in self.loops.values()]
            tasks.append(group.create_task(self._recover()))
            tasks.append(group.create_task(self._money_holds().run()))
            tasks.append(group.create_task(self._wake()))
            tasks.append(group.create_task(self._end_doubt()))
            await stop.wait()
            for loop in self.loops.values():
                loop.draining = True
            await self.loops["submit"].drain(DRAIN)
            for task in tasks:
                task.cancel()

    def try_again(self) -> None:
        """Let every stage try at once what has failed: the reason is gone."""
        for loop in self.loops.values():
            loop.rested_at.clear()
        self.bells.ring_all()

    # ---- wiring -------------------------------------------------------------------------------

    def _stages(self) -> Sequence[tuple[str, Stage[Any], int, Callable[[], float]]]:
        j, w, p, install = self.journal, self.adapters, self.project, self.install
        retry, rules = self.policies.retry, self.rules
        self._intake = intake = Intake(
            j,
            w.inbox,
            w.work,
            w.outbox,
            Fitting(w.jobs, w.clock, w.ids, retry, p.report).judge,
            w.clock,
            install,
            rules.choose,
            p.room,
            rules.line_bytes_max,
            rules.flaws_kept_max,
        )
        submission, poll = self.policies.submission, self.policies.poll
        mind = Waits(j, w.jobs, w.clock, p, poll).mind
        keep = rules.retention
        tidy = Tidy(j, w.work, w.outbox, w.jobs, w.files, w.clock, w.ids, p, keep, retry)
        return (
            ("intake", intake, 2, _every(rules.scan_every)),
            ("plan", Plan(j, w.work, p, w.jobs), 2, _every(timedelta(seconds=30))),
            ("upload", Upload(j, w.work, w.files, w.clock, w.ids, p, retry), UPLOADS_MAX, _due),
            (
                "submit",
                Submit(
                    j,
                    w.work,
                    w.jobs,
                    w.clock,
                    w.ids,
                    install,
                    p,
                    retry,
                    submission.tell_priority,
                ),
                CREATES_MAX,
                _due,
            ),
            (
                "reconcile",
                Reconcile(j, w.work, w.jobs, w.files, w.clock, p, submission),
                2,
                _every(timedelta(seconds=5)),
            ),
            (
                "watch",
                Watch(j, w.work, w.jobs, w.clock, w.ids, install, p, poll, retry, mind),
                1,
                self._until_the_next_scan,
            ),
            (
                "collect",
                Collect(j, w.work, w.outbox, w.jobs, w.clock, w.ids, p, retry),
                COLLECTS_MAX,
                _every(timedelta(seconds=5)),
            ),
            ("deliver", Deliver(j, w.work, w.outbox, w.clock, p), DELIVERIES_MAX, _slow),
            ("cancel", Cancel(j, w.jobs, w.files, w.clock, p, retry), 4, _slow),
            ("tidy", tidy, 2, _slow),
            ("recognise", Recognise(j, w.outbox, w.clock, p), 2, _slow),
            ("notify", Notify(j, w.notifier, w.clock, w.ids, retry), 2, _slow),
        )

    def _until_the_next_scan(self) -> float:
        wait = self.project.next_scan() - self.adapters.clock.elapsed()
        return wait + 0.001 if wait > 0 else REST_SECONDS  # it is due: under way, or resting

    def _money_holds(self) -> MoneyHolds:
        return MoneyHolds(self.journal, self.adapters.clock, self.policies.purse)

    async def _recover(self) -> None:
        while True:
            await self.adapters.clock.sleep(RECOVER_EVERY)
            await self.project.recover()

    async def _end_doubt(self) -> None:
        if self.project.start is not Start.DOUBTFUL:
            return
        minutes = self.policies.submission.window.total_seconds() / 60
        why = (
            "the machine went down, or the ledger was restored: the job list is watched for "
            f"{minutes:.0f} minutes before anything new is created"
        )
        self.troubled("doubtful_start", "", why)
        while not self.project.evidence.may_create():
            await self.adapters.clock.sleep(DOUBT_LOOK)
        self.troubled("doubtful_start", "", None)
        while not self._is_noted():
            await self.adapters.clock.sleep(DOUBT_LOOK)

    def _is_noted(self) -> bool:
        try:
            self.certain()
        except OSError as error:
            if not self.passes(error):
                raise
            return False
        return True

    async def _wake(self) -> None:
        async for _ in self.adapters.inbox.wake():
            self.bells.of("intake").ring()


def _every(duration: timedelta) -> Callable[[], float]:
    return duration.total_seconds


def _due() -> float:
    return 2.0


def _slow() -> float:
    return 30.0
