"""One file, and one upload that may become a file."""

import base64
from typing import Any

import msgspec

from orchestrator.emulator.clock import stamp, stamp_micros


class FileRecord(msgspec.Struct, kw_only=True):
    """One uploaded (or registered) file. `active_at` is when PROCESSING ends; `gone_at` when it
    vanishes by a fault.
    """

    number: int
    id: str
    project: str
    size: int
    sha256: str
    mime_type: str
    created: int
    received: int
    expires: int
    display_name: str | None = None
    source: str = "UPLOADED"
    active_at: int = 0
    failed: bool = False
    deleted: bool = False
    gone_at: int | None = None
    gs_uri: str | None = None


class Session(msgspec.Struct, kw_only=True):
    """One resumable upload: `received` counts the bytes that are committed to its part file."""

    number: int
    id: str
    project: str
    mime_type: str
    created: int
    declared: int | None = None
    name: str | None = None
    display_name: str | None = None
    status: str = "active"
    file_id: str | None = None
    received: int = 0
    turn: int = 0
    digest: Any = None

    def record(self) -> dict[str, Any]:
        """Write what the journal needs; the bytes speak for themselves."""
        return {
            name: getattr(self, name)
            for name in self.__struct_fields__
            if name not in {"digest", "turn", "received"}
        }


def view(file: FileRecord, state: str, base_url: str) -> dict[str, Any]:
    """Write a File as the service does: int64 as text, the hash as base64 of its hex digits."""
    shown: dict[str, Any] = {"name": f"files/{file.id}"}
    if file.display_name:
        shown["displayName"] = file.display_name
    shown["mimeType"] = file.mime_type
    if file.size:
        shown["sizeBytes"] = str(file.size)
    shown |= {
        "createTime": stamp_micros(file.created),
        "updateTime": stamp_micros(file.created),
        "expirationTime": stamp(file.expires),
        "sha256Hash": base64.b64encode(file.sha256.encode()).decode(),
        "uri": file.gs_uri or f"{base_url}/v1beta/files/{file.id}",
        "state": state,
        "source": file.source,
    }
    if state == "FAILED":
        shown["error"] = {"code": 13, "message": "The file could not be processed."}
    return shown
