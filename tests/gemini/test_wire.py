"""The service's JSON is read leniently: nothing crashes, and no name is believed."""

import base64
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from orchestrator.domain.jobs import JobError, JobState, Unrecognised
from orchestrator.gemini import wire
from orchestrator.ports import ModelInfo
from tests.gemini.values import FILE, JOB, operation, stored

WORDS = st.sampled_from(
    re.findall(
        r"\w+",
        """name metadata state operations nextPageToken response responsesFile output error code
        message details reason retryDelay batchStats requestCount done file sizeBytes sha256Hash
        createTime inputConfig fileName expirationTime unreachable supportedGenerationMethods""",
    )
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | WORDS
    | st.sampled_from(
        [JOB, FILE, "BATCH_STATE_RUNNING", "9" * 30, "1e400", "0001-01-01T00:00:00-23:59"]
    )
)
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(), inner, max_size=6)
    ),
    max_leaves=30,
)


@given(ANY_JSON)
@example(operation(metadata={"createTime": "0001-01-01T00:00:00+23:59"}))
@example({"error": {"code": 10**400}})
@example({"operations": [{"name": JOB, "metadata": {"batchStats": {"requestCount": -1}}}]})
def test_no_json_crashes_a_reader(value: Any) -> None:
    """Every reader gives a value or None for every JSON there is, and only proper names pass."""
    body = json.dumps(value).encode()

    job, file, page = wire.job(value), wire.stored_file(value), wire.page(body)

    assert job is None or wire.JOB_NAME.fullmatch(job.name)
    assert file is None or wire.FILE_NAME.fullmatch(file.name)
    assert page is None or all(wire.JOB_NAME.fullmatch(job.name) for job in page.jobs)
    error, model = wire.rpc_error(body), wire.model(value)
    assert error is None or error.message.isprintable()
    assert model is None or model.name.isprintable()


@given(st.binary())
@example(b"[" * 100_000)
@example(b'{"error":{"code":' + b"9" * 5000 + b"}}")
@example(b'{"a":"\xff"}')
def test_no_bytes_crash_a_reader(body: bytes) -> None:
    """What is no JSON is read as nothing."""
    wire.decode(body)
    wire.page(body)
    wire.rpc_error(body)


@given(st.text())
@example("\x1b[31m\u202e\ud800\r\n\u2028")
def test_shown_words_are_one_short_printable_line(text: str) -> None:
    """The service's words can neither steer a terminal nor forge a line of the log."""
    shown = wire.clean(text)

    assert shown == "" or shown.isprintable()
    assert len(shown) <= 500
    shown.encode()


def test_an_ended_file_job_is_read_whole() -> None:
    """Both places of the result file are known, counts are strings, times have nanoseconds."""
    output = {"responsesFile": "files/batch-leg9wy9p5df66syjxke2eq4xfjqcwp47ejv3"}
    ended = operation(
        "BATCH_STATE_SUCCEEDED",
        metadata={
            "inputConfig": {"fileName": "files/frh6ua11nk3o"},
            "output": output,
            "endTime": "2026-01-06T11:10:19.736868930Z",
            "batchStats": {"requestCount": "2", "successfulRequestCount": "2"},
        },
        done=True,
        response=output,
    )

    job = wire.job(ended)

    assert job is not None
    assert job.state is JobState.SUCCEEDED
    assert job.output == output["responsesFile"]
    assert job.input_file == "files/frh6ua11nk3o"
    assert (job.requests, job.succeeded, job.failed) == (2, 2, None)
    assert job.ended_at == datetime(2026, 1, 6, 11, 10, 19, 736868, UTC)


@pytest.mark.parametrize("place", ["response", "metadata"])
def test_one_place_of_the_result_file_is_enough(place: str) -> None:
    """The result file is found in `response`, else in `metadata.output`."""
    output = {"responsesFile": "files/batch-x"}
    fields = {"response": output} if place == "response" else {"metadata": {"output": output}}

    job = wire.job(operation("BATCH_STATE_SUCCEEDED", done=True, **fields))

    assert job is not None
    assert job.output == "files/batch-x"


