"""The admin door: what it shows, what it changes, and how it says no."""

from tests.emulator.world import FLASH, World, inline, line, prompt


async def test_the_door_shows_jobs_files_calls_and_the_clock(there: World) -> None:
    """Everything as the emulator sees it, deleted things included."""
    job = await there.create([line("a")])
    await there.call("DELETE", f"/v1beta/{job}")

    jobs = (await there.call("GET", "/__emulator__/jobs")).json["jobs"]
    files = (await there.call("GET", "/__emulator__/files")).json["files"]
    calls = (await there.call("GET", "/__emulator__/calls")).json["calls"]
    clock = (await there.call("GET", "/__emulator__/clock")).json

    assert jobs[0]["deleted"] is True
    assert files[0]["size"] > 0
    assert {call["endpoint"] for call in calls} >= {"batches.create", "batches.delete"}
    assert clock["speed"] == 1.0


async def test_time_can_be_advanced_and_hurried(there: World) -> None:
    """An advance moves the wall and the age of jobs; a speed only the age."""
    job = await there.create([line("a")])
    before = (await there.call("GET", "/__emulator__/clock")).json

    advanced = (await there.call("POST", "/__emulator__/clock", {"advance": 100})).json
    hurried = (await there.call("POST", "/__emulator__/clock", {"speed": 10})).json

    assert advanced["now"] - before["now"] == 100 * 10**9
    assert round(advanced["age"] - before["age"]) == 100
    assert hurried["speed"] == 10
    assert await there.state(job) == "RUNNING"


async def test_keys_are_revoked_and_restored(there: World) -> None:
    """A revoked key is refused until it is restored."""
    await there.call("POST", "/__emulator__/keys:revoke", {"key": "one"})
    revoked = await there.call("GET", "/v1beta/batches")
    await there.call("POST", "/__emulator__/keys:restore", {"key": "one"})

    assert revoked.status == 400
    assert (await there.call("GET", "/v1beta/batches")).status == 200


async def test_a_reset_forgets_everything(there: World) -> None:
    """After a reset there are no jobs, files, faults or books, and work begins anew."""
    await there.create([line("a")])
    there.spoil("unavailable", on="batches.list")

    done = await there.call("POST", "/__emulator__/reset")

    assert done.status == 200
    assert (await there.call("GET", "/v1beta/batches")).json == {}
    assert (await there.call("GET", "/v1beta/files")).json == {}
    assert (await there.call("GET", "/__emulator__/ledger")).json["requests"]["accepted"] == 0
    assert await there.create([line("a")])


async def test_mistakes_at_the_door_are_explained(there: World) -> None:
    """A wrong address lists the doors; a wrong body or job says what is wrong."""
    job = (await there.call("POST", FLASH, inline({"request": prompt("a")}))).json["name"]

    nowhere = await there.call("GET", "/__emulator__/nowhere")
    misspelt = await there.call("POST", "/__emulator__/clock", {"advanced": 1})
    backwards = await there.call("POST", "/__emulator__/clock", {"advance": -1})
    nobody = await there.call("POST", "/__emulator__/jobs/x:move", {"state": "FAILED"})
    back = await there.call("POST", f"/__emulator__/jobs/{job}:move", {"state": "PENDING"})
    torn = await there.call("POST", "/__emulator__/clock", b"{")

    assert nowhere.status == 404
    assert "GET /__emulator__/ledger" in nowhere.json["doors"]
    assert misspelt.status == backwards.status == back.status == torn.status == 400
    assert "advanced" in misspelt.json["error"]
    assert nobody.status == 404
