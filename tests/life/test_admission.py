"""Admission: who starts when, within what the project may hold."""

from orchestrator.domain.admission import Oversized
from orchestrator.domain.batches import Planned
from orchestrator.domain.ids import install_prefix
from orchestrator.domain.layout import GENERATION_MAX
from orchestrator.emulator.settings import EmulatorSettings, Quotas, Unknowns
from orchestrator.store import batches as batch_rows
from tests.life.town import DAY, HOUR, QUICK, Drop, Fault, Town, live

ONE_JOB = "[limits]\nmax_active_jobs = 1\n"
MANY = {"max_requests_per_batch": 1}


def _names(town: Town) -> list[str]:
    """Name the set of each job, in the order in which they were made."""
    ids = {one.id: one.name for one in town.infos}
    return [next(n for i, n in ids.items() if i in (job.display_name or "")) for job in town.jobs]


def test_the_more_urgent_set_goes_first():
    """Batches start in the order of their sets' priorities, uploaded or inline alike."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("first", 1))
        await town.until(lambda: len(town.jobs) == 1)
        town.drop(Drop("low", 3), Drop("high", 8, options={**MANY, "priority": 5}))
        await town.until_delivered()
        town.judge()
        assert _names(town) == ["first", *["high"] * 8, "low"]

    live(scenario, config=ONE_JOB)


def test_a_small_set_is_not_starved_by_a_giant_one():
    """Among equals the set with the fewest live batches goes first."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("giant", 40, options=MANY))
        await town.until(lambda: len(town.jobs) >= 2)
        town.drop(Drop("small", 8, options={"max_requests_per_batch": 4}))
        await town.until_delivered("small", within=6 * HOUR)
        assert len(town.results("small")) == 8
        assert _names(town).count("giant") < 40

    live(scenario, config="[limits]\nmax_active_jobs = 2\n")


def test_active_jobs_and_storage_stay_within_their_limits():
    """At no moment are there more jobs or more bytes of input files than the settings allow."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("wide", 30, options=MANY))
        most_jobs = most_bytes = 0
        while not (town.state / "outbox/wide/summary.json").exists():
            await town.pass_time(20)
            most_jobs = max(most_jobs, len(town.emulator.jobs.active))
            files = town.emulator.files
            there = [one.size for one in files.files.values() if files.is_there(one)]
            most_bytes = max(most_bytes, sum(there))
        assert 1 < most_jobs <= 5
        assert 100 < most_bytes <= 500

    live(scenario, config="[limits]\nmax_active_jobs = 5\nstorage_max_bytes = 500\n")


def test_jobs_of_others_are_counted():
    """What others run in the same project takes up places until it ends."""

    async def scenario(town: Town) -> None:
        await town.others(3)
        town.drop(Drop("mine", 12, options=MANY))
        most = 0
        while not (town.state / "outbox/mine/summary.json").exists():
            await town.pass_time(30)
            most = max(most, len(town.emulator.jobs.active))
            assert len(town.emulator.jobs.active) <= 4
        assert most == 4
        assert town.project.others().jobs == 3
        assert town.calls("batches.create") == 12 + 3

    slow = EmulatorSettings(pending_seconds=(30, 90), running_seconds=(3600, 7200))
    live(scenario, provider=slow, config="[limits]\nmax_active_jobs = 4\n")


def test_no_minute_sees_more_creates_than_allowed():
    """Creates go out in bursts of at most the limit, a minute apart, and no slower than that."""

    async def scenario(town: Town) -> None:
        await town.pass_time(HOUR)
        town.drop(Drop("paced", 30, options=MANY))
        await town.until(lambda: len(town.jobs) == 30, step=5)
        made = [job.created / 1e9 for job in town.jobs]
        assert max(sum(at - 60 < other <= at for other in made) for at in made) == 6
        assert made[-1] - made[0] < 5 * 60
        await town.until_delivered()
        town.judge()

    looked_after = "[polling]\ninterval_min_seconds = 10\ninterval_max_seconds = 10\n"
    live(scenario, config=f"[limits]\nrequests_per_minute = 6\n{looked_after}")


def test_tokens_count_until_a_cancelled_job_has_ended():
    """That a job was asked to be cancelled frees nothing: it may still run."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("first", 10))
        await town.until(lambda: len(town.jobs) == 1, step=5)
        town.drop(Drop("second", 10))
        await town.control.cancel(town.infos[0].id)
        await town.pass_time(3.5 * HOUR)
        assert town.calls("batches.cancel") > 0
        assert [job.is_active for job in town.jobs] == [True]
        await town.until_delivered(within=HOUR)
        assert [job.is_active for job in town.jobs] == [False, False]
        assert all("response" in one for one in town.results("second"))

    slow = EmulatorSettings(
        pending_seconds=(30, 90), running_seconds=(60, 600), cancel_seconds=4 * HOUR
    )
    config = '[limits.enqueued_tokens]\n"gemini-2.5-flash" = 300\n'
    live(scenario, provider=slow, faults=(Fault(do="stuck", times=1),), config=config)


