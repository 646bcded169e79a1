"""The doctor's look at the machine: folders, space, limits, socket, ledger, unit."""

import os
import resource
import socket
import stat
import tempfile
from pathlib import Path

from orchestrator.cli.failure import Failure
from orchestrator.cli.findings import Finding, Findings, fail, ok, skip, warn
from orchestrator.cli.formats import size, span
from orchestrator.config.settings import Paths, Settings
from orchestrator.service import host
from orchestrator.service.lock import holder

INODES_MIN = 10_000
OPEN_FILES_MIN = 1024
UNIT = "orchestrator.service"
UNIT_FOLDERS = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
UNIT_NEEDS = {
    "Type": ("notify", "the manager would not know when it is ready"),
    "ExecStart": ("orchestrator", "it starts something else"),
    "LoadCredential": ("gemini_api_key", "the key would have to lie in the environment"),
    "StateDirectory": ("", "the sandbox leaves it no folder to write to"),
    "Restart": ("on-", "it would stay down after a failure"),
}


def folders(paths: Paths) -> Findings:
    """Look at each folder: there, ours to write, on the right file system."""
    places = {name: getattr(paths, name) for name in ("inbox", "outbox", "rejected", "work")}
    yield from (_folder("state_dir", paths.state_dir), *(_folder(n, p) for n, p in places.items()))
    yield from _devices({name: (path, _nearest(path)) for name, path in places.items()})
    yield from _shared({name: path for name, path in places.items() if path.is_dir()})


