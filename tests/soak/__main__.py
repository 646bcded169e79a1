"""A month with real processes: python -m tests.soak --minutes 25 --sets 300 --into docs

Writes soak.md and soak.svg; ends with 1 when anything was found.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.soak.month import Month
from tests.soak.page import plot, written


def main() -> int:
    """Live the month, and tell of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--sets", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--finish", type=float, default=300.0, help="seconds for what is left")
    parser.add_argument("--into", type=Path, help="where the page and its plot go")
    asked = parser.parse_args()
    if asked.into is not None:
        asked.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        month = Month(
            Path(folder),
            minutes=asked.minutes,
            sets=asked.sets,
            seed=asked.seed,
            finish_seconds=asked.finish,
        )
        report = month.live()
    text = written(report)
    sys.stdout.write(text)
    if asked.into is not None:
        (asked.into / "soak.md").write_text(text, "utf-8")
        plot(report, asked.into / "soak.svg")
    return int(bool(report.findings))


if __name__ == "__main__":
    sys.exit(main())
