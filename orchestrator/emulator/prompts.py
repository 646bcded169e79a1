"""What a request's prompt says, and about how many tokens it has: four characters a token, 258 a
picture or page.
"""

from typing import Any

from orchestrator.emulator.bodies import pick

CHARS_PER_TOKEN = 4
MEDIA_TOKENS = 258

_MODALITIES = {"image": "IMAGE", "audio": "AUDIO", "video": "VIDEO", "application": "DOCUMENT"}


def text_tokens(text: str) -> int:
    """Count the tokens of a text, roughly."""
    return (len(text) + CHARS_PER_TOKEN - 1) // CHARS_PER_TOKEN


def prompt_text(body: dict[str, Any], kind: str) -> str:
    """Read the text of the last turn (or of the content to embed)."""
    contents = body.get("content" if kind == "embed" else "contents")
    turns = contents if isinstance(contents, list) else [contents]
    last = turns[-1] if turns else None
    return "".join(part.get("text") or "" for part in _parts(last))


def prompt_tokens(body: dict[str, Any], kind: str) -> int:
    """Count all tokens that a request sends."""
    if kind == "embed":
        return sum(count for _, count in _counted(_parts(body.get("content"))))
    return sum(prompt_tokens_by_modality(body).values())


def prompt_tokens_by_modality(body: dict[str, Any]) -> dict[str, int]:
    """Count a generate request's tokens by modality."""
    counts: dict[str, int] = {}
    contents = body.get("contents")
    turns = contents if isinstance(contents, list) else [contents]
    for turn in (pick(body, "system_instruction", "systemInstruction"), *turns):
        for modality, count in _counted(_parts(turn)):
            counts[modality] = counts.get(modality, 0) + count
    return counts


def thinks(model: str, config: dict[str, Any]) -> bool:
    """Say whether a model would think: the 2.5 and 3 families do, unless the budget is 0."""
    thinking = pick(config, "thinking_config", "thinkingConfig") or {}
    budget = pick(thinking, "thinking_budget", "thinkingBudget")
    if budget is not None:
        return int(budget) != 0
    return model.startswith(("gemini-2.5-pro", "gemini-2.5-flash", "gemini-3")) and (
        "lite" not in model and "image" not in model
    )


def _parts(content: Any) -> list[dict[str, Any]]:
    if not isinstance(content, dict):
        return []
    parts = content.get("parts")
    listed = parts if isinstance(parts, list) else [parts]
    return [part for part in listed if isinstance(part, dict)]


def _counted(parts: list[dict[str, Any]]) -> list[tuple[str, int]]:
    counted = []
    for part in parts:
        text = part.get("text")
        if isinstance(text, str):
            counted.append(("TEXT", text_tokens(text)))
            continue
        media = pick(part, "inline_data", "inlineData") or pick(part, "file_data", "fileData")
        if isinstance(media, dict):
            mime = str(pick(media, "mime_type", "mimeType") or "")
            modality = _MODALITIES.get(mime.split("/", maxsplit=1)[0], "TEXT")
            counted.append((modality, MEDIA_TOKENS))
        else:
            counted.append(("TEXT", text_tokens(str(part))))
    return counted
