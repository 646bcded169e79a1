"""A ledger that forgot a delivery (an old backup was put back) finds it again in the outbox."""

from dataclasses import replace

import pytest

from orchestrator.domain.request_sets import Cancelled, Delivered
from orchestrator.stages.recognise import WHY
from orchestrator.store import events, incidents
from orchestrator.store.journal import Recorded
from tests.life.town import HOUR, Drop, Town, live
from tests.simulation.ledger import restore

TWO = {"max_requests_per_batch": 2}
KEPT = "[retention]\nremote_days = 2\nwork_days = 2\n"


async def remembering(town: Town) -> dict[str, bytes]:
    """Begin a life that keeps the ledger as it was after each move, by the move's name."""
    kept: dict[str, bytes] = {}
    hear = town.around.hear

    def heard(recorded: Recorded) -> None:
        hear(recorded)
        names = [f"{one.before.state}>{one.after.state}" for one in recorded.moves]
        names += ["planned"] * bool(recorded.planned) + ["received"] * bool(recorded.received)
        kept.update((f"{len(kept)} {name}", town.around.images[-1]) for name in names)

    town.around = replace(town.around, hear=heard)
    await town.restart()
    return kept


async def remembered(town: Town, drop: Drop, *, kept: bool = False) -> dict[str, bytes]:
    """Deliver a set and let what is left of it be tidied up; return all older ledgers."""
    images = await remembering(town)
    town.drop(drop)
    await town.until_delivered()
    await town.pass_time(3 * HOUR)
    assert any((town.state / "work").iterdir()) is kept
    assert {job.deleted for job in town.jobs} == {not kept}
    return {name: image for name, image in images.items() if not name.endswith("delivered")}


def after(images: dict[str, bytes], move: str) -> bytes:
    """Return the ledger as the first move of this kind left it."""
    return next(image for name, image in images.items() if name.endswith(move))


async def put_back(town: Town, image: bytes) -> None:
    """Put an old backup of the ledger back."""
    await town.stop()
    restore(town.around.ledger_file, image)
    await town.start()


@pytest.mark.parametrize(
    ("drop", "kept"),
    [
        (Drop("inline", 3), False),
        (Drop("files", 4, options=TWO), False),
        (Drop("files", 4, options=TWO), True),
    ],
    ids=["inline", "files", "files that are kept"],
)
def test_whatever_commits_are_lost_the_delivery_is_found(drop: Drop, kept: bool) -> None:  # noqa: FBT001
    """From any older ledger the set is delivered by its outbox: nothing is paid or booked again."""

    async def scenario(town: Town) -> None:
        images = await remembered(town, drop, kept=kept)
        (info,) = town.infos
        summary = town.state / "outbox" / drop.name / "summary.json"
        told, jobs = summary.read_bytes(), len(town.jobs)
        for image in images.values():
            await put_back(town, image)
            await town.pass_time(2 * HOUR)
            found = await town.stored(info.id)
            assert isinstance(found.value, Delivered), found
            assert found.value.totals.answered == drop.count
            assert found.flags.held is None
            assert await town.read(incidents.all) == []
        assert len(town.jobs) == jobs
        assert summary.read_bytes() == told
        town.judge()

    live(scenario, config=KEPT if kept else "")


def test_the_history_says_how_it_came_to_be_delivered() -> None:
    """The set, and each batch that was still live, ends with the reason on record."""

    async def scenario(town: Town) -> None:
        images = await remembered(town, Drop("files", 4, options=TWO))
        await put_back(town, after(images, "submitting>submitted"))
        await town.pass_time(2 * HOUR)
        told = [one for one in await town.read(events.after, 0, 1000) if one.why == WHY]
        assert told[-1].target == "delivered"
        assert told[-1].token is None
        assert {one.target for one in told[:-1]} == {"lapsed"}

    live(scenario)


def test_a_cancelled_set_is_found_cancelled() -> None:
    """What was delivered at the end of a cancelled set makes it a cancelled one again."""

    async def scenario(town: Town) -> None:
        images = await remembering(town)
        town.drop(Drop("cut", 3))
        set_id = await town.set_of("cut")
        await town.until(lambda: bool(town.jobs), step=5)
        await town.control.cancel(set_id)
        await town.until_delivered()
        await town.pass_time(3 * HOUR)
        await put_back(town, after(images, "submitting>submitted"))
        await town.pass_time(2 * HOUR)
        found = await town.stored(set_id)
        assert isinstance(found.value, Cancelled), found
        assert len(town.jobs) == 1

    live(scenario)


@pytest.mark.parametrize("harm", ["a byte", "a file", "the summary", "another's"])
def test_what_is_not_whole_is_not_believed(harm: str) -> None:
    """Results that were changed, taken away or are another set's are left to a person."""

    async def scenario(town: Town) -> None:
        images = await remembered(town, Drop("inline", 3))
        (info,) = town.infos
        folder = town.state / "outbox" / "inline"
        results, summary = folder / "results.jsonl", folder / "summary.json"
        match harm:
            case "a byte":
                results.write_bytes(results.read_bytes().replace(b"mark", b"bark", 1))
            case "a file":
                results.unlink()
            case "the summary":
                summary.write_bytes(summary.read_bytes()[:-20])
            case _:
                summary.write_text(summary.read_text().replace(info.fingerprint, "auto-other"))
        jobs = len(town.jobs)
        await put_back(town, after(images, "submitted>ended"))
        await town.pass_time(2 * HOUR)
        found = await town.stored(info.id)
        assert found.value.state == "running"
        assert (found.flags.held or "").startswith("vanished")
        assert len(town.jobs) == jobs

    live(scenario)
