"""Every trouble with the settings, as lines that say what, where and what to do."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from orchestrator.service.printable import printable

if TYPE_CHECKING:
    from pydantic import ValidationError

Where = tuple[str | int, ...]


class ConfigError(Exception):
    """The settings cannot be used. `problems` holds one line each; never a secret's value."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint to the nearest known word, or what there is when nothing is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - only needed when something is wrong

    names = sorted(known)
    near = get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known are: {', '.join(names)}" if names else "nothing is known by that name"


def explain(
    trouble: "ValidationError", origins: Mapping[Where, str], known: Mapping[Where, Iterable[str]]
) -> list[str]:
    """Turn what pydantic found into one line per problem, without any input value.

    `origins` says where a value was read, `known` which keys a table has.
    """
    return [
        printable(_line(error["type"], error["msg"], tuple(error["loc"]), origins, known))
        for error in trouble.errors(include_url=False, include_context=False, include_input=False)
    ]


def _line(
    kind: str,
    message: str,
    where: Where,
    origins: Mapping[Where, str],
    known: Mapping[Where, Iterable[str]],
) -> str:
    place = _origin(where, origins)
    if kind == "extra_forbidden":
        table, word = where[:-1], str(where[-1])
        thing = "section" if ("limits",) in known else "option"
        owner = f"[{dotted(table)}] has no key" if table else f"there is no {thing}"
        hint = did_you_mean(word, _known(table, known))
        return f"{place}{owner} {word!r}; {hint}"
    words = message.removeprefix("Value error, ").replace("Input should be", "must be")
    words = words.replace("Field required", "is required")
    if kind == "tuple_type":
        words = 'must be a list, as in ["one", "two"]'
    return f"{place}{dotted(where)} {words}" if where else f"{place}{words}"


def _origin(where: Where, origins: Mapping[Where, str]) -> str:
    for length in range(len(where), -1, -1):
        if where[:length] in origins:
            return f"{origins[where[:length]]}: "
    return ""


def _known(table: Where, known: Mapping[Where, Iterable[str]]) -> Iterable[str]:
    return known.get(table) or known.get((*table[:1], "*"), ())


def dotted(where: Where) -> str:
    """Return a place as TOML writes it: section.key."""
    return ".".join(str(step) for step in where)
