"""Embeddings from the drop to the results: what was asked is sent, what came is told exactly."""

import base64
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from orchestrator.emulator.answers import vector
from orchestrator.emulator.rows import body_digest
from tests.life.town import Drop, Fault, Town, live

DEFAULTS: dict[str, Any] = {"outputDimensionality": 8, "taskType": "RETRIEVAL_DOCUMENT"}


def vector_of(request: str, dimensions: int) -> list[float]:
    """The vector that the emulated service gives for a request's JSON, to the byte."""
    values: list[float] = json.loads(bytes(vector(body_digest(request.encode()), dimensions)))
    return values


@dataclass(frozen=True)
class Texts(Drop):
    """Texts to embed: every second one says its own title, task and dimensions."""

    kind: str = "embed"

    @property
    def options_text(self) -> str:
        """Its options, and what is filled in where a line says nothing."""
        filled = "".join(f"{name} = {json.dumps(value)}\n" for name, value in DEFAULTS.items())
        return f"{super().options_text}[defaults]\n{filled}"

    def wanted(self, number: int) -> list[float]:
        """The vector that the service gives for exactly the bytes that must arrive there."""
        said = self._request(number)
        filled = {name: value for name, value in DEFAULTS.items() if name not in said}
        raw = json.dumps(said)
        if filled:
            raw = f"{raw[:-1]},{json.dumps(filled, separators=(',', ':'))[1:]}"
        return vector_of(raw, said.get("outputDimensionality", DEFAULTS["outputDimensionality"]))

    def _request(self, number: int) -> dict[str, Any]:
        request: dict[str, Any] = {"content": {"parts": [{"text": self.mark(number)}]}}
        if number % 2:
            own = {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 8 + 8 * (number % 4)}
            request |= {"title": f"title {number}", **own}
        return request

    def _line(self, number: int) -> dict[str, Any]:
        return {"key": self.key(number), "request": self._request(number)}


@pytest.mark.parametrize("count", [4, 60])
def test_what_a_line_says_goes_before_what_the_defaults_say(count: int):
    """Title, task type and dimensionality arrive as said, in inline jobs and in input files."""

    async def scenario(town: Town) -> None:
        drop = Texts("texts", count)
        town.drop(drop)
        await town.until_delivered()
        assert {job.kind for job in town.jobs} == {"embed"}
        assert {job.input_file is None for job in town.jobs} == {count == 4}
        got = [one["response"]["embedding"]["values"] for one in town.results("texts")]
        assert got == [drop.wanted(number) for number in range(count)]
        assert {len(values) for values in got} == {8, 16, 32}
        assert town.books().findings == ()

    live(scenario)


def test_compact_results_hold_the_same_vectors_in_base64():
    """Little-endian float32 in place of the digits, whatever the length of each vector."""

    async def scenario(town: Town) -> None:
        drop = Texts("texts", 6, options={"compact": "base64"})
        town.drop(drop)
        await town.until_delivered()
        for number, one in enumerate(town.results("texts")):
            embedding = one["response"]["embedding"]
            assert "values" not in embedding
            got = np.frombuffer(base64.b64decode(embedding["values_base64"]), "<f4")
            assert_array_equal(got, np.array(drop.wanted(number), "<f4"))

    live(scenario)


def test_compact_results_hold_the_vectors_in_a_matrix_beside_them():
    """One row for each line, named in the results; of what failed it is NaN."""

    async def scenario(town: Town) -> None:
        drop = Drop("rows", 40, kind="embed", options={"compact": "npy"})
        town.drop(drop)
        await town.until_delivered()
        (file,) = (town.state / "outbox/rows").glob("*.npy")
        matrix = np.load(file)
        assert matrix.shape == (40, 4)
        assert matrix.dtype == np.dtype("<f4")
        for number, one in enumerate(town.results("rows")):
            if number == 3:
                assert one["error"]["code"] == 3
                assert np.isnan(matrix[number]).all()
                continue
            assert one["response"]["embedding"]["row"] == number
            request = json.loads(drop.lines[number])["request"]
            wanted = vector_of(json.dumps(request), 4)
            assert_array_equal(matrix[number], np.array(wanted, "<f4"))

    live(scenario, faults=(Fault(do="row_error", code=3, rows=[3], times=1),))
