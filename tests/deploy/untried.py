"""Says in a line each what `make test` left out: what `make booted` does, and what is not here."""

import shutil
import sys

from tests.deploy.machine import missing

LINE = "units: checked, but not booted under systemd in this run; `make booted` does (5 minutes)"
BOOTED_NEEDS = ("buildah", "podman")
WHERE_INSTALLED = {
    "socat": "the bridge of docs/status-api.md",
    "zsh": "completion in zsh",
    "fish": "completion in fish",
}


def main() -> None:
    """Print the lines."""
    lacking = [tool for tool in BOOTED_NEEDS if shutil.which(tool) is None]
    absent = missing() or (f"apt-get install {' '.join(lacking)}" if lacking else "")
    sys.stdout.write(f"{LINE}{f', once it has what it needs: {absent}' if absent else ''}\n")
    for program, what in WHERE_INSTALLED.items():
        if shutil.which(program) is None:
            sys.stdout.write(f"{what}: NOT tried; apt-get install {program}\n")


if __name__ == "__main__":
    main()
