"""Each scripted fault does what it says, to whom it says, as often as it says."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from orchestrator.emulator import Fault
from tests.emulator.world import FLASH, World, inline, jsonl, line, prompt, world

CUT = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError)
BODY = inline({"request": prompt("a"), "metadata": {"key": "k"}}, name="mine")


async def _jobs(there: World) -> list[str]:
    page = (await there.call("GET", "/v1beta/batches")).json
    return [job["name"] for job in page.get("operations", [])]


INSTEAD: list[tuple[dict[str, Any], int, str]] = [
    ({"do": "quota"}, 429, "You exceeded your current quota"),
    ({"do": "no_credit"}, 402, "RESOURCE_EXHAUSTED"),
    ({"do": "unavailable"}, 503, "UNAVAILABLE"),
    ({"do": "empty_error"}, 503, '"message": ""'),
    ({"do": "html"}, 502, "<!DOCTYPE html>"),
    ({"do": "malformed"}, 200, '{"name": "batc'),
    ({"do": "list_wrapped_error"}, 500, '[\n  {\n    "error"'),
    ({"do": "redirect", "location": "http://127.0.0.1:1/"}, 302, ""),
    ({"do": "answer", "status": 418, "message": "teapot", "rpc": "ODD"}, 418, '"status": "ODD"'),
    ({"do": "answer", "status": 500, "body": "oops"}, 500, "oops"),
]


@pytest.mark.parametrize(("fault", "status", "text"), INSTEAD)
async def test_a_call_can_be_answered_instead_of_executed(
    there: World, fault: dict[str, Any], status: int, text: str
) -> None:
    """The answer is the scripted one, and nothing was executed."""
    there.spoil(**fault, on="batches.create", times=1)

    answer = await there.call("POST", FLASH, BODY)
    then = await there.call("POST", FLASH, BODY)

    assert answer.status == status
    assert text in answer.body.decode()
    assert then.status == 200
    assert len(await _jobs(there)) == 1


async def test_a_lost_request_is_not_executed(there: World) -> None:
    """The connection is cut before anything happens."""
    there.spoil("lose_request", on="batches.create", nth=1)

    with pytest.raises(CUT):
        await there.call("POST", FLASH, BODY)

    assert await _jobs(there) == []


@pytest.mark.parametrize("fault", [{"do": "lose_answer"}, {"do": "half_answer", "fraction": 0.5}])
async def test_a_lost_answer_was_executed(there: World, fault: dict[str, Any]) -> None:
    """The job exists although nobody heard of it, or only half."""
    there.spoil(**fault, on="batches.create", nth=1)

    with pytest.raises(CUT):
        await there.call("POST", FLASH, BODY)

    assert len(await _jobs(there)) == 1


async def test_a_late_create_is_executed_when_its_time_comes(there: World) -> None:
    """The connection is cut at once; the job appears later, with its late time, and is billed."""
    there.spoil("late", seconds=600, nth=1)

    with pytest.raises(CUT):
        await there.call("POST", FLASH, BODY)
    before = await _jobs(there)
    there.emulator.advance(601)
    [job] = await _jobs(there)

    assert before == []
    assert (await there.get(job))["metadata"]["createTime"].startswith("2026-11-24T12:10:00")
    assert there.emulator.meter.report()["jobs"]["by_origin"]["late"] == 1


async def test_a_late_create_without_its_input_comes_to_nothing(there: World) -> None:
    """Deleting the input file fences a late create: it is refused when it arrives."""
    file = await there.upload(jsonl([line("a")]))
    there.spoil("late", seconds=600, nth=1, status=504)

    answer = await there.call("POST", FLASH, {"batch": {"inputConfig": {"fileName": file["name"]}}})
    await there.call("DELETE", f"/v1beta/{file['name']}")
    there.emulator.advance(601)

    assert answer.status == 504
    assert await _jobs(there) == []
    [refused] = there.emulator.meter.report()["late_creates_refused"]
    assert "You do not have permission" in refused


async def test_a_late_create_survives_a_restart(tmp_path: Path) -> None:
    """What was taken late is executed even by the next emulator on the same state."""
    async with world(tmp_path) as there:
        there.spoil("late", seconds=600, nth=1, status=504)
        await there.call("POST", FLASH, BODY)

    async with world(tmp_path) as there:
        there.emulator.advance(601)
        assert len(await _jobs(there)) == 1
    async with world(tmp_path) as there:
        assert len(await _jobs(there)) == 1


async def test_the_service_may_make_twins(there: World) -> None:
    """One create makes two jobs of the same name; both are billed."""
    there.spoil("twin", nth=1)
    await there.call("POST", FLASH, BODY)
    there.emulator.advance(3600)

    assert len(await _jobs(there)) == 2
    report = there.emulator.meter.report()
    assert report["requests"]["executed_again"] == 1
    assert report["jobs"]["by_origin"]["twin"] == 1
    assert report["repeated"][0]["executed"] == 2


async def test_the_service_may_rename_a_job(there: World) -> None:
    """The display name that comes back is another one."""
    there.spoil("rename", text="other")

    answer = await there.call("POST", FLASH, BODY)

    assert answer.json["metadata"]["displayName"] == "other"


async def test_the_list_may_lag_hide_or_lie(there: World) -> None:
    """A new job hides for a while; pages are emptied, shortened, or turn in a circle."""
    there.spoil("hide_new", seconds=30, nth=1)
    await there.call("POST", FLASH, BODY)
    hidden = await _jobs(there)
    there.emulator.advance(31)
    shown = await _jobs(there)
    for _ in range(3):
        await there.call("POST", FLASH, BODY)

    there.spoil("empty_list", times=1)
    empty = (await there.call("GET", "/v1beta/batches")).json
    there.spoil("truncate_page", times=1, count=1)
    short = (await there.call("GET", "/v1beta/batches?pageSize=3")).json
    there.spoil("empty_page", times=1)
    gap = (await there.call("GET", "/v1beta/batches?pageSize=3")).json
    there.spoil("repeat_page_token", nth=2)
    first = (await there.call("GET", "/v1beta/batches?pageSize=1")).json
    token = first["nextPageToken"]
    again = (await there.call("GET", f"/v1beta/batches?pageSize=1&pageToken={token}")).json
    there.spoil("hide", times=1, seconds=3600)
    none = (await there.call("GET", "/v1beta/batches")).json

    assert (len(hidden), len(shown)) == (0, 1)
    assert empty == none == {}
    assert (len(short["operations"]), short.get("nextPageToken")) == (1, None)
    assert gap.keys() == {"nextPageToken"}
    assert again["nextPageToken"] == token


ENDS: list[tuple[dict[str, Any], str, int | None]] = [
    ({"do": "fail", "code": 3, "message": "bad"}, "FAILED", 3),
    ({"do": "fail", "code": 8}, "FAILED", 8),
    ({"do": "fail"}, "FAILED", 13),
    ({"do": "expire"}, "EXPIRED", None),
    ({"do": "cancelled"}, "CANCELLED", 13),
    ({"do": "state", "text": "BATCH_STATE_PAUSED"}, "PAUSED", None),
]


@pytest.mark.parametrize(("fault", "state", "code"), ENDS)
async def test_a_job_can_end_badly(
    there: World, fault: dict[str, Any], state: str, code: int | None
) -> None:
    """The job ends as scripted, without output, and nothing of it is billed."""
    there.spoil(**fault, batch="mi*")
    job = (await there.call("POST", FLASH, BODY)).json["name"]
    there.emulator.advance(3600)

    ended = await there.get(job)

    assert ended["metadata"]["state"] == f"BATCH_STATE_{state}"
    assert ended.get("error", {}).get("code") == code
    assert "response" not in ended
    assert there.emulator.meter.report()["requests"]["executed"] == 0


async def test_a_job_can_skip_running_or_take_its_own_time(there: World) -> None:
    """PENDING can turn into SUCCEEDED without RUNNING; times can be given per job."""
    there.spoil("timing", text="skip running", pending_seconds=10.0)
    job = (await there.call("POST", FLASH, BODY)).json["name"]
    there.emulator.advance(9)
    before = await there.state(job)
    there.emulator.advance(2)

    assert (before, await there.state(job)) == ("PENDING", "SUCCEEDED")


async def test_a_job_or_file_can_vanish(there: World) -> None:
    """After its time a job is a 404, a file a 403, as if they had never been."""
    there.spoil("vanish", seconds=10)
    there.spoil("file_vanish", seconds=10)
    job = await there.create([line("a")])
    [file] = (await there.call("GET", "/v1beta/files")).json["files"]
    there.emulator.advance(11)

    assert (await there.call("GET", f"/v1beta/{job}")).status == 404
    assert (await there.call("GET", f"/v1beta/{file['name']}")).status == 403
    assert await _jobs(there) == []


async def test_a_new_job_can_be_unknown_for_a_while(there: World) -> None:
    """GET of a job just created may be a 404 at first."""
    there.spoil("lag_get", seconds=10)
    job = await there.create([line("a")])

    early = await there.call("GET", f"/v1beta/{job}")
    there.emulator.advance(11)

    assert (early.status, (await there.call("GET", f"/v1beta/{job}")).status) == (404, 200)


async def test_success_can_come_before_the_output(there: World) -> None:
    """SUCCEEDED without an output for a while; then it is there."""
    there.spoil("late_output", seconds=60)
    job = await there.create([line("a")])
    there.emulator.advance(181)
    early = await there.get(job)
    there.emulator.advance(60)

    later = await there.get(job)

    assert early["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert early["done"] is True
    assert "output" not in early["metadata"]
    assert "response" not in early
    assert "response" in later


async def test_clocks_can_be_skewed(there: World) -> None:
    """A job's timestamps can be off by days."""
    there.spoil("skew", seconds=-3 * 24 * 3600)

    answer = await there.call("POST", FLASH, BODY)

    assert answer.json["metadata"]["createTime"].startswith("2026-11-21T12:00:00")


