"""Money: caps that hold across restarts, and what was used and paid, summed."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from orchestrator.domain.ids import SetId
from orchestrator.stages.control import NotPossible
from orchestrator.store import batches as batch_rows, events
from tests.life.town import DAY, HOUR, QUICK, Drop, Fault, Town, live

SLOW = replace(QUICK, running_seconds=(5 * HOUR, 5 * HOUR))
ONE_JOB = "[limits]\nmax_active_jobs = 1\n"
PRICE = '[pricing."gemini-2.5-flash"]\ninput = "1000"\noutput = "1000"\nas_of = "2026-01"\n'
ONE = {"max_requests_per_batch": 1}


@dataclass(frozen=True)
class Pictures(Drop):
    """Requests of few bytes and many tokens: ten pictures each, named by their addresses."""

    def _line(self, number: int) -> dict[str, Any]:
        line = super()._line(number)
        for n in range(10):
            file = {"fileUri": f"https://pictures.example/{n}.jpg", "mimeType": "image/jpeg"}
            line["request"]["contents"][0]["parts"].append({"fileData": file})
        return line


def test_the_cap_of_a_set_holds_across_restarts():
    """Reached, the set is held and not failed; one command goes on."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("dear", 12, options=ONE))
        set_id = await town.set_of("dear")
        await town.pass_time(3 * HOUR)
        before = len(town.jobs)
        assert 0 < before < 12
        held = (await town.stored(set_id)).flags.held
        assert held is not None
        assert held.startswith("max_cost_per_set")
        await town.restart(config)
        await town.pass_time(12 * HOUR)
        assert len(town.jobs) == before
        await town.control.resume(set_id)
        await town.until_delivered()
        town.judge()

    config = f'[money]\nmax_cost_per_set = "0.20"\n{PRICE}'
    live(scenario, config=config)


def test_the_cap_of_a_day_holds_whatever_is_sent_at_once():
    """Creates that go out side by side are judged one after another, also after a restart."""

    async def scenario(town: Town) -> None:
        town.drop(*(Drop(f"set-{n}", 2) for n in range(8)))
        await town.pass_time(HOUR)
        await town.restart(config)
        await town.pass_time(2 * HOUR)
        jobs = len(town.jobs)
        assert 0 < jobs < 8
        assert await town.spent() <= 200_000

    price = PRICE.replace('output = "1000"', 'output = "0"')
    config = f'[money]\nmax_cost_per_day = "0.20"\n{price}'
    live(scenario, config=config)


def test_the_first_answers_of_a_model_teach_before_a_cap_is_risked():
    """With a cap, one batch of a model of which nothing is known goes first, others after it."""

    async def scenario(town: Town) -> None:
        town.drop(*(Drop(f"set-{n}", 2) for n in range(6)))
        while "submitted>ended" not in town.moves:
            assert len(town.jobs) <= 1
            await town.pass_time(1)
        await town.pass_time(6 * HOUR)
        assert len(town.jobs) > 1
        assert await town.spent() <= 5_000_000

    config = f'[money]\nmax_cost_per_day = "5"\n{PRICE}'
    live(scenario, config=config)


