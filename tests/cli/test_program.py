"""The command line as a whole: help, errors, exit codes, speed."""

import os
import subprocess
import sys

import click
import pytest

from orchestrator import __version__
from orchestrator.cli.program import COMMANDS, program

HEAVY = ("pydantic", "aiohttp", "sqlalchemy", "numpy", "structlog", "rich", "alembic", "msgspec")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_as_on_file(call, golden, command):
    """`--help` of every command says what it did when somebody last looked at it."""
    ended = call(*command.split(), "--help")

    assert ended.code == 0
    golden(f"help-{command or 'orchestrator'}.txt", ended.out)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_and_json(command):
    """Every command shows an example, and prints JSON."""
    context = click.Context(program)
    found = program.get_command(context, command)

    assert found is not None
    assert "Examples:" in (found.epilog or "")
    names = {name for parameter in found.params for name in parameter.opts}
    assert "--json" in names


def test_the_version_comes_from_one_place(call):
    """--version says what the package says."""
    assert call("--version").out == f"orchestrator {__version__}\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("confg", "there is no command 'confg'; did you mean 'config'?"),
        ("status --wach", "--wach"),
        ("submit", "Missing argument 'FILE...'"),
        ("completion tcsh", "'tcsh' is not one of"),
        ("completion", "Choose from: bash, zsh, fish"),
        ("cancel", "Missing argument 'SET...'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_64(call, line, said):
    """Usage errors are EX_USAGE, one line, and lead to the help."""
    ended = call(*line.split())

    assert ended.code == os.EX_USAGE
    assert ended.out == ""
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert "--help'" in ended.err


def test_an_interrupt_is_heeded_before_anything_is_imported():
    """Ctrl-C while the program itself is still being read ends without a traceback."""
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(name, path, target=None):\n"
        "        if name == 'orchestrator.cli.program': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted)\n"
        "from orchestrator.__main__ import main\n"
        "main()\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_no_command_at_all_shows_the_help(call):
    """Who calls the bare program sees what it can do, and a code that says that this was not it."""
    ended = call()

    assert ended.code == os.EX_USAGE
    assert "Commands:\n  run " in ended.err


def test_wrong_settings_are_78(call, monkeypatch):
    """Each problem of the settings is a line, and the code is EX_CONFIG."""
    monkeypatch.setenv("ORCHESTRATOR_LIMITS__TIER", "9")
    monkeypatch.setenv("ORCHESTRATOR_INTAKE__SHAPE", "round")

    ended = call("config")

    assert ended.code == os.EX_CONFIG
    assert len(ended.err.splitlines()) == 2


def test_escapes_in_arguments_do_not_reach_the_terminal(call):
    """A name with terminal escapes is shown as what it is."""
    ended = call("\x1b[2Jx")

    assert "\x1b" not in ended.err
    assert "\\x1b[2Jx" in ended.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_their_completion(call, shell):
    """The script names our completion variable; and the shell is told the commands."""
    assert "_ORCHESTRATOR_COMPLETE" in call("completion", shell).out


def completed(*words):
    """Return what a shell is offered for the last of these words."""
    environ = os.environ | {
        "_ORCHESTRATOR_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("orchestrator", *words)),
        "COMP_CWORD": str(len(words)),
    }
    command = [sys.executable, "-m", "orchestrator"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return done.stdout


def test_completion_knows_the_commands_and_leaves_files_to_the_shell():
    """`orchestrator sta` becomes `status`; the files of `submit` are the shell's to name."""
    assert completed("sta") == "plain,status\n"
    assert completed("submit", "sl") == "file,sl\n"


def test_completion_knows_the_sets(daemon, shown):
    """`orchestrator cancel pr` gets the sets of that beginning; odd names by their ids."""
    daemon.sets = [
        shown.a_set("prompts"),
        shown.a_set("other"),
        shown.a_set("pr\x1b[2J"),
        shown.a_set("pr of today", id="abcdefghij"),
    ]

    assert completed("cancel", "pr") == "plain,abcdefghij\nplain,prompts\n"


@pytest.mark.usefixtures("home")
def test_asking_for_the_status_imports_nothing_heavy():
    """`status` answers without pydantic, aiohttp, SQLAlchemy and the like, so it is quick."""
    code = (
        "import sys; from orchestrator.cli.program import main; main(['status']);"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
    assert "no daemon is running" in done.stderr


def test_a_closed_pipe_is_no_error():
    """`orchestrator config | head -1` ends quietly."""
    command = f"{sys.executable} -m orchestrator config | head -1"

    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert done.stdout.startswith("#")


def test_a_bug_is_said_to_be_one(call, monkeypatch):
    """What nobody foresaw is EX_SOFTWARE and asks for a report; no values of variables."""

    def broken(*_args, **_kwargs):
        hidden = "value-of-a-variable"
        raise RuntimeError(len(hidden))

    monkeypatch.setattr(program, "invoke", broken)

    ended = call("config")

    assert ended.code == os.EX_SOFTWARE
    assert "this is a bug: please report it" in ended.err
    assert "value-of-a-variable" not in ended.err.replace('hidden = "value-of-a-variable"', "")


def test_ctrl_c_is_130(call, monkeypatch):
    """An interrupted command ends with 130 and says nothing odd."""

    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "invoke", interrupted)

    ended = call("config")

    assert (ended.code, ended.out, ended.err.strip()) == (130, "", "")
