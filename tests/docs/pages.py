"""The documents as the tests read them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>[^\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `why` says why it is not run, None where it is."""

    kind: str
    text: str
    why: str | None


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    return [
        Block(found["kind"], found["text"], found["why"])
        for found in FENCE.finditer(page.read_text("utf-8"))
    ]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings have."""
    return {_anchor(heading) for heading in HEADING.findall(prose(page))}


def codes() -> Iterator[tuple[Path, str]]:
    """Yield what stands in backticks or in commands, with its page."""
    for page in PAGES:
        yield from ((page, code) for code in CODE.findall(prose(page)))
        yield from ((page, block.text) for block in blocks(page) if block.kind == "sh")


def named(page: Path) -> str:
    """Return the name of a page in a message."""
    return str(page.relative_to(ROOT))


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