def test_strays_with_our_name_are_counted():
    """A job that bears this install's name and is not in the ledger takes up a place as any."""

    async def scenario(town: Town) -> None:
        await town.others(3, f"{install_prefix(town.project.install)}stray")
        town.drop(Drop("mine", 6, options=MANY))
        while not (town.state / "outbox/mine/summary.json").exists():
            await town.pass_time(30)
            assert len(town.emulator.jobs.active) <= 4
        assert town.calls("batches.create") == 6 + 3
        assert town.project.others().jobs == 3

    live(scenario, provider=QUICK, config="[limits]\nmax_active_jobs = 4\n")


def test_the_tokens_of_a_twin_are_counted():
    """A second job of a batch holds as many tokens as the first, until it has ended."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("big", 10))
        await town.until(lambda: len(town.jobs) == 1, step=1)
        (job,) = town.jobs
        await town.others(1, job.display_name or "")
        tokens = (await town.read(batch_rows.live))[0].part.tokens
        assert dict(town.project.others().tokens) == {job.model: tokens}
        assert town.calls("batches.cancel") == 1  # it never was asked for
        await town.until(lambda: town.project.others().jobs == 0)

    stuck = (Fault(do="stuck", batch="*", times=1),)
    live(scenario, provider=QUICK, faults=stuck)


def test_a_batch_that_alone_exceeds_the_limit_is_split_before_it_is_sent():
    """No job has more tokens than may be enqueued, for whatever version of the model."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("big", 40))
        await town.until_delivered()
        town.judge()
        assert len(town.jobs) > 4
        assert town.calls("batches.create") == len(town.jobs)

    config = '[limits.enqueued_tokens]\n"gemini-2.5" = 150\n'
    live(scenario, config=config)


def test_what_was_too_large_when_it_was_looked_at_is_never_sent_so():
    """A limit that rises in between makes no create of what was only to be split."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("big", 40))
        await town.until(lambda: any(town.infos), step=0.1)
        assert town.life is not None
        assert town.life.assembly is not None
        submit = town.life.assembly.loops["submit"].stage
        while not (live_ := await town.read(batch_rows.live)):
            await town.pass_time(0.1)
        (batch,) = live_
        assert isinstance(batch, Planned)
        await submit.do(Oversized(batch))
        assert town.calls("batches.create") == 0
        await town.until_delivered()
        town.judge()

    live(scenario)


def test_a_wrong_quota_setting_heals_itself():
    """Where the real limit is far below ours, 429s halve it until all goes through."""
    real = Quotas(enqueued_tokens={"gemini-2.5-flash": 200_000})

    async def scenario(town: Town) -> None:
        town.drop(Drop("much", 300, options={"max_requests_per_batch": 300}))
        await town.until_delivered()
        town.judge()

    live(scenario, provider=EmulatorSettings(quotas=real), config="[limits]\ntier = 3\n")


def test_the_learned_limit_recovers_slowly():
    """After a 429 the model's limit is half; hours later the configured one holds again."""

    async def scenario(town: Town) -> None:
        full = town.project.token_limit("gemini-2.5-flash")
        town.drop(Drop("one", 3))
        await town.until(lambda: town.calls("batches.create") > 0)
        await town.pass_time(5)
        eased = town.project.token_limit("gemini-2.5-flash")
        await town.restart()
        assert town.project.token_limit("gemini-2.5-flash") <= eased * 3 < full
        await town.until_delivered()
        await town.pass_time(DAY)
        assert town.project.token_limit("gemini-2.5-flash") == full
        town.judge()

    live(scenario, faults=(Fault(do="quota", times=1),), provider=QUICK)


