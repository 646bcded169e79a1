"""What users drop in the proving grounds: sets whose every line can be told from every other."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MODEL = "gemini-2.5-flash"
EMBED_MODEL = "gemini-embedding-001"
DIMENSIONS = 4
FLAWED = '{"key": "torn", "request": {"contents": ['


@dataclass(frozen=True)
class Drop:
    """One file of requests: `count` lines of which those numbered in `flawed` are no JSON.

    The lines in `failing` are refused by the model each time. `like` names a drop whose very
    content this one has under its own name.
    """

    name: str
    count: int
    kind: str = "generate"
    flawed: frozenset[int] = frozenset()
    failing: frozenset[int] = frozenset()
    like: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """The lines of the file, without their ends."""
        return [
            FLAWED if n in self.flawed else json.dumps(self._line(n)) for n in range(self.count)
        ]

    @property
    def content(self) -> bytes:
        """The file."""
        return "".join(f"{line}\n" for line in self.lines).encode()

    def key(self, number: int) -> str:
        """The user's key of a line."""
        return f"{self.like or self.name}/{number}"

    def mark(self, number: int) -> str:
        """Words that only this line's prompt, and so only its answer, holds."""
        return f"mark {self.like or self.name} {number} end"

    @property
    def options_text(self) -> str:
        """The options file that goes with it."""
        model = EMBED_MODEL if self.kind == "embed" else MODEL
        chosen = {"model": model, "kind": self.kind, **self.options}
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in chosen.items())

    def put(self, inbox: Path) -> None:
        """Drop it as the contract wants: written beside, then renamed in; its options first."""
        for name, data in (
            (f"{self.name}.toml", self.options_text.encode()),
            (f"{self.name}.jsonl", self.content),
        ):
            beside = inbox / f".{name}.tmp"
            beside.write_bytes(data)
            beside.rename(inbox / name)

    def _line(self, number: int) -> dict[str, Any]:
        steer = " EMULATOR:ERROR=3" if number in self.failing else ""
        parts = [{"text": f"{self.mark(number)}: say something about the number {number}{steer}"}]
        if self.kind == "embed":
            request: dict[str, Any] = {
                "content": {"parts": parts},
                "outputDimensionality": DIMENSIONS,
            }
        else:
            request = {"contents": [{"parts": parts}]}
        return {"key": self.key(number), "request": request}
