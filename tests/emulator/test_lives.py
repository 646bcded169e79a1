"""How jobs age, end, are listed, cancelled, deleted, walled and expired."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.world import FLASH, SETTINGS, World, inline, line, prompt, unknown, world


async def test_a_job_pends_runs_and_succeeds(there: World) -> None:
    """PENDING, RUNNING, SUCCEEDED by the clock; counters stay until the end; output comes twice."""
    job = await there.create([line("a"), line("b")])
    created = await there.get(job)
    there.emulator.advance(61)
    running = await there.get(job)
    there.emulator.advance(120)

    ended = await there.get(job)

    output = {"responsesFile": f"files/batch-{job.removeprefix('batches/')}"}
    stats = {"requestCount": "2", "pendingRequestCount": "2"}
    assert created["metadata"]["state"] == "BATCH_STATE_PENDING"
    assert running["metadata"]["state"] == "BATCH_STATE_RUNNING"
    assert running["metadata"]["batchStats"] == stats
    assert running["metadata"]["updateTime"] > created["metadata"]["updateTime"]
    assert "done" not in running
    assert "endTime" not in running["metadata"]
    assert ended["done"] is True
    assert ended["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert ended["metadata"]["output"] == output
    assert ended["response"] == {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main"
        ".GenerateContentBatchOutput",
        **output,
    }
    assert ended["metadata"]["batchStats"] == {"requestCount": "2", "successfulRequestCount": "2"}
    assert ended["metadata"]["updateTime"] < ended["metadata"]["endTime"]
    assert ended["metadata"]["endTime"].startswith("2026-11-24T12:03:00.")


async def test_speed_shortens_jobs_and_leaves_the_clock_alone(there: World) -> None:
    """At speed 60 a job of three minutes ends after three seconds, and its timestamps say so."""
    there.emulator.hurry(60)
    job = await there.create([line("a")])
    there.emulator.clock.offset += 2_999_000_000
    before = await there.state(job)
    there.emulator.clock.offset += 2_000_000

    ended = await there.get(job)

    assert before == "RUNNING"
    assert ended["done"] is True
    assert ended["metadata"]["endTime"].startswith("2026-11-24T12:00:03.00")


@pytest.mark.parametrize("state", ["RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"])
async def test_a_job_can_be_moved_by_hand(there: World, state: str) -> None:
    """The admin door moves a job to any state at once; an unheard-of one is shown as it is."""
    job = await there.create([line("a")])

    moved = await there.call("POST", f"/__emulator__/jobs/{job}:move", {"state": state})
    strange = await there.create([line("a")])
    await there.call("POST", f"/__emulator__/jobs/{strange}:move", {"state": "BATCH_STATE_NAPPING"})

    assert moved.status == 200
    assert await there.state(job) == state
    assert await there.state(strange) == "NAPPING"
    assert "done" not in await there.get(strange)


async def test_a_job_that_is_not_done_in_two_days_expires(there: World) -> None:
    """Pending or running for 48 hours ends EXPIRED, without results and without an error."""
    there.spoil("stuck", nth=1, text="pending")
    there.spoil("stuck", nth=2)
    pending, running = await there.create([line("a")]), await there.create([line("b")])
    there.emulator.advance(48 * 3600 - 10)
    before = [await there.state(pending), await there.state(running)]
    there.emulator.advance(11)

    after = [await there.get(pending), await there.get(running)]

    assert before == ["PENDING", "RUNNING"]
    for job in after:
        assert job["metadata"]["state"] == "BATCH_STATE_EXPIRED"
        assert job["done"] is True
        assert not job.keys() & {"error", "response"}
        assert "output" not in job["metadata"]


async def test_a_cancel_takes_a_moment_and_ends_with_code_13(there: World) -> None:
    """Cancel answers `{}`, the state stays for a moment, then CANCELLED with error code 13."""
    job = await there.create([line("a")])

    answer = await there.call("POST", f"/v1beta/{job}:cancel")
    meanwhile = await there.state(job)
    there.emulator.advance(6)
    ended = await there.get(job)

    assert (answer.status, answer.json) == (200, {})
    assert meanwhile == "PENDING"
    assert ended["metadata"]["state"] == "BATCH_STATE_CANCELLED"
    assert ended["done"] is True
    assert ended["error"]["code"] == 13
    assert ended["metadata"]["batchStats"] == {"requestCount": "1", "pendingRequestCount": "1"}


async def test_a_running_job_may_be_cancelled_in_the_middle(tmp_path: Path) -> None:
    """Where the service is like that, a cancelled running job succeeds with code-1 items."""
    async with world(tmp_path, unknown(cancel_running="partial")) as there:
        job = await there.create([line(str(number)) for number in range(10)])
        there.emulator.advance(60 + 55)
        await there.call("POST", f"/v1beta/{job}:cancel")
        there.emulator.advance(5)

        results = await there.results(job)
        ended = await there.get(job)

    assert ended["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert ["response" in item for item in results] == [True] * 5 + [False] * 5
    assert [item.get("error") for item in results[5:]] == [{"code": 1}] * 5
    assert ended["metadata"]["batchStats"]["failedRequestCount"] == "5"


async def test_cancelling_what_has_ended_or_never_was(there: World, tmp_path: Path) -> None:
    """A finished job refuses cancel (or ignores it, as set); an unknown one is a 404."""
    job = await there.create([line("a")])
    there.emulator.advance(3600)

    late = await there.call("POST", f"/v1beta/{job}:cancel", {})
    never = await there.call("POST", f"/v1beta/batches/{'x' * 36}:cancel", {})

    assert (late.status, late.json["error"]["status"]) == (400, "FAILED_PRECONDITION")
    assert never.status == 404
    async with world(tmp_path / "other", unknown(cancel_finished="ignored")) as other:
        job = await other.create([line("a")])
        other.emulator.advance(3600)
        assert (await other.call("POST", f"/v1beta/{job}:cancel", {})).json == {}


async def test_a_deleted_job_is_not_found(there: World) -> None:
    """DELETE answers `{}` even with a body; then get and delete are 404 and the list is empty."""
    job = await there.create([line("a")])

    deleted = await there.call("DELETE", f"/v1beta/{job}", {})
    again = await there.call("DELETE", f"/v1beta/{job}")
    get = await there.call("GET", f"/v1beta/{job}")

    assert (deleted.status, deleted.json) == (200, {})
    assert (again.status, get.status) == (404, 404)
    assert get.json["error"]["status"] == "NOT_FOUND"
    assert (await there.call("GET", "/v1beta/batches")).json == {}


async def test_deleting_a_running_job_does_not_stop_it(there: World, tmp_path: Path) -> None:
    """A deleted job runs on unseen and is billed, unless the settings say that delete stops it."""
    job = await there.create([line("a")])
    await there.call("DELETE", f"/v1beta/{job}")
    there.emulator.advance(3600)
    await there.emulator.settle()

    assert there.emulator.meter.report()["requests"]["executed"] == 1
    async with world(tmp_path / "other", unknown(delete_running="stops")) as other:
        job = await other.create([line("a")])
        await other.call("DELETE", f"/v1beta/{job}")
        other.emulator.advance(3600)
        await other.emulator.settle()
        assert other.emulator.meter.report()["requests"]["executed"] == 0


async def test_the_list_mixes_kinds_and_leaves_out_inline_results(there: World) -> None:
    """Newest first, both kinds, no inline output, file output shown, stale counters."""
    await there.call("POST", FLASH, inline({"request": prompt("a")}, name="first"))
    there.emulator.advance(1)
    await there.create([line("a")], "second")
    there.emulator.advance(3600)

    shown = (await there.call("GET", "/v1beta/batches")).json["operations"]

    assert [job["metadata"]["displayName"] for job in shown] == ["second", "first"]
    assert shown[0]["metadata"]["output"]["responsesFile"].startswith("files/batch-")
    assert "output" not in shown[1]["metadata"]
    assert "response" not in shown[1]
    assert shown[1]["done"] is True
    assert shown[1]["metadata"]["batchStats"] == {"requestCount": "1", "pendingRequestCount": "1"}


async def test_the_list_is_paged(there: World) -> None:
    """Pages follow their tokens to the end, without a token on the last one."""
    jobs = [await there.create([line("a")]) for _ in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = (await there.call("GET", f"/v1beta/batches?pageSize=2&pageToken={token}")).json
        seen += [job["name"] for job in page["operations"]]
        if "nextPageToken" not in page:
            break
        token = page["nextPageToken"]

    assert seen == list(reversed(jobs))
    assert (await there.call("GET", "/v1beta/batches?pageSize=x")).status == 400
    assert (await there.call("GET", "/v1beta/batches?returnPartialSuccess=true")).status == 501


async def test_a_mask_keeps_results_out_of_polls(there: World) -> None:
    """`fields` keeps what it names; a broken one is a 400."""
    body = inline({"request": prompt("a")}, name="m")
    job = (await there.call("POST", FLASH, body)).json["name"]
    there.emulator.advance(3600)

    masked = await there.call("GET", f"/v1beta/{job}?fields=name,done,metadata(state,batchStats)")
    broken = await there.call("GET", f"/v1beta/{job}?fields=metadata(")

    assert masked.json == {
        "name": job,
        "metadata": {
            "batchStats": {"requestCount": "1", "successfulRequestCount": "1"},
            "state": "BATCH_STATE_SUCCEEDED",
        },
        "done": True,
    }
    assert broken.status == 400


async def test_answers_are_indented_unless_asked_otherwise(there: World) -> None:
    """Answers are pretty by default; `prettyPrint=false` makes them compact."""
    await there.create([line("a")])

    pretty = await there.call("GET", "/v1beta/batches")
    compact = await there.call("GET", "/v1beta/batches?prettyPrint=false")

    assert pretty.body.startswith(b'{\n  "operations": [\n')
    assert b"\n" not in compact.body
    assert pretty.json == compact.json


async def test_the_display_name_and_priority_can_be_patched(there: World) -> None:
    """PATCH answers the batch itself, changed; other fields cannot be changed."""
    job = await there.create([line("a")])
    path = f"/v1beta/{job}:updateGenerateContentBatch"

    changed = await there.call(
        "PATCH",
        f"{path}?updateMask=displayName,priority",
        {"displayName": "new", "priority": "7"},
    )
    refused = await there.call("PATCH", f"{path}?updateMask=state", {"displayName": "x"})

    assert changed.json["displayName"] == "new"
    assert changed.json["priority"] == "7"
    assert changed.json["name"] == job
    assert (await there.get(job))["metadata"]["displayName"] == "new"
    assert refused.status == 400


async def test_active_jobs_are_walled(tmp_path: Path) -> None:
    """One job too many is a 429 with a Help detail and no RetryInfo; an ended one makes room."""
    quotas = replace(SETTINGS.quotas, active_jobs=1)
    async with world(tmp_path, replace(SETTINGS, quotas=quotas)) as there:
        await there.create([line("a")])
        body = inline({"request": prompt("b")})

        over = await there.call("POST", FLASH, body)
        other = await there.call("POST", FLASH, body, key="two")
        there.emulator.advance(3600)
        fits = await there.call("POST", FLASH, body)

    error = over.json["error"]
    assert (over.status, error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert error["message"].startswith("You exceeded your current quota")
    assert [detail["@type"] for detail in error["details"]] == [
        "type.googleapis.com/google.rpc.Help"
    ]
    assert "retry-after" not in over.headers
    assert (other.status, fits.status) == (200, 200)


@pytest.mark.parametrize("checked", ["at create", "at run"])
async def test_enqueued_tokens_are_walled_per_model(tmp_path: Path, checked: Any) -> None:
    """Over the enqueued tokens is a 429 at create, or a job that fails with code 8."""
    quotas = replace(SETTINGS.quotas, enqueued_tokens={"gemini-2.5-flash": 100})
    settings = replace(unknown(quota_checked=checked), quotas=quotas)
    async with world(tmp_path, settings) as there:
        body = inline({"request": prompt("x" * 300)})
        await there.call("POST", FLASH, body)

        over = await there.call("POST", FLASH, body)
        pro = await there.call("POST", FLASH.replace("flash", "pro"), body)
        there.emulator.advance(3600)

        assert pro.status == 200
        if checked == "at create":
            assert over.status == 429
        else:
            ended = await there.get(over.json["name"])
            assert ended["metadata"]["state"] == "BATCH_STATE_FAILED"
            assert ended["error"]["code"] == 8


async def test_calls_per_minute_are_walled(tmp_path: Path) -> None:
    """Too many calls in a minute are 429s, until the minute has passed."""
    quotas = replace(SETTINGS.quotas, requests_per_minute=3)
    async with world(tmp_path, replace(SETTINGS, quotas=quotas)) as there:
        first = [(await there.call("GET", "/v1beta/batches")).status for _ in range(4)]
        there.emulator.advance(61)
        then = await there.call("GET", "/v1beta/batches")

    assert first == [200, 200, 200, 429]
    assert then.status == 200


async def test_a_pending_job_outlives_its_input_unless_the_service_needs_it(
    tmp_path: Path,
) -> None:
    """Deleting the input after create hurts nobody, unless the settings have it read late."""
    for place, settings, state in (
        ("a", SETTINGS, "SUCCEEDED"),
        ("b", unknown(input_needed_at_run=True), "FAILED"),
    ):
        async with world(tmp_path / place, settings) as other:
            job = await other.create([line("a")])
            [file] = (await other.call("GET", "/v1beta/files")).json["files"]
            await other.call("DELETE", f"/v1beta/{file['name']}")
            other.emulator.advance(3600)
            assert await other.state(job) == state


async def test_ten_thousand_jobs_are_listed_without_strain(there: World) -> None:
    """Ten thousand jobs are listed completely, a thousand a page."""
    from orchestrator.emulator.job import Fate, Order

    for number in range(10_000):
        order = Order(
            project=there.emulator.project_of("one"),
            kind="generate",
            model="gemini-2.5-flash",
            count=1,
            tokens=1,
            row_errors=0,
            fate=Fate(stuck=True),
            rules=[],
            display_name=f"job {number}",
            input_file="x",
        )
        there.emulator.jobs.create(order)
    names: set[str] = set()
    page: Any = {"nextPageToken": ""}
    while "nextPageToken" in page:
        path = f"/v1beta/batches?pageSize=1000&pageToken={page['nextPageToken']}"
        page = (await there.call("GET", path)).json
        names |= {job["name"] for job in page["operations"]}

    assert len(names) == 10_000


@pytest.mark.parametrize(
    "path", ["/v1beta/models", "/v1/models?pageSize=3", "/v1beta/models/gemini-2.5-flash"]
)
async def test_models_say_what_they_can_do(there: World, path: str) -> None:
    """Models list `supportedGenerationMethods`, by which clients find those that batch."""
    answer = (await there.call("GET", path)).json

    models = answer.get("models", [answer])
    flash = next(m for m in models if m["name"].startswith("models/gemini-")) if models else {}
    assert "batchGenerateContent" in flash["supportedGenerationMethods"]
