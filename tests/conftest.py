"""How much chance the property tests take: little on each commit, much in a soak."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "commit",
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
settings.register_profile(
    "soak", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "commit"))
