"""Every fault of the emulator's plan at every call where it makes sense, in virtual time.

Each is a life of its own: a set that goes inline and one that goes as files meet the fault twice.
The few pairs that stand for the others belong to every run, all of them to `make soak`.
"""

from typing import Any

import pytest

from orchestrator.emulator.faults import ACTIONS, CALL_ACTIONS
from orchestrator.store import request_sets as set_rows
from tests.life.town import HOUR, Drop, Fault, Town, live

CALLS = (
    "batches.create",
    "batches.get",
    "batches.list",
    "files.start",
    "files.upload",
    "files.get",
    "files.download",
)
PARAMETERS: dict[str, dict[str, Any]] = {
    "answer": {"status": 500, "body": "\x1b[2J not json"},
    "redirect": {"location": "http://192.0.2.1/login"},
    "late": {"seconds": 600.0},
    "slow": {"seconds": 30.0},
    "slow_answer": {"seconds": 200.0},
    "drip": {"bytes": 20, "seconds": 1.0},
    "cut_request": {"bytes": 100},
    "half_answer": {"fraction": 0.5},
    "hide": {"seconds": 600.0},
    "hide_new": {"seconds": 600.0},
    "lag_get": {"seconds": 600.0},
    "late_output": {"seconds": 600.0},
    "truncate_page": {"count": 1},
    "fail": {"code": 13, "message": "internal"},
    "state": {"text": "JOB_STATE_DREAMING"},
    "timing": {"pending_seconds": 10.0, "running_seconds": 7200.0},
    "twin": {"count": 1},
    "rename": {"text": "somebody else's"},
    "partial": {"fraction": 0.5},
    "skew": {"seconds": 3600.0},
    "row_error": {"code": 13, "message": "internal"},
    "processing": {"seconds": 60.0},
    "cut": {"bytes": 100},
    "quota": {"seconds": 30.0},
}
# Their answers are errors, or lack or tear the words by which they are told apart.
TELLING = {
    *("row_line_separators", "row_blocked", "row_no_candidates", "row_no_parts", "row_safety"),
    *("row_image", "row_truncated_json", "row_max_tokens", "row_neither"),
}
HELD = {"vanish": "vanished", "row_unknown": "foreign_answers"}
TOLD = {"state": "slow"}  # what nobody can know the meaning of is watched on, and told
UNJUDGED = frozenset({"rename"})  # the books know our jobs by their names
PICKED = {
    ("redirect", "batches.create"),
    ("malformed", "batches.get"),
    ("half_answer", "batches.list"),
    ("lose_request", "files.start"),
    ("drip", "files.download"),
    ("out_of_step", "files.upload"),
    ("partial", "batches.create"),
    ("row_blocked", "batches.create"),
}


def _pairs() -> list[Any]:
    anywhere = [(do, on) for do in CALL_ACTIONS for on in CALLS if CALL_ACTIONS[do] == "*"]
    special = [(do, ACTIONS[do]) for do in ACTIONS if ACTIONS[do] != "*"]
    return [
        pytest.param(*pair, marks=[] if pair in PICKED else [pytest.mark.soak])
        for pair in anywhere + special
        if pair[0] not in UNJUDGED
    ]


async def _meets(town: Town, do: str) -> None:
    inline, files = Drop("inline", 3), Drop("files", 9, options={"max_requests_per_batch": 3})
    town.drop(inline, files)
    if do in HELD:
        await _held(town, HELD[do])
        return
    if do in TOLD:
        await town.until(lambda: bool(town.trouble(TOLD[do])))
        return
    await town.until_delivered()
    if do in TELLING:
        assert town.books().findings == ()
        for drop in (inline, files):
            results = town.state / "outbox" / drop.name / "results.jsonl"
            assert results.read_bytes().count(b"\n") == drop.count
    else:
        town.judge()


async def _held(town: Town, why: str) -> None:
    """Wait until a set is held for this reason: nothing is sent again before somebody decides."""
    jobs = 0
    for _ in range(200):
        found = [one.flags.held or "" for one in await town.read(set_rows.open_sets)]
        if any(reason.startswith(why) for reason in found):
            jobs = jobs or len(town.jobs)
            await town.pass_time(6 * HOUR)
            assert len(town.jobs) == jobs
            return
        await town.pass_time(600)
    raise AssertionError(f"no set is held as {why}")


@pytest.mark.parametrize(("do", "on"), _pairs())
def test_b_any_fault_at_any_call_is_lived_through(do: str, on: str):
    """Whatever the service does wrong, wherever: whole and paid once, or held and said."""
    fault = Fault(do=do, on=on, times=2, **PARAMETERS.get(do, {}))
    live(lambda town: _meets(town, do), faults=(fault,))


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, '{"name":"batches/../../x"}'), (404, "<html>not here</html>"), (400, "{}")],
)
def test_b16_nonsense_about_a_model_condemns_no_set(status: int, body: str):
    """Only the service's own word rejects a set for its model; a proxy's page does not."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("sane", 3))
        await town.until_delivered()
        town.judge()

    fault = Fault(do="answer", on="models.get", status=status, body=body, times=2)
    live(scenario, faults=(fault,))


@pytest.mark.parametrize("body", ['{"name":"batches/../../x"}', "<html>log in</html>", ""])
def test_b25_what_is_no_output_is_not_taken_for_missing_answers(body: str):
    """A page in place of the results, however often, is asked for again; nothing is paid twice."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("paid-for", 9, options={"max_requests_per_batch": 3}))
        await town.until_delivered()
        told = [why for kind, _, why in town.troubles if kind == "no_answers"]
        town.judge()
        assert len(town.jobs) == 3
        assert told[0] is not None
        assert told[-1] is None

    fault = Fault(do="answer", on="files.download", status=200, body=body, times=12)
    live(scenario, faults=(fault,))
