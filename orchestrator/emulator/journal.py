"""What the emulator must still know after it was killed: one JSON line per change, the last one of
a record counts.

A line is written before the answer that tells of it. It is handed to the kernel, not forced to the
disk: that survives SIGKILL of the emulator, and a power cut of the machine is not what it emulates.
Trouble: a torn last line is dropped; any other unreadable line stops the start and names the file
and line.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

_encoder = msgspec.json.Encoder()


class Entry(msgspec.Struct, array_like=True):
    """One change: the kind of record, its id, and the record whole."""

    kind: str
    id: str
    record: msgspec.Raw


class Journal:
    """The append-only file of changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._latest: dict[tuple[str, str], Entry] = {}
        self._read()
        self._compact()
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def records(self, kind: str) -> Iterator[tuple[str, msgspec.Raw]]:
        """Yield (id, record) of one kind, oldest first, as they were when the journal was
        opened.
        """
        for entry in self._latest.values():
            if entry.kind == kind:
                yield entry.id, entry.record

    def forget_opening(self) -> None:
        """Free what was read at the opening, once everybody has taken theirs."""
        self._latest.clear()

    def write(self, kind: str, id_: str, record: object) -> None:
        """Add a change; it is with the kernel when this returns."""
        line = _encoder.encode((kind, id_, record)) + b"\n"
        if os.write(self._fd, line) != len(line):
            raise OSError(f"{self._path}: short write; the disk may be full")

    def close(self) -> None:
        """Close the file; nothing is pending."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> None:
        if not self._path.exists():
            return
        decoder = msgspec.json.Decoder(Entry)
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    entry = decoder.decode(line)
                except msgspec.MsgspecError as error:
                    raise ValueError(
                        f"{self._path}:{number}: unreadable journal line ({error}); "
                        "start with another state directory, or remove the line"
                    ) from error
                entry.record = entry.record.copy()
                self._latest[entry.kind, entry.id] = entry

    def _compact(self) -> None:
        if not self._latest:
            return
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as out:
            for entry in self._latest.values():
                out.write(_encoder.encode(entry) + b"\n")
        fresh.replace(self._path)
