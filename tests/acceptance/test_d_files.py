"""D1-D7, D22: hostile files and names in the inbox. One daemon meets them all."""

import json
import os
import socket
import stat
import time
from pathlib import Path

import pytest

from tests.acceptance.house import PATIENCE_SECONDS, house, line
from tests.waiting import until

pytestmark = pytest.mark.slow
IS_ROOT = os.geteuid() == 0
EVIL = "; DROP TABLE \x1b[31mred\x07\r\n$(id) \u202egpj"


def test_d1_a_file_that_is_still_written_is_left_alone(home):
    """A file that its writer has open is not taken; it is taken whole once it was closed."""
    path = home.inbox / "growing.jsonl"

    with path.open("wb") as writer:
        for number in range(20):
            writer.write(line(str(number)))
            writer.flush()
            time.sleep(0.05)  # the daemon looks many times meanwhile
            assert path.exists()
    results = home.delivered("growing")

    assert [one["key"] for one in results] == [str(number) for number in range(20)]


def test_d2_a_file_that_its_producer_keeps_open_is_left_alone(home):
    """A renamed file whose producer keeps a writing descriptor is not taken before it is closed."""
    path = home.inbox / ".kept.tmp"
    path.write_bytes(line("kept", "mark before"))
    writer = os.open(path, os.O_WRONLY)
    path.rename(home.inbox / "kept.jsonl")
    home.drop("beside-the-kept.jsonl", line("b"))
    home.delivered("beside-the-kept")
    assert (home.inbox / "kept.jsonl").exists()

    os.pwrite(writer, line("kept", "mark after!"), 0)
    os.close(writer)
    results = home.delivered("kept")

    assert "mark after!" in json.dumps(results)


def test_d2_what_changes_after_the_claim_is_not_sent(home):
    """A claimed file that changed all the same: its set is held, and nothing of it is created."""
    home.behave({"do": "quota", "on": "batches.create", "model": "gemini-2.5-pro"})
    home.drop("changed.jsonl", line("c", "mark before"), 'model = "gemini-2.5-pro"\n')
    (claimed,) = home.until(lambda: list(home.work.glob("changed*/input")), "the claim")
    home.awaited("changed", "running")

    claimed.chmod(0o600)
    claimed.write_bytes(line("c", "mark after!"))
    home.behave()
    held = home.awaited("changed", "held")

    assert "changed" in held["reason"]
    assert [job for job in home.jobs if "pro" in job["model"]] == []


@pytest.mark.parametrize("target", ["nowhere", "/etc/shadow", "../work", "../orchestrator.db"])
def test_d3_a_link_is_refused_unopened(home, target):
    """A symbolic link, wherever it leads, is given back as it is."""
    name = f"link-to-{target.strip('./').replace('/', '-')}.jsonl"

    (home.inbox / name).symlink_to(target)
    refused = home.rejected(name)

    assert "symbolic link" in refused.reason
    assert os.readlink(refused.folder / name) == target  # noqa: PTH115 - its very text
    assert {file.name for file in refused.folder.iterdir()} <= {name, "summary.json", ".set"}


def test_d4_a_hard_link_is_never_used_in_place(home):
    """Whoever holds another name of the file cannot change what was claimed."""
    other = home.state / "other-name"
    other.write_bytes(line("linked", "mark before"))
    os.link(other, home.inbox / "linked.jsonl")
    home.until(lambda: not (home.inbox / "linked.jsonl").exists(), "the claim")
    home.delivered("linked")

    other.write_bytes(line("linked", "mark after!"))

    assert stat.S_IMODE(other.stat().st_mode) == 0o644  # nor was it sealed for its owner
    assert "mark before" in (home.outbox / "linked" / "results.jsonl").read_text()


def test_d5_what_is_no_file_is_refused_without_a_hang(home):
    """FIFOs, sockets, devices and folders named like files are refused; neighbours go on."""
    names = ["fifo.jsonl", "socket.jsonl", "folder.jsonl"]
    os.mkfifo(home.inbox / "fifo.jsonl")
    (home.inbox / "folder.jsonl").mkdir()
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(home.inbox / "socket.jsonl"))
    if IS_ROOT:
        os.mknod(home.inbox / "zero.jsonl", stat.S_IFCHR | 0o600, os.makedev(1, 5))
        os.mknod(home.inbox / "disk.jsonl", stat.S_IFBLK | 0o600, os.makedev(7, 99))
        names += ["zero.jsonl", "disk.jsonl"]
    home.drop("neighbour-of-the-odd.jsonl", line("n"))

    reasons = {name: home.rejected(name).reason for name in names}

    assert "FIFO" in reasons["fifo.jsonl"]
    assert "socket" in reasons["socket.jsonl"]
    assert "folder" in reasons["folder.jsonl"]
    assert all("device" in reasons[name] for name in names[3:])
    assert home.delivered("neighbour-of-the-odd")[0]["key"] == "n"


