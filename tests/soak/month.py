"""A month of weather with real processes: one real second stands for half an hour or so.

The provider's jobs age that much faster, and the daemon's windows and pauses are short to match;
the machine under them is as it is. Through the first seven tenths the daemon is killed every few
seconds (some simulated hours), stopped for a while, or loses a worker; the next two tenths are one
life under the same faults, to see whether it grows; in the last tenth everything comes to its end.
An operator looks at what is held: a set with answers that nobody asked for is cancelled, as the
manual says, and any other goes on.
"""

import os
import signal
import sqlite3
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from orchestrator.emulator.provider import Emulator
from orchestrator.emulator.settings import EmulatorSettings
from orchestrator.status.client import Answered, Unreachable
from tests.acceptance.house import DEFAULTS, House
from tests.crash.real import KEY
from tests.judging.books import Books, read_books
from tests.judging.drops import Drop
from tests.judging.results import finished, torn, wrong_results
from tests.soak.measured import Sample, grown, look
from tests.soak.weather import drawn

MONTH_SECONDS = 30 * 86400
STORM, UNDISTURBED = 0.7, 0.9
WEATHER_SECONDS = 10.0
KILL_SECONDS = (1.0, 14.0)
OPERATOR_SECONDS = 10.0
PLAN = """
seed = {seed}
pending_seconds = [600, 14400]
running_seconds = [600, 28800]
"""
CONFIG = f"""{DEFAULTS}
[submission]
create_timeout_seconds = 5
late_create_seconds = 3
list_lag_seconds = 3
[retry]
max_generations = 15
[retention]
work_days = 0.0001
"""


@dataclass
class Report:
    """What a month came to. Latencies are (delivered at, seconds since the drop), all real."""

    speed: float
    minutes: float = 0.0
    sets: int = 0
    lines: int = 0
    lives: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    books: Books | None = None
    incidents: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


