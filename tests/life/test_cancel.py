"""One `cancel` is enough, whatever the set and its batches are then and whatever comes after."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from aiohttp import ClientSession

from orchestrator.domain.ids import SetId, set_prefix
from orchestrator.domain.request_sets import Cancelled
from orchestrator.store import batches as batch_rows
from tests.judging.results import finished
from tests.life.town import DAY, Drop, Fault, Town, live
from tests.simulation.life import ADDRESS, INSTALL, KEY

Act: TypeAlias = Callable[[Town, SetId], Awaitable[None]]
STUCK = Fault(do="stuck", batch="*")
NO_CREATES = Fault(do="quota", on="batches.create")
NO_DOWNLOADS = Fault(do="answer", on="files.download", status=404)
ONE = {"max_requests_per_batch": 1}
FILE = 40  # so many do not go inline here


def batch_is(state: str, doubt: str | None = None) -> Act:
    """Wait until a batch of the set has come so far."""

    async def wait(town: Town, set_id: SetId) -> None:
        for _ in range(3000):
            rows = await town.read(batch_rows.of_set, set_id)
            if any(row.state == state and getattr(row, "doubt", None) == doubt for row in rows):
                return
            await town.pass_time(5)
        raise AssertionError(f"no batch was ever {state} {doubt or ''}")

    return wait


def set_is(held: str) -> Act:
    """Wait until the set is held by this."""

    async def wait(town: Town, set_id: SetId) -> None:
        for _ in range(3000):
            if ((await town.stored(set_id)).flags.held or "").startswith(held):
                return
            await town.pass_time(20)
        raise AssertionError(f"never held by {held}")

    return wait


async def at_once(town: Town, set_id: SetId) -> None:
    """Wait for nothing."""


async def pause(town: Town, set_id: SetId) -> None:
    """Pause the set."""
    await town.control.pause(set_id)


async def lose_jobs(town: Town, set_id: SetId) -> None:
    """Let somebody delete the jobs of the set at the service."""
    for job in town.jobs_of(set_id):
        job.deleted = True


async def claim_a_job(_town: Town, set_id: SetId) -> None:
    """Let a job appear that bears the set's name and of which nothing is known here."""
    items = {"requests": {"requests": [{"request": {"contents": [{"parts": [{"text": "?"}]}]}}]}}
    name = f"{set_prefix(INSTALL, set_id)}1-aaaaaaaaaa"
    body = {"batch": {"displayName": name, "inputConfig": items}}
    path = f"http://{ADDRESS}/v1beta/models/gemini-2.5-flash:batchGenerateContent"
    headers = {"x-goog-api-key": KEY}
    async with ClientSession() as asking, asking.post(path, json=body, headers=headers) as answer:
        assert answer.status == 200


async def restart(town: Town, _set_id: SetId) -> None:
    """Begin another life of the daemon."""
    await town.restart()


async def be_well(town: Town, _set_id: SetId) -> None:
    """Let the service behave from now on."""
    await town.pass_time(600)
    town.emulator.faults.clear()


@dataclass(frozen=True)
class Case:
    """What goes wrong, how far the set comes before its cancel, and what happens after it."""

    before: tuple[Act, ...] = (at_once,)
    faults: tuple[Fault, ...] = ()
    after: tuple[Act, ...] = ()
    config: str = ""
    answered: int | None = 0
    requests: int = 6
    options: dict[str, int] | None = None


CASES = {
    "just received": Case(),
    "paused before anything was planned": Case((pause,)),
    "one running, the others planned": Case(
        (batch_is("submitted"),), (STUCK,), config="[limits]\nmax_active_jobs = 1\n", options=ONE
    ),
    "uploaded, and the service takes no creates": Case(
        (batch_is("uploaded"),), (NO_CREATES,), (be_well,), requests=FILE
    ),
    "being created, its answer lost and the job listed late": Case(
        (batch_is("submitting", "in_doubt"),),
        (Fault(do="lose_answer", on="batches.create"), Fault(do="hide_new", seconds=1500)),
        answered=6,
    ),
    "in doubt, and never created": Case(
        (batch_is("submitting", "in_doubt"),), (Fault(do="lose_request", on="batches.create"),)
    ),
    "fenced": Case(
        (batch_is("submitting", "fenced"),),
        (Fault(do="lose_request", on="batches.create"),),
        requests=FILE,
    ),
    "in doubt, for the operator to say": Case(
        (batch_is("submitting", "held"),),
        (Fault(do="lose_request", on="batches.create"),),
        config='[submission]\nin_doubt = "hold"\n',
    ),
    "in doubt, later for the operator to say": Case(
        (batch_is("submitting", "in_doubt"),),
        (Fault(do="lose_request", on="batches.create"),),
        config='[submission]\nin_doubt = "hold"\n',
    ),
    "running": Case((batch_is("submitted"),), (STUCK,)),
    "running, and its job vanishes afterwards": Case(
        (batch_is("submitted"),),
        (STUCK, Fault(do="unavailable", on="batches.cancel")),
        (lose_jobs,),
    ),
    "running, its job vanished and nobody noticed": Case(
        (batch_is("submitted"), lose_jobs), (STUCK,)
    ),
    "held, its job vanished": Case(
        (batch_is("submitted"), lose_jobs, set_is("vanished")), (STUCK,)
    ),
    "vanished, paused, and the daemon starts again": Case(
        (batch_is("submitted"), lose_jobs, pause), (STUCK,), (restart,)
    ),
    "ended, and the answers come late": Case(
        (batch_is("ended"),), (NO_DOWNLOADS,), (be_well,), requests=FILE, answered=FILE
    ),
    "ended, and the answers never come": Case((batch_is("ended"),), (NO_DOWNLOADS,), requests=FILE),
    "ended, and the job is deleted with its answers": Case(
        (batch_is("ended"),), (NO_DOWNLOADS,), (lose_jobs,), requests=FILE
    ),
    "ended, held because its job is deleted": Case(
        (batch_is("ended"), lose_jobs, set_is("vanished")), (NO_DOWNLOADS,), requests=FILE
    ),
    "held for a job that nobody knows": Case(
        (batch_is("submitted"), claim_a_job, set_is("unknown_job")), (STUCK,)
    ),
    "held for foreign answers": Case(
        (set_is("foreign_answers"),), (Fault(do="row_unknown", rows=[0], times=1),)
    ),
    "expired, to be planned again": Case((batch_is("lapsed"),), (Fault(do="expire"),)),
    "held by a cap": Case((set_is("max_cost"),), config='[money]\nmax_cost_per_set = "1"\n'),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_one_cancel_is_enough(case):
    """The set ends, with what was answered, and no create is sent after the order."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("unwanted", case.requests, options=case.options or {}))
        set_id = await town.set_of("unwanted")
        for act in case.before:
            await act(town, set_id)
        await town.control.cancel(set_id)
        creates = town.calls("batches.create")
        for act in case.after:
            await act(town, set_id)
        await town.until(lambda: bool(finished(town.state / "outbox")), within=DAY, step=300)
        stored = (await town.stored(set_id)).value
        assert isinstance(stored, Cancelled)
        assert town.calls("batches.create") == creates
        results = town.results("unwanted")
        assert len(results) == case.requests
        answered = sum("response" in one for one in results)
        assert answered == stored.totals.answered
        assert case.answered in (None, answered)
        await town.until(lambda: not any(job.is_active and not job.deleted for job in town.jobs))

    live(scenario, faults=case.faults, config=case.config)
