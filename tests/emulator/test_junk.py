"""Whatever is sent, the emulator answers like the service: never with a crash of its own."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.emulator.world import EMBEDDING, FLASH, World, world

junk = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=5),
        st.sampled_from(["files/x", "batches/x", "\ud800", "models/gemini-2.5-flash", "9" * 30]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "batch",
                    "input_config",
                    "inputConfig",
                    "requests",
                    "request",
                    "metadata",
                    "key",
                    "contents",
                    "content",
                    "parts",
                    "text",
                    "file",
                    "fileName",
                    "name",
                    "display_name",
                    "generationConfig",
                    "responseSchema",
                    "maxOutputTokens",
                    "priority",
                    "uris",
                    "webhookConfig",
                    "tools",
                    "functionDeclarations",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
CALLS = [
    ("POST", FLASH),
    ("POST", EMBEDDING),
    ("POST", "/upload/v1beta/files"),
    ("POST", "/v1beta/files:register"),
    ("POST", "/v1beta/webhooks"),
    ("POST", "/v1beta/models/gemini-2.5-flash:generateContent"),
    ("POST", "/v1beta/models/gemini-embedding-001:embedContent"),
    ("POST", "/v1beta/models/gemini-embedding-001:batchEmbedContents"),
    ("POST", "/v1beta/models/gemini-2.5-flash:countTokens"),
    ("PATCH", "/v1beta/batches/x:updateGenerateContentBatch?updateMask=displayName"),
    ("DELETE", "/v1beta/batches/x"),
    ("POST", "/__emulator__/faults"),
    ("POST", "/__emulator__/clock"),
]
HEADERS: dict[str, str] = {
    "X-Goog-Upload-Protocol": "resumable",
    "X-Goog-Upload-Command": "start",
    "Authorization": "Bearer x",
}


async def _answer_all(there: World, body: bytes) -> None:
    for method, path in CALLS:
        if path.endswith("clock") and b"speed" in body:
            continue
        answer = await there.call(method, path, body, headers=HEADERS)
        assert answer.status < 500, (method, path, body, answer.body)
        assert answer.status == 200 or answer.json["error"]
    there.emulator.faults.clear()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["json", "bytes"])
def test_junk_is_refused_not_choked_on(tmp_path: Path, kind: str) -> None:
    """Any body at all, at any call, gets an answer below 500."""
    import asyncio

    bodies = junk.map(lambda body: json.dumps(body).encode()) if kind == "json" else st.binary()
    runs: list[int] = []

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(bodies, min_size=1, max_size=3))
    def hold(found: list[bytes]) -> None:
        runs.append(1)

        async def play() -> None:
            async with world(tmp_path / str(len(runs))) as there:
                for body in found:
                    await _answer_all(there, body)

        asyncio.run(play())

    hold()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["json", "bytes"])
def test_junk_lines_are_refused_not_choked_on(tmp_path: Path, kind: str) -> None:
    """Any file at all is a job or a refusal, and whatever is a job can be downloaded."""
    import asyncio

    one = junk.map(lambda body: json.dumps({"key": "a", "request": body}).encode())
    bodies: Any = one if kind == "json" else st.binary()
    runs: list[int] = []

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(bodies, min_size=1, max_size=3))
    def hold(found: list[bytes]) -> None:
        runs.append(1)

        async def play() -> None:
            async with world(tmp_path / str(len(runs))) as there:
                file = await there.upload(b"\n".join(found))
                batch = {"batch": {"inputConfig": {"fileName": file["name"]}}}
                for path in (FLASH, EMBEDDING):
                    answer = await there.call("POST", path, batch)
                    assert answer.status in {200, 400}, answer.body
                    if answer.status == 200:
                        await there.output(answer.json["name"])

        asyncio.run(play())

    hold()
