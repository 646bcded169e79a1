"""C3 and beyond: descriptors, a disk that turns read-only, processes that stand still, no network.

Each is to be seen, and is over by itself.
"""

import os
import resource
import signal
from pathlib import Path

import pytest

from orchestrator.status.client import Answered, Unreachable
from tests.acceptance.disks import as_root, meddling, remount, small_disk
from tests.acceptance.house import DEFAULTS, house, judge
from tests.crash import syscalls
from tests.judging.drops import Drop
from tests.life.town import DAY, HOUR, Fault, Town, live

WITHHELD = 6  # descriptors that the daemon has, of those that it keeps back


def test_a_day_without_a_network_is_told_and_gone_by_itself():
    """Nothing answers for a day: the status says so after a while, and then all is done, once."""

    async def scenario(town: Town) -> None:
        inline, files = Drop("inline", 3), Drop("files", 9, options={"max_requests_per_batch": 3})
        town.drop(inline)
        await town.until(lambda: bool(town.jobs), step=5)
        town.emulator.faults.add([Fault(do="lose_request", on="*", times=100_000)])
        town.drop(files)
        await town.pass_time(DAY)
        told, jobs = list(town.troubles), len(town.jobs)
        town.emulator.faults.clear()
        await town.until_delivered(within=12 * HOUR)

        assert jobs == 1
        assert any(kind == "unreachable" and why for kind, _, why in told)
        assert [why for kind, _, why in town.troubles if kind == "unreachable"][-1] is None
        town.judge()

    live(scenario)


def told(one, kind):
    """Return what the status says of one kind of trouble."""
    return [wrong for wrong in one.status()["conditions"] if wrong["kind"] == kind]


@pytest.mark.slow
def test_c3_running_out_of_descriptors_is_told_and_passes(own):
    """No descriptor is left for a while: the status says it, with the remedy, and all is done."""
    assert own.process is not None
    pid = own.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir())
    drop = Drop("without-descriptors", 12, options={"max_requests_per_batch": 4})
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used - WITHHELD, before[1]))
    drop.put(own.inbox)
    short = own.until(lambda: told(own, "descriptors"), "a word")
    lasting = own.until(lambda: told(own, "descriptors"), "another")
    taken = own.events("set.received")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    assert judge(own, drop) == []
    assert "Too many open files" in short[0]["message"]
    assert "LimitNOFILE" in short[0]["remedy"]
    assert lasting[0]["since"] == short[0]["since"]
    assert taken == []
    own.until(lambda: not told(own, "descriptors"), "the end of it")
    assert own.process.poll() is None


@pytest.mark.slow
@as_root
def test_c3_folders_that_turn_read_only_are_told_and_taken_up_again(tmp_path):
    """While the folders are read-only nothing begins and nothing ends; then all is done, once."""
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    config = f'{DEFAULTS}[service]\ndatabase = "sqlite:///{ledger}/orchestrator.db"\n'
    with small_disk(tmp_path / "state", "size=120m"), house(tmp_path, config=config) as one:
        first, later = Drop("before", 2), Drop("meanwhile", 2)
        one.behave({"do": "timing", "running_seconds": 60, "pending_seconds": 1})
        first.put(one.inbox)
        one.until(lambda: one.events("batch.submitted"), "the job")
        later.put(one.inbox)
        one.until(lambda: len(one.events("batch.submitted")) == 2, "the other job")
        remount(one.state, "ro")
        seen = one.until(lambda: told(one, "read_only"), "a word")
        one.until(lambda: len(one.events("batch.ended")) == 2, "the service")
        one.until(lambda: one.events("stage.failed"), "what cannot be written")
        remount(one.state, "rw")

        assert judge(one, first, later) == []
        assert seen[0]["subject"] == str(one.state)
        assert "kernel's log" in seen[0]["remedy"]
        one.until(lambda: not told(one, "read_only"), "the end of it")


@pytest.mark.slow
@as_root
def test_c3_a_ledger_that_turns_read_only_lets_nothing_be_submitted(tmp_path):
    """Without a durable intent there is no create; the status answers, orders are declined."""
    why = syscalls.unavailable()
    if why:
        pytest.skip(why)
    with house(tmp_path) as one:
        assert one.process is not None
        first, drop = Drop("intended", 2), Drop("no-intent", 2)
        one.behave({"do": "timing", "running_seconds": 60, "pending_seconds": 1})
        first.put(one.inbox)
        one.until(lambda: one.events("batch.submitted"), "the job")
        shown = one.until(lambda: list(one.client.sets(name=first.name)), "the set")
        pid, calls, log = one.process.pid, "pwrite64,openat", tmp_path / "calls"
        ledger = (one.state / "orchestrator.db-wal", one.state)
        with meddling(pid, calls, "error=EROFS", log, *ledger):
            drop.put(one.inbox)
            seen = one.until(lambda: told(one, "read_only"), "a word")
            with pytest.raises(Answered, match="cannot be recorded"):
                one.client.order("pause", shown[0]["id"])
            jobs = one.jobs

        assert len(jobs) == 1
        assert judge(one, first, drop) == []
        assert seen[0]["subject"] == str(one.state)
        assert one.process.poll() is None


@pytest.mark.slow
def test_c3_a_call_that_is_refused_as_read_only_ends_it_and_the_next_start_goes_on(tmp_path):
    """An error that contradicts what the file system says of itself ends it; the next goes on."""
    why = syscalls.unavailable()
    if why:
        pytest.skip(why)
    with house(tmp_path, started=False) as one:
        trace = ("strace", "-f", "-qq", "-o", str(tmp_path / "calls-1"), "--seccomp-bpf")
        one.start(*trace, "-e", "trace=renameat2", "-e", "inject=renameat2:error=EROFS")
        drop = Drop("read-only", 2)
        drop.put(one.inbox)
        assert one.process is not None
        code = one.process.wait(60)
        said = one.log
        one.start()

        assert code not in {0, 78}  # 78 would keep the service manager from starting it again
        assert "Read-only file system" in said
        assert judge(one, drop) == []


@pytest.mark.slow
def test_a_daemon_that_stood_still_goes_on(own):
    """Stopped by a signal and let go later, it answers again and completes what came meanwhile."""
    assert own.process is not None
    first, later = Drop("before-the-halt", 3), Drop("in-the-halt", 3)
    first.put(own.inbox)
    own.until(lambda: own.events("batch.submitted"), "the job")
    os.killpg(own.process.pid, signal.SIGSTOP)
    with pytest.raises(Unreachable):
        own.status()
    later.put(own.inbox)
    own.until(lambda: all(job["state"].endswith("SUCCEEDED") for job in own.jobs), "the service")
    os.killpg(own.process.pid, signal.SIGCONT)

    assert judge(own, first, later) == []
    assert own.status()["service"]["state"] == "running"
