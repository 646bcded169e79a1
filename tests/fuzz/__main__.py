"""Fuzz every target for some minutes: python -m tests.fuzz --minutes 10

Ends with 1 when anything was found; what it was is printed, to be added to the corpus.
"""

import argparse
import subprocess
import sys
import time

from hypothesis import HealthCheck, given, settings

from tests.fuzz.targets import TARGETS
from tests.fuzz.test_short import DATA


def main() -> int:
    """Share the time among the targets."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--target", choices=sorted(TARGETS), help="run this one in this process")
    given_ = parser.parse_args()
    seconds = given_.minutes * 60 / (1 if given_.target else len(TARGETS))
    if given_.target:
        return _run(given_.target, seconds)
    codes = [_child(name, seconds) for name in sorted(TARGETS)]
    return int(any(codes))


def _child(name: str, seconds: float) -> int:
    command = [sys.executable, "-m", "tests.fuzz", "--target", name, "--minutes", str(seconds / 60)]
    return subprocess.run(command, check=False).returncode


def _run(name: str, seconds: float) -> int:
    ends, runs = time.monotonic() + seconds, 0

    @given(DATA)
    @settings(
        max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def some(data: bytes) -> None:
        TARGETS[name](data)

    while time.monotonic() < ends:
        some()
        runs += 2000
    print(f"{name}: {runs} inputs, nothing found")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
