"""`orchestrator submit`: files into the inbox, safely, and if wanted all the way to results."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from orchestrator.cli import failure, screen
from orchestrator.cli.connection import complete_file
from orchestrator.cli.options import config_option, examples, json_option
from orchestrator.service.printable import printable, shown_name

if TYPE_CHECKING:
    from orchestrator.cli.dropping import Dropped, Progress, Taken
    from orchestrator.config.settings import Settings


@click.command(
    short_help="Copy files into the inbox; --wait for the results.",
    epilog=examples(
        "orchestrator submit prompts.jsonl",
        "orchestrator submit prompts.jsonl --model gemini-2.5-pro --priority 10 --wait",
        "generate-prompts | orchestrator submit - --name nightly",
        "orchestrator submit texts.jsonl.zst --profile embeddings --compact npy",
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", shell_complete=complete_file)
@click.option("--name", metavar="NAME", help="Name of the set, instead of the file's name.")
@click.option("--profile", metavar="PROFILE", help="Follow [profiles.PROFILE] of the settings.")
@click.option("--model", metavar="MODEL", help="The model, as in gemini-2.5-flash.")
@click.option("--kind", type=click.Choice(["generate", "embed"]), help="What is asked for.")
@click.option("--priority", type=int, metavar="N", help="Higher goes first.")
@click.option("--max-cost", metavar="USD", help="Hold the set before it costs more.")
@click.option("--parts", is_flag=True, default=None, help="Write each batch's results early.")
@click.option("--compress", type=click.Choice(["none", "gz", "zst"]), help="Compress the results.")
@click.option(
    "--compact", type=click.Choice(["none", "base64", "npy"]), help="Embeddings, smaller."
)
@click.option(
    "--duplicate-set", type=click.Choice(["reuse", "run"]), help="The same content again."
)
@click.option("--options", type=click.File("rb"), metavar="TOML", help="A file of options.")
@click.option("--wait", is_flag=True, help="Follow it to the end; the exit code tells how it was.")
@config_option()
@json_option()
def submit(files: tuple[str, ...], name: str | None, config: Path | None, **given: Any) -> int:
    """Copy files into the inbox, whole and over nobody's name.

    FILE is JSON Lines, plain or .gz or .zst; - reads standard input. Each becomes a set of its
    name, or NAME-2 if that name waits in the inbox, has results in the outbox, or is a set of the
    running daemon. Options given here go into NAME.toml beside it.

    With --wait the exit code is 0 when every request was answered, 1 when some were not,
    65 when the set was rejected.
    """
    as_json, wait, extra = given.pop("as_json"), given.pop("wait"), given.pop("options")
    if name is not None and len(files) > 1:
        raise click.UsageError("--name is for one file; give the others their own command.")
    if files.count("-") and name is None:
        raise click.UsageError("standard input has no name; add --name NAME.")
    from orchestrator.cli.dropping import check_file, check_name, split_name
    from orchestrator.config.settings import load

    for file in files:  # all of them, before the first is dropped
        if file != "-":
            check_file(file)
            check_name(name or split_name(Path(file).name)[0])
    settings = load(config)
    options = _options(settings, given, extra.read() if extra else b"")

    def drop_all() -> list["Dropped"]:
        dropped: list[Dropped] = []
        for file in files:
            try:
                dropped.append(_drop(file, name, settings, options, quiet=as_json))
            except failure.Failure as error:
                raise _beside(dropped, file, error) from None
        return dropped

    if wait:
        from orchestrator.cli.waiting import Followed

        with Followed.starting(config) as follow:
            return follow.to_the_end(drop_all(), settings.paths, as_json=as_json)
    _tell(drop_all(), settings, as_json=as_json)
    return failure.OK


def _beside(dropped: list["Dropped"], file: str, error: failure.Failure) -> failure.Failure:
    """Say with a failure what lies in the inbox already: nobody should drop that twice."""
    if not dropped:
        return error
    names = ", ".join(shown_name(each.name) for each in dropped)
    were = "was" if len(dropped) == 1 else "were"
    advice = f"{names} {were} dropped before it: submit the others only"
    return error.reworded(f"{shown_name(file)}: {error}; {advice}")


def _options(settings: "Settings", given: dict[str, Any], extra: bytes) -> str:
    """Return the text of NAME.toml, checked as the daemon will check it; "" when there is none."""
    import tomllib

    from orchestrator.config.options import choose
    from orchestrator.domain.options import BadOptions

    said = {key: value for key, value in given.items() if value is not None}
    try:
        said = tomllib.loads(extra.decode()) | said
        text = "".join(f"{key} = {_toml(value)}\n" for key, value in _tables_last(said))
        choose(settings, "", text or None)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise failure.Failure(f"--options: not valid TOML: {error}", failure.DATA) from None
    except BadOptions as error:
        raise failure.Failure(str(error), failure.DATA) from None
    return text


def _tables_last(said: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(said.items(), key=lambda pair: isinstance(pair[1], dict))


def _toml(value: Any) -> str:
    import json

    match value:
        case dict():
            inner = ", ".join(f"{_toml(key)} = {_toml(each)}" for key, each in value.items())
            return "{" + inner + "}"
        case list():
            return "[" + ", ".join(_toml(each) for each in value) + "]"
        case str() | bool() | int() | float():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)  # a date: choose refuses it by name


def _drop(
    file: str, name: str | None, settings: "Settings", options: str, *, quiet: bool
) -> "Dropped":
    from orchestrator.cli.dropping import drop, split_name

    own, suffix = split_name("stdin.jsonl" if file == "-" else Path(file).name)
    with ExitStack() as stack:
        source, size = _open(file, stack)
        advance = _progress(stack, f"copying {shown_name(own)}", size, quiet=quiet)
        inbox, taken = settings.paths.inbox, _names_taken(settings)
        return drop(source, inbox, name or own, suffix, options, advance, taken=taken)


def _names_taken(settings: "Settings") -> "Taken":
    """Return what tells, as far as can be seen, whether results of that name are or will be."""
    from orchestrator.status.client import Answered, Client, Unreachable

    paths, daemon = settings.paths, Client(settings.paths.socket)

    def taken(name: str) -> bool:
        if os.path.lexists(paths.outbox / name):
            return True
        try:
            views = [view for view in daemon.sets(name=name) if view["state"] != "rejected"]
        except (Unreachable, Answered):
            return False
        return any(view["outbox"] == name for view in views)

    return taken


def _open(file: str, stack: ExitStack) -> tuple[BinaryIO, int | None]:
    from orchestrator.cli.dropping import check_file

    if file == "-":
        return sys.stdin.buffer, None
    size = check_file(file).st_size
    try:
        return stack.enter_context(Path(file).open("rb")), size
    except OSError as error:
        message = f"{shown_name(file)}: cannot be read: {error.strerror}; check its mode"
        raise failure.Failure(message, failure.NO_INPUT) from None


def _progress(stack: ExitStack, what: str, size: int | None, *, quiet: bool) -> "Progress":
    if quiet or not screen.is_terminal():
        return lambda _: None
    from rich.progress import DownloadColumn, Progress as Bar, TextColumn, TimeRemainingColumn

    bar = Bar(
        TextColumn(what, markup=False),
        *Bar.get_default_columns()[1:2],
        DownloadColumn(),
        TimeRemainingColumn(),
        console=screen.console(),
        transient=True,
    )
    stack.enter_context(bar)
    task = bar.add_task(what, total=size)
    return lambda count: bar.update(task, advance=count)


def _tell(dropped: list["Dropped"], settings: "Settings", *, as_json: bool) -> None:
    if as_json:
        screen.say_json([{"name": each.name, "file": str(each.file)} for each in dropped])
        return
    for each in dropped:
        outbox = settings.paths.outbox / each.name
        screen.say(f"{shown_name(each.name)}: dropped; results will be in {printable(str(outbox))}")
    if not settings.paths.socket.exists():
        screen.hint("no daemon seems to be running; start it with `orchestrator run`")
