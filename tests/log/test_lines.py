"""Every line of the log is one event, without secrets and without anybody else's control codes."""

import base64
import io
import json
import logging
import warnings
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given, strategies as st

from orchestrator.log import configure

KEY = "AQ.secret/key+with=signs_0123456789"


@pytest.fixture(autouse=True)
def _restored():
    """Leave the process' logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)


def logged(form, work, level="debug"):
    """Return what the log says while `work` runs."""
    stream = io.StringIO()
    configure(form, level, lambda: [KEY], stream)
    work(structlog.get_logger())
    return stream.getvalue()


def encodings(secret):
    """Return the forms in which a secret might reach a line."""
    raw = secret.encode()
    return [
        secret,
        quote(secret, safe=""),
        quote(secret),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        base64.b64encode(b"x-goog-api-key: " + raw + b"\r\n").decode(),
    ]


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("text", encodings(KEY))
def test_no_encoding_of_the_key_is_in_a_line(form, text):
    """The key is hidden in values, messages, names of fields and foreign logs, however written."""

    def work(log):
        log.info("set.received", name=f"a {text} b")
        log.info("set.received", **{text.replace("=", ""): 1})
        log.info(text)
        logging.getLogger("aiohttp").warning("header %s", text)

    said = logged(form, work)

    assert KEY not in said
    assert text.rstrip("=")[4:-4] not in said
    assert said.count("[secret]") >= 3


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_variables(form):
    """A crash in a frame that holds the key shows places and messages, and no key."""

    def fail(key):
        header = {"x-goog-api-key": key}
        raise ValueError(f"bad header {header}")

    def work(log):
        try:
            fail(KEY)
        except ValueError:
            log.exception("stage.failed", stage="submit")

    said = logged(form, work)

    assert "ValueError: bad header" in said
    assert KEY not in said


def test_an_upload_url_is_hidden():
    """An upload URL is a capability; its id never appears."""
    url = "https://host/upload/v1beta/files?upload_id=ABC123xyz&upload_protocol=resumable"

    said = logged("json", lambda log: log.info("call.failed", why=url))

    assert "ABC123xyz" not in said
    assert "upload_protocol=resumable" in said


def test_any_google_key_is_hidden():
    """A key that is not ours, as in a message of the service, is hidden too."""
    other = "AIzaSy" + "B" * 33

    assert other not in logged("json", lambda log: log.info("call.failed", why=f"key {other}"))


def test_a_long_value_is_cut_after_the_key_was_hidden():
    """Cutting a long value never leaves the first half of a key."""
    text = "x" * 1990 + KEY + "y" * 100

    said = logged("json", lambda log: log.info("call.failed", why=text))

    assert KEY[:8] not in said
    assert len(said) < 2300


@given(st.text(max_size=60), st.text(min_size=1, max_size=60))
def test_json_is_one_line_for_any_text(name, event):
    """Whatever others put into a name or message, it is one JSON object on one line."""
    said = logged("json", lambda log: log.info(event, name=name))

    (line,) = said.splitlines()
    assert json.loads(line)["level"] == "info"
    assert line.isprintable()


@given(st.text(max_size=60))
def test_the_console_gets_no_control_characters(name):
    """Names cannot move the cursor, colour the screen or begin a line of their own."""
    said = logged("console", lambda log: log.info("set.received", name=name))

    (line,) = said.split("\n")[:-1]
    assert line.isprintable()
    assert "set.received" in line


def test_a_message_of_an_exception_cannot_forge_a_line():
    """On the console, every line of a traceback is marked as one."""

    def work(log):
        log.error("stage.failed", exc_info=ValueError("boom\n12:00:00 info batch.submitted"))

    _, *rest = logged("console", work).splitlines()

    assert all(line.startswith("    | ") for line in rest)


def test_the_level_is_kept():
    """Below the level nothing is written."""
    said = logged("json", lambda log: log.info("set.received"), level="warning")

    assert said == ""


def test_warnings_of_libraries_are_lines():
    """Python's warnings and what libraries log come as events like all others."""

    def work(_log):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=True)
            warnings.warn("old thing", stacklevel=1)

    (line,) = logged("json", work).splitlines()

    event = json.loads(line)
    assert event["event"] == "library.logged"
    assert "old thing" in event["message"]