class Month:
    """The daemon, the provider, their user and their bad luck."""

    def __init__(
        self, root: Path, *, minutes: float, sets: int, seed: int, finish_seconds: float
    ) -> None:
        self.length = minutes * 60
        self.finish_seconds = finish_seconds
        self.speed = MONTH_SECONDS / self.length
        self.chance = Random(f"month {seed}")
        self.report = Report(self.speed)
        plan = root / "plan.toml"
        plan.write_text(PLAN.format(seed=seed))
        options = ("--plan", str(plan), "--speed", str(self.speed), "--quiet")
        self.house = House(root, config=CONFIG, emulator=options)
        self.drops = [self._drop(number) for number in range(sets)]
        self.due = sorted(self.chance.uniform(0, UNDISTURBED) * self.length for _ in range(sets))
        self.dropped: dict[str, float] = {}
        self.seen: set[str] = set()
        self.cancelled: set[str] = set()
        self.began = time.monotonic()
        self.born = 0.0
        self.kill_at = self.weather_at = self.operate_at = 0.0

    def live(self) -> Report:
        """Let the month go by, then judge it."""
        try:
            self._begin_life()
            while self.now < self.length:
                self._second()
            self.house.behave()
            self.house.admin("keys:restore", {"key": KEY})
            self._finish()
        finally:
            self.house.close()
        self._judge()
        return self.report

    @property
    def now(self) -> float:
        """Real seconds since the beginning."""
        return time.monotonic() - self.began

    # ---- a second of it -----------------------------------------------------------------------

    def _second(self) -> None:
        self._drop_what_is_due()
        self._look()
        if self.now >= self.weather_at:
            self._change_weather()
        self._operate()
        process = self.house.process
        if process is not None and process.poll() is not None:
            self.report.findings.append(
                f"ended by itself with {process.returncode}: {self.house.log[-400:]}"
            )
            self._begin_life()
        if self.now >= self.kill_at and self.now < STORM * self.length:
            self._strike()
        time.sleep(1)

    def _drop_what_is_due(self) -> None:
        while len(self.dropped) < len(self.due) and self.due[len(self.dropped)] <= self.now:
            drop = self.drops[len(self.dropped)]
            drop.put(self.house.inbox)
            self.dropped[drop.name] = time.time()

    def _change_weather(self) -> None:
        """Another day, other faults; on some days none, on some the key is refused."""
        self.weather_at = self.now + WEATHER_SECONDS
        for entry in self.house.admin("faults")["faults"]:
            self.report.faults[entry["fault"]["do"]] += entry["fired"]
        fair = self.now > (1 + UNDISTURBED) / 2 * self.length or self.chance.random() < 0.15
        self.house.behave(*([] if fair else drawn(self.chance)))
        revoked = not fair and self.chance.random() < 0.06
        self.house.admin(f"keys:{'revoke' if revoked else 'restore'}", {"key": KEY})
        self.report.faults["the key is refused"] += revoked

    def _operate(self) -> None:
        """See to what is held, as the manual says."""
        if self.now < self.operate_at:
            return
        self.operate_at = self.now + OPERATOR_SECONDS
        try:
            for one in list(self.house.client.sets(state="held")):
                reason = one["reason"] or ""
                verb = "cancel" if reason.startswith("foreign_answers") else "resume"
                self.house.client.order(verb, one["id"])
                self.report.orders[f"{verb}: {reason.split(':')[0]}"] += 1
                self.cancelled |= {one["name"]} if verb == "cancel" else set()
        except (Unreachable, Answered):
            return  # it is dead or busy just now: at the next look

    def _strike(self) -> None:
        kind = self.chance.choices(
            ("killed", "killed in its start", "worker killed", "stopped for hours", "asked to end"),
            (12, 3, 2, 2, 1),
        )[0]
        self.report.struck[kind] += 1
        house = self.house
        assert house.process is not None
        match kind:
            case "killed":
                house.kill()
                self._begin_life()
            case "killed in its start":
                house.kill()
                house.launch()
                time.sleep(self.chance.uniform(0, 2))
                house.kill()
                self._begin_life()
            case "worker killed":
                children = Path(f"/proc/{house.process.pid}/task/{house.process.pid}/children")
                for child in children.read_text().split():
                    with suppress(ProcessLookupError):
                        os.kill(int(child), signal.SIGKILL)
            case "stopped for hours":
                os.killpg(house.process.pid, signal.SIGSTOP)
                time.sleep(self.chance.uniform(3, 10))
                os.killpg(house.process.pid, signal.SIGCONT)
            case _:
                if (code := house.stop()) != 0:
                    self.report.findings.append(f"asked to end, it ended with {code}")
                self._begin_life()
        self.kill_at = self.now + self.chance.uniform(*KILL_SECONDS)

    def _begin_life(self) -> None:
        self.house.start()
        self.report.lives += 1
        self.born = self.now

    # ---- what is seen -------------------------------------------------------------------------

    def _look(self) -> None:
        outbox = self.house.outbox
        for name in set(finished(outbox)) - self.seen:
            self.seen.add(name)
            self.report.findings += [f"visible: {one}" for one in torn(outbox) if name in one]
            took = (outbox / name / "summary.json").stat().st_mtime - self.dropped[name]
            self.report.latencies.append((self.now, max(took, 0.0)))
        assert self.house.process is not None
        sample = look(
            self.now,
            self.report.lives,
            self.now - self.born,
            pid=self.house.process.pid,
            state=self.house.state,
            backlog=len(self.dropped) - len(self.seen),
        )
        if sample is not None:
            self.report.samples.append(sample)

    # ---- its end ------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Wait until all is delivered and tidied up."""
        ends = self.now + self.finish_seconds
        while len(self.seen) < len(self.dropped) and self.now < ends:
            self._look()
            self._operate()
            time.sleep(1)
        while self.now < ends:
            self._look()
            if self.report.samples[-1].work_files <= len(self.dropped) // 20:
                break
            time.sleep(1)
        self.report.minutes = self.now / 60

    def _judge(self) -> None:
        report, house = self.report, self.house
        report.incidents = _incidents(house.state / "orchestrator.db")
        settings = EmulatorSettings(speed=self.speed)
        emulator = Emulator(
            settings, clock=lambda: datetime.now(UTC), state_dir=house.emulator.folder
        )
        try:
            twins = sum(job.origin == "twin" for job in emulator.jobs.jobs.values())
            told = report.incidents["paid_twice_suspected"]
            report.books = read_books(emulator, booked=min(told, twins))
        finally:
            emulator.close()
        dropped = [drop for drop in self.drops if drop.name in self.dropped]
        report.sets, report.lines = len(dropped), sum(drop.count for drop in dropped)
        report.findings += report.books.findings
        kept = [drop for drop in dropped if drop.name not in self.cancelled]
        ended = [drop for drop in dropped if drop.name in self.cancelled]
        report.findings += wrong_results(house.outbox, kept)
        report.findings += wrong_results(house.outbox, ended, may_fail=True)
        report.findings += house.leaks()
        report.findings += grown(report.samples)
        left = [path.name for path in house.inbox.iterdir() if not path.name.startswith(".")]
        report.findings += [f"left in the inbox: {name}" for name in left]

    def _drop(self, number: int) -> Drop:
        size = self.chance.choice((1, 3, 10, 40, 120))
        if number % 10 == 9:
            return Drop(f"vectors-{number}", min(size, 40), kind="embed")
        options = {"priority": self.chance.choice((0, 0, 5)), "max_requests_per_batch": 40}
        return Drop(f"set-{number}", size, options=options)


def _incidents(ledger: Path) -> Counter[str]:
    connection = sqlite3.connect(ledger)
    try:
        rows = connection.execute("SELECT kind FROM incidents").fetchall()
    finally:
        connection.close()
    return Counter(str(kind) for (kind,) in rows)
