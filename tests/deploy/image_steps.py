"""Carries out a Dockerfile's steps in a folder, without a builder and without fetching anything."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement

from tests.deploy.dockerfile import Stage, stages

PLACES = re.compile(r"(?<![\w/.])/(?:opt|src|var/lib|run)(?=[/\s:]|$)")  # what the image has anew
PINNED = re.compile(r"^([\w.\-\[\]]+==[^\s\\]+(?: ; [^\\]+)?)", re.MULTILINE)
OWNERS = re.compile(r" -[og] \d+")
SAID_MAX = 2000


class Failed(Exception):
    """A step that did not do what it should."""

    def __init__(self, step: str, said: str) -> None:
        super().__init__(f"{step}\n{said[-SAID_MAX:].strip()}")


@dataclass(slots=True)
class Outcome:
    """What the steps left at `root`, and where the interpreter and the libraries are."""

    root: Path
    stage: Stage
    base: Path
    libraries: Path
    owned: bool
    steps: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def placed(self, text: str) -> str:
        """Write the image's paths in a text as those below `root`."""
        return PLACES.sub(lambda found: f"{self.root}{found[0]}", text)

    def at(self, path: str) -> Path:
        """Return where a path of the image is."""
        return self.root / path.lstrip("/")


def carry_out(context: Path, scratch: Path, base: Path) -> Outcome:
    """Do every step of every stage in order, with the programs of a base image.

    Raises Failed at the first that fails.
    """
    libraries = _locked(context / "requirements.lock", scratch / "libraries")
    root, every = scratch / "root", stages(context / "Dockerfile")
    outcomes = [Outcome(root, stage, base, libraries, owned=os.geteuid() == 0) for stage in every]
    for outcome in outcomes:
        root.mkdir()
        for verb, rest in outcome.stage.steps:
            _Step(outcome, context, scratch).do(verb, rest)
        if outcome is not outcomes[-1]:  # the paths of the image are the same in every stage
            root.rename(scratch / f"stage-{outcome.stage.name}")
    outcomes[-1].steps = sum(len(stage.steps) for stage in every)
    return outcomes[-1]


@dataclass(slots=True)
class _Step:
    outcome: Outcome
    context: Path
    scratch: Path

    def do(self, verb: str, rest: str) -> None:
        match verb:
            case "WORKDIR":
                self.outcome.at(rest).mkdir(parents=True, exist_ok=True)
            case "COPY":
                self._copy(*rest.split())
            case "RUN":
                self._run(rest)
            case "ENV":
                self.outcome.environment |= {
                    name: self.outcome.placed(value)
                    for name, value in (pair.split("=", 1) for pair in rest.split())
                }
            case "VOLUME" if not self.outcome.at(rest).is_dir():
                raise Failed(f"VOLUME {rest}", "no step makes it, so it would be root's")
            case "USER" | "VOLUME" | "STOPSIGNAL" | "HEALTHCHECK" | "ENTRYPOINT" | "CMD":
                pass  # heeded when it is tried out
            case _:
                raise Failed(f"{verb} {rest}", "this check does not know the instruction")

    def _copy(self, *given: str) -> None:
        *sources, target = given
        origin = self.context
        if sources[0].startswith("--from="):
            origin = self.scratch / f"stage-{sources.pop(0).partition('=')[2]}"
        work = next((rest for verb, rest in self.outcome.stage.steps if verb == "WORKDIR"), "/")
        place = self.outcome.at(f"{work}/{target}" if not target.startswith("/") else target)
        for source in sources:
            found = list(origin.glob(source.lstrip("/")))
            if not found:
                raise Failed(f"COPY {' '.join(given)}", f"there is no {source}")
            for each in found:
                if each.is_dir():
                    shutil.copytree(each, place, symlinks=True, dirs_exist_ok=True)
                else:
                    shutil.copy2(each, place)

    def _run(self, rest: str) -> None:
        work = next((rest for verb, rest in self.outcome.stage.steps if verb == "WORKDIR"), "/")
        text = self.outcome.placed(rest if self.outcome.owned else OWNERS.sub("", rest))
        done = subprocess.run(
            ["sh", "-ec", text],
            cwd=self.outcome.at(work),
            env={
                "PATH": f"{self.outcome.base}/bin:/usr/local/bin:/usr/bin:/bin",
                "LD_LIBRARY_PATH": str(self.outcome.base / "lib"),
                "PYTHONPATH": str(self.outcome.libraries),
                "PIP_NO_INDEX": "1",
                "PIP_CONFIG_FILE": os.devnull,
            },
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Failed(f"RUN {rest}", done.stdout + done.stderr)


def python_base(folder: Path) -> Path:
    """Make what the base image has: `python3`, the one below this environment, for any user."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in ("python3", version):
        _lay(Path(sys._base_executable), folder / "bin" / name)  # type: ignore[attr-defined]
    shutil.copytree(
        sysconfig.get_path("stdlib"),
        folder / "lib" / version,
        ignore=shutil.ignore_patterns("site-packages", "dist-packages", "test", "config-*"),
        copy_function=_link,
    )
    shared = Path(sysconfig.get_config_var("LIBDIR")) / sysconfig.get_config_var("INSTSONAME")
    _lay(shared, folder / "lib" / shared.name)
    return folder


def _locked(lock: Path, folder: Path) -> Path:
    """Lay out the libraries that the lock names, and no others. Raises Failed where ours differ."""
    for pinned in PINNED.findall(lock.read_text()):
        wanted = Requirement(pinned)
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            found = importlib.metadata.distribution(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            raise Failed(f"requirements.lock: {wanted}", "is not installed here") from None
        if found.version not in wanted.specifier:
            raise Failed(f"requirements.lock: {wanted}", f"{found.version} is installed here")
        for file in found.files or ():
            if not file.parts[0].startswith("."):
                _lay(Path(str(found.locate_file(file))), folder / file)
    return folder


def _lay(source: Path, target: Path) -> None:
    if not source.exists():  # compiled code of another interpreter
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    _link(str(source), str(target))


def _link(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # on another file system
        shutil.copy2(source, target)