def _nearest(path: Path) -> Path:
    """Return the folder, or where it will be made."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def _folder(name: str, path: Path) -> Finding:
    check = f"folder {name}"
    if not path.exists():
        parent = next(each for each in path.parents if each.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            return ok(check, f"{path} will be made at the first start")
        return fail(check, f"{path} is not there and {parent} is not ours", f"mkdir -p {path}")
    if not path.is_dir():
        return fail(check, f"{path} is not a folder", f"move it away, or set service.{name}")
    try:
        with tempfile.TemporaryFile(dir=path, prefix=".orchestrator-doctor-"):
            return ok(check, f"{path} can be written")
    except OSError as error:
        remedy = f"chown it to the daemon's user, or set service.{name}"
        return fail(check, f"{path} cannot be written: {error.strerror}", remedy)


def _devices(places: dict[str, tuple[Path, Path]]) -> Findings:
    """Look at the file systems on which the folders lie, or will lie when they are made."""
    home = places["work"][1].stat().st_dev
    for name, (path, near) in places.items():
        if near.stat().st_dev == home:
            continue
        said = f"{path} is on another file system than work"
        if name == "inbox":
            yield warn("file systems", said, "drops are copied, not renamed; put both on one")
        else:
            yield fail("file systems", said, f"put both on one (service.{name})")
    for name, (path, near) in places.items():
        if (kind := host.file_system(near)) in host.NETWORK_FILE_SYSTEMS:
            said = f"{path} is on {kind}, where locks and renames are not dependable"
            yield warn("file systems", said, f"put service.{name} on a local disk")


def _shared(there: dict[str, Path]) -> Findings:
    inbox, work = there.get("inbox"), there.get("work")
    if inbox and inbox.stat().st_mode & stat.S_IWOTH:
        said = f"anybody on this machine may drop files into {inbox} and so spend your money"
        yield fail("inbox", said, f"chmod o-w {inbox}")
    if work and work.stat().st_mode & 0o077:
        yield warn("work", f"others may look into {work}", f"chmod 700 {work}")


def space(settings: Settings) -> Findings:
    """Look at what is left on the disk."""
    place = settings.paths.state_dir
    place = next(each for each in (place, *place.parents) if each.exists())
    found, least = host.space(place), settings.service.min_free_bytes
    said = f"{size(found.free_bytes)} free of {size(found.total_bytes)} at {place}"
    if found.read_only:
        yield fail("space", f"{place} is mounted read-only", "remount it read-write")
    elif found.free_bytes < least:
        remedy = f"free some, or lower service.min_free_bytes ({size(least)})"
        yield fail("space", said, remedy)
    elif found.free_bytes < 2 * least:
        yield warn("space", said, f"nothing new is taken below {size(least)}; free some")
    elif found.free_inodes is not None and found.free_inodes < INODES_MIN:
        yield warn("space", f"only {found.free_inodes} inodes are left at {place}", "remove files")
    else:
        yield ok("space", said)


def limits() -> Findings:
    """Look at what the system allows a process of ours."""
    _, core = resource.getrlimit(resource.RLIMIT_CORE)
    said = "forbidden by the daemon itself" if core else "forbidden by the system"
    yield ok("core files", f"{said}; the key cannot be read from one")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES_MIN:
        said = f"only {soft} may be open (at most {hard})"
        yield warn("open files", said, f"ulimit -n {OPEN_FILES_MIN}, or LimitNOFILE= in the unit")
    else:
        yield ok("open files", f"{soft} may be open")


def status_socket(paths: Paths) -> Findings:
    """Look at what lies where the status socket goes."""
    path = paths.socket
    try:
        facts = path.lstat()
    except FileNotFoundError:
        yield ok("socket", f"{path} is free")
        return
    except OSError as error:
        yield fail("socket", f"{path}: {error.strerror}", "set service.socket")
        return
    if not stat.S_ISSOCK(facts.st_mode):
        yield fail("socket", f"{path} is no socket and in the way", f"move it away: mv {path} …")
    elif _answers(path):
        yield ok("socket", f"a daemon listens on {path}")
    elif facts.st_uid in {os.geteuid(), 0}:
        yield ok("socket", f"{path} is left over and will be replaced")
    else:
        yield fail("socket", f"{path} is a dead socket of another user", f"rm {path}")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(2.0)
        try:
            end.connect(str(path))
        except OSError as error:
            return isinstance(error, PermissionError | TimeoutError)
        return True


def ledger(paths: Paths) -> Findings:
    """Look whether the ledger can be opened by this version, and is sound."""
    from orchestrator.cli.fsck import findings

    if paths.ledger is None or not paths.ledger.exists():
        yield ok("ledger", "none yet; it is made at the first start")
        return
    if paths.state_dir.is_dir() and (who := holder(paths.state_dir)):
        yield ok("ledger", f"in use by the daemon (pid {who.pid}, since {who.since})")
        return
    try:
        broken = findings(paths)
    except Failure as failure:
        said, _, remedy = str(failure).partition("; ")
        yield fail("ledger", said, remedy)
        return
    for each in broken:
        said = f"{each['invariant']} {each['where']}: {each['what']}"
        yield fail("ledger", said, each["remedy"])
    if not broken:
        yield ok("ledger", f"{paths.ledger} is sound")


def daemon(settings: Settings) -> Findings:
    """Ask the running daemon what it lacks."""
    from orchestrator.status.client import Answered, Client, Unreachable

    try:
        status = Client(settings.paths.socket, timeout=5.0).status()
    except (Unreachable, Answered) as error:
        yield skip("daemon", str(error).partition(";")[0])
        return
    service = status["service"]
    up = f"{service['state']} for {span(service['uptime_seconds'])} (pid {service['pid']})"
    yield ok("daemon", up)
    for each in status["conditions"]:
        yield fail("daemon", each["message"], each["remedy"])
    for project in status["projects"]:
        if project["blocked"]:
            said = f"{project['name']} is blocked: {project['reason']}"
            yield fail("daemon", said, project["remedy"] or "see its log")


def unit(folders: tuple[str, ...] = UNIT_FOLDERS) -> Findings:
    """Look at the systemd unit, where systemd runs."""
    if not Path("/run/systemd/system").exists() and folders is UNIT_FOLDERS:
        yield skip("unit", "systemd does not run here")
        return
    found = next((p for each in folders if (p := Path(each) / UNIT).exists()), None)
    if found is None:
        remedy = "copy deploy/orchestrator.service to /etc/systemd/system"
        yield warn("unit", f"no {UNIT} is installed: it will not start with the machine", remedy)
        return
    said = _unit_keys(found)
    wrong = [
        warn("unit", f"{found} lacks {key}={value}: {why}", "compare deploy/orchestrator.service")
        for key, (value, why) in UNIT_NEEDS.items()
        if key not in said or value not in said[key]
    ]
    yield from wrong or [ok("unit", f"{found} is as it should be")]


def _unit_keys(file: Path) -> dict[str, str]:
    pairs = [line.partition("=") for line in file.read_text("utf-8").splitlines()]
    return {key.strip(): value.strip() for key, mark, value in pairs if mark}
