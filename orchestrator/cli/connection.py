"""Talking to the running daemon, and what its refusals mean for a command."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from orchestrator.cli import failure
from orchestrator.config.errors import ConfigError
from orchestrator.config.places import find_socket
from orchestrator.status.client import Answered, Client, NotAllowed, Unreachable


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


def complete_set(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Offer a shell the names of sets; nothing when no daemon can be asked."""
    try:
        names = {view["name"] for view in client(ctx.params.get("config")).sets()}
    except (ConfigError, Unreachable, Answered):
        return []
    return sorted(name for name in names if name.startswith(incomplete) and name.isprintable())


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
