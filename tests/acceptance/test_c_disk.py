"""C: full and failing disks, folders that go away, leftovers. Mounts are real and need root."""

import shutil
import subprocess
import time

import pytest

from tests.acceptance.disks import as_root, fill, meddling, small_disk
from tests.acceptance.house import DEFAULTS, house, judge, line
from tests.crash import syscalls
from tests.judging.drops import Drop
from tests.judging.results import torn

pytestmark = pytest.mark.slow
HANG = 4  # seconds
SPARE = f"{DEFAULTS}[service]\nmin_free_bytes = 20_000_000\n"


@as_root
def test_c1_c5_a_full_disk_pauses_and_space_goes_on_by_itself(tmp_path):
    """With no room left nothing new is taken, the status says so; with room all is done, once."""
    with small_disk(tmp_path / "state", "size=120m"), house(tmp_path, config=SPARE) as one:
        under_way, later = Drop("under-way", 2), Drop("later", 2)
        one.behave({"do": "timing", "running_seconds": 120, "pending_seconds": 1})
        under_way.put(one.inbox)
        one.until(lambda: one.events("batch.submitted"), "the job")
        later.put(one.inbox)
        ballast = fill(one.state, leave=10_000_000)
        one.drop("waits.jsonl", line("w"))
        full = one.until(
            lambda: [c for c in one.status()["conditions"] if "free" in c["message"]], "a word"
        )
        waiting = (one.inbox / "waits.jsonl").exists()

        assert torn(one.outbox) == []
        ballast.unlink()

        assert waiting
        assert full[0]["remedy"] or "free some space" in full[0]["message"]
        assert judge(one, under_way, later) == []
        assert one.delivered("waits")[0]["key"] == "w"


@as_root
def test_c1_a_disk_that_is_full_to_the_last_byte_is_waited_for(tmp_path):
    """Without any reserve it stays, says that there is no space, and completes when there is."""
    none = f"{DEFAULTS}[service]\nmin_free_bytes = 0\n"
    with small_disk(tmp_path / "state", "size=120m"), house(tmp_path, config=none) as one:
        drop = Drop("brimful", 12, options={"max_requests_per_batch": 4})
        drop.put(one.inbox)
        one.until(lambda: one.events("set.received"), "the set")
        (one.state / "ballast").unlink()  # as if it had been needed
        ballast = fill(one.state)
        told = one.until(
            lambda: [c for c in one.status()["conditions"] if c["kind"] == "space"], "a word"
        )
        assert torn(one.outbox) == []
        ballast.unlink()

        assert "free some space" in told[0]["remedy"]
        assert judge(one, drop) == []
        one.until(lambda: not one.status()["conditions"], "the end of it")


@as_root
def test_c4_a_disk_without_inodes_is_survived(tmp_path):
    """Out of inodes is out of room: nothing is torn, and it goes on when there are some."""
    with small_disk(tmp_path / "state", "size=120m,nr_inodes=300"), house(tmp_path) as one:
        stuffing = one.state / "stuffing"
        stuffing.mkdir()
        try:
            for number in range(400):
                (stuffing / str(number)).touch()
        except OSError:
            (stuffing / "0").unlink()
            (stuffing / "1").unlink()
            (stuffing / "2").unlink()
        drop = Drop("inodes", 2)
        with (one.inbox / "inodes.jsonl").open("wb") as file:
            file.write(drop.content)
        one.until(lambda: one.events("stage.failed") or one.status()["conditions"], "a word")

        assert torn(one.outbox) == []
        shutil.rmtree(stuffing)

        assert judge(one, drop) == []


@as_root
def test_c9_results_on_another_file_system_are_refused_at_the_start(tmp_path):
    """Results appear by a rename: an outbox on another file system is exit 78 and one line."""
    with house(tmp_path, started=False) as one:
        with small_disk(tmp_path / "far", "size=4m,mode=755"):
            one.configure(f'{DEFAULTS}[service]\noutbox = "{tmp_path / "far"}"\n')
            code, said = one.start_and_end()

        assert code == 78
        assert "another file system" in said


@as_root
def test_c9_an_inbox_on_another_file_system_is_copied_from(tmp_path):
    """A drop on another file system is copied into the daemon's own before it is used."""
    far = small_disk(tmp_path / "far", "size=4m,mode=755")
    with house(tmp_path, started=False) as one, far:
        one.configure(f'{DEFAULTS}[service]\ninbox = "{tmp_path / "far"}"\n')
        one.start()
        drop = Drop("far-away", 2)
        drop.put(tmp_path / "far")

        assert judge(one, drop) == []
        one.stop()
        assert not list((tmp_path / "far").glob("far-away*"))