async def test_results_can_be_shuffled_and_their_end_cut(there: World) -> None:
    """Lines come in another order, or the last one is torn."""
    lines = [line(str(number)) for number in range(30)]
    there.spoil("shuffle", nth=1)
    there.spoil("cut_last_line", nth=2)

    shuffled = await there.results(await there.create(lines))
    cut = await there.output(await there.create(lines))

    keys = [item["key"] for item in shuffled]
    assert keys != [str(number) for number in range(30)]
    assert sorted(keys, key=int) == [str(number) for number in range(30)]
    assert not cut.endswith(b"\n")
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut.splitlines()[-1])


ROWS: list[tuple[dict[str, Any], str]] = [
    ({"do": "row_error", "code": 13}, '"error":{"code":13}'),
    ({"do": "row_error", "code": 3, "message": "no"}, '"message":"no"'),
    ({"do": "row_empty_error"}, '"error":{}'),
    ({"do": "row_blocked"}, '"blockReason":"PROHIBITED_CONTENT"'),
    ({"do": "row_no_parts"}, '"content":{"role":"model"}'),
    ({"do": "row_line_separators"}, "one\u2028two\u2029three\u0085four"),
    ({"do": "row_image", "bytes": 400_000}, "A" * 400_000),
    ({"do": "row_max_tokens"}, '"finishReason":"MAX_TOKENS"'),
    ({"do": "row_safety", "text": "RECITATION"}, '"finishReason":"RECITATION"'),
    ({"do": "row_truncated_json"}, '{\\"emulator\\": \\"cut'),
    ({"do": "row_malformed"}, '{"response":{"candidates":[{"content":'),
    ({"do": "row_no_candidates"}, '"modelVersion"'),
]


