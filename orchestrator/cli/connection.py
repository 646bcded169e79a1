"""Talking to the running daemon, and what its refusals mean for a command."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import failure
from orchestrator.config.errors import ConfigError
from orchestrator.config.places import find_socket
from orchestrator.status.client import Answered, Client, NotAllowed, Unreachable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

QUOTED = frozenset(" \t'\"\\$`!*?[](){}<>|&;#~")  # what means something else to a shell


def client(config: Path | None) -> Client:
    """Return a client of the daemon that these settings belong to."""
    return Client(find_socket(config, os.environ))


@contextmanager
def asking() -> Iterator[None]:
    """Turn what goes wrong between the daemon and us into the end of the command."""
    try:
        yield
    except NotAllowed as error:
        raise failure.Failure(str(error), failure.NO_PERMISSION) from None
    except Unreachable as error:
        raise failure.Failure(str(error), failure.UNAVAILABLE) from None
    except Answered as error:
        raise failure.Failure(str(error), _code(error.status), error.status) from None


def complete_set(ctx: click.Context, _: click.Parameter, incomplete: str) -> list["CompletionItem"]:
    """Offer a shell the names of sets; nothing when no daemon can be asked.

    A name that would have to be quoted is offered as the id of the newest set that has it: the
    scripts of the shells hand on words as they are.
    """
    from click.shell_completion import CompletionItem

    newest: dict[str, dict[str, Any]] = {}
    try:
        for view in client(ctx.params.get("config")).sets():
            if view["name"].startswith(incomplete) and view["name"].isprintable():
                newest.setdefault(view["name"], view)
    except (ConfigError, Unreachable, Answered):
        return []
    offered = [
        (view["id"], f"{name}, {view['display']}") if QUOTED & {*name} else (name, view["display"])
        for name, view in newest.items()
    ]
    return [CompletionItem(word, help=told) for word, told in sorted(offered)]


def complete_file(_: click.Context, __: click.Parameter, incomplete: str) -> list["CompletionItem"]:
    """Leave it to the shell, which knows the files."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def _code(status: int) -> int:
    match status:
        case 403:
            return failure.NO_PERMISSION
        case 404:
            return failure.NO_INPUT
        case 409 | 429:
            return failure.TRY_AGAIN
        case status if status >= 500:
            return failure.UNAVAILABLE
        case _:
            return failure.DATA
