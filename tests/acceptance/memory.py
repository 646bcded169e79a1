"""How much memory a daemon and its workers ever took."""

from pathlib import Path

from tests.acceptance.house import House


def rss_max(home: House) -> int:
    """Return the most memory that the daemon and its workers ever had, each, in bytes."""
    assert home.process is not None
    sizes = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            said = dict(
                row.split(":\t", 1) for row in status.read_text().splitlines() if ":\t" in row
            )
        except OSError:
            continue
        if said.get("NSsid", "").split()[-1:] == [str(home.process.pid)]:
            sizes.append(int(said["VmHWM"].split()[0]) * 1024)
    return max(sizes)
