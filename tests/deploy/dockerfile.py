"""Reads a Dockerfile into its stages, as far as ours goes."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Stage:
    """What one FROM begins: the base, and each instruction after it."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def of(self, word: str) -> list[str]:
        """Return what was given to each instruction of this kind."""
        return [rest for verb, rest in self.steps if verb == word]

    def environment(self) -> dict[str, str]:
        """Return the variables that the stage sets."""
        return dict(pair.split("=", 1) for rest in self.of("ENV") for pair in rest.split())

    def listed(self, word: str) -> list[str]:
        """Return the exec form of an instruction: a list, so that no shell is needed."""
        (rest,) = self.of(word)
        found: list[str] = json.loads(rest[rest.index("[") :])
        return found


def stages(file: Path) -> list[Stage]:
    """Return the stages of a Dockerfile in order."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    found: list[Stage] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        word, rest = line.split(None, 1)
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name))
        elif found:
            found[-1].steps.append((word, " ".join(rest.split())))
    return found
