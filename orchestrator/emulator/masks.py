"""Partial responses: `fields=name,done,metadata(state,batchStats)`, with `/`, `.` and `*`."""

import re
from typing import Any

from orchestrator.emulator.refusals import invalid

Mask = dict[str, "Mask"]

_TOKEN = re.compile(r"[A-Za-z0-9_@*-]+|[(),/.]")


def masked(shown: dict[str, Any], mask: str) -> dict[str, Any]:
    """Keep only the fields that a mask names; an unknown one is refused."""
    tokens = _TOKEN.findall(mask)
    if "".join(tokens) != re.sub(r"\s", "", mask) or not tokens:
        raise _bad(mask)
    tree, rest = _read(tokens, mask)
    if rest:
        raise _bad(mask)
    kept = _keep(shown, tree)
    return kept if isinstance(kept, dict) else {}


def _read(tokens: list[str], mask: str) -> tuple[Mask, list[str]]:
    tree: Mask = {}
    while tokens:
        at, tokens = _path(tree, tokens, mask)
        if tokens and tokens[0] == "(":
            inner, tokens = _read(tokens[1:], mask)
            if not tokens or tokens[0] != ")":
                raise _bad(mask)
            at.update(inner)
            tokens = tokens[1:]
        if not tokens or tokens[0] != ",":
            return tree, tokens
        tokens = tokens[1:]
    raise _bad(mask)


def _path(tree: Mask, tokens: list[str], mask: str) -> tuple[Mask, list[str]]:
    while True:
        if not tokens or tokens[0] in "(),/.":
            raise _bad(mask)
        tree = tree.setdefault(tokens[0], {})
        tokens = tokens[1:]
        if not tokens or tokens[0] not in "/.":
            return tree, tokens
        tokens = tokens[1:]


def _keep(shown: Any, tree: Mask) -> Any:
    if not tree or "*" in tree:
        return shown
    if isinstance(shown, list):
        return [_keep(item, tree) for item in shown]
    if not isinstance(shown, dict):
        return shown
    return {name: _keep(value, tree[name]) for name, value in shown.items() if name in tree}


def _bad(mask: str) -> Exception:
    return invalid(f"Request contains an invalid argument: fields mask '{mask}'.")
