"""Run the benchmarks one after the other and put what they measured into `docs/performance.md`.

    python -m benchmarks [--quick] [--only NAME…]

The tables stand between the markers of the document; the plot beside it shows each ratio to its
limit. `--quick` measures little data, to see that everything runs: it writes nothing.
The exit code is 1 when a floor was missed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
PLOT = DOCUMENT.with_suffix(".svg")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
BENCHMARKS = {
    "intake": (["--megabytes", "256"], ["--megabytes", "16", "--rounds", "1"]),
    "compose_upload": (["--megabytes", "1000"], ["--megabytes", "32", "--rounds", "1"]),
    "sdk_upload": ([], ["--megabytes", "16", "--rounds", "1"]),
    "collect_deliver": (["--megabytes", "512"], ["--megabytes", "16", "--rounds", "1"]),
    "end_to_end": ([], ["--requests", "2000", "--rounds", "1"]),
    "scale": ([], ["--requests", "1000", "10000"]),
    "many_files": ([], ["--files", "200"]),
    "idle": ([], ["--jobs", "20", "--sets", "5", "--seconds", "5"]),
}
Rows = Sequence[Mapping[str, Any]]


def run(name: str, arguments: Sequence[str]) -> tuple[bool, Rows]:
    """Run one benchmark; returns whether it kept its floors, and its rows."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--json", str(file)]
        kept = subprocess.run(command, check=False).returncode == 0
        return kept, json.loads(file.read_text()) if file.exists() else []


def table(name: str, rows: Rows) -> str:
    """Return rows as a Markdown table."""
    titles = list(rows[0])
    lines = [f"### {name}", "", f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    lines += [f"| {' | '.join(_shown(row[title]) for title in titles)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _shown(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def write(tables: Sequence[str]) -> None:
    """Replace what stands between the markers."""
    text = DOCUMENT.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    body = "\n".join(tables)
    DOCUMENT.write_text(f"{head}{BEGIN}\n\n{body}\n{END}{tail}", "utf-8")


def plot(measured: Mapping[str, Rows]) -> None:
    """Draw the ratio of each row that has one."""
    import matplotlib as mpl  # noqa: PLC0415 - only for the plot

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after its back end is chosen

    bars = [
        (" ".join([name, str(row.get("line_bytes", "")), str(row.get("order", ""))]), row["ratio"])
        for name, rows in measured.items()
        for row in rows
        if "ratio" in row
    ]
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(bars) + 1))
    axes.barh([name for name, _ in bars], [ratio for _, ratio in bars])
    axes.invert_yaxis()
    axes.set_xlabel("ratio to the limit of the same run")
    figure.tight_layout()
    figure.savefig(PLOT)


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    asked = parser.parse_args(arguments)
    kept, measured = True, {}
    for name in asked.only:
        well, rows = run(name, BENCHMARKS[name][asked.quick])
        kept &= well
        if rows:
            measured[name] = rows
    if not asked.quick:
        write([table(name, rows) for name, rows in measured.items()])
        plot(measured)
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
