"""What the sweeps found, one row each, kept in a file so that `make soak` can end with the table.

A row says which harness struck how many times and how many of these ended badly. Run as a
program it prints the table, and fails when anything went wrong or nothing was swept.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

FILE = Path(os.environ.get("ORCHESTRATOR_SWEEPS", ".venv/sweeps.jsonl"))
STRIDE = int(os.environ.get("ORCHESTRATOR_SWEEP_STRIDE", "1"))  # strike every n-th point only
OFFSET = int(os.environ.get("ORCHESTRATOR_SWEEP_OFFSET", "0"))  # and begin with this one


def note(harness: str, strikes: int, findings: Sequence[str]) -> None:
    """Add one row; a line of this length is appended whole, whoever else is writing."""
    bad = len({finding.partition(":")[0] for finding in findings})
    row = {"harness": harness, "strikes": strikes, "bad": bad, "first": list(findings[:1])}
    FILE.parent.mkdir(parents=True, exist_ok=True)
    with FILE.open("a") as file:
        file.write(json.dumps(row) + "\n")


def table(lines: Sequence[str]) -> str:
    """Add the rows of each harness up."""
    sums: dict[str, tuple[int, int]] = {}
    for line in lines:
        row = json.loads(line)
        strikes, bad = sums.get(row["harness"], (0, 0))
        sums[row["harness"]] = strikes + row["strikes"], bad + row["bad"]
    body = [f"| {name} | {strikes:,} | {bad} |" for name, (strikes, bad) in sorted(sums.items())]
    return "\n".join(["| harness, on the real daemon | strikes | bad |", "|---|---|---|", *body])


def main() -> int:
    """Print the table; 1 if there is none or anything in it is bad."""
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    sys.stdout.write(table(lines) + "\n")
    return int(not lines or any(json.loads(line)["bad"] for line in lines))


if __name__ == "__main__":
    sys.exit(main())
