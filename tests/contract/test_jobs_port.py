"""What every implementation of the port `Jobs` keeps to."""

import json
from typing import Any

import msgspec
import pytest

from orchestrator.domain.ids import IdempotencyKey, JobName
from orchestrator.domain.jobs import Gone, JobSnapshot, JobState
from orchestrator.ports import InDoubt, Output, Refused, Unavailable
from tests.contract.providers import Provider
from tests.emulator.world import inline, line, prompt
from tests.gemini.values import FILE, TOKEN, MemorySink, Text, part


async def snapshot(there: Provider, job: JobSnapshot) -> JobSnapshot:
    seen = await there.jobs.look(job.name)
    assert isinstance(seen, JobSnapshot)
    return seen


def lines(sink: MemorySink) -> dict[str, Any]:
    answers = [json.loads(text) for text in sink.content.splitlines()]
    return {answer["key"]: answer for answer in answers}


def inline_body(count: int = 3) -> Text:
    requests = [
        {"request": prompt(f"number {n}"), "metadata": {"key": str(n)}} for n in range(count)
    ]
    return Text(json.dumps(inline(*requests, name=TOKEN)).encode())


async def test_a_job_is_created_of_a_file(there: Provider) -> None:
    """A created job bears our token and our file, in its answer and in the list."""
    created = await there.job()
    scan = await there.jobs.scan()

    assert (created.display_name, created.input_file) == (TOKEN, FILE)
    assert (created.state, created.requests) == (JobState.PENDING, 3)
    assert scan.complete
    assert [(job.name, job.display_name) for job in scan.jobs] == [(created.name, TOKEN)]


async def test_a_job_is_created_inline(there: Provider) -> None:
    """The body is the whole request; its answers come back by key."""
    created = await there.jobs.create(part(mode="inline"), None, inline_body())
    there.wait()
    ended = await snapshot(there, created)
    sink = MemorySink()
    await there.jobs.download(Output(created.name, ended.output), sink)

    assert created.display_name == TOKEN
    assert ended.state is JobState.SUCCEEDED
    assert ended.output is None
    assert set(lines(sink)) == {"0", "1", "2"}
    assert all("response" in answer for answer in lines(sink).values())


async def test_embeddings_come_as_lines_too(there: Provider) -> None:
    """An inline job of embeddings has the same form of answers."""
    requests = [
        {"request": {"content": {"parts": [{"text": f"n {n}"}]}}, "metadata": {"key": str(n)}}
        for n in range(3)
    ]
    body = Text(msgspec.json.encode(inline(*requests, name=TOKEN)))
    batch = part(kind="embed", model="gemini-embedding-001", mode="inline")
    created = await there.jobs.create(batch, None, body)
    there.wait()
    sink = MemorySink()
    await there.jobs.download(Output(created.name, None), sink)

    assert set(lines(sink)) == {"0", "1", "2"}
    assert all(answer["response"]["embedding"]["values"] for answer in lines(sink).values())


async def test_a_jobs_life_is_seen(there: Provider) -> None:
    """Pending, running, succeeded; at the end there are counts, a time and a result file."""
    created = await there.job()
    there.wait(70)
    running = await snapshot(there, created)
    there.wait()
    ended = await snapshot(there, created)

    assert running.state is JobState.RUNNING
    assert ended.state is JobState.SUCCEEDED
    assert (ended.requests, ended.succeeded) == (3, 3)
    assert ended.output is not None
    assert ended.ended_at is not None
    assert ended.model == part().model


async def test_answers_are_fetched_whole(there: Provider) -> None:
    """Each request has its line."""
    created = await there.job()
    there.wait()
    output = Output(created.name, (await snapshot(there, created)).output)
    sink = MemorySink()
    await there.jobs.download(output, sink)

    assert set(lines(sink)) == {"0", "1", "2"}
    assert sink.content.endswith(b"\n")


@pytest.mark.parametrize("cut", [1, 200, 700])
async def test_a_cut_download_is_completed(there: Provider, cut: int) -> None:
    """After a cut the next call brings the rest, or all anew: the same bytes in the end."""
    created = await there.job()
    there.wait()
    output = Output(created.name, (await snapshot(there, created)).output)
    whole, sink = MemorySink(), MemorySink()
    await there.jobs.download(output, whole)
    there.world.spoil("cut", bytes=cut, times=1)
    try:
        await there.jobs.download(output, sink)
    except Unavailable:
        await there.jobs.download(output, sink)

    assert sorted(sink.content.splitlines()) == sorted(whole.content.splitlines())


async def test_output_that_is_not_there_yet_is_refused(there: Provider) -> None:
    """A job that has not ended has no answers."""
    created = await there.job()
    output = Output(
        created.name, type(FILE)(f"files/batch-{created.name.removeprefix('batches/')}")
    )

    with pytest.raises(Refused):
        await there.jobs.download(output, MemorySink())
    with pytest.raises(Refused):
        await there.jobs.download(Output(created.name, None), MemorySink())


