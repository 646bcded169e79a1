"""Money: caps that hold across restarts, and what was used and paid, summed."""

from tests.life.town import DAY, HOUR, Drop, Fault, Town, live

PRICE = '[pricing."gemini-2.5-flash"]\ninput = "1000"\noutput = "1000"\nas_of = "2026-01"\n'
ONE = {"max_requests_per_batch": 1}


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
