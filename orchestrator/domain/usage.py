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
_response = msgspec.json.Decoder(Response)


def told(response: bytes | memoryview) -> Response:
    """Return what the JSON of a response tells, nothing if it tells it in no known form."""
    try:
        return _response.decode(response)
    except msgspec.DecodeError:
        return Response()


def told_at_the_ends(data: bytes, starts: Sequence[int], ends: Sequence[int]) -> list[Response]:
    """Return what responses tell that lie in `data`, valid JSON: from their ends if they can.

    What the last `,"usageMetadata":{` begins is read as an object of its own. Where that ends with
    the response, it is a member of it: were it one of an inner object, something would follow.
    """
    places = [data.rfind(_USAGE, *span) for span in zip(starts, ends, strict=True)]
    tails = [data[at + 1 : end] for at, end in zip(places, ends, strict=True)]
    if places and min(places) >= 0:
        try:
            return _response.decode_lines(b"{" + b"\n{".join(tails))
        except msgspec.DecodeError:
            pass
    view = memoryview(data)
    return [told(view[start:end]) for start, end in zip(starts, ends, strict=True)]


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