def test_an_unknown_price_with_a_cap_is_held():
    """A set whose cost nobody can know is not sent before the operator has spoken."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("unknown", 2))
        set_id = await town.set_of("unknown")
        await town.pass_time(DAY)
        assert town.jobs == []
        assert "no price is set" in str((await town.stored(set_id)).flags.held)
        await town.control.resume(set_id)
        await town.until_delivered()
        town.judge()

    live(scenario, config='[money]\nmax_cost_per_set = "1"\n')


async def held(town: Town, set_id: SetId) -> str:
    """What holds a set, empty where nothing does."""
    return (await town.stored(set_id)).flags.held or ""


async def held_by(town: Town, set_id: SetId, cap: str) -> str:
    """Wait until this cap holds a set, and return what is said of it."""
    for _ in range(300):
        if (said := await held(town, set_id)).startswith(f"{cap}: "):
            return said
        await town.pass_time(600)
    raise AssertionError(f"{cap} does not hold it, but {await held(town, set_id)!r} does")


def test_resume_lifts_the_cap_that_held_and_no_other():
    """Beyond the day's cap the set's own still holds, and beyond that one none: each is asked."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("dear", 12, options=ONE))
        set_id = await town.set_of("dear")
        await held_by(town, set_id, "max_cost_per_day")
        said = await town.control.resume(set_id)
        assert said == "running again; it may go beyond max_cost_per_day until 2026-11-03 00:00 UTC"
        await held_by(town, set_id, "max_cost_per_set")
        said = await town.control.resume(set_id)
        assert said.endswith("it has no cap of its own any more, max_cost_per_day still holds")
        assert "already" in await town.control.resume(set_id)
        await town.until_delivered(within=10 * HOUR)
        town.judge()

    live(scenario, config=f'[money]\nmax_cost_per_day = "0.9"\nmax_cost_per_set = "1.5"\n{PRICE}')


def test_the_cap_of_the_next_day_holds_again():
    """Resumed, a set goes beyond the cap of that day; the next day's cap holds it again."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("dear", 12, options=ONE))
        set_id = await town.set_of("dear")
        for day in (3, 4):
            said = await held_by(town, set_id, "max_cost_per_day")
            assert f"it goes on at 2026-11-0{day} 00:00 UTC" in said
            await town.control.resume(set_id)

    live(scenario, provider=SLOW, config=f'[money]\nmax_cost_per_day = "0.5"\n{ONE_JOB}{PRICE}')


def test_the_hold_of_a_day_ends_with_it():
    """At midnight the set goes on by itself, across restarts; what else holds sets is untouched."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("dear", 8, options=ONE), Drop("own", 3, options={"max_cost": "0.000001"}))
        own, set_id = await town.set_of("own"), await town.set_of("dear")
        await held_by(town, set_id, "max_cost_per_day")
        await town.restart(config)
        before = len(town.jobs)
        await town.until(lambda: town.clock.now().hour == 23, step=600)
        assert len(town.jobs) == before
        assert await held(town, set_id)
        await town.pass_time(2 * HOUR)
        assert len(town.jobs) > before
        await town.until_delivered("dear")
        assert (await held(town, own)).startswith("max_cost_per_set: ")
        assert town.jobs_of(own) == []

    config = f'[money]\nmax_cost_per_day = "0.9"\n{PRICE}'
    live(scenario, config=config)


def test_a_cap_of_the_settings_follows_them():
    """A cap that is raised lets a held set go on with the reload; one of its own options stays."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("theirs", 12, options=ONE))
        town.drop(Drop("own", 12, options=ONE | {"max_cost": "0.5"}))
        own = await town.set_of("own")
        theirs = await held_by(town, await town.set_of("theirs"), "max_cost_per_set")
        assert "the cap of the settings is $0.90" in theirs
        assert "the cap of its options is $0.50" in await held_by(town, own, "max_cost_per_set")
        await town.restart(f'[money]\nmax_cost_per_set = "50"\n{PRICE}')
        await town.until_delivered("theirs")
        assert "the cap of its options is $0.50" in (await held(town, own))

    live(scenario, config=f'[money]\nmax_cost_per_set = "0.9"\n{PRICE}')


def test_a_price_that_is_added_lets_a_set_go_on():
    """With the reload that brings a price the set goes on by itself, and its cap holds it."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("dear", 12, options=ONE))
        set_id = await town.set_of("dear")
        assert "no price is set" in await held_by(town, set_id, "max_cost")
        await town.restart(f"{cap}{PRICE}")
        await held_by(town, set_id, "max_cost_per_set")
        assert 0 < len(town.jobs) < 12

    cap = '[money]\nmax_cost_per_set = "0.9"\n'
    live(scenario, config=cap)


