"""Ends: whatever the service calls the end of a job, each request comes out as it should."""

from orchestrator.emulator.settings import EmulatorSettings
from tests.judging.results import finished
from tests.life.town import DAY, HOUR, QUICK, Drop, Fault, Town, live

FOUR = {"max_requests_per_batch": 4}


def test_one_faulty_request_is_found_by_halves():
    """FAILED 3 splits the batch until the culprit is alone; all others are answered."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("mixed", 8))
        await town.until_delivered()
        results = town.results("mixed")
        assert [("error" in one) for one in results].count(True) == 0
        assert len(town.jobs) == 3
        town.judge()

    fail = Fault(do="fail", code=3, message="bad request", times=1)
    live(scenario, faults=(fail,), config="[retry]\nmax_generations = 1\n")


def test_a_single_request_that_fails_its_job_settles():
    """FAILED 3 with one request is that request's own error, in the service's words."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("one", 2))
        await town.until_delivered()
        errors = [one["error"] for one in town.results("one")]
        assert [one["code"] for one in errors] == [3, 3]
        assert all("bad request" in one["message"] for one in errors)
        assert len(town.jobs) == 3

    live(scenario, faults=(Fault(do="fail", code=3, message="bad request"),))


def test_a_failed_job_is_sent_again():
    """FAILED 13 is a new generation, and the answers of that are delivered."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("again", 5))
        await town.until_delivered()
        town.judge()
        assert town.summary("again")["generations"] == 2

    live(scenario, faults=(Fault(do="fail", code=13, message="internal", times=1),))


def test_what_can_never_work_is_given_up_at_once():
    """FAILED 12 is not tried again."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("never", 3))
        await town.until_delivered()
        assert [one["error"]["code"] for one in town.results("never")] == [12] * 3
        assert len(town.jobs) == 1

    live(scenario, faults=(Fault(do="fail", code=12, message="not offered"),))


def test_an_expired_job_is_sent_again_at_half_the_size():
    """Each expiry halves the batch, down to the floor."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("slow", 16))
        await town.until_delivered(within=20 * DAY)
        town.judge()
        first, *later = [job.count for job in town.jobs]
        assert first == 16
        assert max(later) <= 8

    config = "[limits]\nmin_batch_bytes = 100\n"
    live(scenario, faults=(Fault(do="expire", times=1),), config=config)


def test_the_final_error_tells_the_history():
    """After the last generation each request's error says what became of every try."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("doomed", 4))
        await town.until_delivered(within=20 * DAY)
        for one in town.results("doomed"):
            error = one["error"]
            assert error["code"] == 13
            assert "generation 3" in error["message"]
            assert [("generation 1" in past["message"]) for past in error["history"]] == [
                True,
                False,
            ]
            assert "expired" in error["history"][0]["message"]
            assert "generation 2" in error["history"][1]["message"]

    faults = (
        Fault(do="expire", nth=1),
        Fault(do="fail", code=13, message="internal", nth=[2, 3]),
    )
    live(scenario, faults=faults, config="[retry]\nmax_generations = 3\n")


def test_a_job_of_nothing_but_errors_is_warned_of():
    """SUCCEEDED with all rows failed is delivered, and said aloud."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("bad", 4))
        await town.until_delivered()
        assert [one["error"]["code"] for one in town.results("bad")] == [3] * 4
        (why,) = town.trouble("all_failed")
        assert "all of its 4 requests failed" in why

    live(scenario, faults=(Fault(do="row_error", code=3, message="no"),))


def test_failed_missing_and_doubled_rows_are_sent_again():
    """Retryable and missing rows of a job that succeeded are the next generation, nothing else."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("holes", 12))
        await town.until_delivered()
        town.judge()

    faults = (
        Fault(do="row_error", code=13, message="x", rows=[1, 2], times=1),
        Fault(do="row_missing", rows=[5], times=1),
        Fault(do="row_doubled", rows=[7], times=1),
    )
    live(scenario, faults=faults)


def test_the_table_of_retryable_errors_can_be_overridden():
    """A code that the settings do not name is lasting at once."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("strict", 3))
        await town.until_delivered()
        assert [one["error"]["code"] for one in town.results("strict")] == [13] * 3
        assert len(town.jobs) == 1

    row = Fault(do="row_error", code=13, message="x", times=1)
    live(scenario, faults=(row,), config="[retry]\nretryable = [14]\n")


def test_a_job_that_others_cancelled_is_sent_again():
    """CANCELLED by somebody else is one more try."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("ours", 4))
        await town.until_delivered()
        town.judge()

    live(scenario, faults=(Fault(do="cancelled", times=1),))


