"""What is no longer needed goes after its time, or when there is too much; nothing else does."""

import os
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from orchestrator.store import request_sets as set_rows
from orchestrator.store.sqlite import space
from tests.life.town import DAY, HOUR, Drop, Fault, Town, live

KEPT_REMOTE = "[retention]\nremote_days = 10\n"
KEPT = "[retention]\nwork_days = 100\nevents_days = 100\n"


def folders(town: Town) -> set[str]:
    """The folders of sets in `work/`."""
    return {one.name for one in (town.state / "work").iterdir() if one.is_dir()}


def test_jobs_stay_at_the_service_for_their_days():
    """Jobs are deleted `remote_days` after their set is finished, input files as soon as read."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("kept", 40))
        await town.until_delivered()
        await town.pass_time(1.5 * DAY)
        assert [job.input_file is None for job in town.jobs] == [False]
        files = town.emulator.files
        assert [one.id for one in files.files.values() if files.is_there(one)] == []
        assert [one.deleted for one in town.jobs] == [False]
        await town.pass_time(DAY)
        assert [one.deleted for one in town.jobs] == [True]
        town.judge()

    live(scenario, config="[retention]\nremote_days = 2\n")


def test_files_that_are_gone_by_themselves_are_not_deleted_again():
    """Two days after a set has ended its input files are asked for no more, whatever the life."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("old", 40))
        await town.until_delivered()
        await town.pass_time(2.1 * DAY)
        deletes = town.calls("files.delete")
        assert deletes > 0
        await town.restart(KEPT_REMOTE)
        await town.pass_time(3 * HOUR)
        assert [job.deleted for job in town.jobs] == [False]
        assert town.calls("files.delete") == deletes

    live(scenario, config=KEPT_REMOTE)


def test_jobs_go_at_once_by_default():
    """Without the setting nothing is left at the service when a set is delivered."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("gone", 3))
        await town.until_delivered()
        await town.pass_time(3 * HOUR)
        assert all(job.deleted for job in town.jobs)

    live(scenario)


def deletes(town: Town, where: str = "batches.delete") -> list[float]:
    """When the service was asked to delete something."""
    kind = f"/{where.partition('.')[0]}/"
    return [one.at for one in town.asked if one.method == "DELETE" and kind in one.path]


async def look(town: Town, seconds: int) -> None:
    """Let time pass in which remains are looked for every few seconds."""
    for _ in range(0, seconds, 5):
        assert town.life is not None
        assert town.life.assembly is not None
        town.life.assembly.bells.of("tidy").ring()
        await town.pass_time(5)


@pytest.mark.parametrize("where", ["batches.delete", "files.delete"])
def test_deletions_that_are_refused_come_less_and_less_often(where: str):
    """While the service answers 429 few calls are made, at no fixed beat; then all is deleted."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("many", 20, options={"max_requests_per_batch": 1}))
        await town.until_delivered()
        await look(town, 4 * 900)
        waits = [b - a for a, b in pairwise(deletes(town, where))]
        assert len(waits) < 25
        assert max(waits) > 300
        assert len({round(wait) for wait in waits if wait > 60}) > 2
        town.emulator.faults.clear()
        await look(town, 2 * 900)
        assert all(job.deleted for job in town.jobs)
        town.judge()

    sent = "[limits]\ninline_max_bytes = 1\n"
    live(scenario, faults=(Fault(do="quota", on=where),), config=sent)


def test_deletions_come_when_the_service_says():
    """Nothing is deleted before the time that the service asked for."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("told", 3, options={"max_requests_per_batch": 1}))
        await town.until_delivered()
        await look(town, 600)
        assert len(deletes(town)) <= 2
        await look(town, 600)
        assert all(job.deleted for job in town.jobs)

    later = Fault(
        do="answer", on="batches.delete", status=429, headers={"Retry-After": "900"}, times=2
    )
    live(scenario, faults=(later,))


def test_folders_go_after_their_days():
    """The folder of a finished set goes after `work_days`; that of an open one never."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("done", 3))
        await town.until_delivered()
        town.emulator.faults.add([Fault(do="stuck", batch="*")])
        town.drop(Drop("open", 3))
        open_set = await town.set_named("open")
        assert len(folders(town)) == 2
        await town.pass_time(1.5 * DAY)
        assert folders(town) == {open_set.value.info.folder}

    live(scenario, config="[retention]\nwork_days = 1\n")


def test_the_oldest_folders_go_when_they_take_too_much():
    """Beyond `work_max_bytes` the oldest finished folders go; the newest and the open ones stay."""

    async def scenario(town: Town) -> None:
        for name in ("first", "second", "third"):
            town.drop(Drop(name, 20))
            await town.until_delivered()
            await town.pass_time(6 * HOUR)
        finished = [one.value.info for one in await town.read(set_rows.in_state, "delivered")]
        finished.sort(key=lambda info: info.received_at)
        assert [info.name for info in finished] == ["first", "second", "third"]
        assert len(folders(town)) == 3
        assert town.life is not None
        assert town.life.assembly is not None
        work = town.life.assembly.adapters.work
        last_two = sum([await work.taken(info.folder) for info in finished[1:]])
        assert last_two > 0
        await town.restart(f"{KEPT}work_max_bytes = {last_two}\n")
        await town.pass_time(6 * HOUR)
        assert folders(town) == {info.folder for info in finished[1:]}
        town.emulator.faults.add([Fault(do="stuck", batch="*")])
        town.drop(Drop("open", 200))
        open_set = await town.set_named("open")
        await town.restart(f"{KEPT}work_max_bytes = 1\n")
        await town.pass_time(6 * HOUR)
        assert folders(town) == {open_set.value.info.folder}

    live(scenario, config=KEPT)


