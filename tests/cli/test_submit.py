"""`submit`: a safe copy into the inbox, and following it to the end."""

import errno
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st

from orchestrator.cli import dropping, failure
from orchestrator.cli.waiting import Display, exit_code, outcome
from orchestrator.spool import atomic
from orchestrator.spool.names import is_never_taken, parse

LINE = '{"contents": [{"parts": [{"text": "a"}]}]}\n'
FINISHED = "2026-01-02T03:05:00Z"


@pytest.fixture
def prompts(home, monkeypatch):
    """Return a file of prompts; a model is set for all."""
    monkeypatch.setenv("ORCHESTRATOR_PROFILES__DEFAULT__MODEL", "gemini-2.5-flash")
    file = home / "prompts.jsonl"
    file.write_text(LINE * 3)
    return file


@pytest.fixture
def inbox(home):
    """Return the inbox."""
    return home / "s" / "inbox"


def test_a_file_is_copied_under_its_name(call, prompts, inbox):
    """The inbox gets the same bytes under the same name, and nothing else."""
    ended = call("submit", prompts)

    assert ended.code == 0
    assert [file.name for file in inbox.iterdir()] == ["prompts.jsonl"]
    assert (inbox / "prompts.jsonl").read_bytes() == prompts.read_bytes()
    assert ended.out.startswith("prompts: dropped; results will be in ")
    assert "no daemon seems to be running" in ended.err


def test_nothing_is_ever_overwritten(call, prompts, inbox):
    """A name that is taken, by data or by options, is left alone: NAME-2, NAME-3 …"""
    (inbox / "prompts-2.toml").write_text("")

    for _ in range(3):
        call("submit", prompts)

    names = {file.name for file in inbox.iterdir()}
    assert names == {"prompts.jsonl", "prompts-2.toml", "prompts-3.jsonl", "prompts-4.jsonl"}


def test_a_name_with_results_or_a_set_of_the_daemons_is_taken(call, prompts, inbox, daemon, shown):
    """What is said of where the results will be is true: nobody else publishes there."""
    (inbox.parent / "outbox" / "prompts").mkdir(parents=True)
    daemon.sets = [
        shown.a_set("prompts-2", outbox="prompts-2"),
        shown.a_set("prompts-3", state="rejected", display="rejected", outbox="prompts-3"),
    ]

    ended = call("submit", prompts)

    assert [file.name for file in inbox.iterdir()] == ["prompts-3.jsonl"]
    assert ended.out.startswith("prompts-3: dropped; results will be in ")
    assert ended.out.endswith("outbox/prompts-3\n")


def test_options_lie_there_before_the_data(prompts, inbox):
    """NAME.toml is in place when NAME.jsonl appears: the daemon may take it at once."""
    seen = []

    def observe(moment, verb, path):
        if (moment, verb) == ("after", "rename"):
            seen.append(path.name)

    with prompts.open("rb") as source, atomic.observed(observe):
        dropping.drop(source, inbox, "prompts", ".jsonl", "priority = 1\n", lambda _: None)

    assert seen[-2:] == ["prompts.toml", "prompts.jsonl"]


def test_options_of_the_command_line_are_the_sets(call, prompts, inbox, home):
    """What is given here goes over the file of options, and is checked before it is dropped."""
    (home / "o.toml").write_text('priority = 1\nmodel = "other"\n[defaults]\na = "ü"\n')

    call("submit", prompts, "--options", home / "o.toml", "--model", "m", "--max-cost", "1.50")

    said = tomllib.loads((inbox / "prompts.toml").read_text("utf-8"))
    assert said == {"priority": 1, "model": "m", "max_cost": "1.50", "defaults": {"a": "ü"}}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--profile", "nobody"], os.EX_DATAERR, "there is no profile 'nobody'"),
        (["--model", "a b"], os.EX_DATAERR, "must be the id of a model"),
        (["--max-cost", "-1"], os.EX_DATAERR, "max_cost must be greater than 0"),
        (["--name", "../x"], os.EX_USAGE, "cannot name a set"),
        (["--name", ".hidden"], os.EX_USAGE, "cannot name a set"),
        (["--name", "x" * 201], os.EX_USAGE, "cannot name a set"),
        (["other.jsonl", "--name", "x"], os.EX_USAGE, "--name is for one file"),
    ],
)
def test_what_cannot_be_submitted_leaves_nothing(call, prompts, inbox, arguments, code, words):
    """A wrong option or name ends the command before anything lies in the inbox."""
    ended = call("submit", prompts, *arguments)

    assert ended.code == code
    assert words in ended.err
    assert not list(inbox.iterdir())


def test_options_that_are_no_text_are_said(call, prompts, inbox, home):
    """A file of options in another encoding is a mistake of the user's, not a bug."""
    (home / "o.toml").write_bytes(b"\xff\xfem")

    ended = call("submit", prompts, "--options", home / "o.toml")

    assert ended.code == os.EX_DATAERR
    assert "--options: not valid TOML: 'utf-8' codec can't decode" in ended.err
    assert list(inbox.iterdir()) == []


