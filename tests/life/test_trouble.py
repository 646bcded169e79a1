"""429, overload, credit and keys: waited for, shown in one state, and gone on by themselves."""

import pytest

from orchestrator.emulator.settings import EmulatorSettings, Unknowns
from orchestrator.store import projects
from tests.life.town import HOUR, KEY, Drop, Fault, Town, live


def test_a_day_of_429_loses_nothing():
    """However long creates answer 429, the set waits and is delivered when that is over."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("patient", 6, options={"max_requests_per_batch": 2}))
        await town.pass_time(24 * HOUR)
        assert town.jobs == []
        calls = town.calls("batches.create")
        assert calls < 150
        town.emulator.faults.clear()
        await town.until_delivered()
        town.judge()

    live(scenario, faults=(Fault(do="quota"),))


@pytest.mark.parametrize("where", ["batches.list", "files.upload", "files.start", "files.download"])
def test_429_at_any_call_waits(where: str):
    """An upload, a poll or a download that answers 429 is asked again later."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("busy", 6, options={"max_requests_per_batch": 2}))
        await town.until_delivered()
        town.judge()

    live(scenario, faults=(Fault(do="quota", on=where, times=4),))


def test_retry_info_is_honoured():
    """Nothing is created again before the time that the service asked for."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("told", 3))
        await town.until(lambda: town.calls("batches.create") == 1, step=1)
        await town.pass_time(55)
        assert town.calls("batches.create") == 1
        await town.until_delivered()
        town.judge()

    told = EmulatorSettings(unknowns=Unknowns(retry_info=True))
    live(scenario, faults=(Fault(do="quota", seconds=60, times=1),), provider=told)


def test_used_up_credit_blocks_until_it_is_added():
    """402 is one state with its remedy; nothing fails, and it goes on by itself."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("poor", 6, options={"max_requests_per_batch": 2}))
        await town.pass_time(6 * HOUR)
        await town.until(lambda: town.project.obstacle() is not None, step=1)
        block = await town.read(projects.blocked, town.project.name)
        assert block is not None
        assert "prepaid credit is used up" in block.why
        assert "add credit" in block.remedy
        assert town.project.obstacle() == f"blocked: {block.why}; {block.remedy}"
        assert town.calls("batches.create") < 50
        town.emulator.faults.clear()
        await town.until_delivered(within=HOUR)
        town.judge()
        assert await town.read(projects.blocked, town.project.name) is None

    live(scenario, faults=(Fault(do="no_credit"),))


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_revoked_key_blocks_until_it_is_restored(status: int):
    """With whatever status it is refused: all waits, nothing is lost or paid twice."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("keyed", 8, options={"max_requests_per_batch": 2}))
        await town.until(lambda: len(town.jobs) >= 1, step=5)
        town.emulator.revoke(KEY)
        town.drop(Drop("later", 3))
        await town.pass_time(10 * HOUR)
        await town.until(lambda: town.project.obstacle() is not None, step=1)
        block = await town.read(projects.blocked, town.project.name)
        assert block is not None
        assert "key" in block.remedy
        assert town.project.obstacle() == f"blocked: {block.why}; {block.remedy}"
        await town.restart()
        await town.pass_time(HOUR)
        town.emulator.restore(KEY)
        await town.until_delivered(within=2 * HOUR)
        town.judge()
        assert await town.read(projects.blocked, town.project.name) is None

    unknowns = Unknowns(revoked_key_status=status)  # type: ignore[arg-type]
    live(scenario, provider=EmulatorSettings(unknowns=unknowns))


def test_credit_that_is_added_when_nothing_is_left_to_be_paid_ends_the_block():
    """The only set is cancelled meanwhile: nothing would be refused any more, nothing is said."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("poor", 2))
        set_id = await town.set_of("poor")
        while not await town.read(projects.all_blocks):
            await town.pass_time(60)
        await town.control.cancel(set_id)
        town.emulator.faults.clear()
        await town.pass_time(HOUR)
        assert await town.read(projects.all_blocks) == {}

    live(scenario, faults=(Fault(do="no_credit"),))


def test_a_key_that_was_refused_at_a_cancel_and_serves_again_ends_the_block():
    """The list is served, which takes a working key; the cancel is asked again soon."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("one", 2))
        set_id = await town.set_of("one")
        await town.until(lambda: len(town.jobs) == 1)
        await town.pass_time(100)
        await town.control.cancel(set_id)
        await town.until(lambda: town.calls("batches.cancel") == 1, within=600, step=5)
        await town.pass_time(300)
        assert town.calls("batches.cancel") == 2
        assert not town.jobs[0].is_active
        assert await town.read(projects.all_blocks) == {}

    refused = Fault(
        do="answer",
        on="batches.cancel",
        status=401,
        body='{"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "bad key"}}',
        times=1,
    )
    live(scenario, faults=(refused, Fault(do="stuck", batch="*")))


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(status: int):
    """A header that says when to come again is obeyed as the details of an error are."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("told", 3))
        await town.until(lambda: town.calls("batches.create") == 1, step=1)
        await town.pass_time(870)
        assert town.calls("batches.create") == 1
        await town.until_delivered(within=6 * HOUR)
        town.judge()

    later = Fault(
        do="answer",
        on="batches.create",
        status=status,
        headers={"Retry-After": "900"},
        times=1,
    )
    live(scenario, faults=(later,))


def test_a_list_that_says_when_to_come_again_is_not_asked_before():
    """Whoever would like to see the job list, and however often: nobody asks too early."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("told", 2))
        set_id = await town.set_of("told")
        await town.until(lambda: town.calls("batches.list") == 1, step=1)
        await town.control.cancel(set_id)
        town.drop(Drop("later", 2))
        await town.pass_time(HOUR - 90)
        assert town.calls("batches.list") == 1
        await town.until_delivered("later", within=6 * HOUR)

    later = Fault(
        do="answer",
        on="batches.list",
        status=429,
        headers={"Retry-After": "3600"},
        times=1,
    )
    live(scenario, faults=(later,))
