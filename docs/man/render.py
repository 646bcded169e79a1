"""Writes the manual page from the commands' own help, so that both say the same.

usage: python docs/man/render.py > docs/man/orchestrator.1        (or: make man)
"""
# ruff: noqa: INP001 - a script, no part of a package

import sys
from collections.abc import Iterator
from inspect import cleandoc

import click

from orchestrator import __version__
from orchestrator.cli.program import program

EXIT_CODES = (
    ("0", "Done."),
    ("1", "Done, but some requests ended in errors, or something is not well."),
    ("64", "The command line is wrong."),
    ("65", "The input is wrong, or the ledger is broken or of a newer version."),
    ("66", "The input, the set or the inbox is not there."),
    ("69", "No daemon answers, or the service cannot be had."),
    ("70", "A bug: please report it."),
    ("73", "A file, folder or socket cannot be made."),
    ("75", "Not now: another daemon works there, the disk is full; try again."),
    ("77", "Not allowed."),
    ("78", "The settings are wrong."),
    ("130", "Interrupted."),
)
FILES = (
    ("/etc/orchestrator/config.toml", "Settings; config.example.toml explains every one."),
    ("/etc/orchestrator/gemini_api_key", "The API key, as the unit takes it: mode 0600, root's."),
    ("/var/lib/orchestrator/inbox/", "Where files of requests are dropped."),
    ("/var/lib/orchestrator/outbox/NAME/", "results.jsonl, and summary.json once it is whole."),
    ("/var/lib/orchestrator/rejected/NAME/", "What was refused, with flaws.jsonl."),
    ("/var/lib/orchestrator/orchestrator.db", "The ledger."),
    ("/run/orchestrator/orchestrator.sock", "The status socket: HTTP and JSON."),
)
VARIABLES = (
    ("ORCHESTRATOR_CONFIG", "The settings file, if --config names none."),
    ("ORCHESTRATOR_SECTION__KEY", "Any setting, over the file; lists and tables as JSON."),
    ("GEMINI_API_KEY, GOOGLE_API_KEY", "The API key, if neither credential nor file gives one."),
    ("NO_COLOR", "Print without colours."),
)
SIGNALS = (
    ("SIGTERM, SIGINT", "End cleanly, within seconds; the second one ends at once."),
    ("SIGHUP", "Read the settings and the key again."),
)


def page() -> Iterator[str]:
    """Yield the lines of the page, in man's own language."""
    yield f'.TH ORCHESTRATOR 1 "" "orchestrator {__version__}" "User Commands"'
    yield from (".SH NAME", "orchestrator \\- files of prompts into Gemini batch jobs and back")
    yield from (".SH SYNOPSIS", ".B orchestrator", "COMMAND [OPTIONS] [ARGUMENTS]")
    yield ".SH DESCRIPTION"
    yield from _prose(program.help)
    yield ".SH COMMANDS"
    top = click.Context(program, info_name="orchestrator", **program.context_settings)
    for name in program.list_commands(top):
        command = program.get_command(top, name)
        assert command is not None
        yield from _command(command, click.Context(command, info_name=name, parent=top))
    yield from _table("SIGNALS", SIGNALS)
    yield from _table("EXIT STATUS", EXIT_CODES)
    yield from _table("ENVIRONMENT", VARIABLES)
    yield from _table("FILES", FILES)
    yield from _examples(program.epilog, ".SH EXAMPLES")


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    yield f".SS {_plain(f'orchestrator {context.info_name} {usage}')}"
    yield from _prose(command.help)
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            yield from (".TP", f".B {_plain(record[0])}", _plain(record[1]))
    yield from _examples(command.epilog, ".PP")


def _table(title: str, rows: tuple[tuple[str, str], ...]) -> Iterator[str]:
    yield f".SH {title}"
    for term, meaning in rows:
        yield from (".TP", f".B {_plain(term)}", _plain(meaning))


def _prose(text: str | None) -> Iterator[str]:
    for paragraph in cleandoc(text or "").split("\n\n"):
        if paragraph.startswith("\b"):
            yield from _literal(paragraph.splitlines()[1:])
        else:
            yield from (".PP", _plain(" ".join(paragraph.split())))


def _examples(epilog: str | None, heading: str) -> Iterator[str]:
    lines = (epilog or "").splitlines()[2:]  # after the mark and the word
    yield from (heading, "Examples:") if heading == ".PP" else (heading,)
    yield from _literal(lines)


def _literal(lines: list[str]) -> Iterator[str]:
    yield from (".PP", ".nf", ".RS 2")
    yield from (_plain(line) or ".sp" for line in lines)
    yield from (".RE", ".fi")


def _plain(text: str) -> str:
    """Write text so that man takes it as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    sys.stdout.write("\n".join(page()) + "\n")
