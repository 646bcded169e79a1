"""What several commands share on the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


def config_option() -> Decorator:
    """Add --config."""
    return click.option(
        "--config",
        "config",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Settings to use instead of the user's or /etc/orchestrator/config.toml.",
    )


def json_option(what: str = "Print JSON instead of text.") -> Decorator:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help=what)


def examples(*lines: str) -> str:
    """Return the examples at the end of a command's help, unwrapped."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