def test_of_several_files_each_name_is_looked_at_first(call, prompts, inbox, home):
    """A later file that can name no set keeps the earlier ones out of the inbox."""
    (home / ".hidden.jsonl").write_text(LINE)

    ended = call("submit", prompts, home / ".hidden.jsonl", "--model", "gemini-2.5-flash")

    assert ended.code == os.EX_USAGE
    assert "'.hidden' cannot name a set" in ended.err
    assert list(inbox.iterdir()) == []


def test_what_was_dropped_before_a_failure_is_said(prompts, inbox, home):
    """Whoever gives the same command again would drop it twice."""
    large = home / "large.jsonl"
    large.write_text(LINE * 2_000)
    files = [str(prompts), str(large), "--model", "gemini-2.5-flash"]

    ended = subprocess.run(
        [sys.executable, "-m", "orchestrator", "submit", *files],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )

    assert ended.returncode == os.EX_CANTCREAT
    assert "large.jsonl: " in ended.stderr
    assert "cannot write: File too large; it was not dropped" in ended.stderr
    assert "prompts was dropped before it: submit the others only" in ended.stderr
    assert sorted(path.name for path in inbox.iterdir()) == ["prompts.jsonl", "prompts.toml"]


@pytest.mark.usefixtures("prompts")
def test_a_missing_file_is_said_first_and_before_anything_is_dropped(call, home, inbox):
    """Neither a missing model nor a missing daemon hides it, and no other file goes in."""
    (home / "there.jsonl").write_text(LINE)

    for more in ((), ("--wait",), ("--model", "gemini-2.5-flash")):
        ended = call("submit", home / "there.jsonl", home / "missing.jsonl", *more)
        assert "missing.jsonl: cannot be read: No such file" in ended.err
        assert ended.code == os.EX_NOINPUT

    assert list(inbox.iterdir()) == []


def test_missing_and_odd_files_are_said(call, home):
    """No such file, a folder and a FIFO are EX_NOINPUT, and no FIFO is waited for."""
    os.mkfifo(home / "pipe")

    for wrong in (home / "none.jsonl", home, home / "pipe"):
        ended = call("submit", wrong)
        assert ended.code == os.EX_NOINPUT
        assert str(wrong) in ended.err


def test_without_an_inbox_it_says_where_that_comes_from(call, prompts, inbox):
    """A daemon that never ran has no inbox; that is said, not made up for."""
    inbox.rmdir()

    ended = call("submit", prompts)

    assert ended.code == os.EX_NOINPUT
    assert "start the daemon once" in ended.err


def test_standard_input_needs_a_name(prompts, inbox):
    """`-` takes what comes through a pipe, under the name that is given."""
    command = [sys.executable, "-m", "orchestrator", "submit", "-"]

    nameless = subprocess.run(command, input=b"", capture_output=True, check=False)
    named = subprocess.run([*command, "--name", "night"], input=prompts.read_bytes(), check=False)

    assert nameless.returncode == os.EX_USAGE
    assert named.returncode == 0
    assert (inbox / "night.jsonl").read_bytes() == prompts.read_bytes()


def test_the_daemons_group_may_read_what_is_dropped(call, prompts, inbox):
    """The copy is readable for the group, whatever the original is, and for nobody else."""
    prompts.chmod(0o600)

    call("submit", prompts)

    assert (inbox / "prompts.jsonl").stat().st_mode & 0o777 == 0o640


