"""How much chance the property tests take, and what every test may take for granted."""

import os
import signal

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

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # `make test &` in a script: whoever is started would ignore the Ctrl-C that some tests send
    signal.signal(signal.SIGINT, signal.default_int_handler)