def test_a_model_that_never_answers_is_reported_after_its_target():
    """Past 24 h the age of the jobs is told against the service's target; nothing is cancelled."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("mute", 4))
        await town.pass_time(23 * HOUR)
        assert town.trouble("slow") == []
        await town.pass_time(2 * HOUR)
        assert "the service aims at 24 h" in town.trouble("slow")[-1]
        assert town.calls("batches.cancel") == 0
        await town.until_delivered(within=20 * DAY)
        town.judge()

    live(scenario, faults=(Fault(do="stuck", times=1),), provider=QUICK)


def test_a_stuck_job_is_cancelled_only_if_the_operator_opted_in():
    """With stuck = resubmit a job beyond the age is cancelled, and its requests are sent again."""
    never = EmulatorSettings(
        pending_seconds=(30, 90), running_seconds=(60, 600), job_expiry_seconds=100 * DAY
    )

    async def scenario(town: Town) -> None:
        town.drop(Drop("stuck", 4))
        await town.until_delivered(within=5 * DAY)
        town.judge()
        assert town.calls("batches.cancel") == 1

    config = '[polling]\nstuck = "resubmit"\n'
    live(scenario, faults=(Fault(do="stuck", times=1),), provider=never, config=config)


def test_an_unknown_state_is_watched_on():
    """A state nobody has heard of is no end."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("odd", 4))
        await town.pass_time(DAY)
        (job,) = town.jobs
        assert job.state == "BATCH_STATE_PAUSED"
        town.emulator.jobs.move(job, "BATCH_STATE_SUCCEEDED")
        await town.until_delivered(within=DAY)
        town.judge()

    live(scenario, faults=(Fault(do="state", text="BATCH_STATE_PAUSED", times=1),))


def test_a_vanished_job_is_held_and_the_operator_may_run_it_again():
    """A job that the service no longer knows is not run again by itself: it may be paid."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("lost", 4))
        set_id = await town.set_of("lost")
        await town.until(lambda: bool(town.jobs), step=5)
        town.emulator.faults.clear()
        town.jobs[0].deleted = True
        await town.pass_time(6 * HOUR)
        held = str((await town.stored(set_id)).flags.held)
        assert held.startswith("vanished: the service no longer knows")
        assert len(town.jobs) == 1
        assert "given up" in await town.control.retry(set_id)
        await town.until_delivered(within=6 * HOUR)
        assert all("response" in one for one in town.results("lost"))

    live(scenario, faults=(Fault(do="stuck", batch="*"),))


def test_a_vanished_result_file_holds_its_set():
    """Answers that were paid for are asked for again and again, never bought a second time."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("gone", 9, options=FOUR))
        await town.pass_time(6 * HOUR)
        assert {job.count for job in town.jobs} == {3}
        assert len(town.jobs) == 3
        assert not finished(town.state / "outbox")
        town.emulator.faults.clear()
        await town.until_delivered(within=DAY)
        town.judge()

    live(scenario, faults=(Fault(do="answer", on="files.download", status=404),))


def test_an_input_file_that_vanished_before_its_create_is_sent_again():
    """A file that the service does not find goes up once more, under a name of its own."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("lost", 20))
        await town.until_delivered(within=DAY)
        town.judge()
        assert town.calls("files.start") == 2
        assert len(town.jobs) == 1

    live(scenario, faults=(Fault(do="file_vanish", times=1),))


def test_a_model_that_never_answers_is_not_young_again_with_each_generation():
    """However many of its jobs expire: their requests' first submission is what counts."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("mute", 4))
        await town.pass_time(25 * HOUR)
        told = len(town.troubles)
        await town.pass_time(90 * HOUR)
        assert len(town.jobs) == 3
        since = [why for kind, _, why in town.troubles[told:] if kind == "slow"]
        assert None not in since
        assert "have waited 114 h for an answer" in (since[-1] or "")
        town.emulator.faults.clear()
        await town.until_delivered(within=5 * DAY)
        town.judge()
        await town.pass_time(3 * HOUR)
        assert ("slow", "gemini-2.5-flash", None) in town.troubles[told:]

    seldom = "[polling]\ninterval_min_seconds = 3600\ninterval_max_seconds = 7200\n"
    live(scenario, faults=(Fault(do="stuck"),), config=seldom)


def test_a_stall_of_sixty_hours_is_reported_early_and_survived():
    """After 24 h the model is called slow; its jobs expire at 48 h and are sent again."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("stalled", 4))
        await town.pass_time(25 * HOUR)
        assert "25 h old, the service aims at 24 h" in town.trouble("slow")[-1]
        await town.pass_time(35 * HOUR)
        assert town.jobs[0].state == "BATCH_STATE_EXPIRED"
        town.emulator.faults.clear()
        await town.until_delivered(within=3 * DAY)
        town.judge()

    live(scenario, faults=(Fault(do="stuck"),))
