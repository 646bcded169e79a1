"""The optional engine: atheris grows inputs towards code that none of them has reached yet.

Run as a process of its own, because atheris ends the process that it runs in:
python -m tests.fuzz.guided TARGET SECONDS FOLDER

FOLDER holds what was grown, so that the next run goes on from there; what broke a reader lies in
FOLDER-found. The kept corpus is where it begins.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

from tests.fuzz.kept import CORPUS, unpack

LENGTH_MAX = 4096
SECONDS_OF_AN_INPUT_MAX = 10
MEGABYTES_MAX = 2048


def is_there() -> bool:
    """Tell whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def main(name: str, seconds: str, folder: Path) -> None:
    """Fuzz one target; does not return."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["orchestrator"]):
        targets = importlib.import_module("tests.fuzz.targets")
    found = folder.with_name(f"{folder.name}-found")
    found.mkdir(parents=True, exist_ok=True)
    unpack(name, folder)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LENGTH_MAX}",
        f"-timeout={SECONDS_OF_AN_INPUT_MAX}",
        f"-rss_limit_mb={MEGABYTES_MAX}",
        f"-artifact_prefix={found}/",
        "-verbosity=0",
        "-print_final_stats=1",
    ]
    atheris.Setup([name, *options, str(folder), str(CORPUS)], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
