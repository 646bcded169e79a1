"""The Files API as objects: resumable sessions that become files, and files that expire, are
deleted or vanish.

Blobs lie in `<state_dir>/files`, unfinished uploads in `<state_dir>/uploads`; the journal has the
rest. Times are nanoseconds on the wall (`clock.py`).
"""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.emulator.clock import NS, EmulatorClock
from orchestrator.emulator.dice import Dice
from orchestrator.emulator.file import FileRecord, Session, view
from orchestrator.emulator.journal import Journal
from orchestrator.emulator.refusals import Refusal, forbidden_file, invalid, over_quota
from orchestrator.emulator.settings import EmulatorSettings

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\Z")


class Files:
    """All files and upload sessions of all projects."""

    def __init__(
        self,
        settings: EmulatorSettings,
        clock: EmulatorClock,
        journal: Journal,
        dice: Dice,
        state_dir: Path,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._journal = journal
        self._dice = dice
        self._folder = state_dir / "files"
        self._parts = state_dir / "uploads"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._parts.mkdir(parents=True, exist_ok=True)
        self.files: dict[str, FileRecord] = {}
        self.sessions: dict[str, Session] = {}
        self._restore()

    def _restore(self) -> None:
        for id_, raw in self._journal.records("file"):
            self.files[id_] = msgspec.json.decode(raw, type=FileRecord)
        for id_, raw in self._journal.records("session"):
            session = msgspec.json.decode(raw, type=Session)
            part = self.part(session)
            size = part.stat().st_size if part.exists() else 0
            session.received = size - size % self._settings.upload_granularity
            self.sessions[id_] = session

    def blob(self, file: FileRecord) -> Path:
        """Say where a file's bytes lie."""
        return self._folder / str(file.number)

    def part(self, session: Session) -> Path:
        """Say where an unfinished upload's bytes lie."""
        return self._parts / str(session.number)

    # Uploads

    def start(
        self,
        project: str,
        *,
        mime_type: str,
        declared: int | None,
        name: str | None,
        display_name: str | None,
    ) -> Session:
        """Open a session, or refuse what the metadata already shows to be impossible."""
        self._check_metadata(name, display_name)
        if declared is not None:
            self._check_size(project, declared)
        if name is not None and self._is_taken(name):
            raise self._taken(name)
        number = len(self.sessions) + 1
        session = Session(
            number=number,
            id="AJRbA5" + self._dice.letters(58, "session", number),
            project=project,
            mime_type=mime_type,
            created=self._clock.wall(),
            declared=declared,
            name=name,
            display_name=display_name,
        )
        self.sessions[session.id] = session
        self._keep(session)
        return session

    def session(self, id_: str) -> Session | None:
        """Find a session that is still known: sessions are forgotten after about a week."""
        session = self.sessions.get(id_)
        if session is None:
            return None
        limit = self._settings.unknowns.upload_session_seconds
        return None if self._clock.wall() - session.created > limit * NS else session

    def cancel(self, session: Session) -> None:
        """End a session for good; its bytes are dropped."""
        session.status = "cancelled"
        self.part(session).unlink(missing_ok=True)
        self._keep(session)

    def rewind(self, session: Session, size: int) -> None:
        """Keep only what is committed after a cut: `size` bytes, aligned down to the
        granularity.
        """
        kept = size - size % self._settings.upload_granularity
        part = self.part(session)
        if part.exists() and part.stat().st_size > kept:
            os.truncate(part, kept)
        session.received = kept
        session.digest = None

    def finish(self, session: Session, sha256: str) -> FileRecord:
        """Turn a session's bytes into a file, or refuse it (the name may have been taken
        meanwhile).
        """
        if session.name is not None and self._is_taken(session.name):
            raise self._taken(session.name)
        self._check_size(session.project, session.received)
        number = len(self.files) + 1
        id_ = session.name or self._dice.letters(12, "file", number)
        now = self._clock.wall()
        received = now - 640_000_000 - self._dice.number("received", number) % 100_000_000
        file = FileRecord(
            number=number,
            id=id_,
            project=session.project,
            size=session.received,
            sha256=sha256,
            mime_type=session.mime_type,
            created=now - now % 1000,
            received=received,
            expires=received + round(self._settings.file_expiry_seconds * NS),
            display_name=session.display_name,
        )
        part = self.part(session)
        if not part.exists():
            part.touch()
        part.replace(self.blob(file))
        self._put(file)
        session.status, session.file_id = "final", id_
        self._keep(session)
        return file

    def register(self, project: str, uri: str) -> FileRecord:
        """Register an object of a bucket; its bytes are never read here."""
        number = len(self.files) + 1
        now = self._clock.wall()
        file = FileRecord(
            number=number,
            id=self._dice.letters(12, "file", number),
            project=project,
            size=0,
            sha256=hashlib.sha256(b"").hexdigest(),
            mime_type="application/octet-stream",
            created=now - now % 1000,
            received=now,
            expires=now + round(self._settings.file_expiry_seconds * NS),
            source="REGISTERED",
            gs_uri=uri,
        )
        self.blob(file).touch()
        self._put(file)
        return file

    # Files

    def get(self, project: str, id_: str) -> FileRecord:
        """Find a project's file; gone, foreign and unknown ones are all the same 403."""
        file = self.files.get(id_)
        if file is None or file.project != project or not self.is_there(file):
            raise forbidden_file(id_)
        return file

    def list(self, project: str) -> list[FileRecord]:
        """List a project's files, newest first."""
        mine = [file for file in self.files.values() if file.project == project]
        there = [file for file in mine if self.is_there(file)]
        return sorted(there, key=lambda file: (file.created, file.number), reverse=True)

    def delete(self, project: str, id_: str) -> None:
        """Delete a file; a second time is a 403, an id that is too long a 400."""
        if len(id_) > 40:
            raise invalid("The File ID is too long: it must be 40 characters or less.")
        file = self.get(project, id_)
        file.deleted = True
        self.blob(file).unlink(missing_ok=True)
        self._put(file)

    def change(self, file: FileRecord) -> None:
        """Record a change that a fault or the admin door made."""
        self._put(file)

    def is_there(self, file: FileRecord) -> bool:
        """Say whether a file can be seen now."""
        return self.files.get(file.id) is file and self.was_there(file.id, self._clock.wall())

    def was_there(self, id_: str, wall: int) -> bool:
        """Say whether a file could be read at a moment that may have passed."""
        file = self.files.get(id_)
        if file is None or file.deleted or wall >= file.expires:
            return False
        return file.gone_at is None or wall < file.gone_at

    def state(self, file: FileRecord) -> str:
        """Say PROCESSING, ACTIVE or FAILED."""
        if self._clock.wall() < file.active_at:
            return "PROCESSING"
        return "FAILED" if file.failed else "ACTIVE"

    def stored_bytes(self, project: str) -> int:
        """Add up what a project's files take of its storage quota."""
        return sum(
            file.size
            for file in self.files.values()
            if file.project == project and self.is_there(file)
        )

    def view(self, file: FileRecord, base_url: str) -> dict[str, Any]:
        """Write a File as the service does."""
        return view(file, self.state(file), base_url)

    def _check_metadata(self, name: str | None, display_name: str | None) -> None:
        if name is not None and not NAME.match(name):
            raise invalid(
                f"* CreateFileRequest.file.name: Invalid resource name: files/{name}. An ID is "
                "up to 40 lowercase alphanumeric characters or dashes (-), and cannot start or "
                "end with a dash.\n"
            )
        if display_name is not None and len(display_name) > 512:
            raise invalid(
                "* CreateFileRequest.file.display_name: must be no more than 512 characters.\n"
            )

    def _check_size(self, project: str, size: int) -> None:
        if size > self._settings.file_bytes_max:
            raise invalid(
                f"File size {size} exceeds the maximum of {self._settings.file_bytes_max} bytes."
            )
        wall = self._settings.quotas.storage_bytes
        if wall and self.stored_bytes(project) + size > wall:
            raise over_quota()

    def _is_taken(self, name: str) -> bool:
        file = self.files.get(name)
        if file is None:
            return False
        return self.is_there(file) or not self._settings.unknowns.reuse_deleted_name

    def _taken(self, name: str) -> Refusal:
        code = self._settings.unknowns.taken_name_status
        status = "ALREADY_EXISTS" if code == 409 else None
        return Refusal(code, f"The file files/{name} already exists.", status)

    def _put(self, file: FileRecord) -> None:
        self.files[file.id] = file
        self._journal.write("file", file.id, file)

    def _keep(self, session: Session) -> None:
        self._journal.write("session", session.id, session.record())
