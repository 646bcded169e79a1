"""A week of weather: fifty sets under tier-1 walls, and all that befalls a service in a week.

Jobs expire in waves, one model stalls for sixty hours, one row in twenty fails, creates answer 429
for a day, and the key is revoked and restored. Nobody does anything but restore the key.
"""

from random import Random

import pytest

from orchestrator.emulator.settings import EmulatorSettings, Quotas
from orchestrator.store import request_sets as set_rows
from tests.life.town import DAY, HOUR, KEY, Drop, Fault, Town, live

FLASH, PRO, STALLED = "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.0-flash"
CONFIG = """
[limits]
max_active_jobs = 20
min_batch_bytes = 200
[retry]
max_generations = 15
[limits.enqueued_tokens]
"gemini-2.5-flash" = 4000
"gemini-2.5-pro" = 6000
"gemini-2.0-flash" = 3000
"""
SERVICE = EmulatorSettings(
    pending_seconds=(60, 2 * HOUR),
    running_seconds=(600, 8 * HOUR),
    quotas=Quotas(
        active_jobs=20,
        enqueued_tokens={FLASH: 3000, PRO: 5000, STALLED: 3000},
        creates_per_minute=5,
    ),
)


def _sets(count: int, chance: Random) -> list[Drop]:
    drops = []
    for number in range(count):
        model = chance.choice([FLASH, FLASH, PRO, STALLED])
        size = chance.choice([1, 3, 10, 40, 120])
        options = {"priority": chance.choice([0, 0, 5]), "max_requests_per_batch": 40}
        if number % 10 == 9:
            drops.append(Drop(f"vectors-{number}", min(size, 10), kind="embed"))
        else:
            drops.append(Drop(f"set-{number}", size, options={"model": model, **options}))
    return drops


async def _week(town: Town, count: int, chance: Random) -> None:
    faults = town.emulator.faults
    rows = Fault(do="row_error", code=13, message="internal", rows=0.05)
    drops = _sets(count, chance)
    quarters = [drops[number::4] for number in range(4)]
    faults.add([rows])
    town.drop(*quarters[0])
    await town.pass_time(6 * HOUR)
    faults.add([Fault(do="expire", probability=0.8, times=8)])
    faults.add([Fault(do="stuck", model=STALLED, probability=0.5, times=4)])
    town.drop(*quarters[1])
    await town.pass_time(18 * HOUR)
    faults.add([Fault(do="quota")])  # a day of it
    town.drop(*quarters[2])
    await town.pass_time(DAY)
    assert _refused(town, 429) > 0
    faults.clear()
    faults.add([rows])
    await town.pass_time(6 * HOUR)
    town.emulator.revoke(KEY)
    town.drop(*quarters[3])
    await town.pass_time(8 * HOUR)
    assert _refused(town, 400) + _refused(town, 403) > 0
    assert await town.read(set_rows.open_sets)
    await town.restart()
    await town.pass_time(4 * HOUR)
    town.emulator.restore(KEY)
    await town.pass_time(10 * HOUR)
    await town.until_delivered(within=14 * DAY)
    town.judge()
    expected = sum(drop.count for drop in drops)
    assert sum(town.summary(drop.name)["requests"] for drop in drops) == expected
    assert sum(job.row_errors for job in town.jobs) > 0
    assert [job for job in town.jobs if job.state.endswith("EXPIRED")]


async def _other_week(town: Town, count: int, chance: Random) -> None:
    """The same troubles, each met by other sets in another state: the stall comes first."""
    faults = town.emulator.faults
    rows = Fault(do="row_error", code=13, message="internal", rows=0.05)
    drops = _sets(count, chance)
    quarters = [drops[number::4] for number in range(4)]
    stall = Fault(do="stuck", model=STALLED)
    faults.add([rows, stall])
    town.drop(*quarters[0])
    await town.pass_time(12 * HOUR)
    town.emulator.revoke(KEY)
    town.drop(*quarters[1])
    await town.pass_time(9 * HOUR)
    assert _refused(town, 400) + _refused(town, 403) > 0
    town.emulator.restore(KEY)
    await town.pass_time(9 * HOUR)
    town.drop(*quarters[2])
    await town.until(lambda: any(job.is_active for job in town.jobs))
    await town.restart()
    await town.pass_time(30 * HOUR)
    assert town.trouble("slow")
    faults.clear()  # the stall is over after 60 hours
    faults.add([rows, Fault(do="quota")])  # a day of it
    town.drop(*quarters[3])
    await town.pass_time(DAY)
    assert _refused(town, 429) > 0
    faults.clear()
    faults.add([rows, Fault(do="expire", probability=0.5, times=8)])
    await town.until_delivered(within=14 * DAY)
    town.judge()
    expected = sum(drop.count for drop in drops)
    assert sum(town.summary(drop.name)["requests"] for drop in drops) == expected
    assert [job for job in town.jobs if job.state.endswith("EXPIRED")]


def _refused(town: Town, status: int) -> int:
    counts = town.emulator.calls.counts
    return sum(number for name, number in counts.items() if name.endswith(f"\x1f{status}"))


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(3))
def test_a_week_of_weather(seed: int):
    """Every set is delivered, every request executed once per generation that it really needed."""
    live(lambda town: _week(town, 50, Random(seed)), provider=SERVICE, config=CONFIG, seed=seed)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [12, 50])
def test_a_week_of_weather_in_another_order(count: int):
    """First a stall, then the key, a day of 429s and the expiries: all is delivered as before."""
    live(lambda town: _other_week(town, count, Random(11)), provider=SERVICE, config=CONFIG)


@pytest.mark.slow
def test_a_small_week_of_weather():
    """The same of a dozen sets, in the time that the ordinary run has."""
    live(lambda town: _week(town, 12, Random(6)), provider=SERVICE, config=CONFIG)
