"""The tokens that responses say they took, summed. Nothing else of a response is looked at."""

from collections.abc import Sequence

import msgspec

from orchestrator.domain.batches import Usage


class UsageMetadata(msgspec.Struct, gc=False):
    """What the service counted for one request; what it leaves out is nothing."""

    promptTokenCount: int = 0  # noqa: N815 - the service's spelling
    cachedContentTokenCount: int = 0  # noqa: N815
    candidatesTokenCount: int = 0  # noqa: N815
    thoughtsTokenCount: int = 0  # noqa: N815


class Response(msgspec.Struct, gc=False):
    """A response as far as it tells tokens. An embedding's `tokenCount` is an int64: a string."""

    usageMetadata: UsageMetadata | None = None  # noqa: N815
    tokenCount: str | int | None = None  # noqa: N815


_NONE = UsageMetadata()
_USAGE = b',"usageMetadata":{'
_CANDIDATES = b',"candidates":['
HEAD_BYTES = 1000  # before the candidates stand a few short members
_response = msgspec.json.Decoder(Response)


def told(response: bytes | memoryview) -> Response:
    """Return what the JSON of a response tells, nothing if it tells it in no known form."""
    try:
        return _response.decode(response)
    except msgspec.DecodeError:
        return Response()


def told_at_the_ends(data: bytes, starts: Sequence[int], ends: Sequence[int]) -> list[Response]:
    """Return what responses tell that lie in `data`, valid JSON: from their ends if they can.

    Members come in any order, so what stands before the candidates is read as an object of its
    own, or else what the last `,"usageMetadata":{` begins. Where that is an object, the response
    was cut between two of its own members: were it between those of an inner object, too many
    or too few braces would be left.
    """
    view, spans = memoryview(data), list(zip(starts, ends, strict=True))
    parts = [part for start, end in spans if (part := _end_of(data, start, end)) is not None]
    if len(parts) == len(spans):
        try:
            responses = _response.decode_lines(b"\n".join(parts))
        except msgspec.DecodeError:
            pass
        else:
            return [
                response if response.usageMetadata is not None else told(view[start:end])
                for response, (start, end) in zip(responses, spans, strict=True)
            ]
    return [told(view[start:end]) for start, end in spans]


def _end_of(data: bytes, start: int, end: int) -> bytes | None:
    """Return the end of a response that is likely to tell its tokens; None if neither is."""
    candidates = data.find(_CANDIDATES, start, min(start + HEAD_BYTES, end))
    if candidates >= 0 and data.find(_USAGE[1:], start, candidates) >= 0:
        return data[start:candidates] + b"}"
    at = data.rfind(_USAGE, start, end)
    return b"{" + data[at + 1 : end] if at >= 0 else None


def summed(responses: Sequence[Response]) -> Usage:
    """Sum what some responses tell."""
    told = [response.usageMetadata or _NONE for response in responses]
    bare = [response for response in responses if response.tokenCount is not None]
    return Usage(
        sum([usage.promptTokenCount for usage in told]) + sum(map(_token_count, bare)),
        sum([usage.cachedContentTokenCount for usage in told]),
        sum([usage.candidatesTokenCount for usage in told]),
        sum([usage.thoughtsTokenCount for usage in told]),
    )


def _token_count(response: Response) -> int:
    # Where there is `usageMetadata` as well, it says the same.
    count = response.tokenCount
    if response.usageMetadata is not None or count is None:
        return 0
    return int(count) if str(count).isdecimal() else 0