@pytest.mark.parametrize(("fault", "text"), ROWS)
async def test_a_row_can_be_spoilt(there: World, fault: dict[str, Any], text: str) -> None:
    """The row that the fault names is spoilt, its neighbours are not."""
    there.spoil(**fault, key="b*")
    job = await there.create([line("a"), line("bad"), line("c")])

    rows = (await there.output(job)).decode().split("\n")[:3]

    assert text in rows[1]
    for good in (rows[0], rows[2]):
        assert json.loads(good)["response"]["candidates"][0]["finishReason"] == "STOP"


async def test_rows_can_be_missing_doubled_unknown_or_nameless(there: World) -> None:
    """Rows vanish, come twice, bring strangers, lose their names, or say nothing at all."""
    lines = [line(str(number)) for number in range(6)]
    there.spoil("row_missing", rows=[1])
    there.spoil("row_doubled", rows=[2])
    there.spoil("row_unknown", rows=[3])
    there.spoil("row_no_identity", rows=[4])
    there.spoil("row_neither", rows=[5])

    results = await there.results(await there.create(lines))

    keys = [item.get("key") for item in results]
    assert keys == ["0", "2", "2", "3", "emulator-unknown-3", None, "5"]
    assert results[-1] == {"key": "5"}
    assert there.emulator.meter.report()["requests"]["executed"] == 6


