"""The documents as the tests read them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(
    r"(?:<!-- run by (?P<by>[^\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
PROMPT = re.compile(r"^\$ (.*)$", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block and its heading; `by` names the test that runs it, if not the page's own."""

    kind: str
    text: str
    heading: str
    by: str | None

    @property
    def typed(self) -> str:
        """What somebody types of it: of a console only what stands behind a prompt."""
        if self.kind == "console":
            return "\n".join(PROMPT.findall(self.text))
        return self.text if self.kind == "sh" else ""


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Block(found["kind"], found["text"], _heading_above(text, found.start()), found["by"])
        for found in FENCE.finditer(text)
    ]


def commands_of(page: str, heading: str) -> list[str]:
    """Return what somebody types under a heading of a page, of blocks that another test runs."""
    found = [block for block in blocks(ROOT / page) if block.heading == heading and block.by]
    assert found, f"{page} shows nothing under {heading!r} that is marked to be run elsewhere"
    return [block.typed for block in found]


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


def _heading_above(text: str, place: int) -> str:
    *_, last = HEADING.finditer(FENCE.sub("", text[:place]))
    return last[1]


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