def refuse(town: Town, *names: str) -> None:
    """Drop what is refused."""
    for name in names:
        (town.state / "inbox" / f"{name}.jsonl").write_text("no JSON at all\n" * 3)
    town.wake()


def refused(town: Town) -> dict[str, Path]:
    """The folders of whole refusals, by name."""
    root = town.state / "rejected"
    return {one.name: one for one in root.iterdir() if (one / "summary.json").exists()}


def age(town: Town, name: str, days: float) -> None:
    """Let a refusal be so old: files have the time of the real clock, not of this one."""
    at = (town.clock.now() - timedelta(days=days)).timestamp()
    os.utime(refused(town)[name] / "summary.json", (at, at))


def test_what_was_refused_is_kept_unless_something_is_said():
    """By default it stays for ever; with `rejected_days` it goes after them, and not before."""

    async def scenario(town: Town) -> None:
        refuse(town, "old", "young")
        await town.until(lambda: len(refused(town)) == 2)
        age(town, "old", 3.5)
        age(town, "young", 2.5)
        await town.pass_time(6 * HOUR)
        assert refused(town).keys() == {"old", "young"}
        await town.restart("[retention]\nrejected_days = 3\n")
        await town.pass_time(3 * HOUR)
        assert refused(town).keys() == {"young"}
        await town.pass_time(0.6 * DAY)
        assert refused(town).keys() == set()

    live(scenario)


def test_the_oldest_refusals_go_when_they_take_too_much():
    """Beyond `rejected_max_bytes` the oldest go, the newest and those of the last day stay."""

    async def scenario(town: Town) -> None:
        refuse(town, "first", "second", "third", "today")
        await town.until(lambda: len(refused(town)) == 4)
        for name, days in (("first", 9.0), ("second", 8.0), ("third", 7.0), ("today", 0.1)):
            age(town, name, days)
        each = sum(file.stat().st_blocks * 512 for file in refused(town)["today"].iterdir())
        await town.restart(f"[retention]\nrejected_max_bytes = {2 * each}\n")
        await town.pass_time(3 * HOUR)
        assert refused(town).keys() == {"third", "today"}
        await town.restart("[retention]\nrejected_max_bytes = 1\n")
        await town.pass_time(3 * HOUR)
        assert refused(town).keys() == {"today"}

    live(scenario)


@pytest.mark.slow
def test_the_oldest_history_goes_when_it_takes_too_much():
    """Beyond `events_max_bytes` finished sets go once they are a week old, the oldest first."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("early", 3))
        early = await town.set_of("early")
        await town.until_delivered()
        await town.pass_time(4 * DAY)
        town.drop(Drop("late", 3))
        late = await town.set_of("late")
        await town.until_delivered()
        assert await town.read(set_rows.find, early) is not None
        await town.pass_time(4 * DAY)
        assert await town.read(set_rows.find, early) is None
        assert await town.read(set_rows.find, late) is not None
        assert {one["name"] for one in map(town.summary, ("early", "late"))} == {"early", "late"}

    live(scenario, config=f"{KEPT}events_max_bytes = 1\n")


@pytest.mark.slow
def test_a_forgotten_set_leaves_nothing_that_could_be_run_again():
    """With its rows, after `events_days`, go its folder and jobs, even if these were to stay."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("old", 3))
        old = await town.set_of("old")
        await town.until_delivered()
        await town.pass_time(7.5 * DAY)
        assert await town.read(set_rows.find, old) is not None
        await town.pass_time(DAY)
        assert await town.read(set_rows.find, old) is None
        assert folders(town) == set()
        assert [job.deleted for job in town.jobs] == [True]
        await town.restart()
        await town.pass_time(6 * HOUR)
        assert len(town.jobs) == 1

    config = "[retention]\nwork_days = 100\nremote_days = 100\nevents_days = 8\n"
    live(scenario, config=config)


def test_the_ledger_gives_the_space_of_deleted_rows_back():
    """A ledger of which much is empty is written anew, and holds what it held."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("stays", 3))
        stays = await town.set_of("stays")
        await town.until_delivered()
        assert town.life is not None
        assert town.life.ledger is not None

        def swell(tx) -> None:
            tx.exec_driver_sql("CREATE TABLE deleted_rows AS SELECT zeroblob(17 << 20)")
            tx.exec_driver_sql("DROP TABLE deleted_rows")

        await town.life.ledger.transact(swell)
        before = await town.read(space)
        assert before.free > 16 << 20
        await town.pass_time(DAY)
        after = await town.read(space)
        assert after.free < 1 << 20
        assert after.used <= before.used
        assert await town.read(set_rows.find, stays) is not None

    live(scenario, config=KEPT)
