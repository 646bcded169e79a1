"""Admission: whoever may start fits, and nobody loses his place to one of less urgency."""

from datetime import timedelta

from hypothesis import given, strategies as st

from orchestrator.domain.admission import Candidate, Load, admit, probes
from orchestrator.domain.batches import Planned
from orchestrator.domain.calibration import Estimates
from orchestrator.domain.ids import IdempotencyKey
from orchestrator.domain.others import Others
from orchestrator.domain.policy import Limits
from tests.store.values import NOW, planned, set_info

MODELS = ("gemini-a", "gemini-b")
LIMIT = 1_000
SETS = [set_info(name) for name in ("one", "two", "three")]


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    """Some batches of three sets, each set of one priority."""
    priorities = [draw(st.integers(-1, 1)) for _ in SETS]
    found = []
    for serial in range(1, draw(st.integers(0, 14)) + 1):
        of = draw(st.integers(0, 2))
        batch = planned(
            serial,
            of=SETS[of],
            token=IdempotencyKey(f"t-{serial}"),
            tokens=draw(st.integers(1, 1_400)),
            wire_bytes=draw(st.integers(1, 900)),
            mode=draw(st.sampled_from(["file", "inline"])),
            model=draw(st.sampled_from(MODELS)),
        )
        found.append(Candidate(batch, priorities[of], NOW + timedelta(seconds=of)))
    return found


@given(
    waiting=candidates(),
    jobs=st.integers(0, 6),
    held=st.integers(0, 900),
    rate=st.sampled_from([None, 0.5, 3.0]),
)
def test_what_is_admitted_fits(
    waiting: list[Candidate], jobs: int, held: int, rate: float | None
) -> None:
    """Jobs, tokens by model and bytes stay within their limits, by what is known of tokens now."""
    rates = {} if rate is None else {SETS[0].id: rate}
    load = Load(jobs, 100, {MODELS[0]: held}, {}, Estimates(rates))
    limits = Limits(active_jobs_max=5, storage_bytes_max=2_000)

    admission = admit(waiting, load, limits, lambda _model: LIMIT)

    assert jobs + len(admission.admitted) <= max(5, jobs)
    for model, before in ((MODELS[0], held), (MODELS[1], 0)):
        tokens = [
            load.estimates.tokens(one.part) for one in admission.admitted if one.part.model == model
        ]
        assert before + sum(tokens) <= LIMIT or (len(tokens) == 1 and not before)
    files = [one.part for one in admission.admitted if isinstance(one, Planned)]
    assert 100 + sum(part.wire_bytes for part in files if part.mode == "file") <= 2_000
    assert not {one.part.token for one in admission.oversized} & {
        one.part.token for one in admission.admitted
    }
    assert load.tokens == {MODELS[0]: held}  # what was asked is not changed


@given(waiting=candidates())
def test_nobody_loses_his_place_to_one_of_less_urgency(waiting: list[Candidate]) -> None:
    """Of two batches that need the same, the less urgent is not admitted before the other."""
    admission = admit(waiting, Load(), Limits(active_jobs_max=4), lambda _model: None)

    priority = {one.batch.part.token: one.priority for one in waiting}
    ranks = [priority[one.part.token] for one in admission.admitted]
    admitted = {one.part.token for one in admission.admitted}
    left = [rank for token, rank in priority.items() if token not in admitted]
    assert ranks == sorted(ranks, reverse=True)
    assert not left or not ranks or max(left) <= ranks[-1]


def test_others_take_up_places_and_tokens() -> None:
    """What others run is added to what is ours, and ours stays as it was."""
    ours = Load(2, 7, {MODELS[0]: 5})

    both = ours.beside(Others(3, {MODELS[0]: 1, MODELS[1]: 2}))

    assert both == Load(5, 7, {MODELS[0]: 6, MODELS[1]: 2})
    assert ours == Load(2, 7, {MODELS[0]: 5})


def test_of_a_model_that_was_refused_one_batch_tries() -> None:
    """Of the others all may go."""
    batches = [planned(n, model=MODELS[n % 2]) for n in range(1, 7)]

    assert [one.part.serial for one in probes(batches, {MODELS[0]})] == [1, 2, 3, 5]