async def test_the_list_is_walked_to_its_end(there: Provider) -> None:
    """However the list is paged and ordered, a complete scan shows each job once."""
    batches = [part(token=IdempotencyKey(f"{TOKEN[:-2]}{n:02}")) for n in range(7)]
    made = {(await there.job(batch)).name for batch in batches}

    scan = await there.jobs.scan()

    assert scan.complete
    assert {job.name for job in scan.jobs} == made
    assert len(scan.jobs) == 7


async def test_a_cancelled_job_ends(there: Provider) -> None:
    """Cancel asks; later the job is seen to have ended. Asking again is no error."""
    created = await there.job()
    await there.jobs.cancel(created.name)
    there.wait()
    ended = await snapshot(there, created)
    await there.jobs.cancel(created.name)
    await there.jobs.cancel(JobName("batches/unknown"))

    assert ended.state is JobState.CANCELLED


async def test_a_deleted_job_is_gone(there: Provider) -> None:
    """A deleted job is neither found nor listed; deleting it again is no error."""
    created = await there.job()
    there.wait()
    await there.jobs.delete(created.name)
    await there.jobs.delete(created.name)

    assert await there.jobs.look(created.name) == Gone()
    assert await there.count() == 0


async def test_models_tell_their_methods(there: Provider) -> None:
    """A model is described; one that the service does not know is None."""
    model = await there.jobs.model("gemini-2.5-flash")

    assert model is not None
    assert "batchGenerateContent" in model.methods
    assert await there.jobs.model("gemini-0") is None


async def test_a_bad_line_is_refused_by_its_number(there: Provider) -> None:
    """The service refuses the whole file; the line that it names is passed on."""
    file = await there.upload([line("0"), {"contents": []}])

    with pytest.raises(Refused) as caught:
        await there.jobs.create(part(), file.name, None)

    assert (caught.value.code, caught.value.line) == (400, 2)
    assert await there.count() == 0


async def test_an_unknown_model_is_refused(there: Provider) -> None:
    """A model that the service does not know is a definite no."""
    file = await there.upload()

    with pytest.raises(Refused) as caught:
        await there.jobs.create(part(model="gemini-0"), file.name, None)

    assert caught.value.code == 404


async def test_a_file_that_is_gone_is_refused(there: Provider) -> None:
    """A create of a file that does not exist says so; it does not blame the key."""
    with pytest.raises(Refused) as caught:
        await there.jobs.create(part(), FILE, None)

    assert caught.value.code == 403


LOSSES = [
    ({"do": "lose_answer", "on": "batches.create"}, 1),
    ({"do": "half_answer", "on": "batches.create"}, 1),
    ({"do": "lose_request", "on": "batches.create"}, 0),
    ({"do": "unavailable", "on": "batches.create"}, 0),
    ({"do": "malformed", "on": "batches.create"}, 0),
    ({"do": "html", "on": "batches.create"}, 0),
    ({"do": "redirect", "on": "batches.create"}, 0),
]


@pytest.mark.parametrize(("fault", "made"), LOSSES, ids=[str(loss[0]["do"]) for loss in LOSSES])
async def test_a_lost_create_is_in_doubt_and_not_repeated(
    there: Provider, fault: dict[str, Any], made: int
) -> None:
    """Whether the job was made, the caller cannot tell, and nothing is sent a second time."""
    file = await there.upload()
    there.world.spoil(**fault, times=1)

    with pytest.raises(InDoubt):
        await there.jobs.create(part(), file.name, None)

    assert await there.count() == made


@pytest.mark.parametrize(
    "fault",
    [{"do": "quota"}, {"do": "quota", "seconds": 30}, {"do": "no_credit"}],
    ids=["quota", "quota with a delay", "no credit"],
)
async def test_a_create_beyond_a_wall_is_certainly_not_made(
    there: Provider, fault: dict[str, Any]
) -> None:
    """Quota and credit are Unavailable: there is no job, and the same create may be sent again."""
    file = await there.upload()
    there.world.spoil(**fault, times=1)

    with pytest.raises(Unavailable):
        await there.jobs.create(part(), file.name, None)
    assert await there.count() == 0
    await there.jobs.create(part(), file.name, None)

    assert await there.count() == 1


@pytest.mark.parametrize(
    "fault", ["malformed", "half_answer", "lose_answer", "unavailable", "quota"]
)
async def test_a_spoilt_list_never_makes_a_complete_scan(there: Provider, fault: str) -> None:
    """A list that was not seen whole proves no absence."""
    await there.job()
    there.world.spoil(fault, on="batches.list", times=9)

    try:
        scan = await there.jobs.scan()
    except Unavailable:
        return

    assert not scan.complete
    assert scan.trouble
