"""What SIGHUP takes over from the settings, and what it says of the rest."""

import io
import json
import logging

import pytest
import structlog

from orchestrator.config.settings import load
from orchestrator.daemon.process import _read_again
from orchestrator.log import configure


@pytest.fixture
def said():
    """Log at `info` into memory; return a function that returns the events so far."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    configure("json", "info", list, stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def read_again(tmp_path):
    """Return a function that starts with one text of settings and reads another again."""
    file = tmp_path / "config.toml"

    def read(first, second):
        file.write_text(f'[service]\nstate_dir = "{tmp_path}"\n{first}')
        before = load(file, {})
        file.write_text(f'[service]\nstate_dir = "{tmp_path}"\n{second}')
        return before, _read_again(before)

    return read


def test_the_level_of_the_log_is_taken_over(read_again, said):
    """After a reload the log has the lines of the new level."""
    log = structlog.get_logger()

    read_again("", 'log_level = "debug"\n')
    log.debug("socket.connected")
    read_again("", 'log_level = "error"\n')
    log.warning("settings.questioned")

    assert [each["event"] for each in said()] == ["settings.read", "socket.connected"]


def test_folders_are_named_that_only_a_restart_can_change(read_again, said):
    """A reload that would move something changes nothing, and says which keys are the reason."""
    before, after = read_again("", 'inbox = "/srv/in"\nsocket = "/run/x"\nlog_level = "error"\n')

    (refused,) = said()
    assert after is before
    assert refused["event"] == "settings.refused"
    assert refused["why"].startswith("inbox, socket of [service] change only with a restart")


def test_settings_that_cannot_be_used_change_nothing(read_again, said):
    """A mistake in the file is said with its line, and the daemon goes on as before."""
    before, after = read_again("", "min_free_byte = 1\n")

    assert after is before
    assert "config.toml:3: [service] has no key 'min_free_byte'" in said()[0]["why"]


def test_another_form_of_the_log_waits_for_a_restart(read_again, said):
    """A log does not change its form in the middle; that is said, and the rest taken over."""
    _, after = read_again("", 'log_format = "console"\n[limits]\ntier = 2\n')

    assert after.limits.tier == 2
    assert "log_format" in said()[-1]["why"]
