"""What a reader finds in the outbox: every line once, in order, each answer with its request."""

import hashlib
import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from orchestrator.emulator.answers import vector
from orchestrator.emulator.rows import body_digest
from tests.judging.drops import DIMENSIONS, Drop

SUMMARY = "summary.json"


def finished(outbox: Path) -> list[str]:
    """Name the folders that a reader takes for finished."""
    return sorted(path.parent.name for path in outbox.glob("*/" + SUMMARY))


def places(outbox: Path) -> dict[str, Path]:
    """Find where each set was delivered: under its own name, or beside what had that name."""
    found: dict[str, Path] = {}
    for folder in finished(outbox):
        try:
            name = str(json.loads((outbox / folder / SUMMARY).read_bytes())["name"])
        except (ValueError, KeyError):  # torn: told apart from this
            name = folder
        found.setdefault(name, outbox / folder)
    return found


def torn(outbox: Path) -> list[str]:
    """Find folders that look finished and are not whole; at any moment there must be none."""
    findings = []
    for name in finished(outbox):
        folder = outbox / name
        try:
            summary = json.loads((folder / SUMMARY).read_bytes())
            files = summary["files"]
        except (ValueError, KeyError) as error:
            findings.append(f"{name}: summary.json cannot be read: {error}")
            continue
        findings += [
            f"{name}: {file} is not what summary.json says"
            for file, told in files.items()
            if not _is_whole(folder / file, told)
        ]
    return findings


def _is_whole(path: Path, told: dict[str, Any]) -> bool:
    if not path.is_file():
        return False
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return (len(data), digest, data.count(b"\n")) == (told["bytes"], told["sha256"], told["lines"])


def wrong_rejects(rejected: Path, drops: Iterable[Drop]) -> list[str]:
    """Compare what was refused with what was dropped: its file, and the list of its flaws."""
    findings = torn(rejected)
    for drop in drops:
        folder = rejected / drop.name
        if drop.name in finished(rejected):
            file, flaws = folder / f"{drop.name}.jsonl", folder / "flaws.jsonl"
            if not file.is_file() or file.read_bytes() != drop.content:
                findings.append(f"{drop.name}: what was dropped is not given back as it was")
            if not flaws.is_file() or flaws.read_bytes().count(b"\n") != len(drop.flawed):
                findings.append(f"{drop.name}: not all of its flaws are told")
    return findings


def wrong_results(
    outbox: Path, drops: Iterable[Drop], *, may_fail: bool = False, done: Collection[str] = ()
) -> list[str]:
    """Compare each drop with its results. `may_fail` allows errors where answers were due.

    `done` names drops that are allowed to be missing (rejected or cancelled ones).
    """
    findings = torn(outbox)
    delivered = places(outbox)
    for drop in drops:
        if drop.name not in delivered:
            findings += [f"{drop.name}: never delivered"] if drop.name not in done else []
            continue
        text = (delivered[drop.name] / "results.jsonl").read_bytes().decode()
        findings += _compare(drop, text.split("\n")[:-1], may_fail=may_fail)
        if drop.options.get("parts"):
            findings += _missing_in_parts(drop, delivered[drop.name])
    return findings


def _missing_in_parts(drop: Drop, folder: Path) -> list[str]:
    """Compare the parts with the whole: every answer was told in the one of its batch, too."""
    told = [_answered(part) for part in sorted((folder / "parts").glob("*.jsonl"))]
    missing = _answered(folder / "results.jsonl").difference(*told)
    return [f"{drop.name}: no part has the answer to {key}" for key in sorted(missing)]


def _answered(file: Path) -> set[str]:
    """Return the keys of the requests that have an answer in a file of results."""
    results = [json.loads(line) for line in file.read_bytes().splitlines()]
    return {result["key"] for result in results if "response" in result}


def _compare(drop: Drop, lines: list[str], *, may_fail: bool) -> list[str]:
    if len(lines) != drop.count:
        return [f"{drop.name}: {len(lines)} results for {drop.count} lines"]
    findings = (
        _flaw(drop, number, json.loads(line), may_fail=may_fail)
        for number, line in enumerate(lines)
    )
    return [finding for finding in findings if finding is not None]


def _flaw(drop: Drop, number: int, result: dict[str, Any], *, may_fail: bool) -> str | None:
    where = f"{drop.name} line {number + 1}"
    if number in drop.flawed:
        told = f"line {number + 1}," in str(result.get("error", {}).get("message"))
        return None if told else f"{where}: a flawed line is not told where: {result}"
    if number in drop.failing and "error" not in result:
        return f"{where}: has an answer that nobody gave"
    if result.get("key") != drop.key(number):
        return f"{where}: has the key {result.get('key')!r}"
    if "error" in result:
        allowed = may_fail or number in drop.failing
        return None if allowed else f"{where}: failed with {result['error']}"
    answer = result.get("response", {})
    if drop.kind == "embed":
        return None if _is_its_vector(drop, number, answer) else f"{where}: another's embedding"
    text = json.dumps(answer)
    return None if drop.mark(number) in text else f"{where}: another's answer: {text[:120]}"


def _is_its_vector(drop: Drop, number: int, answer: dict[str, Any]) -> bool:
    request = json.dumps(json.loads(drop.lines[number])["request"]).encode()
    return bool(
        answer["embedding"]["values"] == json.loads(bytes(vector(body_digest(request), DIMENSIONS)))
    )
