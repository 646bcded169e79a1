"""What the source raises for a person to read, as its messages stand in the code."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

GAP = "…"  # where a value stands in a message


def messages(source: Path, kinds: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield where exceptions of these kinds are made, and their messages with gaps for values.

    `kinds` says which argument is the message. A message that is nothing but values is left out:
    it was made of another one.
    """
    for file in sorted(source.glob("**/*.py")):
        source_text = file.read_text("utf-8")
        if not any(f"{kind}(" in source_text for kind in kinds):
            continue
        for function in _functions(ast.parse(source_text)):
            nodes = list(ast.walk(function))
            texts = _texts(nodes)
            for node in nodes:
                if isinstance(node, ast.Call) and len(node.args) > (at := _place(node, kinds)) >= 0:
                    said = _text(node.args[at], texts)
                    if re.search(r"[a-z]{3}", said):
                        yield f"{file.relative_to(source)}:{node.lineno}", said


def is_among(said: str, fragments: "list[re.Pattern[str]]") -> bool:
    """Tell whether a catalogue has the message: in one of its fragments."""
    return any(each.search(said) for each in fragments)


def telling(fragments: list[str]) -> "list[re.Pattern[str]]":
    """Return those fragments that say enough to be looked for, with gaps for any values."""
    known = {each for each in fragments if len(re.sub(r"[^a-z]", "", each)) >= 8}
    return [re.compile(_pattern(each), re.DOTALL) for each in sorted(known)]


def _pattern(fragment: str) -> str:
    return ".*".join(re.escape(part) for part in fragment.strip(f" {GAP}").split(GAP))


def _functions(tree: ast.Module) -> list[ast.AST]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | _ASYNC)]


_ASYNC = ast.AsyncFunctionDef


def _place(call: ast.Call, kinds: Mapping[str, int]) -> int:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return kinds.get(name, -1)


def _texts(nodes: list[ast.AST]) -> dict[str, str]:
    """Return the texts that were given a name before they went into a message."""
    return {
        target.id: _text(node.value, {})
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value, ast.Constant | ast.JoinedStr)
    }


def _text(node: ast.expr, texts: Mapping[str, str]) -> str:
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(_text(value, texts) for value in values)
        case ast.FormattedValue(value=ast.Name(id=name)) | ast.Name(id=name):
            return texts.get(name, GAP)
        case _:
            return GAP
