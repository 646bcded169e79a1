"""The submission protocol as a small machine: one range of requests, discrete time, every order.

A create that was sent arrives at any tick up to D, or is lost; its job shows up in the list at
any tick up to L after that, may expire, and is paid for unless it does. A daemon looks first,
commits its intent, sends once, and when in doubt lists until a window W is over; then it fences
the input file and lets the next generation try. It may be killed at any step: then its ledger is
intact and it goes on at once. A power cut may take the newest commits of the ledger away: then it
looks for W before it sends anything.

The rules are switches, so that a test can break one and read the counterexample.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tests.model.state import (
    Bounds,
    Daemon,
    Job,
    Ledger,
    Rules,
    State,
    commit,
    with_daemon,
    with_job,
)

Step: TypeAlias = tuple[str, State]


@dataclass(frozen=True)
class Submission:
    """All steps that the world and the daemons can take from a state."""

    rules: Rules
    bounds: Bounds

    @property
    def window(self) -> int:
        """W in ticks."""
        if self.rules.window is not None:
            return self.rules.window
        return self.bounds.late_create + self.bounds.list_lag

    @property
    def first(self) -> State:
        """A new install: nothing was ever sent, so there is nothing to look for."""
        young = Daemon("idle", age=self.window + 1)
        off = Daemon("off")
        bounds = self.bounds
        daemons = (young,) + (off if self.rules.lock else young,) * (bounds.daemons - 1)
        budgets = (True, bounds.crashes, bounds.rollbacks, bounds.lies, bounds.expiries)
        return State(Ledger("planned", 1), (), daemons, (), (), frozenset(), *budgets)

    def steps(self, state: State) -> Iterator[Step]:
        """Yield every step with its label."""
        yield from self._tick(state)
        yield from self._provider(state)
        for which, daemon in enumerate(state.daemons):
            for label, after in self._daemon(state, which, daemon):
                yield f"d{which} {label}", after

    # ---- the world ----------------------------------------------------------------------------

    def _tick(self, state: State) -> Iterator[Step]:
        """Let time pass, unless something overdue has not happened yet."""
        if any(age >= self.bounds.late_create for _, age in state.flights):
            return
        if any(not job.visible and job.age >= self.bounds.list_lag for job in state.jobs):
            return
        top = self.window + 1
        yield (
            "tick",
            state._replace(
                flights=tuple((generation, age + 1) for generation, age in state.flights),
                jobs=tuple(
                    job._replace(age=min(job.age + 1, self.bounds.list_lag)) for job in state.jobs
                ),
                daemons=tuple(self._older(daemon, top) for daemon in state.daemons),
            ),
        )

    def _older(self, daemon: Daemon, top: int) -> Daemon:
        if daemon.doing == "off":
            return daemon
        waiting = daemon.doing in ("doubt", "fenced") or (
            not self.rules.window_restarts and daemon.doing in ("send", "wait")
        )
        waited = min(daemon.waited + 1, top) if waiting else daemon.waited
        return daemon._replace(age=min(daemon.age + 1, top), waited=waited)

    def _provider(self, state: State) -> Iterator[Step]:
        for index, (generation, _) in enumerate(state.flights):
            rest = state.flights[:index] + state.flights[index + 1 :]
            yield f"create {generation} is lost", state._replace(flights=rest)
            if generation not in state.fenced:
                jobs = tuple(sorted((*state.jobs, Job(generation))))
                yield f"create {generation} arrives", state._replace(flights=rest, jobs=jobs)
        for index, job in enumerate(state.jobs):
            if not job.visible:
                seen = with_job(state, index, job._replace(visible=True))
                yield f"job {job.generation} is listed", seen
            if not job.expired and state.expiries:
                gone = with_job(state, index, job._replace(expired=True))
                yield f"job {job.generation} expires", gone._replace(expiries=state.expiries - 1)

    # ---- the daemons --------------------------------------------------------------------------

    def _daemon(self, state: State, which: int, daemon: Daemon) -> Iterator[Step]:
        if daemon.doing == "off":
            if self.rules.lock and any(other.doing != "off" for other in state.daemons):
                return
            age = self.window + 1 if state.intact else 0
            started = with_daemon(state, which, Daemon("idle", age=age))
            yield "starts", started._replace(intact=state.intact or not self.rules.remembers_cuts)
            return
        match daemon.doing:
            case "idle":
                yield from self._idle(state, which, daemon)
            case "send":
                yield from self._send(state, which, daemon)
            case "wait":
                yield from self._wait(state, which, daemon)
            case "doubt" | "fenced":
                yield from self._reconcile(state, which, daemon)
        yield from self._deaths(state, which)

    def _idle(self, state: State, which: int, daemon: Daemon) -> Iterator[Step]:
        phase, generation = state.ledger
        if phase == "submitted":
            ours = [job for job in state.jobs if job.generation == generation]
            if ours and all(job.expired for job in ours):
                yield "sees it expired", self._next(state, which, daemon)
        elif phase == "submitting":
            waited = 0 if self.rules.window_restarts else daemon.waited
            doubting = daemon._replace(doing="doubt", generation=generation, waited=waited)
            yield "finds its old intent", self._doubt(with_daemon(state, which, doubting), which)
        elif phase == "planned" and self.rules.look_first and not daemon.looked:
            for label, seen in self._scan(state, generation):
                yield from self._looked(label, seen, which, daemon)
        elif phase == "planned":
            sending = daemon._replace(doing="send", generation=generation, waited=0)
            after = with_daemon(state, which, sending)
            after = after._replace(fenced=after.fenced - {generation})  # its file is uploaded again
            if self.rules.intent_first:
                after = commit(after, Ledger("submitting", generation))
            yield f"commits intent {generation}", after

    def _looked(
        self, label: str, seen: tuple[State, Job | None], which: int, daemon: Daemon
    ) -> Iterator[Step]:
        state, job = seen
        if job is not None:
            yield f"looks: adopts {job.generation}", self._adopt(state, which, daemon, job)
        elif daemon.age > self.window:
            ready = with_daemon(state, which, daemon._replace(looked=True))
            yield f"looks ({label}): nothing there", ready._replace(intact=True)

    def _send(self, state: State, which: int, daemon: Daemon) -> Iterator[Step]:
        flights = tuple(sorted((*state.flights, (daemon.generation, 0))))
        sent = with_daemon(state, which, daemon._replace(doing="wait"))
        yield f"sends {daemon.generation}", sent._replace(flights=flights)
        refused = with_daemon(state, which, daemon._replace(doing="idle", looked=False))
        yield "cannot connect", commit(refused, Ledger("planned", daemon.generation))

    def _wait(self, state: State, which: int, daemon: Daemon) -> Iterator[Step]:
        job = next((job for job in state.jobs if job.generation == daemon.generation), None)
        if job is not None:
            yield f"is answered {job.generation}", self._adopt(state, which, daemon, job)
        waited = 0 if self.rules.window_restarts else daemon.waited
        doubting = daemon._replace(doing="doubt", waited=waited)
        after = state
        if not self.rules.intent_first:
            after = commit(state, Ledger("submitting", daemon.generation))
        yield "gets no answer", self._doubt(with_daemon(after, which, doubting), which)
        if not self.rules.server_errors_are_doubt:
            again = with_daemon(state, which, daemon._replace(doing="idle", looked=False))
            yield "gets 503, tries again", commit(again, Ledger("planned", daemon.generation))

    def _reconcile(self, state: State, which: int, daemon: Daemon) -> Iterator[Step]:
        for label, (scanned, job) in self._scan(state, daemon.generation):
            if job is not None:
                yield f"finds and adopts {job.generation}", self._adopt(scanned, which, daemon, job)
            elif daemon.waited > self._patience(daemon):
                yield f"window over ({label})", self._absent(scanned, which, daemon)

    def _patience(self, daemon: Daemon) -> int:
        return self.bounds.list_lag if daemon.doing == "fenced" else self.window

    def _absent(self, state: State, which: int, daemon: Daemon) -> State:
        if self.rules.hold:
            idle = with_daemon(state, which, Daemon("idle", age=daemon.age))
            return commit(idle, Ledger("held", daemon.generation))
        if self.rules.fence == "after" and daemon.doing == "doubt":
            fenced = daemon._replace(doing="fenced", waited=0)
            after = with_daemon(state, which, fenced)
            return after._replace(fenced=after.fenced | {daemon.generation})
        return self._next(state, which, daemon)

    def _next(self, state: State, which: int, daemon: Daemon) -> State:
        """Give the requests back to the pool and plan the next generation, if there may be one."""
        idle = with_daemon(state, which, Daemon("idle", age=daemon.age))
        generation = state.ledger.generation + 1
        if generation > self.bounds.generations:
            return commit(idle, Ledger("given_up", generation - 1))
        return commit(idle, Ledger("planned", generation))

    def _doubt(self, state: State, which: int) -> State:
        if self.rules.fence == "first":
            return state._replace(fenced=state.fenced | {state.daemons[which].generation})
        return state

    def _adopt(self, state: State, which: int, daemon: Daemon, job: Job) -> State:
        idle = with_daemon(state, which, Daemon("idle", age=daemon.age))
        return commit(idle, Ledger("submitted", job.generation))

    def _scan(
        self, state: State, generation: int
    ) -> Iterator[tuple[str, tuple[State, Job | None]]]:
        """Yield what a scan may bring: (label, (the world after it, the job that it shows))."""
        listed = [
            job
            for job in state.jobs
            if job.visible and (self.rules.match_any_generation or job.generation == generation)
        ]
        known = state.ledger.generation
        unknown = [job for job in listed if not job.expired or job.generation >= known]
        best = min(unknown, key=lambda job: (job.expired, -job.generation), default=None)
        yield "whole list", (state, best)
        if state.lies:
            lied = state._replace(lies=state.lies - 1)
            if not self.rules.positive_control:
                yield "falsely empty list", (lied, None)
            if not self.rules.whole_scans:
                yield "list cut short", (lied, None)

    def _deaths(self, state: State, which: int) -> Iterator[Step]:
        if not state.crashes:
            return
        dead = with_daemon(state, which, Daemon("off"))._replace(crashes=state.crashes - 1)
        yield "is killed", dead
        if state.rollbacks:
            cut = dead._replace(rollbacks=state.rollbacks - 1, intact=False)
            yield "loses power", cut
            for lost in range(1, len(state.past) + 1):
                older = cut._replace(ledger=state.past[-lost], past=state.past[:-lost])
                yield f"loses power and {lost} commits", older
