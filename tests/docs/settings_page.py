"""Writes docs/settings.md from config.example.toml: `python -m tests.docs.settings_page`."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.toml"
PAGE = ROOT / "docs" / "settings.md"
TABLE = re.compile(r"\[([\w.]+)\]$")
KEY = re.compile(r'(#?)("?[\w.-]+"?) = (.*)$')
HEAD = """\
# Settings

Made from [config.example.toml](../config.example.toml), which is the file to start from. Settings
are read from one file (`--config`, else `$ORCHESTRATOR_CONFIG`, else
`~/.config/orchestrator/config.toml`, else `/etc/orchestrator/config.toml`); then the environment
goes over it: `ORCHESTRATOR_SECTION__KEY`, lists and tables as JSON. `orchestrator config` shows
what came out and where each was set. An unknown key or variable is an error.

Sizes are bytes, money is US dollars, times have their unit in their name. *Example* stands where
there is no fixed default.
"""
COLUMNS = "| key | default | |\n|---|---|---|"


def page(example: str) -> str:
    """Return the page."""
    return HEAD + "\n".join(_lines(example)) + "\n"


def _lines(example: str) -> Iterator[str]:
    words: list[str] = []
    _, _, body = example.partition("\n\n")
    for line in body.splitlines():
        if table := TABLE.match(line):
            yield f"\n## `[{table[1]}]`\n"
            if words:
                yield f"{_text(words)}\n"
            yield COLUMNS
            words = []
        elif key := KEY.match(line):
            shown = key[3].replace("|", "\\|")
            default = f"*example:* `{shown}`" if key[1] else f"`{shown}`"
            yield f"| `{key[2]}` | {default} | {_text(words)} |"
            words = []
        elif line.startswith("# "):
            words.append(line.removeprefix("# "))


def _text(words: list[str]) -> str:
    return " ".join(words).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(EXAMPLE.read_text("utf-8")), "utf-8")
