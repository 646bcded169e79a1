"""Every interleaving of the submission protocol, up to the bounds given, and what breaks it.

The model says that the algorithm is right, not that the code follows it; the simulation and the
real processes do that.
"""

import pytest

from tests.model.explorer import Verdict, explore
from tests.model.state import Bounds, Rules, State, at_rest, paid_twice
from tests.model.submission import Submission


def verdict(rules: Rules, bounds: Bounds) -> Verdict[State]:
    """Walk the whole model."""
    model = Submission(rules, bounds)
    return explore(model.first, model.steps, bad=paid_twice, rest=at_rest)


SAFE = {
    "three crashes and two daemons": (Rules(), Bounds(crashes=3, daemons=2)),
    "late creates and a slow list": (Rules(), Bounds(late_create=4, list_lag=5, crashes=3)),
    "an expired job": (Rules(), Bounds(crashes=3, expiries=1, generations=3)),
    "a ledger that loses three commits": (Rules(), Bounds(crashes=2, rollbacks=1, generations=3)),
    "two rollbacks": (
        Rules(),
        Bounds(late_create=1, list_lag=1, crashes=3, rollbacks=2, generations=3),
    ),
    "a rollback, an expiry and a second daemon": (
        Rules(),
        Bounds(crashes=2, daemons=2, rollbacks=1, expiries=1, generations=3),
    ),
    "false and torn lists": (Rules(), Bounds(crashes=3, lies=3)),
    "no look before the create, with an intent": (Rules(look_first=False), Bounds(crashes=3)),
    "the fence first, a window of L only, creates nine ticks late": (
        Rules(fence="first", window=2),
        Bounds(late_create=9, list_lag=2, crashes=3),
    ),
}

BROKEN = {
    "the window is one tick short": (Rules(window=3, fence="none"), Bounds()),
    "the window covers the list's lag only": (Rules(window=2, fence="none"), Bounds()),
    "the fence comes first but the wait is shorter than L": (
        Rules(fence="first", window=1),
        Bounds(late_create=9, list_lag=3),
    ),
    "the intent comes after the create": (Rules(intent_first=False), Bounds()),
    "no look before the create and a ledger rolled back": (
        Rules(look_first=False),
        Bounds(rollbacks=1),
    ),
    "a second start forgets that the power was cut": (
        Rules(remembers_cuts=False),
        Bounds(rollbacks=1),
    ),
    "only the exact token is looked for and the ledger rolled back": (
        Rules(match_any_generation=False),
        Bounds(rollbacks=1),
    ),
    "an empty list is believed without a positive control": (
        Rules(positive_control=False),
        Bounds(lies=3),
    ),
    "a list that was cut short is believed": (Rules(whole_scans=False), Bounds(lies=3)),
    "the window runs from the intent, not from the last moment of sending": (
        Rules(window_restarts=False, fence="none"),
        Bounds(),
    ),
    "a 503 is taken for a no": (Rules(server_errors_are_doubt=False), Bounds()),
    "two daemons without a lock": (
        Rules(lock=False),
        Bounds(daemons=2, crashes=0, late_create=0, list_lag=0),
    ),
}


@pytest.mark.parametrize("case", SAFE)
def test_the_protocol_never_pays_twice(case: str) -> None:
    """No order of steps makes two jobs for one range, and from everywhere a way leads to rest."""
    rules, bounds = SAFE[case]

    found = verdict(rules, bounds)

    assert found.unsafe is None
    assert found.stuck is None
    assert found.states > 500


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_has_a_counterexample(case: str) -> None:
    """The walk finds the shortest way to a second job as soon as a rule is broken."""
    rules, bounds = BROKEN[case]

    found = verdict(rules, bounds)

    assert found.unsafe is not None
    assert found.unsafe[-1].endswith("arrives")
    assert sum(step.endswith("arrives") for step in found.unsafe) == 2


def test_holding_needs_no_bound_at_all() -> None:
    """`hold` is safe with no window, whatever is late and whatever the list says."""
    careless = Rules(hold=True, window=0, positive_control=False, whole_scans=False)
    hostile = Bounds(late_create=5, list_lag=5, crashes=4, lies=2)

    found = verdict(careless, hostile)

    assert found.unsafe is None


def test_a_protocol_that_can_hang_is_noticed() -> None:
    """The walk tells when rest can no longer be reached: a job that is never listed, never sent."""
    found = explore(
        0,
        lambda state: [("on", state + 1)] if state < 3 else [("round", 3)],
        bad=lambda _: False,
        rest=lambda state: state == 2,
    )

    assert found.stuck == ("on", "on", "on")
