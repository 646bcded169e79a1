"""Fuzz every target for some minutes: python -m tests.fuzz --minutes 10

With atheris, where it is installed, for half of the time, and with hypothesis. Ends with 1 when
anything was found; what it was is printed, to be added to the corpus.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from tests.fuzz import guided
from tests.fuzz.kept import pack
from tests.fuzz.targets import TARGETS
from tests.fuzz.test_short import DATA

GROWN = Path(".venv/fuzz")


def main() -> int:
    """Share the time among the targets, and among the engines."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--target", choices=sorted(TARGETS), help="run this one in this process")
    parser.add_argument("--grown", type=Path, default=GROWN, help="where atheris has its inputs")
    parser.add_argument("--keep", action="store_true", help="keep what was grown with the tests")
    asked = parser.parse_args()
    if asked.target:
        return _run(asked.target, asked.minutes * 60)
    engines = 2 if guided.is_there() else 1
    if engines == 1:
        print("atheris is not installed: hypothesis alone")  # noqa: T201
    seconds = asked.minutes * 60 / len(TARGETS) / engines
    codes = [_plain(name, seconds) for name in sorted(TARGETS)]
    if engines == 2:
        codes += [_guided(name, seconds, asked.grown / name) for name in sorted(TARGETS)]
    for name in TARGETS if asked.keep else ():
        pack(name, asked.grown / name)
    return int(any(codes))


def _plain(name: str, seconds: float) -> int:
    command = [sys.executable, "-m", "tests.fuzz", "--target", name, "--minutes", str(seconds / 60)]
    return subprocess.run(command, check=False).returncode


def _guided(name: str, seconds: float, folder: Path) -> int:
    command = [sys.executable, "-m", "tests.fuzz.guided", name, str(round(seconds)), str(folder)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    runs = [row for row in ended.stderr.splitlines() if "number_of_executed_units" in row]
    told = runs[0].split()[-1] if runs else "?"
    if ended.returncode:
        print(ended.stdout[-4000:], ended.stderr[-8000:])  # noqa: T201
    verdict = f"ended with {ended.returncode}" if ended.returncode else "nothing found"
    print(f"{name}: {told} inputs grown by atheris, {verdict}", flush=True)  # noqa: T201
    return ended.returncode


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
