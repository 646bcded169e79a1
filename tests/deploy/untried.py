"""Says in a line what `make test` leaves to `make booted`, and whether that could be run here."""

import shutil
import sys

from tests.deploy.machine import missing

LINE = "units: checked, but not booted under systemd in this run; `make booted` does (4 minutes)"


def main() -> None:
    """Print the line."""
    absent = missing() or ("" if shutil.which("buildah") else "apt-get install buildah")
    sys.stdout.write(f"{LINE}{f', once it has what it needs: {absent}' if absent else ''}\n")


if __name__ == "__main__":
    main()
