"""What must be nowhere: the key, in whatever form, and the URLs of uploads."""

import base64
import re
from pathlib import Path

from tests.crash.real import KEY

FORMS = (KEY.encode(), KEY.encode().hex().encode(), base64.b64encode(KEY.encode())[:-4])
UPLOAD_URL = re.compile(rb"upload_id=[A-Za-z0-9_-]{6,}")


def leaks(root: Path, seen: bytes, *own: Path) -> list[str]:
    """Name every place below `root` that the key or an upload URL got into.

    `seen` is what was shown elsewhere; the key may be in `own`.
    """
    found = ["/proc or the socket shows the key"] if _shows_key(seen) else []
    found += ["the socket shows an upload URL"] if UPLOAD_URL.search(seen) else []
    places = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    for path in places:
        if any(path.is_relative_to(folder) for folder in own):
            continue
        data = path.read_bytes()
        if _shows_key(data) and b"canary-in-the-text" not in data:
            found.append(f"the key is in {path}")
        if UPLOAD_URL.search(data) and not _is_journaled_session(path):
            found.append(f"an upload URL is in {path}")
    return found


def _shows_key(data: bytes) -> bool:
    """Tell whether the key is there as it is, in hex or in base64."""
    return any(form in data for form in FORMS)


def _is_journaled_session(path: Path) -> bool:
    """An upload under way has its URL in one file, for the daemon's eyes only."""
    return "/work/" in str(path) and path.stat().st_mode & 0o077 == 0 and path.suffix != ".log"
