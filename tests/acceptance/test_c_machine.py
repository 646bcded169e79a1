"""C3 and beyond: descriptors, a disk that turns read-only, processes that stand still, no network.

Each is to be seen, and is over by itself.
"""

import os
import resource
import signal
from pathlib import Path

import pytest

from orchestrator.status.client import Unreachable
from tests.acceptance.house import house, judge
from tests.crash import syscalls
from tests.judging.drops import Drop
from tests.life.town import DAY, HOUR, Fault, Town, live

SPARE_DESCRIPTORS = 2


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


@pytest.mark.slow
def test_c3_running_out_of_descriptors_is_told_and_passes(own):
    """No descriptor is left for a while: the daemon lives, says it, and completes what came."""
    assert own.process is not None
    pid = own.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + SPARE_DESCRIPTORS, before[1]))
    drop = Drop("without-descriptors", 12, options={"max_requests_per_batch": 4})
    drop.put(own.inbox)
    own.until(lambda: "Too many open files" in own.log or "EMFILE" in own.log, "a word")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    assert judge(own, drop) == []
    assert own.process.poll() is None


@pytest.mark.slow
def test_c3_a_disk_that_turns_read_only_ends_it_and_the_next_start_goes_on(tmp_path):
    """Where nothing can be written any more it ends at once, with a word; the next one goes on."""
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
