"""One daemon and one provider in virtual time, for claims about the whole life of a job.

`live` runs a scenario: an async function that is handed the town. It drops files, gives orders,
lets days pass and looks at what became of it. The town is the simulation's own (real adapters over
a network in memory); a scenario only chooses its settings, its provider and its faults.
"""

import asyncio
import json
import logging
import tempfile
import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import ClientSession, web

from orchestrator.config.settings import Settings, load
from orchestrator.domain.ids import SetId
from orchestrator.domain.request_sets import SetInfo
from orchestrator.emulator.faults import Fault
from orchestrator.emulator.job import Job
from orchestrator.emulator.provider import Emulator
from orchestrator.emulator.server import create_app
from orchestrator.emulator.settings import EmulatorSettings
from orchestrator.stages.control import Control
from orchestrator.store import projects, request_sets as set_rows
from orchestrator.store.journal import Recorded
from orchestrator.store.request_sets import StoredSet
from tests.judging.books import Books, read_books
from tests.judging.drops import Drop
from tests.judging.results import finished, wrong_results
from tests.simulation.clock import EPOCH, SimClock
from tests.simulation.effects import Effects
from tests.simulation.ledger import new_images
from tests.simulation.life import ADDRESS, CONFIG, KEY, Life, Surroundings
from tests.simulation.loop import SimLoop, simulate
from tests.simulation.process import Process
from tests.simulation.world import FOLDERS, _patient_loops, _scratch, listen_for_failures

T = TypeVar("T")
HOUR = 3600.0
DAY = 24 * HOUR
QUICK = EmulatorSettings(pending_seconds=(30, 90), running_seconds=(60, 600))


