"""`check`: what would become of a file; nothing is sent and nothing is kept."""

import gzip
import json
import os
import tempfile
from pathlib import Path

import pytest

GOOD = '{"key": "%d", "request": {"contents": [{"parts": [{"text": "What is %d?"}]}]}}\n'
PRICES = '{"gemini-2.5-flash": {"input": "0.15", "output": "1.25", "as_of": "2026-01"}}'


@pytest.fixture
def prompts(home, monkeypatch):
    """Return a file of a hundred good lines; a model and its price are set."""
    monkeypatch.setenv("ORCHESTRATOR_PROFILES__DEFAULT__MODEL", "gemini-2.5-flash")
    monkeypatch.setenv("ORCHESTRATOR_PRICING", PRICES)
    file = home / "prompts.jsonl"
    file.write_text("".join(GOOD % (number, number) for number in range(100)))
    return file


def test_a_good_file_would_be_sent(call, prompts, golden):
    """Requests, batches, bytes, tokens and cost, as on file."""
    ended = call("check", prompts)

    assert ended.code == 0
    golden("check-good.txt", ended.out.replace(str(prompts.parent), "DIR"))


def test_json_counts_exactly(call, prompts):
    """The bytes are those of the body that would be sent."""
    (verdict,) = json.loads(call("check", prompts, "--json").out)

    assert (verdict["accepted"], verdict["requests"], verdict["batches"]) == (True, 100, 1)
    assert verdict["mode"] == "inline"
    assert verdict["bytes"] > prompts.stat().st_size * 0.8
    assert float(verdict["cost_estimate"]) > float(verdict["cost_input"]) > 0


def test_flaws_are_shown_with_their_place(call, prompts):
    """A few flawed lines do not stop the rest; they are said, and the code is 1."""
    with prompts.open("a") as file:
        file.write('{"key": "x"}\n')

    ended = call("check", prompts)

    assert ended.code == 1
    assert "would be sent" in ended.out
    assert "(1 flawed)" in ended.out
    assert "line 101" in ended.out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("\n \n", "blank lines"),
        ("nonsense\n" * 3, "flawed"),
        (GOOD % (1, 1) * 2, "unique"),
    ],
)
def test_a_bad_file_would_be_rejected(call, prompts, text, words):
    """What intake rejects is said with its reason, and the code is 65."""
    prompts.write_text(text)

    ended = call("check", prompts)

    assert ended.code == os.EX_DATAERR
    assert "would be rejected" in ended.out
    assert words in ended.out


def test_options_beside_the_file_count(call, prompts):
    """NAME.toml is read as in the inbox, and the command line goes over it."""
    prompts.with_suffix(".toml").write_text('model = "other"\nmax_requests_per_batch = 10\n')

    (told,) = json.loads(call("check", prompts, "--json").out)
    (asked,) = json.loads(call("check", prompts, "--json", "--model", "mine").out)

    assert (told["model"], told["batches"]) == ("other", 10)
    assert (asked["model"], asked["batches"]) == ("mine", 10)


def test_bad_options_would_be_the_reason(call, prompts):
    """Options that cannot be used reject the file, here as there."""
    prompts.with_suffix(".toml").write_text("priorty = 1\n")

    ended = call("check", prompts)

    assert ended.code == os.EX_DATAERR
    assert "did you mean 'priority'?" in ended.out


def test_compressed_files_are_read(call, prompts):
    """.gz is looked into."""
    packed = prompts.with_name("packed.jsonl.gz")
    packed.write_bytes(gzip.compress(prompts.read_bytes()))

    (verdict,) = json.loads(call("check", packed, "--json").out)

    assert verdict["requests"] == 100


def test_nothing_is_left_and_nothing_is_touched(call, prompts):
    """The file is as it was, with one name, and no scratch folder stays."""
    before = prompts.read_bytes(), prompts.stat().st_mode

    call("check", prompts)

    assert (prompts.read_bytes(), prompts.stat().st_mode) == before
    assert prompts.stat().st_nlink == 1
    assert not list(Path(tempfile.gettempdir()).glob("orchestrator-check-*"))


def test_a_missing_file_is_66(call, prompts, monkeypatch):
    """No such file is EX_NOINPUT, and not hidden by a missing model."""
    monkeypatch.delenv("ORCHESTRATOR_PROFILES__DEFAULT__MODEL", raising=False)

    ended = call("check", prompts.with_name("none.jsonl"))

    assert ended.code == os.EX_NOINPUT
    assert "cannot be read" in ended.err


def test_several_mistakes_of_the_settings_stay_together_in_json(call, prompts, home):
    """Each with its own remedy, as on standard error; none is torn in two."""
    (home / "two.toml").write_text('[inboxx]\na = 1\n[outbox]\ncompress = "rar"\n')

    ended = call("check", prompts, "--config", home / "two.toml", "--json")

    told = json.loads(ended.out)
    said = [line.removeprefix("orchestrator: ") for line in ended.err.splitlines()]
    assert len(said) > 1
    assert told["detail"].splitlines() == said
    parts = [tuple(line.partition("; ")[::2]) for line in said]
    assert [(one["detail"], one["remedy"]) for one in told["errors"]] == parts
    assert told["remedy"] == "mend each of errors"
