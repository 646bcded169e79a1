"""Each example in a document that is no command is what it says it is."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from typing import Any

import numpy as np
import pytest

from orchestrator.cli.program import main
from orchestrator.config.options import choose
from orchestrator.config.settings import load
from tests.docs.pages import PAGES, ROOT, blocks, named

DOCS = ROOT / "docs"
# Where each kind of block is tried. Text is what programs print; nothing is typed from it.
TRIED = {
    "sh": "test_commands.py, or as its mark says",
    "console": "test_commands.py, or as its mark says",
    "toml": "here, tests/emulator/test_plans.py",
    "json": "here",
    "python": "here",
    "js": "tests/emulator/test_javascript_sdk.py",
    "text": "",
    "": "",
}


def shown(page, kind):
    """Return the blocks of a kind on a page."""
    found = [each.text for each in blocks(DOCS / page) if each.kind == kind]
    assert found
    return found


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_block_is_overlooked(page):
    """Every fence of a page is read by these tests, and is of a kind that is tried somewhere."""
    fences = re.findall(r"^\s*(?:```|~~~)", page.read_text("utf-8"), re.MULTILINE)

    assert len(fences) == 2 * len(blocks(page))
    assert {each.kind for each in blocks(page)} <= set(TRIED)


def test_there_are_blocks_to_try():
    """The reader of pages finds what the pages have."""
    assert sum(len(blocks(page)) for page in PAGES) >= 37


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_prompt_stands_in_a_block_that_is_not_run(page):
    """A command is shown in a block that is run, never in a text."""
    texts = [each.text for each in blocks(page) if each.kind in {"text", ""}]

    assert not [text for text in texts if re.search(r"^\$ ", text, re.MULTILINE)]


def test_the_settings_of_the_guide_are_settings(tmp_path):
    """The first settings that the operator's guide proposes are taken as they stand."""
    (text,) = shown("operate.md", "toml")
    file = tmp_path / "config.toml"
    file.write_text(text)

    assert load(file, {}).profiles["default"].model == "gemini-2.5-flash"


def test_the_options_of_the_formats_are_options():
    """Options are taken as they stand, beside the profile that they name."""
    (text,) = shown("formats.md", "toml")
    settings = load(None, {"ORCHESTRATOR_PROFILES": '{"embeddings": {"model": "x"}}'})

    choice = choose(settings, "", text)

    given = tomllib.loads(text)
    assert (choice.model, choice.priority) == (given["model"], given["priority"])


@pytest.mark.parametrize("page", ["formats.md", "emulator.md"])
def test_json_is_json(page):
    """What is shown as JSON is one value, or one a line."""
    for text in shown(page, "json"):
        whole = text.strip()
        values = [whole] if whole.count("\n{") == 0 else whole.splitlines()
        assert all(isinstance(json.loads(value), dict) for value in values)


@pytest.mark.parametrize(
    ("kind", "model", "count"),
    [("generate", "gemini-2.5-flash", 5), ("embed", "gemini-embedding-001", 1)],
)
def test_every_form_of_a_line_is_taken(tmp_path, capsys, kind, model, count):
    """The forms of input that are shown are requests without a flaw or a warning."""
    lines = shown("formats.md", "json")[0].splitlines()
    fitting = [line for line in lines if ('"content":' in line) is (kind == "embed")]
    file = tmp_path / "lines.jsonl"
    file.write_text("\n".join(fitting).replace('"K"', '"K%s"') % tuple(range(_keys(fitting))))

    code = main(["check", str(file), "--json", "--model", model, "--kind", kind])

    (verdict,) = json.loads(capsys.readouterr().out)
    assert (code, verdict["requests"], verdict["warnings"]) == (0, count, 0)


def _keys(lines):
    return sum(line.count('"K"') for line in lines)


def test_what_reads_results_reads_them(tmp_path, monkeypatch):
    """The lines that read embeddings run as they stand."""
    (text,) = shown("formats.md", "python")
    monkeypatch.chdir(tmp_path)
    np.save("embeddings.npy", np.zeros((2, 4), np.float32))
    names: dict[str, Any] = {}

    exec(compile(text, "formats.md", "exec"), names)

    assert names["matrix"].shape == (2, 4)
    assert np.isfinite(names["vector"]).all()


def test_the_emulator_of_the_guide_runs_in_a_program(tmp_path, capsys):
    """The lines that run the emulator inside a test of one's own run as they stand."""
    text = shown("emulator.md", "python")[-1]
    body = "".join(f"    {line}\n" for line in text.splitlines())
    names: dict[str, Any] = {"folder": tmp_path / "emulator"}

    exec(compile(f"async def run():\n{body}", "emulator.md", "exec"), names)
    asyncio.run(names["run"]())

    assert "distinct" in capsys.readouterr().out


@pytest.mark.slow
def test_the_official_client_of_the_guide_works(emulator):
    """The lines that create a job with the official client run as they stand."""
    text = shown("emulator.md", "python")[0].replace("http://127.0.0.1:8080", emulator)

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{text}print(job.state)"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "PENDING" in done.stdout, done.stderr
