"""What a row fault does to a good response."""

from collections.abc import Callable
from typing import Any

from orchestrator.emulator.faults import Fault

Response = dict[str, Any]
IMAGE_BYTES = 4 << 20


def spoil(response: Response, fault: Fault) -> Response:
    """Do to a good response what a row fault asks for."""
    change = _CHANGES.get(fault.do)
    return response if change is None else change(response, fault)


def status(fault: Fault) -> dict[str, Any]:
    """Write the google.rpc status of a row that a fault makes fail."""
    shown: dict[str, Any] = {"code": fault.code or 13}
    if fault.message:
        shown["message"] = fault.message
    if fault.details:
        shown["details"] = fault.details
    return shown


def _head(response: Response) -> Response:
    kept = ("responseId", "modelVersion", "usageMetadata")
    return {name: response[name] for name in kept if name in response}


def _blocked(response: Response, fault: Fault) -> Response:
    reason = fault.text or "PROHIBITED_CONTENT"
    return _head(response) | {"promptFeedback": {"blockReason": reason}}


def _no_candidates(response: Response, _fault: Fault) -> Response:
    return _head(response)


def _no_parts(response: Response, _fault: Fault) -> Response:
    return response | _candidate({"content": {"role": "model"}, "finishReason": "STOP"})


def _safety(response: Response, fault: Fault) -> Response:
    return response | _candidate({"finishReason": fault.text or "SAFETY"})


def _max_tokens(response: Response, _fault: Fault) -> Response:
    first = (response.get("candidates") or [{}])[0]
    return response | {"candidates": [{**first, "finishReason": "MAX_TOKENS"}]}


def _truncated_json(response: Response, _fault: Fault) -> Response:
    return response | _part({"text": '{"emulator": "cut'})


def _line_separators(response: Response, _fault: Fault) -> Response:
    return response | _part({"text": "[emulator] one\u2028two\u2029three\u0085four"})


def _image(response: Response, fault: Fault) -> Response:
    data = "A" * ((fault.bytes or IMAGE_BYTES) // 4 * 4)
    return response | _part({"inlineData": {"mimeType": "image/png", "data": data}})


def _part(part: dict[str, Any]) -> Response:
    content = {"parts": [part], "role": "model"}
    return _candidate({"content": content, "finishReason": "STOP"})


def _candidate(candidate: dict[str, Any]) -> Response:
    return {"candidates": [candidate | {"index": 0}]}


_CHANGES: dict[str, Callable[[Response, Fault], Response]] = {
    "row_blocked": _blocked,
    "row_no_candidates": _no_candidates,
    "row_no_parts": _no_parts,
    "row_safety": _safety,
    "row_max_tokens": _max_tokens,
    "row_truncated_json": _truncated_json,
    "row_line_separators": _line_separators,
    "row_image": _image,
}