def test_what_ran_without_a_price_counts_once_there_is_one():
    """Resumed without a price a set is held to its cap as soon as its cost can be computed."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("dear", 12, options=ONE))
        set_id = await town.set_of("dear")
        await held_by(town, set_id, "max_cost")
        assert "without a price" in await town.control.resume(set_id)
        await town.until(lambda: town.moves.count("ended>collected") == 4)
        before = len(town.jobs)
        await town.restart(f"{cap}{ONE_JOB}{PRICE}")
        said = await held_by(town, set_id, "max_cost_per_set")
        assert float(said.split("$")[1].split(" ")[0]) > 0.5
        assert len(town.jobs) <= before + 1

    cap = '[money]\nmax_cost_per_set = "0.9"\n'
    live(scenario, config=f"{cap}{ONE_JOB}")


def test_what_is_in_flight_does_not_hold():
    """It may cost less than was estimated: the next batch waits, and only what was spent holds."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("dear", 12, options=ONE))
        set_id = await town.set_of("dear")
        await held_by(town, set_id, "max_cost_per_set")
        history = await town.read(events.after, 0, 1_000, set_id)
        assert len([one for one in history if one.why.startswith("held")]) == 1
        assert {row.state for row in await town.read(batch_rows.live)} <= {"planned", "uploaded"}
        assert 110_000 < await town.spent() <= 150_000

    price = PRICE.replace('output = "1000"', 'output = "0"')
    live(scenario, config=f'[money]\nmax_cost_per_set = "0.15"\n{price}')


def test_resume_gives_a_new_cap():
    """A set goes on up to the cap that is given; one that is reached already is refused."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("dear", 12, options=ONE))
        set_id = await town.set_of("dear")
        await held_by(town, set_id, "max_cost_per_set")
        await town.pass_time(2 * HOUR)
        with pytest.raises(NotPossible, match=r"has cost .* already; give a cap above that"):
            await town.control.resume(set_id, 1_000)
        assert "up to $1.50" in await town.control.resume(set_id, 1_500_000)
        said = await held_by(town, set_id, "max_cost_per_set")
        assert "the cap given with `resume` is $1.50" in said
        assert await town.spent() <= 1_500_000

    live(scenario, config=f'[money]\nmax_cost_per_set = "0.9"\n{PRICE}')


def test_a_set_that_a_cap_held_goes_on_held_when_it_is_retried():
    """The answer says what holds it and what to do, and doing so is enough."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("dear", 12, options=ONE))
        set_id = await town.set_of("dear")
        await held_by(town, set_id, "max_cost_per_set")
        await town.control.cancel(set_id)
        await town.until_delivered("dear")
        said = await town.control.retry(set_id)
        assert "but it is held: max_cost_per_set: " in said
        assert "`orchestrator resume`" in said
        jobs = len(town.jobs)
        await town.pass_time(2 * HOUR)
        assert len(town.jobs) == jobs
        await town.control.resume(set_id)
        await town.until_delivered("dear-2")

    retention = "[retention]\nwork_days = 7\n"
    live(scenario, config=f'[money]\nmax_cost_per_set = "0.20"\n{retention}{PRICE}')