def test_tokens_that_fail_at_the_run_are_sent_again_later():
    """Where the quota is checked at the run, FAILED 8 goes back to the queue and is no try."""
    settings = EmulatorSettings(
        pending_seconds=(30, 90),
        running_seconds=(60, 600),
        quotas=Quotas(active_jobs=1),
        unknowns=Unknowns(quota_checked="at run"),
    )

    async def scenario(town: Town) -> None:
        town.drop(Drop("a", 4, options=MANY))
        await town.until_delivered()
        town.judge()

    live(scenario, provider=settings, config="[retry]\nmax_generations = 1\n")


def test_a_job_for_which_there_is_no_room_costs_no_generation():
    """FAILED 8 is tried again for as long as it takes, less and less often, and is no try."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("crowded", 1))
        await town.pass_time(DAY)
        assert GENERATION_MAX < len(town.jobs) <= 40
        town.emulator.faults.clear()
        await town.until_delivered(within=3 * HOUR)
        town.judge()
        assert town.summary("crowded")["generations"] == 1

    full = Fault(do="fail", code=8, message="no capacity")
    live(scenario, faults=(full,), config="[retry]\nmax_generations = 1\n")


def test_the_service_is_told_of_priorities_only_by_option():
    """Both kinds of jobs bear their set's priority, inline and by file; by default none does."""

    async def scenario(town: Town) -> None:
        priority = {"priority": -3, "max_requests_per_batch": 4}
        town.drop(Drop("inline", 2, options=priority), Drop("file", 9, options=priority))
        town.drop(Drop("vectors", 2, kind="embed", options={"priority": 7}), Drop("plain", 1))
        await town.until_delivered()
        town.judge()
        told = sorted(job.priority for job in town.jobs)
        assert told == ([-3, -3, -3, -3, 0, 7] if by_option else [0] * 6)
        assert len({job.input_file is None for job in town.jobs}) == 2

    for by_option in (False, True):
        config = f"[submission]\ntell_priority = {str(by_option).lower()}\n"
        live(scenario, config=config)


COUNTED = "[limits]\ncount_tokens = true\n"


def test_the_service_counts_tokens_only_by_option():
    """Some requests of a set are counted before its model has answered; then no more are asked."""

    def counts(config: str) -> tuple[int, float]:
        seen = []

        async def scenario(town: Town) -> None:
            town.drop(Drop("first", 30))
            name = await town.set_of("first")
            await town.until_delivered()
            part = (await town.read(batch_rows.of_set, name))[0].part
            seen.append(part.tokens / part.wire_bytes)
            before = town.calls("models.count_tokens")
            town.drop(Drop("second", 30))
            await town.until_delivered()
            town.judge()
            assert town.calls("models.count_tokens") == before
            seen.append(before)

        live(scenario, config=config)
        return int(seen[1]), seen[0]

    asked, counted = counts(COUNTED)
    unasked, guessed = counts("")

    assert (asked, unasked) == (8, 0)
    assert counted != guessed


def test_embeddings_are_counted_too():
    """One set of embeddings is asked about in its own form."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("vectors", 3, kind="embed"))
        await town.until_delivered()
        town.judge()
        assert town.calls("models.count_tokens") == 3

    live(scenario, config=COUNTED)


def test_where_tokens_cannot_be_counted_they_are_guessed():
    """The set goes on, and the trouble is shown until a count succeeds."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("first", 3))
        await town.until_delivered()
        town.judge()
        assert town.trouble("token_count")

    down = Fault(do="unavailable", on="models.count_tokens")
    live(scenario, config=COUNTED, faults=(down,))


def test_a_set_whose_model_teaches_nothing_is_counted_once():
    """While a set is looked at again and again for what is left to plan, nobody is asked again."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("failing", 2, failing=frozenset({0, 1})))
        await town.until_delivered()
        town.judge()
        assert town.calls("models.count_tokens") == 2

    live(scenario, config=COUNTED)
