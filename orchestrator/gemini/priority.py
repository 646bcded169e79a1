"""The service's own `priority` in an inline create, whose body was measured without it."""

from collections.abc import AsyncIterator

from orchestrator.ports import Body, SourceChanged

OPENING = b'{"batch":{'


class Prioritised:
    """Implements `ports.Body`: another body with the field as the first of its batch."""

    def __init__(self, body: Body, priority: int) -> None:
        self._body = body
        self._field = b'"priority":"%d",' % priority  # proto3 JSON writes an int64 as a string

    @property
    def size(self) -> int:
        """Return the exact length in bytes."""
        return self._body.size + len(self._field)

    async def pieces(self, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield the bytes; an inline body is sent from its beginning. Raises SourceChanged."""
        assert offset == 0, "no create is resumed"
        head, begun = b"", False
        async for piece in self._body.pieces():
            if begun:
                yield piece
                continue
            head += piece
            if len(head) >= len(OPENING):
                yield self._with_field(head)
                begun = True

    def _with_field(self, head: bytes) -> bytes:
        if not head.startswith(OPENING):
            raise SourceChanged("the body of a create does not begin as one")
        return OPENING + self._field + head[len(OPENING) :]

    async def sha256(self) -> str:
        """Refuse: only files are compared by their digests."""
        raise NotImplementedError
