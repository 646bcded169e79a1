"""Embeddings beside the results: a `.npy` matrix of float32, one row for each input line.

A row of a request that has no vector, or one of another length than the first, is NaN; what is
not in the matrix stays in the results as it came.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from orchestrator.domain.vectors import Vector, read_embedding
from orchestrator.spool import atomic
from orchestrator.spool.results import Results

BUFFER_BYTES = 1 << 18


def in_base64(_ordinal: int, response: bytes) -> bytes:
    """Return a response with its vector in base64, or as it is if it has none."""
    embedding = read_embedding(response)
    return response if embedding is None else embedding.with_base64()


class Matrix:
    """Takes the vectors of responses, in the order of their ordinals, into a file."""

    def __init__(self, file: int, path: Path, dimensions: int) -> None:
        self._file = file
        self._path = path
        self._nothing = np.full(dimensions, np.nan, "<f4")
        self._rows = 0
        self._held: list[bytes] = []

    @staticmethod
    @contextmanager
    def of(results: Results, path: Path, requests: int) -> Iterator["Matrix"]:
        """Open a matrix for the results of a set; complete when it is closed without an error."""
        first = results.first_response()
        embedding = None if first is None else read_embedding(first)
        dimensions = 0 if embedding is None else len(embedding.vector)
        file = atomic.create(path)
        try:
            atomic.write_all(file, _header(requests, dimensions), path)
            matrix = Matrix(file, path, dimensions)
            yield matrix
            matrix._fill(requests)
            matrix._flush()
        finally:
            os.close(file)

    def __call__(self, ordinal: int, response: bytes) -> bytes:
        """Take the vector of a response; returns the response with the number of its row."""
        embedding = read_embedding(response)
        if embedding is None or len(embedding.vector) != len(self._nothing):
            return response
        self._fill(ordinal)
        self._add(embedding.vector)
        return embedding.with_row(ordinal)

    def _fill(self, rows: int) -> None:
        while self._rows < rows:
            self._add(self._nothing)

    def _add(self, vector: Vector) -> None:
        self._held.append(vector.tobytes())
        self._rows += 1
        if len(self._held) * self._nothing.nbytes >= BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        atomic.write_all(self._file, b"".join(self._held), self._path)
        self._held.clear()


def _header(rows: int, columns: int) -> bytes:
    head = io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": (rows, columns)}
    np.lib.format.write_array_header_1_0(head, about)
    return head.getvalue()