async def test_all_rows_can_fail_in_a_job_that_succeeds(there: World) -> None:
    """SUCCEEDED with every row an error; nothing of it is billed."""
    there.spoil("row_error", code=3)
    job = await there.create([line("a"), line("b")])

    results = await there.results(job)
    ended = await there.get(job)

    assert [item["error"]["code"] for item in results] == [3, 3]
    assert ended["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert ended["metadata"]["batchStats"] == {"requestCount": "2", "failedRequestCount": "2"}
    assert there.emulator.meter.report()["requests"]["executed"] == 0


async def test_a_share_of_rows_is_hit_by_the_seed(tmp_path: Path) -> None:
    """`rows` as a share hits about as many, and the same ones in every run."""
    counts = []
    for run in ("a", "b"):
        async with world(tmp_path / run) as there:
            there.spoil("row_error", rows=0.3)
            results = await there.results(await there.create([line(str(n)) for n in range(200)]))
            counts.append([number for number, item in enumerate(results) if "error" in item])

    assert counts[0] == counts[1]
    assert 30 < len(counts[0]) < 90


async def test_part_of_a_job_can_stay_unserved(there: World) -> None:
    """The first rows are answered, the rest are code-1 errors."""
    there.spoil("partial", fraction=0.5)

    results = await there.results(await there.create([line(str(n)) for n in range(4)]))

    assert [item.get("error") for item in results] == [None, None, {"code": 1}, {"code": 1}]


async def test_an_upload_can_be_partly_committed(there: World) -> None:
    """The connection dies in the middle of a chunk; whole granules are kept."""
    data = bytes(4096)
    url = (await there.start(len(data))).headers["x-goog-upload-url"]
    there.spoil("cut_request", bytes=2500, nth=1)

    with pytest.raises(CUT):
        await there.chunk(url, "upload, finalize", 0, data)
    query = await there.chunk(url, "query")
    done = await there.chunk(url, "upload, finalize", 2048, data[2048:])

    assert query.headers["x-goog-upload-size-received"] == "2048"
    assert done.status == 200


async def test_upload_answers_can_lack_their_status_or_be_out_of_step(there: World) -> None:
    """A chunk is taken without a status header, refused with 409, or its session is cancelled."""
    url = (await there.start()).headers["x-goog-upload-url"]
    there.spoil("no_upload_status", nth=1)
    there.spoil("out_of_step", nth=2)
    there.spoil("cancel_session", nth=3)

    first = await there.chunk(url, "upload", 0, bytes(1024))
    second = await there.chunk(url, "upload", 1024, bytes(1024))
    third = await there.chunk(url, "upload", 1024, bytes(1024))

    assert (first.status, first.headers.get("x-goog-upload-status")) == (200, None)
    assert (second.status, second.headers["x-goog-upload-status"]) == (409, "active")
    assert (third.status, third.headers["x-goog-upload-status"]) == (410, "cancelled")


async def test_a_lost_finalize_answer_is_found_by_query(there: World) -> None:
    """The file exists although the last answer was lost; `final` may come without its body."""
    url = (await there.start(name="mine")).headers["x-goog-upload-url"]
    there.spoil("lose_answer", on="files.upload", nth=1)
    there.spoil("final_without_body", nth=1)

    with pytest.raises(CUT):
        await there.chunk(url, "upload, finalize", 0, b"x")
    bare = await there.chunk(url, "query")
    whole = await there.chunk(url, "query")

    assert (bare.headers["x-goog-upload-status"], bare.body) == ("final", b"")
    assert whole.json["file"]["name"] == "files/mine"
    assert (await there.call("GET", "/v1beta/files/mine")).status == 200


async def test_a_file_can_be_processed_and_fail(there: World) -> None:
    """PROCESSING for a while, or FAILED with an error."""
    there.spoil("processing", seconds=5, nth=1)
    there.spoil("file_failed", nth=2)

    slow, failed = await there.upload(b"x"), await there.upload(b"y")
    there.emulator.advance(6)

    assert slow["state"] == "PROCESSING"
    assert (await there.call("GET", f"/v1beta/{slow['name']}")).json["state"] == "ACTIVE"
    assert failed["state"] == "FAILED"
    assert failed["error"]["code"] == 13


async def test_a_download_can_be_cut_missing_or_rangeless(there: World) -> None:
    """The output is not there yet, breaks off in the middle, or ignores a range."""
    job = await there.create([line(str(number)) for number in range(50)])
    data = await there.output(job)
    door = f"/download/v1beta/files/batch-{job.removeprefix('batches/')}:download?alt=media"
    there.emulator.faults.clear()
    there.spoil("not_there", nth=1)
    there.spoil("not_there", nth=2, status=403)
    there.spoil("cut", nth=3, fraction=0.5)
    there.spoil("ignore_range", nth=4)

    missing, forbidden = await there.call("GET", door), await there.call("GET", door)
    with pytest.raises(CUT):
        await there.call("GET", door)
    rangeless = await there.call("GET", door, headers={"Range": "bytes=100-"})

    assert (missing.status, forbidden.status) == (404, 403)
    assert (rangeless.status, rangeless.body) == (200, data)


async def test_slowness_is_waited_out_by_the_loop(there: World) -> None:
    """A slow call, a slow answer and a dripping one end with the ordinary answer."""
    there.spoil("slow", on="batches.list", nth=1, seconds=0.01)
    there.spoil("slow_answer", on="batches.list", nth=2, seconds=0.01)
    there.spoil("drip", on="batches.list", nth=3, seconds=0.0, bytes=1)

    answers = [await there.call("GET", "/v1beta/batches") for _ in range(3)]

    assert [answer.json for answer in answers] == [{}, {}, {}]


async def test_faults_count_calls_and_keep_their_limits(there: World) -> None:
    """nth, every, times, probability, batch, model and project each narrow whom a fault hits."""
    there.spoil("unavailable", on="batches.list", nth=[1, 3])
    assert [(await there.call("GET", "/v1beta/batches")).status for _ in range(4)] == [
        503,
        200,
        503,
        200,
    ]
    there.emulator.faults.clear()
    there.spoil("unavailable", on="batches.*", every=2, times=1)
    assert [(await there.call("GET", "/v1beta/batches")).status for _ in range(4)] == [
        200,
        503,
        200,
        200,
    ]
    there.emulator.faults.clear()
    there.spoil("unavailable", on="batches.create", batch="yours*")
    there.spoil("unavailable", on="batches.create", model="gemini-2.5-pro")
    there.spoil("unavailable", on="batches.create", project="project-x")
    assert (await there.call("POST", FLASH, BODY)).status == 200
    pro = FLASH.replace("flash", "pro")
    assert (await there.call("POST", pro, BODY)).status == 503
    there.emulator.faults.clear()
    there.spoil("unavailable", on="batches.list", probability=0.5)
    drawn = [(await there.call("GET", "/v1beta/batches")).status for _ in range(40)]
    assert 8 < drawn.count(503) < 32


async def test_the_admin_door_adds_lists_and_clears_faults(there: World) -> None:
    """Faults come and go by the admin door; a wrong one is refused with the known ones named."""
    added = await there.call("POST", "/__emulator__/faults", {"do": "quota", "times": 1})
    wrong = await there.call("POST", "/__emulator__/faults", {"do": "dance"})
    misspelt = await there.call("POST", "/__emulator__/faults", [{"do": "quota", "nht": 1}])
    hit = await there.call("POST", FLASH, BODY)
    listed = (await there.call("GET", "/__emulator__/faults")).json["faults"]
    await there.call("DELETE", "/__emulator__/faults")

    assert added.status == 200
    assert (wrong.status, misspelt.status) == (400, 400)
    assert "known are" in wrong.json["error"]
    assert "nht" in misspelt.json["error"]
    assert hit.status == 429
    assert (listed[0]["seen"], listed[0]["fired"]) == (1, 1)
    assert (await there.call("GET", "/__emulator__/faults")).json["faults"] == []


async def test_counts_go_on_after_a_restart(tmp_path: Path) -> None:
    """A fault for the second call hits the second call, even if the emulator died between."""
    fault = Fault(do="unavailable", on="batches.list", nth=2)
    statuses = []
    for _ in range(3):
        async with world(tmp_path) as there:
            there.emulator.faults.load([fault])
            statuses.append((await there.call("GET", "/v1beta/batches")).status)

    assert statuses == [200, 503, 200]


async def test_two_calls_at_once_on_one_session_do_not_mix(there: World) -> None:
    """The call that comes last takes the session over; the file has the bytes of one writer."""
    data = bytes(range(256)) * 40
    url = (await there.start(len(data))).headers["x-goog-upload-url"]

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(there.chunk(url, "upload, finalize", 0, data)) for _ in "ab"]

    statuses = sorted(call.result().status for call in calls)
    assert statuses[0] == 200
    assert statuses[1] in {400, 409}
