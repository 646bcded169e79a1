import asyncio
from datetime import UTC, datetime

import aiohttp
import pytest

from orchestrator.status.recent import EVENTS_KEPT_MAX, Recent
from orchestrator.status.views import EventView


@pytest.fixture
async def asking(world):
    connector = aiohttp.UnixConnector(path=str(world.path), limit=0)
    async with (
        world.serving(),
        aiohttp.ClientSession("http://localhost", connector=connector) as session,
    ):
        await world.room.feed.load()
        yield session


async def frames(answer, count):
    """Read so many events of a stream."""
    found = []
    async with asyncio.timeout(10):
        async for line in answer.content:
            if line.startswith(b"id: "):
                found.append(int(line[4:]))
            if len(found) == count:
                return found
    return found


async def test_a_follower_hears_what_is_committed_from_now_on(world, asking, make):
    """Without a place to begin at, a stream begins with the next event."""
    await world.receive(make.info(1))
    await world.room.feed.refresh()

    async with asking.get("/v1/events") as answer:
        await world.receive(make.info(2))
        await world.room.feed.refresh()

        assert answer.content_type == "text/event-stream"
        assert await frames(answer, 1) == [2]


async def test_a_follower_that_comes_back_misses_nothing(world, asking, make):
    """With Last-Event-ID a stream goes on after that event, from memory or from the ledger."""
    for number in range(1, 4):
        await world.receive(make.info(number))
    await world.room.feed.refresh()
    async with asking.get("/v1/events", headers={"Last-Event-ID": "1"}) as answer:
        from_memory = await frames(answer, 2)
    world.room.recent.begin(3)

    async with asking.get("/v1/events", headers={"Last-Event-ID": "1"}) as answer:
        from_ledger = await frames(answer, 2)
        await world.receive(make.info(4))
        await world.room.feed.refresh()
        next_one = await frames(answer, 1)

    assert from_memory == from_ledger == [2, 3]
    assert next_one == [4]


async def test_a_follower_of_one_set_hears_of_no_other(world, asking, make):
    """A stream for one set leaves the others out and still keeps its place."""
    async with asking.get(f"/v1/events?after=0&set={make.info(2).id}") as answer:
        for number in range(1, 4):
            await world.receive(make.info(number))
        await world.room.feed.refresh()
        await world.run(make.info(9))
        await world.room.feed.refresh()

        assert await frames(answer, 1) == [2]


async def test_a_place_from_another_life_begins_with_what_comes_next(world, asking, make):
    """A ledger restored from a backup has smaller ids; its followers are not left waiting."""
    await world.receive(make.info(1))
    await world.room.feed.refresh()

    async with asking.get("/v1/events", headers={"Last-Event-ID": "999"}) as answer:
        await world.receive(make.info(2))
        await world.room.feed.refresh()

        assert await frames(answer, 1) == [2]


@pytest.mark.parametrize("seen", ["x", "-1", "1e3", "9" * 30])
async def test_a_place_that_is_none_is_refused(asking, seen):
    """A Last-Event-ID that is no id is a 400."""
    async with asking.get("/v1/events", headers={"Last-Event-ID": seen}) as answer:
        assert answer.status == 400


async def test_a_script_gets_pages_of_events(world, asking, make):
    """With Accept: application/json the same route answers page by page and does not wait."""
    for number in range(1, 6):
        await world.receive(make.info(number))
    await world.room.feed.refresh()
    found, path = [], "/v1/events?limit=2"
    while path:
        async with asking.get(path, headers={"Accept": "application/json"}) as answer:
            page = await answer.json()
        found += page["items"]
        path = page["next"] and f"/v1/events?limit=2&after={page['next']}"

    assert [event["id"] for event in found] == [1, 2, 3, 4, 5]
    assert {event["source"] for event in found} == {None}


async def test_followers_are_let_go_at_the_end_and_when_they_hang_up(world):
    """A stop ends every stream cleanly; a follower that hung up leaves nothing behind."""
    connector = aiohttp.UnixConnector(path=str(world.path))
    async with aiohttp.ClientSession("http://localhost", connector=connector) as session:
        async with world.serving():
            gone = await session.get("/v1/events")
            stays = await session.get("/v1/events")
            gone.close()
            async with asyncio.timeout(5):
                while len(world.room.recent._bells) != 1:  # noqa: ASYNC110 - it takes notice
                    await asyncio.sleep(0)

        async with asyncio.timeout(5):
            rest = await stays.content.read()

    assert rest == b"retry: 2000\n\n"
    assert not world.room.recent._bells


def event(number):
    return EventView(
        id=number,
        at=datetime(2026, 3, 1, 12, tzinfo=UTC),
        set_id="a" * 10,
        token=None,
        source=None,
        target="received",
        why="",
    )


def test_memory_knows_how_far_back_it_reaches():
    """After more events than are kept, the oldest are in the ledger alone, and that is known."""
    recent = Recent()
    recent.begin(10)
    recent.publish(event(number) for number in range(11, 11 + EVENTS_KEPT_MAX + 5))

    assert not recent.reaches(14)
    assert recent.reaches(15)
    assert [one.id for one in recent.since(15, 2, None)] == [16, 17]
    assert recent.last == 10 + EVENTS_KEPT_MAX + 5
