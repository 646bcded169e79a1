"""The command line as a whole: which commands there are, and what happens to their errors.

Commands are imported when they are called; what is heavy is imported inside them, so that asking a
running daemon for its status stays quick.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from orchestrator import __version__
from orchestrator.cli import failure
from orchestrator.cli.options import examples
from orchestrator.config.errors import ConfigError
from orchestrator.service.printable import printable

COMMANDS = {
    "run": "orchestrator.cli.run:run",
    "demo": "orchestrator.cli.demo:demo",
    "emulator": "orchestrator.cli.emulator:emulator",
    "submit": "orchestrator.cli.submit:submit",
    "check": "orchestrator.cli.check:check",
    "status": "orchestrator.cli.status:status",
    "cancel": "orchestrator.cli.verbs:cancel",
    "pause": "orchestrator.cli.verbs:pause",
    "resume": "orchestrator.cli.verbs:resume",
    "retry": "orchestrator.cli.verbs:retry",
    "delete-remote": "orchestrator.cli.verbs:delete_remote",
    "absent": "orchestrator.cli.verbs:absent",
    "adopt": "orchestrator.cli.verbs:adopt",
    "doctor": "orchestrator.cli.doctor:doctor",
    "config": "orchestrator.cli.config:config",
    "fsck": "orchestrator.cli.fsck:fsck",
    "completion": "orchestrator.cli.completion:completion",
}


class Program(click.Group):
    """Finds commands by name and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the one that was meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from orchestrator.config.errors import did_you_mean

            hint = did_you_mean(args[0], COMMANDS)
            raise click.UsageError(f"there is no command {printable(args[0])!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "orchestrator demo                         see it work, without a key",
        "orchestrator run                          watch the inbox (needs GEMINI_API_KEY)",
        "orchestrator submit prompts.jsonl --wait  send a file and wait for its results",
        "orchestrator status --watch               look on",
    ),
)
@click.version_option(__version__, "-V", "--version", message="orchestrator %(version)s")
def program() -> None:
    """Turn files of prompts into Gemini batch jobs and back into files of answers.

    Drop NAME.jsonl into the inbox, or use `submit`; find the answers in the outbox, in
    NAME/results.jsonl. Nothing is paid twice and nothing is lost.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; every error is one line on standard error.

    Whoever asked for JSON gets the error as JSON on standard output, too.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = program.main(given, prog_name="orchestrator", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        return failure.INTERRUPTED
    except BrokenPipeError:
        return _pipe_closed()
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stderr.write(f"{error.format_message()}\n")
        return failure.USAGE
    except Exception as error:  # noqa: BLE001 - told by kind, and a bug of ours if it is none
        return _tell(error, as_json=_wants_json(given))
    return code if isinstance(code, int) else failure.OK


def _wants_json(given: Sequence[str]) -> bool:
    """Tell whether one JSON value was asked for; of those that go on --json is about their log."""
    options = given[: given.index("--")] if "--" in given else given
    return "--json" in options and not {"run", "emulator"} & {*options[:1]}


def _tell(error: Exception, *, as_json: bool) -> int:
    """Say what ended the command; return its exit code."""
    ended = _explained(error)
    lines = error.problems if isinstance(error, ConfigError) else (str(ended),)
    for line in lines:
        sys.stderr.write(f"orchestrator: {printable(line)}\n")
    if as_json:
        from orchestrator.cli import screen

        screen.say_json(ended.problem())
    return ended.code


def _explained(error: Exception) -> failure.Failure:
    match error:
        case click.UsageError():
            return failure.Failure(_misused(error), failure.USAGE)
        case click.ClickException():
            return failure.Failure(error.format_message(), failure.NO_INPUT)
        case ConfigError():
            return failure.Failure("\n".join(error.problems), failure.CONFIG)
        case failure.Failure():
            return error
        case _:
            return _bug(error)


def _misused(error: click.UsageError) -> str:
    where = error.ctx.command_path if error.ctx else "orchestrator"
    said = " ".join(error.format_message().split()).rstrip(".")  # choices are on lines
    return f"{said}; see '{where} --help'"


def _bug(error: Exception) -> failure.Failure:
    """Say that we are at fault, with what a report needs; no values of variables."""
    import traceback

    for line in "".join(traceback.format_exception(error)).splitlines():
        sys.stderr.write(f"  {printable(line)}\n")
    advice = "this is a bug: please report it with the lines above"
    return failure.Failure(f"{type(error).__name__}: {error}; {advice}", failure.SOFTWARE)


def _pipe_closed() -> int:
    """End quietly when the reader of our output went away, as `head` does."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13
