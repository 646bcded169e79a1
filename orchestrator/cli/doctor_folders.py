"""The doctor's look at folders: there, ours to write, on a file system that keeps what it is given.

Whoever asks may be another user than the daemon's: what cannot even be looked at is said, too.
"""

import os
import stat
import tempfile
from pathlib import Path

from orchestrator.cli.findings import Finding, Findings, fail, ok, parted, warn
from orchestrator.cli.formats import size
from orchestrator.config.settings import Paths, Settings
from orchestrator.service import host
from orchestrator.service.printable import printable
from orchestrator.spool.claim import REMOVING
from orchestrator.spool.source import META

INODES_MIN = 10_000
STRANGERS_SHOWN = 3
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
PSEUDO = frozenset({
    "autofs", "bpf", "binfmt_misc", "cgroup", "cgroup2", "configfs", "debugfs", "devpts",
    "devtmpfs", "efivarfs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore",
    "rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs",
})  # fmt: skip


def folders(paths: Paths) -> Findings:
    """Look at each folder: there, ours to write, on the right file system."""
    places = {name: getattr(paths, name) for name in ("inbox", "outbox", "rejected", "work")}
    yield from (_folder("state_dir", paths.state_dir), *(_folder(n, p) for n, p in places.items()))
    near = {name: (path, nearest(path)) for name, path in places.items()}
    yield from _devices(near)
    yield from _kinds(near)
    yield from _shared({name: path for name, path in places.items() if is_folder(path)})
    yield from _strangers(paths.work)


def machine(paths: Paths) -> Findings:
    """Look whose the state directory is, as a start does, and leave it so: a copy is refused."""
    from orchestrator.daemon.identity import MACHINE_FILE, Cloned, check_machine

    file = paths.state_dir / MACHINE_FILE
    try:
        if not file.is_file():
            yield ok("machine", f"{paths.state_dir} becomes this machine's at the first start")
            return
        check_machine(paths.state_dir, host.machine_id())
    except Cloned as error:
        yield fail("machine", *parted(str(error)))
    except OSError as error:
        said = f"{file} cannot be read: {error.strerror}"
        yield fail("machine", said, "ask as the daemon's user (sudo -u)")
    else:
        yield ok("machine", f"{paths.state_dir} is this machine's")


def is_folder(path: Path) -> bool:
    """Tell whether a folder is there; one that cannot be looked at is not there for us."""
    try:
        return path.is_dir()
    except OSError:
        return False


def nearest(path: Path) -> Path:
    """Return the folder, or the one in which it will be made."""
    return next(each for each in (path, *path.parents) if is_folder(each))


def may_write(folder: Path) -> bool:
    """Tell whether this process may make files in a folder."""
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=True)


def _folder(name: str, path: Path) -> Finding:
    check, elsewhere = f"folder {name}", f"set service.{name}"
    if (kind := host.file_system(nearest(path))) in PSEUDO:
        said = f"{path} is on {kind}, which is no place for files"
        return fail(check, said, f"{elsewhere} to a folder on a disk")
    try:
        path.lstat()
    except PermissionError:
        said = f"{path} cannot be looked at as this user"
        return fail(check, said, f"ask as the daemon's user (sudo -u), or {elsewhere}")
    except OSError:
        return _unmade(check, path)
    if not is_folder(path):
        return fail(check, f"{path} is not a folder", f"move it away, or {elsewhere}")
    try:
        with tempfile.TemporaryFile(dir=path, prefix=".orchestrator-doctor-"):
            return ok(check, f"{path} can be written")
    except OSError as error:
        remedy = f"chown it to the daemon's user, or {elsewhere}"
        return fail(check, f"{path} cannot be written: {error.strerror}", remedy)


def _unmade(check: str, path: Path) -> Finding:
    parent = nearest(path)
    in_the_way = next((each for each in path.parents if os.path.lexists(each)), parent)
    if in_the_way != parent:
        said = f"{path} cannot be made: {in_the_way} is not a folder"
        return fail(check, said, f"move {in_the_way} away")
    if may_write(parent):
        return ok(check, f"{path} will be made at the first start")
    said = f"{path} is not there and {parent} is not ours"
    return fail(check, said, f"mkdir -p {path} and chown it to the daemon's user")


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


def _kinds(places: dict[str, tuple[Path, Path]]) -> Findings:
    for name, (path, near) in places.items():
        kind = host.file_system(near)
        if kind in host.NETWORK_FILE_SYSTEMS:
            said = f"{path} is on {kind}, where locks and renames are not dependable"
            yield warn("file systems", said, f"put service.{name} on a local disk")
        elif kind in IN_MEMORY:
            said = f"{path} is on {kind}: a reboot loses what was dropped and paid for"
            yield warn("file systems", said, f"put service.{name} on a disk")


def _shared(there: dict[str, Path]) -> Findings:
    inbox, work = there.get("inbox"), there.get("work")
    if inbox and inbox.stat().st_mode & stat.S_IWOTH:
        said = f"anybody on this machine may drop files into {inbox} and so spend your money"
        yield fail("inbox", said, f"chmod o-w {inbox}")
    if work and work.stat().st_mode & 0o077:
        yield warn("work", f"others may look into {work}", f"chmod 700 {work}")


def _strangers(work: Path) -> Findings:
    """Name what is not the daemon's own: it lets that alone, and nobody else looks there."""
    try:
        strange = sorted(path.name for path in work.iterdir() if _is_strange(path))
    except OSError:
        return
    if strange:
        named = ", ".join(printable(name) for name in strange[:STRANGERS_SHOWN])
        said = f"{len(strange)} in {work} not of the daemon's making, which it lets alone: {named}"
        yield warn("work", said, "move them elsewhere, or remove them")


def _is_strange(path: Path) -> bool:
    if path.name.startswith(REMOVING):
        return False
    if not is_folder(path):
        return True
    return not (path / META).exists() and any(path.iterdir())


def space(settings: Settings) -> Findings:
    """Look at what is left on the disk."""
    place = nearest(settings.paths.state_dir)
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
