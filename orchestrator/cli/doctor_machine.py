"""The doctor's look at the machine: limits, socket, ledger, the daemon itself, its unit."""

import grp
import os
import resource
import socket
import stat
from pathlib import Path

from orchestrator.cli.doctor_folders import is_folder, may_write, nearest
from orchestrator.cli.failure import TRY_AGAIN, Failure
from orchestrator.cli.findings import Findings, fail, ok, parted, skip, warn
from orchestrator.cli.formats import standing
from orchestrator.config.settings import Paths, Settings
from orchestrator.service.lock import holder

OPEN_FILES_MIN = 1024
UNIT = "orchestrator.service"
TEMPLATE = "orchestrator@.service"
UNIT_FOLDERS = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
UNIT_NEEDS = {
    "Type": ("notify", "the manager would not know when it is ready"),
    "ExecStart": ("orchestrator", "it starts something else"),
    "LoadCredential": ("gemini_api_key", "the key would have to lie in the environment"),
    "StateDirectory": ("", "the sandbox leaves it no folder to write to"),
    "Restart": ("on-", "it would stay down after a failure"),
}


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


def status_socket(settings: Settings) -> Findings:
    """Look at what lies where the status socket goes, at its folder and at its group."""
    path, group = settings.paths.socket, settings.service.socket_group
    try:
        facts = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        yield from _place_of_socket(settings.paths)
    except OSError as error:
        yield fail("socket", f"{path}: {error.strerror}", "ask as the daemon's user (sudo -u)")
    else:
        yield from _in_place_of_socket(path, facts)
    if group is not None:
        yield from _group(group)


def _place_of_socket(paths: Paths) -> Findings:
    """Look at the folder for a socket that is not there yet; only those of the state are made."""
    path, folder = paths.socket, paths.socket.parent
    made = folder in {paths.state_dir, paths.work, paths.inbox, paths.outbox, paths.rejected}
    if not is_folder(folder) and not made:
        remedy = f"mkdir {folder} for the daemon's user, or set service.socket"
        yield fail("socket", f"{path} cannot be made: there is no folder {folder}", remedy)
    elif is_folder(folder) and not may_write(folder):
        remedy = "chown the folder to the daemon's user, or set service.socket"
        yield fail("socket", f"{path} cannot be made: {folder} is not ours to write", remedy)
    else:
        yield ok("socket", f"{path} is free")


def _in_place_of_socket(path: Path, facts: os.stat_result) -> Findings:
    if not stat.S_ISSOCK(facts.st_mode):
        yield fail("socket", f"{path} is no socket and in the way", f"move it away: mv {path} …")
    elif _answers(path):
        yield ok("socket", f"a daemon listens on {path}")
    elif facts.st_uid == os.geteuid():
        yield ok("socket", f"{path} is left over and will be replaced")
    else:
        yield fail("socket", f"{path} is a dead socket of another user", f"rm {path}")


def _group(name: str) -> Findings:
    """Look whether the socket can be given to its group."""
    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError:
        said = f"there is no group {name!r}"
        yield fail("socket", said, f"groupadd {name}, or change service.socket_group")
        return
    if os.geteuid() != 0 and number not in {os.getegid(), *os.getgroups()}:
        said = f"the socket cannot be given to the group {name}: this user is not in it"
        yield fail("socket", said, f"usermod -aG {name} the daemon's user, then log in anew")
    else:
        yield ok("socket", f"members of the group {name} may ask")


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

    file = paths.ledger
    if file is None:
        said = "service.database is no SQLite file, which this version needs"
        yield fail("ledger", said, "leave it out, or write sqlite:////PATH/orchestrator.db")
        return
    if not os.path.lexists(file):
        yield from _place_of_ledger(file, paths)
        return
    try:
        if is_folder(paths.state_dir) and (who := holder(paths.state_dir)):
            yield ok("ledger", f"in use by the daemon (pid {who.pid}, since {who.since})")
            return
        broken = findings(paths)
    except Failure as failure:
        if failure.code == TRY_AGAIN:  # a daemon has begun since we looked
            yield ok("ledger", parted(str(failure))[0])
        else:
            yield fail("ledger", *parted(str(failure)))
        return
    except OSError as error:
        said = f"{error.filename or file} cannot be read: {error.strerror}"
        yield fail("ledger", said, "ask as the daemon's user (sudo -u)")
        return
    for each in broken:
        said = f"{each['invariant']} {each['where']}: {each['what']}"
        yield fail("ledger", said, each["remedy"])
    if not broken and not os.access(file, os.W_OK, effective_ids=True):
        yield fail("ledger", f"{file} cannot be written", "chown it to the daemon's user")
    elif not broken:
        yield ok("ledger", f"{file} is sound")


def _place_of_ledger(file: Path, paths: Paths) -> Findings:
    """Look at the folder for a ledger that is not there yet; nobody makes one but the state's."""
    folder = file.parent
    if folder != paths.state_dir and not is_folder(folder):
        remedy = f"mkdir -p {folder} for the daemon's user, or change service.database"
        yield fail("ledger", f"{file} cannot be made: there is no folder {folder}", remedy)
    elif not may_write(nearest(folder)):
        remedy = "chown it to the daemon's user, or change service.database"
        yield fail("ledger", f"{file} cannot be made: {folder} is not ours to write", remedy)
    else:
        yield ok("ledger", "none yet; it is made at the first start")


def daemon(settings: Settings) -> Findings:
    """Ask the running daemon what it lacks."""
    from orchestrator.status.client import Answered, Client, Unreachable

    try:
        status = Client(settings.paths.socket, timeout=5.0).status()
    except (Unreachable, Answered) as error:
        yield skip("daemon", parted(str(error))[0])
        return
    service = status["service"]
    up = f"{standing(service['state'], service['uptime_seconds'])} (pid {service['pid']})"
    yield ok("daemon", up)
    for each in status["conditions"]:
        tell = warn if each.get("passing") else fail
        yield tell("daemon", each["message"], each["remedy"])
    for project in status["projects"]:
        if project["blocked"]:
            said = f"{project['name']} is blocked: {project['reason']}"
            yield fail("daemon", said, project["remedy"] or "see its log")


def unit(folders: tuple[str, ...] = UNIT_FOLDERS) -> Findings:
    """Look at the systemd unit, where systemd runs."""
    if not Path("/run/systemd/system").exists() and folders is UNIT_FOLDERS:
        yield skip("unit", "systemd does not run here")
        return
    places = [Path(each) / name for name in (UNIT, TEMPLATE) for each in folders]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        remedy = "copy deploy/orchestrator.service to /etc/systemd/system"
        yield warn("unit", f"no {UNIT} is installed: it will not start with the machine", remedy)
        return
    try:
        said = _unit_keys(found)
    except OSError as error:
        yield skip("unit", f"{found} cannot be read: {error.strerror}")
        return
    wrong = [
        warn("unit", f"{found} lacks {key}={value}: {why}", "compare deploy/orchestrator.service")
        for key, (value, why) in UNIT_NEEDS.items()
        if not said.get(key) or value not in said[key]
    ]
    yield from wrong or [ok("unit", f"{found} is as it should be")]


def _unit_keys(file: Path) -> dict[str, str]:
    pairs = [line.partition("=") for line in file.read_text("utf-8", "replace").splitlines()]
    return {key.strip(): value.strip() for key, mark, value in pairs if mark}
