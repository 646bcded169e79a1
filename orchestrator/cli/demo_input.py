"""The demo's input: the language reference that every Python ships, cut in paragraphs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

PARAGRAPH_CHARACTERS_MIN = 40
MODEL = "gemini-2.5-flash"
EMBEDDER = "gemini-embedding-001"
DIMENSIONS = 128

SYSTEM = "You explain the Python language to beginners. Answer in one plain sentence."
TERMS = {
    "type": "OBJECT",
    "properties": {"terms": {"type": "ARRAY", "items": {"type": "STRING"}}},
    "required": ["terms"],
}


def paragraphs() -> Iterator[tuple[str, str]]:
    """Yield (where it stands, text) of every paragraph that is long enough to ask about."""
    for topic, text in topics.items():
        found = (" ".join(each.split()) for each in re.split(r"\n\s*\n", text))
        kept = [each for each in found if len(each) >= PARAGRAPH_CHARACTERS_MIN]
        for number, paragraph in enumerate(kept, 1):
            yield f"{topic}/{number}", paragraph


def questions() -> Iterator[dict[str, Any]]:
    """Yield two requests a paragraph: one with a system instruction, one with a schema."""
    for where, paragraph in paragraphs():
        yield {
            "key": f"{where}/sentence",
            "request": {
                "systemInstruction": {"parts": [{"text": SYSTEM}]},
                "contents": [{"role": "user", "parts": [{"text": paragraph}]}],
                "generationConfig": {"temperature": 0.2, "maxOutputTokens": 100},
            },
        }
        yield {
            "key": f"{where}/terms",
            "request": {
                "contents": [{"parts": [{"text": f"Name the technical terms in: {paragraph}"}]}],
                "generationConfig": {
                    "responseMimeType": "application/json",
                    "responseSchema": TERMS,
                },
            },
        }


def passages() -> Iterator[dict[str, Any]]:
    """Yield one embedding request a paragraph."""
    for where, paragraph in paragraphs():
        yield {
            "key": where,
            "request": {
                "content": {"parts": [{"text": paragraph}]},
                "taskType": "RETRIEVAL_DOCUMENT",
                "outputDimensionality": DIMENSIONS,
            },
        }


def write(file: Path, requests: Iterator[dict[str, Any]]) -> int:
    """Write requests as JSON Lines; return how many."""
    lines = [json.dumps(request, ensure_ascii=False) for request in requests]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return len(lines)


def settings(state_dir: Path, socket: Path, base_url: str) -> str:
    """Return the demo's config.toml."""
    return f"""\
# Settings of the demo: a service on this machine, and everything in one folder.
[service]
state_dir = {json.dumps(str(state_dir))}
socket = {json.dumps(str(socket))}

[gemini]
base_url = "{base_url}"

[limits]
max_requests_per_batch = 600

[intake]
settle_seconds = 0.2

[polling]
interval_min_seconds = 0.5
interval_max_seconds = 1.0

[profiles.default]
model = "{MODEL}"

[profiles.embeddings]
model = "{EMBEDDER}"
kind = "embed"

# Examples, so that the demo can show what it would have cost.
[pricing]
"{MODEL}" = {{ input = "0.15", output = "1.25", as_of = "2026-01" }}
"{EMBEDDER}" = {{ input = "0.075", as_of = "2026-01" }}
"""