def test_c7_a_disk_that_hangs_stops_neither_the_status_nor_the_work(own, tmp_path):
    """While writes to the disk hang for seconds the loop lives, and then all goes on."""
    why = syscalls.unavailable()
    if why:
        pytest.skip(why)
    assert own.process is not None
    trace, slowest = tmp_path / "calls", 0.0
    drop = Drop("hanging", 6, options={"max_requests_per_batch": 3})
    hang = f"delay_enter={HANG * 1000000}:when=2"
    with meddling(own.process.pid, "fsync,fdatasync", hang, trace):
        drop.put(own.inbox)
        while not (own.outbox / drop.name / "summary.json").exists():
            began = time.perf_counter()
            own.status()
            slowest = max(slowest, time.perf_counter() - began)
            time.sleep(0.1)

    assert "(DELAYED)" in trace.read_text()
    assert slowest < HANG * 3 / 4
    assert judge(own, drop) == []


def test_c8_an_inbox_that_went_away_is_told_and_taken_up_again(own):
    """Removing the inbox is no crash: it is said, and a new one is watched without a restart."""
    own.inbox.rename(own.state / "moved-away")
    own.until(lambda: own.events("stage.failed") or own.status()["conditions"], "a word")
    own.inbox.mkdir()
    drop = Drop("after-the-inbox", 2)
    drop.put(own.inbox)

    assert judge(own, drop) == []
    assert own.process is not None
    assert own.process.poll() is None


def test_c10_foreign_folders_in_the_outbox_are_never_touched(own):
    """A folder that somebody made in the outbox stays as it is; the results come beside it."""
    foreign = own.outbox / "taken"
    foreign.mkdir()
    (foreign / "summary.json").write_text("mine")
    own.drop("taken.jsonl", line("t"))

    assert own.delivered("taken-2")[0]["key"] == "t"
    assert [path.name for path in foreign.iterdir()] == ["summary.json"]
    assert (foreign / "summary.json").read_text() == "mine"


def test_c12_c13_strangers_in_work_are_left_and_a_lost_input_does_not_lose_answers(own):
    """What is not ours in work/ stays; where an input was deleted, what was paid for is collected.

    Its keys are lost with it, so it is not delivered: the status says which file is missing, and
    the doctor what is not ours.
    """
    strange = own.work / "what-is-this"
    strange.mkdir()
    (strange / "file").write_text("keep me")
    own.behave({"do": "timing", "running_seconds": 60, "pending_seconds": 1})
    own.drop("lost.jsonl", line("l"))
    own.until(lambda: own.events("batch.submitted"), "the job")
    for file in own.work.glob("lost*/input"):
        file.unlink()

    collected = own.until(lambda: own.events("batch.collected"), "the answers")
    told = own.until(
        lambda: [c for c in own.status()["conditions"] if "input" in c["message"]], "it"
    )

    doctor = [*own.command[:-3], "doctor", "--config", str(own.config)]
    found = subprocess.run(doctor, env=own.environ, capture_output=True, text=True, check=False)

    assert collected[0]["answered"] == 1
    assert told
    assert "what-is-this" in found.stdout
    assert (strange / "file").read_text() == "keep me"


def test_c14_without_inotify_the_scan_finds_all(tmp_path):
    """Where the kernel gives no watch, drops are found by looking."""
    why = syscalls.unavailable()
    if why:
        pytest.skip(why)
    with house(tmp_path, started=False) as one:
        strace = ("strace", "-f", "-qq", "-o", str(tmp_path / "calls-1"), "--seccomp-bpf")
        none = ("-e", "trace=inotify_init1", "-e", "inject=inotify_init1:error=EMFILE")
        one.start(*strace, *none)
        drop = Drop("unwatched", 2)
        drop.put(one.inbox)

        assert judge(one, drop) == []
        assert "EMFILE" in (tmp_path / "calls-1").read_text()


def test_c3_few_descriptors_do_not_stop_the_daemon(tmp_path):
    """With 64 descriptors it does its work, or waits; nothing is lost."""
    with house(tmp_path, started=False) as one:
        one.start("prlimit", "--nofile=64")
        drop = Drop("few-descriptors", 12, options={"max_requests_per_batch": 4})
        drop.put(one.inbox)

        assert judge(one, drop) == []