HOSTILE = (
    b"new\nline.jsonl",
    b"esc\x1b[2Jape.jsonl",
    "right\u202eleft.jsonl".encode(),
    b"-rf.jsonl",
    b";$(touch x)`id`|&.jsonl",
    b" leading and trailing .jsonl",
    b"x" * 249 + b".jsonl",
    b"not\xffutf8\xfe.jsonl",
    "café.jsonl".encode(),
    "cafe\u0301.jsonl".encode(),
    b"Case.jsonl",
    b"case.jsonl",
    b"CON.jsonl",
    b"..jsonl.jsonl",
    b"%n%s{0}${x}.jsonl",
)


def test_d6_hostile_names_come_out_safe(home):
    """Each hostile name is claimed or left by rule, with a safe result name and one line a time."""
    before = {path.name for path in home.outbox.iterdir()}
    taken = [name for name in HOSTILE if not name.startswith(b".")]
    for number, name in enumerate(HOSTILE):
        home.drop(name, line(f"hostile {number}"))

    def results() -> list[str]:
        new = {path.name for path in home.outbox.iterdir()} - before
        return sorted(one for one in new if (home.outbox / one / "summary.json").exists())

    found = home.until(lambda: len(results()) >= len(taken) and results(), "all hostile names")
    keys = {
        json.loads((home.outbox / name / "results.jsonl").read_bytes())["key"] for name in found
    }

    assert keys == {f"hostile {n}" for n, name in enumerate(HOSTILE) if name in taken}
    assert all(len(os.fsencode(name)) <= 255 and name.isprintable() for name in found)
    assert not any(name.startswith(("-", ".")) for name in found)
    assert all(one.startswith("{") for one in home.log.splitlines())
    assert "\x1b" not in home.log
    assert (home.inbox / "..jsonl.jsonl").exists()
    (home.inbox / "..jsonl.jsonl").unlink()


def test_d7_no_path_is_built_from_content(home):
    """`../x` in a key, an options file or a display name is text and nothing else."""
    request = {"contents": [{"parts": [{"text": "../../etc/passwd"}]}]}
    up = {"key": "../../../up", "request": request, "displayName": "../name"}
    home.drop("traversal.jsonl", json.dumps(up).encode(), 'idempotency_key = "../../../id"\n')
    home.drop("profile.jsonl", line("p"), 'profile = "../../../p"\n')

    results = home.delivered("traversal")
    refused = home.rejected("profile")

    assert results[0]["key"] == "../../../up"
    assert "profile" in refused.reason
    # Not by glob, which stumbles over folders that are tidied away meanwhile.
    found = [(folder, {*below, *files}) for folder, below, files in os.walk(home.root)]
    ours = [
        names for folder, names in found if not Path(folder).is_relative_to(home.emulator.folder)
    ]
    assert [n for names in ours for n in names if n == "p" or n.startswith(("up", "id"))] == []


def test_d22_an_inbox_for_everybody_stops_the_start(tmp_path):
    """An inbox that anybody may write to would let anybody spend: exit 78 and what to do."""
    with house(tmp_path) as one:
        one.stop()
        one.inbox.chmod(0o777)

        code, said = one.start_and_end()

        assert code == 78
        assert f"chmod o-w {one.inbox}" in said
        one.inbox.chmod(0o755)


@pytest.mark.skipif(not IS_ROOT, reason="only root can drop a file as somebody else")
def test_d22_a_file_of_another_user_is_copied_before_it_is_used(home):
    """The owner of a file could open it again for writing, so what is used is a private copy."""
    path = home.inbox / ".foreign.tmp"
    path.write_bytes(line("foreign", "mark before"))
    os.chown(path, 65534, 65534)
    inode = path.stat().st_ino
    path.rename(home.inbox / "foreign.jsonl")

    assert home.delivered("foreign")[0]["key"] == "foreign"
    inputs = [file for file in home.work.glob("foreign*/input") if file.stat().st_ino == inode]
    assert inputs == []


def test_d6_names_of_unfinished_files_are_never_taken(home):
    """Dot files and .tmp, .part, .partial and ~ stay where they are, without a word."""
    names = (".hidden.jsonl", "a.jsonl.tmp", "b.part", "c.jsonl.partial", "d.jsonl~")
    for name in names:
        (home.inbox / name).write_bytes(line("never"))
    home.drop("after-the-unfinished.jsonl", line("a"))
    home.delivered("after-the-unfinished")

    left = [name for name in names if (home.inbox / name).exists()]
    for name in left:
        (home.inbox / name).unlink()

    assert tuple(left) == names


def test_d6_words_of_strangers_reach_the_log_as_text(home):
    """A name full of control characters is one line of the log and one safe word of the socket."""
    home.drop(EVIL.replace("/", "") + ".jsonl", line("evil"))

    shown = until(
        lambda: [one for one in home.client.sets(limit=5) if "DROP TABLE" in one["name"]],
        what="the set",
        seconds=PATIENCE_SECONDS,
    )

    assert shown[0]["name"].isprintable()
    assert all(json.loads(one) for one in home.log.splitlines())