def live(
    scenario: Callable[["Town"], Awaitable[T]],
    *,
    provider: EmulatorSettings = QUICK,
    faults: tuple[Fault, ...] = (),
    config: str = "",
    seed: int = 0,
) -> T:
    """Run a scenario in a town of its own; an unexpected error of the daemon is an error here."""
    for name in ("aiohttp.server", "aiohttp.web", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with _scratch() as root, _patient_loops():
        settings = settings_of(config)

        async def run(loop: SimLoop) -> T:
            town = Town(loop, root, provider, settings)
            town.emulator.faults.add(faults)
            return await town.hold(scenario)

        return simulate(run, seed)


def settings_of(config: str) -> Settings:
    """Load the simulation's settings with changes, written as TOML of whole sections."""
    merged = merged_toml(CONFIG, config)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(merged)
        file.flush()
        return load(Path(file.name), {})


def merged_toml(base: str, over: str) -> str:
    """Let keys of `over` replace those of `base`, section by section."""
    read, above = tomllib.loads(base), tomllib.loads(over)
    for name, section in above.items():
        read[name] = {**read.get(name, {}), **section}
    return "".join(_section(name, section) for name, section in read.items())


def _section(name: str, section: dict[str, Any]) -> str:
    plain = {key: value for key, value in section.items() if not isinstance(value, dict)}
    lines = [
        f"[{name}]\n",
        *(f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in plain.items()),
    ]
    for key, value in section.items():
        if isinstance(value, dict):
            lines.append(_section(f'{name}."{key}"', value))
    return "".join(lines)


@dataclass(frozen=True)
class Asked:
    """One call that the service answered, and with how many bytes (a stream: 0)."""

    at: float
    method: str
    path: str
    query: dict[str, str]
    size: int


class Town:
    """What a scenario has in its hands."""

    def __init__(
        self, loop: SimLoop, root: Path, provider: EmulatorSettings, settings: Settings
    ) -> None:
        self.loop = loop
        self.state = root / "state"
        for name in FOLDERS:
            (self.state / name).mkdir(parents=True)
        self.clock = SimClock(loop)
        its_own = SimClock(loop)  # the service's clock does not jump with the machine's
        self.emulator = Emulator(provider, clock=its_own.now, state_dir=root / "emulator")
        self.findings: list[str] = []
        listen_for_failures(self.findings)
        self.moves: list[str] = []
        self.infos: list[SetInfo] = []
        self.troubles: list[tuple[str, str, str | None]] = []
        self.drops: list[Drop] = []
        self.asked: list[Asked] = []
        self.life: Life | None = None
        self.lives = 0
        self._main: asyncio.Task[None] | None = None
        self.around = Surroundings(
            state=self.state,
            clock=self.clock,
            effects=Effects({}, loop.time),
            images=new_images(),
            hear=self._hear,
            report=self.findings.append,
            settings=settings,
        )

    async def hold(self, scenario: Callable[["Town"], Awaitable[T]]) -> T:
        """Open the provider, start the daemon, play the scenario, close everything."""
        app = create_app(self.emulator)
        app.on_response_prepare.append(self._overhear)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        host, _, port = ADDRESS.partition(":")
        await web.TCPSite(runner, host, int(port)).start()
        try:
            await self.start()
            result = await scenario(self)
            await self.stop()
        finally:
            await runner.cleanup()
            self.emulator.close()
        assert self.findings == []
        return result

    # ---- the daemon ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin a life of the daemon."""
        self.lives += 1
        self.life = Life(self.around, "boot-1", self.lives)
        self._main = Process(f"life {self.lives}").start(self.life.run())
        while self.life.assembly is None:  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.1)
        self.life.assembly.troubled = self._troubled
        project = self.life.assembly.project
        project.told = replace(project.told, report=self._troubled)

    async def stop(self) -> None:
        """End the life of the daemon as SIGTERM does."""
        assert self.life is not None
        assert self._main is not None
        self.life.stop.set()
        await self._main

    async def restart(self, config: str | None = None) -> None:
        """End one life and begin the next, perhaps with other settings."""
        await self.stop()
        if config is not None:
            self.around = replace(self.around, settings=settings_of(config))
        await self.start()

    @property
    def control(self) -> Control:
        """The operator's verbs."""
        assert self.life is not None
        assert self.life.assembly is not None
        return self.life.assembly.control

    @property
    def project(self) -> Any:
        """The daemon's idea of its account."""
        assert self.life is not None
        assert self.life.assembly is not None
        return self.life.assembly.project

    # ---- what a user does ---------------------------------------------------------------------

    def drop(self, *drops: Drop) -> None:
        """Drop sets into the inbox."""
        for one in drops:
            one.put(self.state / "inbox")
            self.drops.append(one)
        self.wake()

    def wake(self) -> None:
        """Let the inbox be looked at."""
        assert self.life is not None
        assert self.life.assembly is not None
        self.life.assembly.bells.of("intake").ring()

    async def others(self, count: int, name: str = "not ours") -> None:
        """Let somebody else with the same key make jobs that never end, and let them be seen."""
        self.emulator.faults.add([Fault(do="stuck", batch="*", times=count)])
        request = {"contents": [{"parts": [{"text": "somebody else's"}]}]}
        items = {"requests": {"requests": [{"request": request}]}}
        body = {"batch": {"displayName": name, "inputConfig": items}}
        async with ClientSession(f"http://{ADDRESS}", headers={"x-goog-api-key": KEY}) as session:
            for _ in range(count):
                path = "/v1beta/models/gemini-2.5-flash:batchGenerateContent"
                async with session.post(path, json=body) as answer:
                    assert answer.status == 200
        await self.until(lambda: self.project.others().jobs == count)

    async def set_named(self, name: str) -> StoredSet:
        """Return the newest set of this name, waiting for its intake."""
        while True:
            found = await self.read(set_rows.open_sets)
            mine = [one for one in found if one.value.info.name == name]
            if mine:
                return mine[-1]
            await self.pass_time(10)

    async def set_of(self, name: str) -> SetId:
        """Return the id of the open set of this name."""
        return (await self.set_named(name)).value.info.id

    async def stored(self, set_id: SetId) -> StoredSet:
        """Return a set as the ledger has it."""
        found = await self.read(set_rows.get, set_id)
        assert found is not None
        return found

    async def read(self, query: Callable[..., T], *args: Any) -> T:
        """Ask the ledger."""
        assert self.life is not None
        assert self.life.ledger is not None
        return await self.life.ledger.read(query, *args)

    # ---- time ---------------------------------------------------------------------------------

    async def pass_time(self, seconds: float) -> None:
        """Let virtual time pass; a daemon that died ends the scenario with what it died of."""
        await asyncio.sleep(seconds)
        if self._main is not None and self._main.done():
            self._main.result()

    async def until(
        self, seen: Callable[[], bool], *, within: float = 3 * DAY, step: float = 60.0
    ) -> None:
        """Wait for something to be seen."""
        end = self.loop.time() + within
        while not seen():
            assert self.loop.time() < end, f"not seen within {within / HOUR:g} h"
            await self.pass_time(step)

    async def until_delivered(self, *names: str, within: float = 7 * DAY) -> None:
        """Wait until these sets (all that were dropped) have their results."""
        wanted = set(names or (one.name for one in self.drops))
        await self.until(lambda: wanted <= set(finished(self.state / "outbox")), within=within)

    # ---- what is seen -------------------------------------------------------------------------

    @property
    def jobs(self) -> list[Job]:
        """All jobs that were ever made, the oldest first."""
        return sorted(self.emulator.jobs.jobs.values(), key=lambda job: job.number)

    def jobs_of(self, set_id: SetId) -> list[Job]:
        """The jobs of one set, by their names."""
        return [job for job in self.jobs if set_id in (job.display_name or "")]

    def results(self, name: str) -> list[dict[str, Any]]:
        """Read a set's results."""
        data = (self.state / "outbox" / name / "results.jsonl").read_bytes()
        return [json.loads(line) for line in data.split(b"\n")[:-1]]

    def summary(self, name: str, place: str = "outbox") -> dict[str, Any]:
        """Read a set's summary."""
        read: dict[str, Any] = json.loads((self.state / place / name / "summary.json").read_text())
        return read

    def books(self) -> Books:
        """The provider's own books."""
        return read_books(self.emulator)

    def judge(self, *, may_fail: bool = False) -> None:
        """Assert that all is delivered as it was asked, and nothing was paid twice."""
        wrong = wrong_results(self.state / "outbox", self.drops, may_fail=may_fail)
        assert [*wrong, *self.books().findings] == []

    def calls(self, endpoint: str) -> int:
        """Count the calls to an endpoint so far."""
        counts = self.emulator.calls.counts
        return sum(number for name, number in counts.items() if name.split("\x1f")[1] == endpoint)

    async def spent(self) -> int:
        """What all collected batches cost by the ledger, in millionths of a dollar."""
        return await self.read(projects.spend, EPOCH)

    def trouble(self, kind: str) -> list[str]:
        """Return what is wrong of this kind, in the order in which it was told."""
        return [why for one, _, why in self.troubles if one == kind and why is not None]

    def _troubled(self, kind: str, subject: str, why: str | None) -> None:
        self.troubles.append((kind, subject, why))

    async def _overhear(self, request: web.Request, answer: web.StreamResponse) -> None:
        at = self.loop.time()
        body = answer.body if isinstance(answer, web.Response) else None
        size = len(body) if isinstance(body, bytes) else 0
        self.asked.append(Asked(at, request.method, request.path, dict(request.query), size))

    def _hear(self, recorded: Recorded) -> None:
        self.infos += [one.info for one in recorded.received]
        self.moves += [f"{one.before.state}>{one.after.state}" for one in recorded.moves]


def hours(number: float) -> timedelta:
    """So many hours."""
    return timedelta(hours=number)


__all__ = ["DAY", "HOUR", "KEY", "QUICK", "Drop", "Fault", "Town", "hours", "live"]
