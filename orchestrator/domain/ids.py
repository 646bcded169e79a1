"""Names of things, and how the ones that must never differ between two lives are derived.

Nothing here is random: whatever identifies work at the provider can be computed again from the
install's identity and the user's data, even when the ledger was lost or rolled back.
"""

import base64
import hashlib
import hmac
import re
from typing import NewType

InstallId = NewType("InstallId", str)  # 16 hex digits, made once per state directory
SetId = NewType("SetId", str)  # 10 characters [a-z2-7]
IdempotencyKey = NewType("IdempotencyKey", str)  # a batch's token, <= 37 characters [a-z0-9-]
Fingerprint = NewType("Fingerprint", str)  # recognises the same drop
ContentHash = NewType("ContentHash", str)  # 64 hex digits, of the plain (decompressed) bytes
Ordinal = NewType("Ordinal", int)  # a request's place in its set, from 0; its key on the wire
FileName = NewType("FileName", str)  # "files/…" at the provider
JobName = NewType("JobName", str)  # "batches/…" at the provider
ProjectName = NewType("ProjectName", str)  # which of the operator's accounts
AccountFingerprint = NewType("AccountFingerprint", str)  # which key, without telling the key

TOKEN_VERSION = "orc1"  # noqa: S105 - a batch's token is a name, not a secret
TOKEN_PREFIX = TOKEN_VERSION + "-"


def digest32(*fields: str, length: int = 10) -> str:
    """Return `length` lower-case base32 digits that name this sequence of fields."""
    whole = hashlib.sha256()
    for field in fields:
        raw = field.encode("utf-8", "surrogateescape")
        whole.update(len(raw).to_bytes(8, "big") + raw)
    return base64.b32encode(whole.digest()).decode("ascii").lower()[:length]


def set_id(install: InstallId, name: str, content: ContentHash, run: int, copy: int) -> SetId:
    """Name a set. `run` counts intended re-runs, `copy` the drops answered from a first run."""
    return SetId(digest32(install, name, content, str(run), str(copy)))


def install_prefix(install: InstallId) -> str:
    """Return what every token of this install begins with."""
    return f"{TOKEN_PREFIX}{digest32(install, length=5)}-"


def set_prefix(install: InstallId, request_set: SetId) -> str:
    """Return what every token of this set begins with, whatever its generation."""
    return f"{install_prefix(install)}{request_set}-"


def token(install: InstallId, request_set: SetId, generation: int, ranges: str) -> IdempotencyKey:
    """Derive the token of the batch that covers `ranges` (a digest) in this generation.

    It is the job's display name and names its input file, whose id may have at most 40
    characters of [a-z0-9-] without a dash at either end.
    """
    prefix = set_prefix(install, request_set)
    return IdempotencyKey(f"{prefix}{generation}-{digest32(ranges)}")


def generation_in(token: IdempotencyKey) -> int:
    """Return the generation that a token names."""
    return int(token.rsplit("-", 2)[1])


def set_of(token: str, install: InstallId) -> SetId | None:
    """Return the set that a token of this install names, None if it is no such token."""
    prefix = install_prefix(install)
    found = re.fullmatch(r"([a-z2-7]{10})-[0-9]{1,3}-[a-z2-7]{10}", token.removeprefix(prefix))
    return SetId(found.group(1)) if found and token.startswith(prefix) else None


def file_name(token: IdempotencyKey, upload: int) -> FileName:
    """Name the input file of the `upload`-th (from 1) content uploaded for this batch."""
    return FileName(f"files/{token}" if upload == 1 else f"files/{token}-{upload}")


def account_fingerprint(install: InstallId, secret: str) -> AccountFingerprint:
    """Tell accounts apart without keeping anything from which the key could be found."""
    return AccountFingerprint(
        hmac.new(install.encode(), secret.encode(), hashlib.sha256).hexdigest()[:8]
    )


def fingerprint(content: ContentHash, model: str, kind: str, options: str) -> Fingerprint:
    """Recognise the same drop: same bytes, model, kind and options (in canonical JSON)."""
    return Fingerprint("auto-" + digest32(content, model, kind, options, length=32))
