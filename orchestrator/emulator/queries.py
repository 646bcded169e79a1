"""Which query parameters a call may have: the system's own, and the fields of its message."""

from collections.abc import Iterable

from orchestrator.emulator.refusals import Refusal, invalid

SYSTEM = frozenset(
    {"alt", "fields", "key", "prettyPrint", ".xgafv", "quotaUser", "userIp", "access_token"}
    | {"oauth_token", "callback", "uploadType", "upload_protocol", "upload_id"}
)
PAGE = frozenset({"pageSize", "page_size", "pageToken", "page_token"})
FIELDS: dict[str, frozenset[str]] = {
    "batches.list": PAGE | {"name", "filter", "returnPartialSuccess", "return_partial_success"},
    "batches.patch": frozenset({"updateMask", "update_mask"}),
    "batches.patch_embed": frozenset({"updateMask", "update_mask"}),
    "files.list": PAGE,
    "generated_files.list": PAGE,
    "models.list": PAGE,
    "operations.list": PAGE | {"filter", "returnPartialSuccess", "return_partial_success"},
}
FREE = ("webhooks.", "files.upload", "files.start", "files.query", "files.cancel")


def refusal(endpoint: str, names: Iterable[str]) -> Refusal | None:
    """Refuse the parameters that no field of the call's message has, in the front end's words."""
    if endpoint.startswith(FREE):
        return None
    known = FIELDS.get(endpoint, frozenset())
    unknown = [n for n in dict.fromkeys(names) if n.removeprefix("$") not in SYSTEM | known]
    if not unknown:
        return None
    texts = [
        f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
        f"Field '{name}' could not be found in request message."
        for name in unknown
    ]
    return invalid("\n".join(texts), [("", text) for text in texts])
