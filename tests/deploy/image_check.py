"""Is the image as it should be? Built where there is a builder, else its steps are carried out.

`make image-check`, with nothing to install. A builder is a docker or podman that answers. Without
one each step of the Dockerfile is done in a folder: paths of the image become paths below it, and
the libraries are those of this environment, if they are exactly what the lock names. What comes out
is run as the image would be: its user, its variables, its command, its health check, its signal.

Trouble: the first step that fails is named with what it said, and the exit status is 1.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.deploy.image_steps import Failed, carry_out, python_base
from tests.deploy.image_trial import try_out

REPOSITORY = Path(__file__).parents[2]
CONTEXT = ("Dockerfile", ".dockerignore", "requirements.lock")
BUILDERS = ("docker", "podman")
IMAGE = "localhost/orchestrator-image-check"
ELSEWHERE = "`make booted` builds it on a small Debian of its own (root, buildah, mmdebstrap)"


def main(repository: Path = REPOSITORY) -> int:
    """Say in one line how the image was checked; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="orchestrator-image-") as made:
        scratch = Path(made)
        scratch.chmod(0o755)  # the image's user is none of ours
        try:
            context = _context(repository, scratch / "context")
            said = _built(context) if (name := builder()) else None
            if said is None:
                steps, notes = _stepped(context, scratch)
                why = f"{name} cannot build it here" if name else "no builder here"
                said = f"{why}; {steps} of {steps} Dockerfile steps executed and checked{notes}"
                said += f"; {ELSEWHERE}"
        except Failed as failed:
            sys.stderr.write(f"image: NOT as it should be: {failed}\n")
            return 1
    sys.stdout.write(f"image: {said}\n")
    return 0


def builder() -> str | None:
    """Return the first builder that answers; a client without its daemon is none."""
    return next((name for name in BUILDERS if shutil.which(name) and _answers(name)), None)


def _answers(name: str) -> bool:
    try:
        return not subprocess.run(
            [name, "info"], check=False, capture_output=True, timeout=10
        ).returncode
    except subprocess.TimeoutExpired:
        return False


def _context(repository: Path, context: Path) -> Path:
    """Make what the recipe is given: what `.dockerignore` lets in, with the wheel built anew."""
    context.mkdir()
    for name in CONTEXT:
        shutil.copy(repository / name, context)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    done = subprocess.run(
        [*build, context / "dist", repository], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise Failed("make dist", done.stdout + done.stderr)
    return context


def _built(context: Path) -> str | None:
    """Build and run the image; None when the builder cannot fetch its base."""
    name = builder()
    assert name is not None, "asked for only where there is one"
    if _try(name, "pull", _base(context)) is None:
        return None
    built = _try(name, "build", "--tag", IMAGE, str(context))
    if built is None:
        raise Failed(f"{name} build", "see what it says: make dist && docker build .")
    demo = ("demo", "--dir", "/var/lib/orchestrator/demo")
    walls = ("--read-only", "--tmpfs", "/tmp", "--tmpfs", "/run/orchestrator:mode=0777")
    said = _try(name, "run", "--rm", "--network", "none", "--cap-drop", "ALL", *walls, IMAGE, *demo)
    if said is None or " 0 failed" not in said:
        raise Failed(f"{name} run … demo", said or "it failed")
    version = (_try(name, "--version") or name).strip()
    return f"built by {version}, and the demo run in it on a read-only root"


def _base(context: Path) -> str:
    (line,) = [
        line for line in (context / "Dockerfile").read_text().splitlines() if "ARG BASE=" in line
    ]
    return line.partition("=")[2]


def _try(*command: str) -> str | None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    return None if done.returncode else done.stdout


def _stepped(context: Path, scratch: Path) -> tuple[int, str]:
    outcome = carry_out(context, scratch, python_base(scratch / "base"))
    try_out(outcome, scratch)
    notes = "" if outcome.owned else " (all but the ownership of folders, which needs root)"
    return outcome.steps, notes


if __name__ == "__main__":
    sys.exit(main())
