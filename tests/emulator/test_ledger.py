"""The books: what was accepted, executed and billed, and what was left behind."""

from pathlib import Path

from orchestrator.emulator.rows import body_digest, key_digest
from tests.emulator.world import FLASH, World, inline, jsonl, line, prompt, world


async def test_the_same_request_in_two_jobs_is_paid_twice(there: World) -> None:
    """Accepted twice and executed twice is counted, with the jobs that did it."""
    file = await there.upload(jsonl([line("0", "a"), line("1", "b")]))
    first = await there.create_of(file["name"], "first")
    second = await there.create_of(file["name"], "second")
    there.emulator.advance(3600)

    report = (await there.call("GET", "/__emulator__/ledger")).json

    assert report["requests"] == {
        "distinct": 2,
        "accepted": 4,
        "executed": 4,
        "accepted_again": 2,
        "executed_again": 2,
    }
    [one, _] = report["repeated"]
    assert (one["accepted"], one["executed"]) == (2, 2)
    assert one["jobs"] == [name.removeprefix("batches/") for name in (first, second)]


async def test_a_request_is_known_by_body_key_model_and_project(there: World) -> None:
    """Another key, model, project or body is another request; without a key, the place counts."""
    raw = b'{"contents":[{"parts":[{"text":"a"}]}]}'
    with_key = b'{"key":"k","request":' + raw + b"}"
    await there.create([with_key, with_key.replace(b'"k"', b'"l"')])
    body = inline({"request": {"contents": []}})
    await there.call("POST", FLASH, body)
    await there.call("POST", FLASH, body, key="two")
    await there.call("POST", FLASH.replace("flash", "pro"), body)
    keyed = {"request": prompt("x"), "metadata": {"key": "m"}}
    await there.call("POST", FLASH, inline(keyed, {"request": prompt("x")}))

    requests = list(there.emulator.meter.requests())

    assert [request.accepted for request in requests] == [1] * 7
    mine = next(request for request in requests if request.key == f"{key_digest('k'):016x}")
    assert mine.body == body_digest(raw).hex()
    assert mine.model == "gemini-2.5-flash"
    assert mine.project == there.emulator.project_of("one")
    assert f"{key_digest('#0'):016x}" in {request.key for request in requests}


async def test_what_was_not_executed_is_told_by_how_the_job_ended(there: World) -> None:
    """Expired, failed and cancelled jobs bill nothing, and are counted apart."""
    there.spoil("expire", nth=1)
    there.spoil("fail", nth=2)
    for _ in range(3):
        await there.create([line("a"), line("b")])
    jobs = [job["name"] for job in (await there.call("GET", "/v1beta/batches")).json["operations"]]
    await there.call("POST", f"/v1beta/{jobs[0]}:cancel")
    there.emulator.advance(3600)

    report = (await there.call("GET", "/__emulator__/ledger")).json

    assert report["requests"]["executed"] == 0
    assert report["requests"]["accepted"] == 6
    assert report["jobs"]["requests_not_executed"] == {
        "BATCH_STATE_EXPIRED": 2,
        "BATCH_STATE_FAILED": 2,
        "BATCH_STATE_CANCELLED": 2,
    }


async def test_calls_jobs_and_files_left_behind_are_counted(there: World) -> None:
    """The books name every endpoint with its answers, and what nobody deleted."""
    job = await there.create([line("a")])
    await there.upload(b"x")
    await there.call("DELETE", f"/v1beta/{job}")
    await there.call("GET", f"/v1beta/{job}")

    report = (await there.call("GET", "/__emulator__/ledger")).json

    calls = {(call["endpoint"], call["status"]): call["calls"] for call in report["calls"]}
    assert calls == {
        ("files.start", 200): 2,
        ("files.upload", 200): 2,
        ("batches.create", 200): 1,
        ("batches.delete", 200): 1,
        ("batches.get", 404): 1,
    }
    assert report["jobs"]["deleted"] == 1
    assert report["jobs"]["left_behind"] == 0
    assert report["files"]["left_behind"] == 2


async def test_the_books_can_be_read_for_one_project(there: World) -> None:
    """`?project=` narrows the ledger to one project; keys are never shown."""
    await there.call("POST", FLASH, inline({"request": prompt("a")}))
    await there.call("POST", FLASH, inline({"request": prompt("b")}), key="secret-key")
    project = there.emulator.project_of("secret-key")

    answer = await there.call("GET", f"/__emulator__/ledger?project={project}")

    assert answer.json["requests"]["accepted"] == 1
    assert b"secret-key" not in answer.body
    journal = (there.emulator.state_dir / "journal.jsonl").read_bytes()
    assert b"secret-key" not in journal


async def test_counting_in_many_passes_changes_nothing(there: World) -> None:
    """The totals are the same whether the rows are counted at once or in shares."""
    from orchestrator.emulator import tally

    lines = [line(str(number % 300)) for number in range(1000)]
    await there.create(lines)
    there.emulator.advance(3600)
    await there.emulator.settle()
    jobs = list(there.emulator.jobs.jobs.values())
    ledger = there.emulator.meter._ledger(jobs)

    whole = tally.totals(ledger)
    shares = tally.totals(ledger, pass_rows=90)

    assert whole == shares
    assert whole["distinct"] == 300
    assert whole["accepted"] == whole["executed"] == 1000


async def test_the_books_survive_a_restart(tmp_path: Path) -> None:
    """Another emulator on the same state reports the same books."""
    async with world(tmp_path) as there:
        await there.create([line("a"), line("b")])
        there.emulator.advance(3600)
        await there.emulator.settle()
        before = there.emulator.meter.report()

    async with world(tmp_path) as there:
        after = there.emulator.meter.report()

    assert before == after