@pytest.mark.parametrize(
    ("state", "extra", "expected"),
    [
        ("BATCH_STATE_RUNNING", {}, JobState.RUNNING),
        ("JOB_STATE_SUCCEEDED", {"done": True}, JobState.SUCCEEDED),
        ("BATCH_STATE_PAUSED", {"done": True}, Unrecognised("BATCH_STATE_PAUSED")),
        ("", {"done": True}, JobState.SUCCEEDED),
        ("", {"done": True, "error": {"code": 13}}, JobState.FAILED),
        ("", {}, JobState.UNSPECIFIED),
        ("BATCH_STATE_UNSPECIFIED", {"done": True}, JobState.SUCCEEDED),
        (7, {}, JobState.UNSPECIFIED),
        ("BATCH_STATE_SUCCEEDED", {"error": {"code": 3}}, JobState.SUCCEEDED),
    ],
)
def test_a_state_is_read_in_both_spellings(state: Any, extra: Any, expected: object) -> None:
    """Only what follows `_STATE_` counts; a missing state of a done job follows from the rest."""
    job = wire.job(operation(state, **extra))

    assert job is not None
    assert job.state == expected


def test_a_failed_job_tells_why() -> None:
    """The operation's error keeps its rpc number and its words."""
    job = wire.job(operation("BATCH_STATE_FAILED", error={"code": 8, "message": "quota\nexceeded"}))

    assert job is not None
    assert job.error == JobError(8, "quota exceeded")


@pytest.mark.parametrize("encode", ["base64 of hex", "base64 of bytes", "hex", "HEX"])
def test_a_digest_is_read_in_every_encoding(encode: str) -> None:
    """`sha256Hash` is base64 of the hex digits as recorded, or what the documents say."""
    raw = hashlib.sha256(b"x").digest()
    spelt = {
        "base64 of hex": base64.b64encode(raw.hex().encode()).decode(),
        "base64 of bytes": base64.b64encode(raw).decode(),
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
    }

    assert wire.digest(spelt[encode]) == raw.hex()


@pytest.mark.parametrize("text", [None, 7, "", "!", "YQ==", base64.b64encode(b"g" * 64).decode()])
def test_what_is_no_digest_is_none(text: object) -> None:
    """A hash of another kind is no hash."""
    assert wire.digest(text) is None


def test_a_file_is_read_bare_and_wrapped() -> None:
    """The upload answers with `file` around it, the get without."""
    bare, wrapped = wire.stored_file(stored(b"abc")), wire.stored_file({"file": stored(b"abc")})

    assert bare == wrapped
    assert bare is not None
    assert (bare.size, bare.state) == (3, "active")
    assert bare.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert bare.expires == datetime(2026, 1, 26, 16, 28, 16, 72770, UTC)


@pytest.mark.parametrize(
    ("body", "complete"),
    [
        (b"{}", True),
        (b'{"operations": []}', True),
        (b'{"nextPageToken": "a"}', True),
        (b'{"operations": [{"name": "../x"}]}', False),
        (b'{"operations": [7]}', False),
        (b'{"operations": [], "unreachable": ["there"]}', False),
        (b'{"operations": [], "somethingNew": 1}', True),
    ],
)
def test_a_page_tells_its_flaws(body: bytes, complete: bool) -> None:  # noqa: FBT001
    """A page with an entry that cannot be a job is no evidence of absence."""
    page = wire.page(body)

    assert page is not None
    assert (page.flaw == "") is complete


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b'{"operations": {}}',
        b'{"error": {}}',
        b'{"batches": []}',
        b'{"nextPageToken": 7}',
        b'{"operations": [], "nextPageToken": null}',
    ],
)
def test_what_is_no_page_is_none(body: bytes) -> None:
    """Only a list of operations, or the service's `{}`, is a page."""
    assert wire.page(body) is None


def test_an_error_tells_its_reasons_and_patience() -> None:
    """Reasons and delays are found in the details, whatever else stands there."""
    details = [7, {"reason": "API_KEY_INVALID"}, {"retryDelay": "57.238s"}, {"links": []}]
    error = wire.rpc_error(
        json.dumps([{"error": {"code": 429, "status": "X", "details": details}}]).encode()
    )

    assert error is not None
    assert error.reasons == {"API_KEY_INVALID"}
    assert error.retry_delay == timedelta(seconds=57)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("tunedModels/mine-1", "tunedModels/mine-1"),
        ("models/../x", None),
        ("a/b", None),
        ("", None),
        ("..", None),
        ("x:y", None),
    ],
)
def test_a_model_goes_into_a_path_only_if_it_can_be_one(name: str, path: str | None) -> None:
    """The name of a model is the user's word: it is checked before it stands in a path."""
    assert wire.model_path(name) == path


def test_a_model_is_described() -> None:
    """A model tells its methods."""
    described = {"name": "models/m", "supportedGenerationMethods": ["batchGenerateContent", 7]}

    assert wire.model(described) == ModelInfo("m", frozenset({"batchGenerateContent"}))
