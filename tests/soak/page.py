"""The page about a month: what befell the daemon, what came of it, and a plot over time."""

from pathlib import Path
from statistics import median

from tests.soak.measured import GROWTH_MAX, MB, last_life, quarter_medians
from tests.soak.month import Report

FINDINGS_SHOWN = 20
MONTH_DAYS = 30
MEASURES = (
    ("memory", "memory of the daemon (PSS), MB", MB),
    ("descriptors", "descriptors", 1),
    ("ledger", "ledger, MB", MB),
    ("work_files", "files in work/", 1),
)


def written(report: Report) -> str:
    """Return the page in Markdown."""
    long_life = last_life(report.samples)
    took = sorted(seconds for _, seconds in report.latencies) or [0.0]
    rows = [
        f"| {words} | {first / unit:.1f} | {end / unit:.1f} | {GROWTH_MAX[name] / unit:.0f} |"
        for name, words, unit in MEASURES
        for first, end in [quarter_medians(long_life, name)]
    ]
    minutes = MONTH_DAYS * 24 * 60 / report.speed
    found = report.findings[:FINDINGS_SHOWN]
    more = len(report.findings) - len(found)
    return "\n".join(
        [
            "# A month of weather",
            "",
            "One daemon and the emulator as real processes, under nearly every fault of the",
            "emulator's plan, killed and stopped.",
            f"Jobs age {report.speed:.0f} times as fast, our windows and pauses match:",
            f"{minutes:.1f} real minutes stand for a month.",
            "Written by the run itself: `python -m tests.soak --into docs`, in `make soak`.",
            "",
            f"- {report.sets} sets with {report.lines} lines in {report.minutes:.0f} minutes",
            f"- {len(report.latencies)} sets delivered",
            f"- {report.lives} lives; {dict(report.struck)}",
            f"- the operator's orders: {dict(report.orders) or 'none'}",
            f"- faults that struck: {sum(report.faults.values())} of {len(+report.faults)} kinds",
            f"- the provider's books: {report.books}",
            f"- incidents in the ledger: {dict(report.incidents)}",
            f"- from drop to delivery: median {median(took):.0f} s, longest {took[-1]:.0f} s",
            "",
            "| medians of the last life: of its | first quarter | last quarter | may grow by |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Findings",
            "",
            *([f"- {one}" for one in found] or ["None."]),
            *([f"- and {more} more"] if more else []),
            "",
            "![memory, backlog and latency over time](soak.svg)",
            "",
        ]
    )


def plot(report: Report, file: Path) -> None:
    """Draw memory, backlog and latency over time."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, (memory, backlog, latency) = plt.subplots(3, 1, figsize=(8, 8), sharex=True)
    minutes = [sample.at / 60 for sample in report.samples]
    memory.plot(minutes, [sample.memory / MB for sample in report.samples])
    memory.set_ylabel("memory, MB")
    backlog.plot(minutes, [sample.backlog for sample in report.samples])
    backlog.set_ylabel("sets under way")
    latency.plot([at / 60 for at, _ in report.latencies], [s for _, s in report.latencies], ".")
    latency.set_ylabel("drop to delivery, s")
    latency.set_xlabel("real minutes")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