def test_usage_is_summed_by_model_and_generation():
    """The summary has the tokens of each generation and what they cost by the settings' prices."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("sums", 6))
        await town.until_delivered()
        summary = town.summary("sums")
        assert [one["generation"] for one in summary["usage"]] == [1, 2]
        used = [one["response"]["usageMetadata"] for one in town.results("sums")]
        prompt = sum(one["promptTokenCount"] for one in used)
        answers = sum(
            one["candidatesTokenCount"] + one.get("thoughtsTokenCount", 0) for one in used
        )
        assert sum(one["prompt_tokens"] for one in summary["usage"]) == prompt
        assert abs(float(summary["cost_usd"]) - (prompt + answers) / 1000) < 0.00001

    live(scenario, faults=(Fault(do="row_error", code=13, rows=[2], times=1),), config=PRICE)


def test_answers_of_a_model_teach_what_its_next_set_will_cost():
    """A new set is judged by the answers that its model gave to others, not by the first guess."""

    async def told(town: Town, name: str) -> float:
        town.drop(Drop(name, 20, options={"max_cost": "0.000001"}))
        set_id = await town.set_of(name)
        await town.pass_time(HOUR)
        held = (await town.stored(set_id)).flags.held
        assert held is not None
        return float(held.split("this batch about $")[1].split(",")[0])

    async def scenario(town: Town) -> None:
        guess = await told(town, "before")
        town.drop(Drop("teacher", 20))
        await town.until_delivered("teacher")
        learned = await told(town, "after")
        paid = float(town.summary("teacher")["cost_usd"])
        assert abs(learned - paid) < abs(guess - paid)
        assert abs(learned / paid - 1) < 0.25

    live(scenario, config=PRICE.replace('input = "1000"', 'input = "0"'))


def test_a_cap_holds_for_prompts_that_were_guessed_too_short():
    """What the first batch tells of prompts, too, is what all others of the set are judged by."""

    async def scenario(town: Town) -> None:
        town.drop(Pictures("pictures", 20, options=ONE))
        set_id = await town.set_of("pictures")
        await held_by(town, set_id, "max_cost_per_set")
        await town.pass_time(12 * HOUR)
        assert 1 < len(town.jobs) < 10
        assert await town.spent() <= 20_000_000

    live(scenario, provider=SLOW, config=f'[money]\nmax_cost_per_set = "20"\n{PRICE}')


@pytest.mark.parametrize("first", ["unmeasured", "measured"])
def test_a_vanished_job_keeps_no_other_set_waiting(first: str):
    """What a held set has in flight teaches nothing any more: nobody waits for it."""

    async def scenario(town: Town) -> None:
        if first == "measured":
            town.drop(Drop("teacher", 2))
            await town.until_delivered("teacher")
        town.emulator.faults.add([Fault(do="vanish", nth=1, seconds=20)])
        before = len(town.jobs)
        town.drop(Drop("lost", 2))
        await town.until(lambda: len(town.jobs) > before)
        town.drop(Drop("other", 2))
        await town.until_delivered("other", within=12 * HOUR)

    live(scenario, config=f'[money]\nmax_cost_per_day = "50"\n{PRICE}')


def test_a_batch_in_doubt_for_the_operator_keeps_no_other_set_waiting():
    """It tells no cost before the operator has spoken."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("lost", 2))
        set_id = await town.set_of("lost")
        while not [row for row in await town.read(batch_rows.live) if row.state == "submitting"]:
            await town.pass_time(5)
        town.drop(Drop("other", 2))
        await town.until_delivered("other", within=12 * HOUR)
        assert (await town.stored(set_id)).value.state == "running"

    lost = Fault(do="lose_request", on="batches.create", times=1)
    hold = '[submission]\nin_doubt = "hold"\n'
    live(scenario, faults=(lost,), config=f'{hold}[money]\nmax_cost_per_day = "50"\n{PRICE}')


def test_what_a_vanished_job_may_cost_counts_towards_the_day():
    """What does not fit beside it is held, with the reason; it does not wait in silence."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("lost", 8))
        await town.until(lambda: len(town.jobs) > 0)
        town.drop(Drop("other", 8))
        set_id = await town.set_of("other")
        said = await held_by(town, set_id, "max_cost_per_day")
        assert "jobs that wait for your word" in said
        assert len(town.jobs) == 1

    cap = '[money]\nmax_cost_per_day = "0.6"\n'
    live(scenario, faults=(Fault(do="vanish", nth=1, seconds=20),), config=f"{cap}{PRICE}")
