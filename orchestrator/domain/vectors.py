"""Embeddings in a compact form: float32 in place of decimal digits, the rest of a response kept."""

import base64
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_values = msgspec.json.Decoder(list[float])


@dataclass(frozen=True, slots=True)
class Embedding:
    """The response to an embedding request, with its `embedding.values` taken out."""

    vector: Vector
    _response: dict[str, msgspec.Raw]
    _embedding: dict[str, msgspec.Raw]

    def with_base64(self) -> bytes:
        """Return the response with `values_base64`: little-endian float32, in order."""
        return self._with("values_base64", base64.b64encode(self.vector.tobytes()).decode())

    def with_row(self, row: int) -> bytes:
        """Return the response with the number of its row in a matrix, from 0."""
        return self._with("row", row)

    def _with(self, name: str, value: str | int) -> bytes:
        embedding = {**self._embedding, name: msgspec.Raw(msgspec.json.encode(value))}
        return msgspec.json.encode(
            {**self._response, "embedding": msgspec.Raw(msgspec.json.encode(embedding))}
        )


def read_embedding(response: bytes) -> Embedding | None:
    """Return a response's embedding, None if it has no `embedding.values` that are numbers."""
    try:
        members = _members.decode(response)
        embedding = _members.decode(members["embedding"])
        values = _values.decode(embedding.pop("values"))
    except (KeyError, msgspec.DecodeError):
        return None
    return Embedding(np.array(values, "<f4"), members, embedding)