class FullDisk(io.BytesIO):
    """A source whose copy meets a full disk."""

    def read(self, *_):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_copy_leaves_the_inbox_as_it_was(inbox):
    """A full disk is EX_CANTCREAT, and no half file is left, not even a hidden one."""
    with pytest.raises(failure.Failure, match="make room there") as caught:
        dropping.drop(FullDisk(), inbox, "a", ".jsonl", "", lambda _: None)

    assert caught.value.code == os.EX_CANTCREAT
    assert not list(inbox.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_who_may_not_write_is_told_to_ask_as_another():
    """Another user's inbox is EX_NOPERM, with what to do."""
    code = (
        "import io, os, sys; from pathlib import Path\n"
        "from orchestrator.cli import dropping, failure\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: dropping.drop(io.BytesIO(b'x'), Path(sys.argv[1]), 'a', '.jsonl', '', lambda _: 0)\n"
        "except failure.Failure as error: print(error.code, error)"
    )
    with tempfile.TemporaryDirectory() as inbox:
        Path(inbox).chmod(0o755)

        done = subprocess.run(
            [sys.executable, "-c", code, inbox], capture_output=True, text=True, check=True
        )

    assert done.stdout.startswith(f"{os.EX_NOPERM} ")
    assert "join the group of the inbox" in done.stdout


@given(st.binary(min_size=1, max_size=50).filter(lambda name: not set(name) & {0, ord("/")}))
def test_the_daemon_takes_every_name_that_a_file_gets_here(raw):
    """Whatever a file is called, the name in the inbox is one that intake knows, or is refused."""
    name, suffix = dropping.split_name(os.fsdecode(raw))

    try:
        dropping.check_name(name)
    except failure.Failure:
        return

    taken = os.fsencode(name + suffix)
    assert not is_never_taken(taken)
    assert parse(taken) is not None


@pytest.mark.parametrize(
    ("file", "parts"),
    [
        ("a.jsonl", ("a", ".jsonl")),
        ("a.jsonl.zst", ("a", ".jsonl.zst")),
        ("a.b.jsonl.gz", ("a.b", ".jsonl.gz")),
        ("a.ndjson", ("a", ".jsonl")),
        ("a.json.gz", ("a", ".jsonl.gz")),
        ("a.txt", ("a", ".jsonl")),
        ("a", ("a", ".jsonl")),
        ("v1.2", ("v1.2", ".jsonl")),
    ],
)
def test_a_name_is_parted_as_people_expect(file, parts):
    """The set is called as the file without what says its format."""
    assert dropping.split_name(file) == parts


# ---- following ----------------------------------------------------------------------------------


def finish(daemon, shown, name, **end):
    """Let a set of this name appear when the inbox has it, and be finished a little later."""
    looks = iter(range(10_000))

    def seen():
        if not list((daemon.inbox).glob(f"{name}.jsonl")):
            return
        number = next(looks)
        ended = {"state": "delivered", "display": "delivered", "finished_at": FINISHED} | end
        changes = ended if number > 4 else {"answered": number * 100, "open": 1000 - number * 100}
        daemon.sets = [shown.a_set(name, id="newnewnew1", **changes), *daemon.before]

    daemon.before = [shown.a_set(name, id="oldoldold1", state="delivered", display="delivered")]
    daemon.sets = list(daemon.before)
    daemon.seen = seen


@pytest.fixture
def waited(call, daemon, shown, prompts, inbox):
    """Return a function that submits and waits for a set that ends like this."""

    def wait(end, *more):
        daemon.inbox = inbox
        finish(daemon, shown, "prompts", **end)
        return call("submit", prompts, "--wait", *more)

    return wait


REJECTED = {"state": "rejected", "display": "rejected", "reason": "too bad"}


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ({"answered": 1000, "open": 0}, 0, "1,000 answered, 0 failed"),
        ({"answered": 990, "failed": 10, "open": 0}, 1, "990 answered, 10 failed"),
        (REJECTED, 65, "rejected: too bad"),
        ({"state": "cancelled", "display": "cancelled"}, 1, "cancelled in 55s"),
    ],
)
def test_waiting_tells_how_it_went(waited, end, code, said):
    """--wait follows the new set, not an old one of its name; the exit code tells the end."""
    ended = waited(end)

    assert ended.code == code
    assert said in ended.out.splitlines()[-1]
    assert "prompts: running, 100 of 1,000 requests" in ended.out


def test_waiting_prints_the_set_as_json(waited):
    """With --json, the one output is the finished set."""
    (view,) = json.loads(waited({"answered": 1000, "open": 0}, "--json").out)

    assert (view["id"], view["state"]) == ("newnewnew1", "delivered")


def test_waiting_without_a_daemon_drops_nothing(call, prompts, inbox):
    """Who wants to wait wants a daemon; nothing is left behind that would be paid for later."""
    ended = call("submit", prompts, "--wait")

    assert ended.code == os.EX_UNAVAILABLE
    assert not list(inbox.iterdir())


def test_the_codes_of_the_ends(shown):
    """0, 1, 65: what a script may rely on."""
    ends = {
        "delivered": shown.a_set("a", state="delivered", display="delivered", finished_at=FINISHED),
        "rejected": shown.a_set("a", state="rejected", display="rejected", reason="x\ny"),
    }

    assert exit_code(ends["delivered"]) == 0
    assert exit_code(ends["rejected"]) == 65
    paths = SimpleNamespace(outbox=Path("/out"), rejected=Path("/no"))
    assert outcome(ends["delivered"], paths).endswith("; /out/a")
    again = outcome(ends["delivered"] | {"answered_from": "vvo7f5a32n"}, paths)
    assert "the answers of vvo7f5a32n, not paid again" in again
    assert outcome(ends["rejected"], paths).endswith("; see /no/a")
    assert "\n" not in outcome(ends["rejected"], paths)


def test_who_waits_is_told_what_to_do_and_where_to_look(shown, capsys):
    """A set that is held while somebody waits says its remedy; long paths are whole."""
    advice, folder = "`orchestrator resume --cap 75.00 a`", "/f" * 150
    held = shown.a_set("a", display="held", reason="a reason " * 30, remedy=advice)
    over = shown.a_set("a", state="delivered", display="delivered", finished_at=FINISHED)

    Display()([held])

    assert capsys.readouterr().out.endswith(f"; {advice}\n")
    assert outcome(over, SimpleNamespace(outbox=Path(folder))).endswith(f"; {folder}/a")
