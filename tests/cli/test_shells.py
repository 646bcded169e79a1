"""Completion in the shells themselves, typed at a terminal."""

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sysconfig
import termios
from contextlib import contextmanager

import click
import pytest

from orchestrator.cli.program import COMMANDS, program

PATIENCE_SECONDS = 30
# How each is started without anybody's settings, and what people put into theirs.
STARTED = {
    "bash": (["bash", "--norc", "-i"], 'eval "$(orchestrator completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], 'eval "$(orchestrator completion zsh)"'),
    "fish": (["fish", "--no-config"], "orchestrator completion fish | source"),
}
BEGINNING, ENTER, INTERRUPT, TAB = "\x01", "\r", "\x03", "\t"
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?=>]*[A-Za-z]|[()][A-Z0-9]|\][^\x07]*\x07|[=>])")
FILE = "an odd one.jsonl"


class Terminal:
    """A shell at a terminal."""

    def __init__(self, end):
        self.end = end
        self.shown = ""

    def type(self, keys):
        os.write(self.end, keys.encode())

    def until(self, pattern):
        """Read until the screen was shown something; return it."""
        while not (found := re.search(pattern, ESCAPES.sub("", self.shown))):
            ready, _, _ = select.select([self.end], [], [], PATIENCE_SECONDS)
            assert ready, f"never {pattern!r}:\n{self.shown!r}"
            self.shown += os.read(self.end, 65536).decode(errors="replace")
        self.shown = ""
        return found

    def completed(self, line):
        """Return what the line is after TAB; the shell itself says so."""
        self.type(f"{line}{TAB}{BEGINNING}echo '=' {ENTER}")
        return self.until(r"[\r\n]= ([^\r\n]*?) *\r?\n")[1]

    def offers(self, line, *texts):
        """Wait until these are shown for a line that several words would continue."""
        self.type(f"{line}{TAB}{TAB}")
        self.until("(?s)" + "".join(f"(?=.*{re.escape(text)})" for text in texts))
        self.type(INTERRUPT)


@contextmanager
def terminal(command, environ, folder):
    """Run a shell that has a terminal of its own."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 50, 160, 0, 0))
    with subprocess.Popen(
        ["setsid", "--ctty", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environ,
        cwd=folder,
    ) as process:
        os.close(theirs)
        yield Terminal(ours)
        process.kill()
    os.close(ours)


@pytest.fixture(params=STARTED)
def shell(request, home):
    """Return a shell into which somebody typed what our guide says; say loudly where it is not."""
    if shutil.which(request.param) is None:
        pytest.skip(f"completion in {request.param} was NOT tried: apt-get install {request.param}")
    command, setting = STARTED[request.param]
    folder = home / "here"
    folder.mkdir()
    (folder / FILE).touch()
    environ = os.environ | {
        "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
        "TERM": "xterm",
    }
    environ.pop("COLUMNS")  # the terminal says how wide it is
    with terminal(command, environ, folder) as there:
        there.type(f"{setting}{ENTER}echo REA''DY{ENTER}")
        there.until("READY")
        yield there


@pytest.mark.slow
def test_a_shell_completes_commands_files_and_sets(shell, daemon, shown):
    """In each shell TAB ends the word: a command, an option, a file, the name of a set."""
    daemon.sets = [shown.a_set("prompts"), shown.a_set("other")]

    assert shell.completed("orchestrator sta") == "orchestrator status"
    assert shell.completed("orchestrator submit --wa") == "orchestrator submit --wait"
    assert shell.completed("orchestrator submit ./an") == f"orchestrator submit ./{FILE}"
    assert shell.completed("orchestrator cancel pr") == "orchestrator cancel prompts"


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["zsh", "fish"], indirect=True)
def test_a_shell_tells_what_the_commands_do(shell):
    """Shells that show descriptions show the whole of each."""
    command = program.resolve_command
    found = [command(click.Context(program), [name]) for name in COMMANDS if name[0] == "c"]

    shell.offers("orchestrator c", *(each.get_short_help_str(200) for _, each, _ in found if each))
