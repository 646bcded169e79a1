import asyncio
import json
from datetime import timedelta

import aiohttp
import pytest

from orchestrator.domain import batches
from orchestrator.domain.batches import Tally, Usage
from orchestrator.domain.ids import AccountFingerprint, JobName
from orchestrator.domain.jobs import JobSnapshot, JobState, Scan
from orchestrator.domain.request_sets import Cancelled, Flags, Totals
from orchestrator.status.assembly import Process, StatusRoom
from orchestrator.status.connections import Bounds
from orchestrator.status.routes import ROUTES
from orchestrator.status.views import Condition
from orchestrator.store import incidents


@pytest.fixture
async def asking(world):
    """A served world, and a session that asks it."""
    connector = aiohttp.UnixConnector(path=str(world.path), limit=0)
    async with (
        world.serving(),
        aiohttp.ClientSession("http://localhost", connector=connector) as session,
    ):
        await world.room.feed.load()
        yield session


async def ask(session, path, status=200, **headers):
    async with session.get(path, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        kind = "application/json" if status == 200 else "application/problem+json"
        assert answer.content_type == kind
        return await answer.json(content_type=None)


async def test_the_status_tells_what_is_done_what_is_needed_and_what_is_wrong(world, asking, make):
    """One answer has state, conditions with remedies, queues, totals and the account's use."""
    of = make.info(1)
    _, (first, _) = await world.run(of, make.part(of, 1), make.part(of, 2, mode="file"))
    await world.submit(first)
    await world.room.feed.refresh()
    world.clock.advance(seconds=90)
    world.room.board.raise_condition(
        Condition(
            kind="disk_full",
            subject="",
            message="the state directory is full",
            remedy="free some space",
            since=world.clock.now(),
            fatal=False,
            passing=False,
        )
    )
    snapshot = JobSnapshot(
        JobName("batches/j1"), JobState.RUNNING, "", "", None, None, None, None, 3, None, None, None
    )
    world.room.board.scanned(Scan((snapshot,), complete=True, pages=1), world.clock.now())
    world.room.board.read("next", 10, 100)
    world.room.board.waits_for = "3 of 3 jobs of the project are active"

    status = await ask(asking, "/v1/status")
    (batch, _) = (await ask(asking, f"/v1/sets/{of.id}/batches"))["items"]

    assert status["service"]["state"] == "degraded"
    assert status["service"]["started_at"] == "2026-03-01T12:00:00Z"
    assert status["service"]["uptime_seconds"] == 90
    assert status["conditions"][0]["remedy"] == "free some space"
    assert (status["queues"]["upload"], status["queues"]["watch"]) == (1, 1)
    assert (status["totals"]["requests"], status["totals"]["open"]) == (10, 9)
    assert status["totals"]["spent"] == "0.000000"
    assert status["projects"][0]["enqueued_tokens"] == {"gemini-flash": 100}
    assert status["projects"][0]["waits_for"] == "3 of 3 jobs of the project are active"
    assert status["reading"] == [{"name": "next", "bytes_done": 10, "bytes_total": 100}]
    assert status["last_scan"]["jobs"] == 1
    assert (batch["job"], batch["job_state"], batch["age_seconds"]) == ("batches/j1", "running", 90)


async def test_a_doubt_that_is_held_for_the_operator_is_asked_until_it_is_answered(
    world, asking, make
):
    """Nobody waits without knowing it: the condition and the set say what is asked, and how."""
    of = make.info(1)
    _, (first, other) = await world.run(of, make.part(of, 1), make.part(of, 2))
    intent = batches.intend(first, world.clock.now(), AccountFingerprint("cafe0000"), 1)
    held = batches.question(intent.after, "held", "say whether it exists")
    await world.move(intent, held)
    await world.submit(other)
    await world.room.feed.refresh()

    status = await ask(asking, "/v1/status")
    shown = await ask(asking, f"/v1/sets/{of.id}")
    await world.move(batches.exclude(held.after, world.clock.now(), "the operator's word"))
    await world.room.feed.refresh()
    after = await ask(asking, "/v1/status")

    (wrong,) = status["conditions"]
    token = first.part.token
    assert (wrong["kind"], wrong["subject"], wrong["passing"]) == ("in_doubt", of.id, False)
    assert wrong["message"] == f"set-1: in_doubt: nobody knows whether the job of {token} exists"
    assert f"`orchestrator absent {of.id} {token}`" in wrong["remedy"]
    assert (shown["display"], shown["remedy"]) == ("running", wrong["remedy"])
    assert (status["service"]["state"], after["service"]["state"]) == ("degraded", "running")
    assert after["conditions"] == []


async def test_incidents_are_shown_the_newest_first(world, asking):
    """What may have cost money is counted for ever; of the newest twenty all is told."""
    for number in range(25):
        at = world.clock.now() + timedelta(seconds=number)
        entry = ("paid_twice_suspected", f"orc1-{number}", f"job {number}", 10, 512_000)
        await world.database.transact(incidents.book, at, *entry)
    await world.room.feed.refresh()

    status = await ask(asking, "/v1/status")

    assert status["totals"]["incidents"] == 25
    assert len(status["incidents"]) == 20
    assert status["incidents"][0] == {
        "at": "2026-03-01T12:00:24Z",
        "kind": "paid_twice_suspected",
        "token": "orc1-24",
        "detail": "job 24",
        "requests": 10,
        "cost": "0.512000",
    }


async def test_what_nobody_knows_the_price_of_is_not_called_free(world, asking, make):
    """While nothing that was used has a price, what was spent is null; the model is named."""
    spent = []
    for number, model in ((1, "own"), (2, "gemini-flash")):
        of = make.info(number, model=model)
        _, (batch,) = await world.run(of, make.part(of))
        job = await world.submit(batch, f"batches/j{number}")
        await world.collect(job, Tally(answered=3), Usage(prompt=9))
        await world.room.feed.refresh()
        totals = (await ask(asking, "/v1/status"))["totals"]
        spent.append((totals["spent_today"], totals["spent"], totals["unpriced"]))

    assert spent == [(None, None, ["own"]), ("0.000000", "0.000000", ["own"])]


async def test_sets_come_newest_first_page_by_page(world, asking, make):
    """Pages neither repeat nor miss a set, and each cursor leads on from the one before."""
    for number in range(7):
        await world.receive(make.info(number))
    await world.room.feed.refresh()

    names, path = [], "/v1/sets?limit=3"
    while path:
        page = await ask(asking, path)
        names += [view["name"] for view in page["items"]]
        path = page["next"] and f"/v1/sets?limit=3&after={page['next']}"

    assert names == [f"set-{number}" for number in range(6, -1, -1)]


async def test_sets_are_filtered_by_either_word_and_by_name(world, asking, make):
    """`state` takes the machine's word and the shown one, several of them too."""
    await world.run(make.info(1))
    await world.receive(make.info(2))
    await world.room.feed.refresh()

    async def names(query):
        return [view["name"] for view in (await ask(asking, f"/v1/sets?{query}"))["items"]]

    assert await names("state=running") == ["set-1"]
    assert await names("state=reading") == await names("state=received") == ["set-2"]
    assert await names("state=running&state=reading") == ["set-2", "set-1"]
    assert await names("name=set-1") == ["set-1"]
    assert await names("name=nobody") == []
    assert await names(f"id={make.info(1).id[:5]}&state=running") == ["set-1"]
    assert await names(f"id={make.info(1).id}") == ["set-1"]


@pytest.mark.parametrize(
    "query",
    [
        "id=A",
        "limit=0",
        "limit=501",
        "limit=1_0",
        "limit=%201",
        "limit=1&limit=2",
        "stat=x",
        "state=bogus",
        "state=running&state=Held",
        "after=x",
    ],
)
async def test_a_parameter_that_cannot_be_meant_is_refused(asking, query):
    """A misspelt filter is an error with the known names, never a filter that does nothing."""
    told = await ask(asking, f"/v1/sets?{query}", 400)

    assert told["remedy"]
    assert told["title"] == "Bad Request"


async def test_batches_of_a_finished_set_are_read_from_the_ledger(world, asking, make):
    """Memory lets the batches of a finished set go; the answer has them all the same."""
    of = make.info(1)
    _, planned = await world.run(of, *(make.part(of, serial) for serial in (1, 2, 3)))
    await world.collect(await world.submit(planned[0]), Tally(answered=3), Usage())
    await world.room.feed.refresh()
    kept = await ask(asking, f"/v1/sets/{of.id}/batches?limit=2")

    world.room.board.forget(of.id)
    world.room.board.put(*await finished(world, of))
    read = await ask(asking, f"/v1/sets/{of.id}/batches?limit=2")
    rest = await ask(asking, f"/v1/sets/{of.id}/batches?limit=2&after={read['next']}")

    assert not world.room.board.holds(of.id)
    assert read == kept
    assert [view["serial"] for view in read["items"] + rest["items"]] == [1, 2, 3]
    assert read["items"][0]["tally"]["answered"] == 3


async def finished(world, of):
    return Cancelled(of, world.clock.now(), Totals(3, 7), "0" * 64), Flags(), []


async def test_orders_are_carried_out_and_declined(world, asking, make):
    """An order is handed on with what it needs; one that does not fit is a 409 with a remedy."""
    of = make.info(1)
    await world.receive(of)
    await world.room.feed.refresh()
    url = f"/v1/sets/{of.id}"

    async def order(verb, body=None, target=url):
        async with asking.post(f"{target}:{verb}", json=body) as answer:
            return answer.status, await answer.json(content_type=None)

    assert (await order("cancel"))[1]["message"] == "cancel is noted"
    status, told = await order("pause")
    assert (status, told["remedy"]) == (409, "nothing is left to pause")
    assert (await order("absent"))[0] == 400
    assert (await order("adopt", {"token": "orc1-x"}))[0] == 400
    assert (await order("adopt", {"token": "orc1-x", "job": "batches/j1"}))[0] == 200
    assert (await order("adopt", {"token": "orc1-x", "job": "../../etc"}))[0] == 400
    assert (await order("delete-remote"))[0] == 200
    assert (await order("resume", {"cap": "12.50"}))[0] == 200
    assert (await order("resume", {"cap": "-1"}))[0] == 400
    assert (await order("cancel", target="/v1/sets/aaaaaaaaaa"))[0] == 404
    assert (await order("explode"))[0] == 404
    given = ["cancel", "adopt", "delete-remote", "resume"]
    assert [one[0] for one in world.orders.given] == given
    assert world.orders.given[1] == ("adopt", of.id, "orc1-x", "batches/j1", None)
    assert world.orders.given[3] == ("resume", of.id, None, None, "12.50")


async def test_an_error_of_ours_is_a_problem_without_its_inside(world, asking, make):
    """What went wrong inside is written to the log and not shown to whoever asks."""
    await world.receive(make.info(1))
    await world.room.feed.refresh()
    world.orders.broken = "retry"

    async with asking.post(f"/v1/sets/{make.info(1).id}:retry") as answer:
        told = await answer.text()

    assert answer.status == 500
    assert json.loads(told)["status"] == 500
    assert "canary" not in told


async def test_unknown_routes_and_methods_are_problems(asking):
    """404 and 405 have the same form as every other error; 405 says what is allowed."""
    missing = await ask(asking, "/v2/nothing", 404)
    async with asking.delete("/v1/sets") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET,HEAD"
        told = await answer.json(content_type=None)

    assert missing["remedy"] == "GET /openapi.json lists the routes"
    assert told["title"] == "Method Not Allowed"


async def test_every_get_answers_to_head_without_a_body(world, asking, make):
    """HEAD is GET without a body, for the stream of events too."""
    await world.receive(make.info(1))
    await world.room.feed.refresh()
    for route in ROUTES:
        if route.method == "GET":
            path = route.path.replace("{id}", make.info(1).id)
            async with asyncio.timeout(5), asking.head(path) as answer:
                assert (answer.status, await answer.read()) == (200, b"")


async def test_ready_means_that_work_is_done(world, asking):
    """Starting, stopping and fatal conditions are not ready; a blocked account is."""
    board = world.room.board
    board.block("default", "no billing", "add a card", world.clock.now())
    assert (await ask(asking, "/readyz"))["status"] == "ok"
    assert (await ask(asking, "/v1/status"))["service"]["state"] == "blocked"
    fatal = Condition(
        kind="ledger",
        subject="",
        message="the ledger is full",
        remedy="free some space",
        since=world.clock.now(),
        fatal=True,
        passing=False,
    )
    board.raise_condition(fatal)
    assert (await ask(asking, "/readyz", 503))["remedy"] == "free some space"
    board.clear_condition("ledger")
    board.phase = "stopping"
    assert (await ask(asking, "/readyz", 503))["detail"] == "the daemon is stopping"
    assert (await ask(asking, "/healthz"))["status"] == "ok"


async def test_a_condition_keeps_the_time_since_when_it_is(world, asking):
    """Saying the same again renews the words and not the time."""
    since = world.clock.now()
    for hours, words in ((0, "10 MB left"), (1, "9 MB left")):
        world.room.board.raise_condition(
            Condition(
                kind="disk",
                subject="/x",
                message=words,
                remedy="free some",
                since=since + timedelta(hours=hours),
                fatal=False,
                passing=False,
            )
        )

    (condition,) = (await ask(asking, "/v1/status"))["conditions"]

    assert (condition["message"], condition["since"]) == ("9 MB left", "2026-03-01T12:00:00Z")


async def test_metrics_are_prometheus_text(world, asking, make):
    """The metrics have the board's gauges and count the requests to this socket by route."""
    await world.run(make.info(1), make.part(make.info(1)))
    await world.room.feed.refresh()
    await ask(asking, f"/v1/sets/{make.info(1).id}")

    async with asking.get("/metrics") as answer:
        text = await answer.text()

    assert answer.content_type == "text/plain"
    assert 'orchestrator_batches{state="planned"} 1.0' in text
    assert 'orchestrator_info{version="9.9"} 1.0' in text
    assert 'orchestrator_status_requests_total{code="200",route="/v1/sets/{id}"} 1.0' in text


class Stuck:
    """A ledger that never answers: the disk is away."""

    async def read(self, work, *args, **kwargs):
        await asyncio.Event().wait()

    transact = read

    async def vacuum(self):
        await asyncio.Event().wait()


async def test_the_status_is_told_while_the_ledger_does_not_answer(short, clock, make):
    """What memory holds is answered at once; what only the ledger has is a 503 with a retry."""
    room = StatusRoom(Process("9.9", 1, make.START), [], make.cost, Stuck(), clock)
    done = Cancelled(make.info(1), make.START, Totals(3, 7), "0" * 64)
    room.board.put(done, Flags(), [])
    connector = aiohttp.UnixConnector(path=str(short / "s"))
    bounds = Bounds(history_seconds=0.05)
    async with (
        asyncio.timeout(10),
        room.serving(make.orders(), short / "s", bounds=bounds),
        aiohttp.ClientSession("http://localhost", connector=connector) as session,
    ):
        for path in ("/v1/status", "/v1/sets", f"/v1/sets/{make.info(1).id}", "/metrics"):
            async with session.get(path) as answer:
                assert answer.status == 200
        told = await ask(session, f"/v1/sets/{make.info(1).id}/batches", 503)

    assert told["detail"] == "the ledger is busy"
