"""The books in words, for the end of a run."""

from typing import Any


def readable(report: dict[str, Any]) -> str:
    """Write a report of the meter as a few lines of text."""
    requests, jobs, files = report["requests"], report["jobs"], report["files"]
    accepted = f"{requests['accepted']:,} accepted, {requests['executed']:,} executed and billed"
    again = f"{requests['accepted_again']:,} accepted again, {requests['executed_again']:,} "
    created = f"{jobs['created']:,} created, {jobs['active']:,} active, {jobs['deleted']:,} deleted"
    lines = [
        "",
        "The books",
        f"  requests  {requests['distinct']:,} distinct, {accepted}",
        f"  twice     {again}executed again (paid for nothing)",
        f"  tokens    {report['tokens']['accepted']:,} of prompts accepted",
        f"  jobs      {created}, {jobs['left_behind']:,} left behind",
    ]
    lines += [f"            {_short(state)}: {n:,}" for state, n in sorted(jobs["states"].items())]
    for origin, words in (("late", "late creates"), ("twin", "twins by the service")):
        if jobs["by_origin"][origin]:
            lines.append(f"            {words}: {jobs['by_origin'][origin]:,}")
    for state, count in sorted(jobs["requests_not_executed"].items()):
        lines.append(f"            requests not executed in {_short(state)} jobs: {count:,}")
    lines.append(
        f"  files     {files['created']:,} uploaded, {files['deleted']:,} deleted, "
        f"{files['left_behind']:,} left behind ({files['bytes_left_behind']:,} bytes)"
    )
    lines += _calls(report["calls"])
    for repeated in report["repeated"][:10]:
        lines.append(
            f"  repeated  key {repeated['key']} body {repeated['body'][:16]}: accepted "
            f"{repeated['accepted']}, executed {repeated['executed']}"
        )
    return "\n".join(lines)


def _calls(calls: list[dict[str, Any]]) -> list[str]:
    counts: dict[str, dict[int, int]] = {}
    for call in calls:
        statuses = counts.setdefault(call["endpoint"], {})
        statuses[call["status"]] = statuses.get(call["status"], 0) + call["calls"]
    lines: list[str] = []
    for endpoint, statuses in sorted(counts.items()):
        listed = ", ".join(
            f"{number:,} x {status or 'cut'}" for status, number in sorted(statuses.items())
        )
        lines.append(f"  {'calls' if not lines else '':<9} {endpoint:<20} {listed}")
    return lines


def _short(state: str) -> str:
    return state.removeprefix("BATCH_STATE_").lower()
