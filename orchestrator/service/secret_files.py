"""Reading a secret from a file, without ever repeating what is in it.

Trouble: a file that cannot be a key, or that somebody else controls, is a `SecretTrouble` whose
text names the file and the remedy, never the content.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

SECRET_BYTES_MAX = 4096


class SecretTrouble(Exception):
    """The secret cannot be read or cannot be one; the message is one line with the remedy."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What a file held, and what should be better about the file."""

    value: str = field(repr=False)
    warnings: tuple[str, ...]


def read_secret(file: Path) -> Secret:
    """Read a key: one line of printable ASCII, in a regular file that nobody else can change.

    A symbolic link is followed when it and its target belong to root or to us, as the mounts of
    container platforms do.
    """
    try:
        link = file.lstat()
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SecretTrouble(f"{file}: there is no such file; put the API key there") from None
    except OSError as error:
        raise SecretTrouble(f"{file}: cannot be read: {error.strerror}; chown it to us") from None
    try:
        facts = os.fstat(descriptor)
        _refuse_strange(file, link, facts)
        raw = os.read(descriptor, SECRET_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    return Secret(_text(file, raw), tuple(_warnings(file, facts)))


def _refuse_strange(file: Path, link: os.stat_result, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise SecretTrouble(f"{file}: is not a regular file; put the API key into one")
    trusted = {0, os.geteuid()}
    if stat.S_ISLNK(link.st_mode) and {link.st_uid, facts.st_uid} - trusted:
        raise SecretTrouble(f"{file}: is a link that another user controls; name the file itself")
    if facts.st_mode & stat.S_IWOTH:
        raise SecretTrouble(f"{file}: anybody may write it; chmod 600 it and check the key")


def _text(file: Path, raw: bytes) -> str:
    if len(raw) > SECRET_BYTES_MAX:
        advice = "put the API key alone into it"
        raise SecretTrouble(f"{file}: is larger than {SECRET_BYTES_MAX} bytes; {advice}")
    line = raw.strip()
    if not line:
        raise SecretTrouble(f"{file}: is empty; put the API key into it")
    if any(not 0x21 <= byte <= 0x7E for byte in line):
        problem = "holds more than printable ASCII without spaces, which no API key does"
        raise SecretTrouble(f"{file}: {problem}; put the key alone into it, on one line")
    return line.decode("ascii")


def _warnings(file: Path, facts: os.stat_result) -> list[str]:
    if facts.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        mode = stat.S_IMODE(facts.st_mode)
        return [f"{file}: others may read the key (mode {mode:04o}); chmod 600 it"]
    return []
