"""Files after their upload: list, get, delete, expiry, quota, and the doors that stay shut."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.emulator.world import SETTINGS, World, jsonl, line, unknown, world

GONE = "You do not have permission to access the File {id} or it may not exist."


async def test_an_empty_list_is_an_empty_object(there: World) -> None:
    """No files: `{}`, without `files`."""
    assert (await there.call("GET", "/v1beta/files")).json == {}


async def test_files_are_listed_in_pages_newest_first(there: World) -> None:
    """Ten a page unless asked otherwise, at most a hundred, and a token while there are more."""
    names = [(await there.upload(b"x", name=f"f-{number}"))["name"] for number in range(12)]

    first = (await there.call("GET", "/v1beta/files")).json
    second = await there.call("GET", f"/v1beta/files?pageToken={first['nextPageToken']}")
    large = await there.call("GET", "/v1beta/files?pageSize=500")
    odd = await there.call("GET", "/v1beta/files?pageToken=zzz")

    seen = [file["name"] for file in first["files"] + second.json["files"]]
    assert len(first["files"]) == 10
    assert seen == list(reversed(names))
    assert "nextPageToken" not in second.json
    assert len(large.json["files"]) == 12
    assert odd.status == 400


async def test_a_deleted_file_is_forbidden_not_missing(there: World) -> None:
    """DELETE answers `{}`; afterwards get and delete are 403, never 404."""
    file = await there.upload(b"x")
    id_ = file["name"].removeprefix("files/")

    deleted = await there.call("DELETE", f"/v1beta/{file['name']}")
    again = await there.call("DELETE", f"/v1beta/{file['name']}", b"{}")
    get = await there.call("GET", f"/v1beta/{file['name']}")

    assert (deleted.status, deleted.json) == (200, {})
    for answer in (again, get):
        assert (answer.status, answer.json["error"]["status"]) == (403, "PERMISSION_DENIED")
        assert answer.message == GONE.format(id=id_)


async def test_files_expire_after_two_days(there: World) -> None:
    """After 48 hours a file is gone, like a deleted one."""
    file = await there.upload(b"x")
    there.emulator.advance(48 * 3600 - 2)
    before = await there.call("GET", f"/v1beta/{file['name']}")
    there.emulator.advance(3)

    after = await there.call("GET", f"/v1beta/{file['name']}")

    assert (before.status, after.status) == (200, 403)
    assert (await there.call("GET", "/v1beta/files")).json == {}


async def test_projects_do_not_see_each_other(there: World) -> None:
    """Another key is another project: its files are forbidden, its jobs not found."""
    file = await there.upload(jsonl([line("a")]))
    job = await there.create_of(file["name"])

    assert (await there.call("GET", f"/v1beta/{file['name']}", key="two")).status == 403
    assert (await there.call("GET", f"/v1beta/{job}", key="two")).status == 404
    assert (await there.call("GET", "/v1beta/batches", key="two")).json == {}
    assert (await there.call("GET", "/v1beta/files", key="two")).json == {}


async def test_keys_can_share_a_project(tmp_path: Path) -> None:
    """Two keys of one project see the same; a key that is not listed is refused."""
    keys = {"a": "shop", "b": "shop", "c": "other"}
    async with world(tmp_path, replace(SETTINGS, api_keys=keys)) as there:
        created = await there.call(
            "POST",
            "/upload/v1beta/files",
            b"x",
            key="a",
            headers={"X-Goog-Upload-Protocol": "raw"},
        )
        name = created.json["file"]["name"]

        shared = await there.call("GET", f"/v1beta/{name}", key="b")
        foreign = await there.call("GET", f"/v1beta/{name}", key="c")
        nobody = await there.call("GET", f"/v1beta/{name}", key="d")

    assert [shared.status, foreign.status, nobody.status] == [200, 403, 400]


async def test_storage_is_walled(tmp_path: Path) -> None:
    """What would go over the storage quota is a 429; deleting makes room."""
    quotas = replace(SETTINGS.quotas, storage_bytes=100)
    async with world(tmp_path, replace(SETTINGS, quotas=quotas)) as there:
        held = await there.upload(bytes(80))

        over = await there.start(30)
        await there.call("DELETE", f"/v1beta/{held['name']}")
        fits = await there.start(30)

    assert (over.status, over.json["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert fits.status == 200


async def test_a_file_over_two_gigabytes_is_refused_at_the_start(there: World) -> None:
    """The announced size alone is enough to refuse."""
    assert (await there.start(2 * 1024**3)).status == 200
    assert (await there.start(2 * 1024**3 + 1)).status == 400


async def test_uploaded_files_cannot_be_downloaded(there: World) -> None:
    """Both download doors are shut for what a client uploaded."""
    file = await there.upload(b"x")

    for door in ("/download/v1beta", "/v1beta"):
        answer = await there.call("GET", f"{door}/{file['name']}:download?alt=media")
        assert answer.status == 400


async def test_output_files_are_reached_only_through_their_batch(there: World) -> None:
    """An output is not listed, cannot be deleted (its id is too long), and dies with its batch."""
    job = await there.create([line("a")])
    output = f"files/batch-{job.removeprefix('batches/')}"
    early = await there.call("GET", f"/download/v1beta/{output}:download?alt=media")
    there.emulator.advance(3600)

    listed = await there.call("GET", "/v1beta/files")
    shown = await there.call("GET", f"/v1beta/{output}")
    deleted = await there.call("DELETE", f"/v1beta/{output}")
    foreign = await there.call("GET", f"/v1beta/{output}:download?alt=media", key="two")
    await there.call("DELETE", f"/v1beta/{job}")
    after = await there.call("GET", f"/download/v1beta/{output}:download?alt=media")

    assert early.status == 404
    assert output not in [file["name"] for file in listed.json["files"]]
    assert shown.json["source"] == "GENERATED"
    assert (deleted.status, deleted.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert foreign.status == 404
    assert after.status == 404


async def test_results_live_six_weeks(there: World) -> None:
    """The output outlives ordinary files, and is gone after six weeks."""
    job = await there.create([line("a")])
    await there.output(job)
    there.emulator.advance(41 * 24 * 3600)
    kept = (await there.get(job)).get("response")
    there.emulator.advance(2 * 24 * 3600)

    assert kept is not None
    assert "response" not in await there.get(job)


async def test_both_doors_give_the_same_bytes(there: World) -> None:
    """The two download doors answer the same JSON Lines; without alt=media, an empty message."""
    job = await there.create([line("a"), line("b")])
    data = await there.output(job)
    file = f"files/batch-{job.removeprefix('batches/')}"

    one = await there.call("GET", f"/download/v1beta/{file}:download?alt=media")
    two = await there.call("GET", f"/v1/{file}:download?alt=media")
    bare = await there.call("GET", f"/v1beta/{file}:download")

    assert data == one.body == two.body
    assert data.endswith(b"\n")
    assert one.headers["content-type"] == "application/jsonl"
    assert one.headers["content-disposition"] == "attachment"
    assert one.headers["cache-control"] == "private, max-age=0"
    assert one.headers["server"] == "UploadServer"
    assert bare.json == {}


async def test_a_range_is_honoured_or_ignored_as_the_settings_say(
    there: World, tmp_path: Path
) -> None:
    """With range support a part is a 206; without, the whole is a 200; past the end is a 416."""
    job = await there.create([line("a"), line("b")])
    data = await there.output(job)
    door = f"/download/v1beta/files/batch-{job.removeprefix('batches/')}:download?alt=media"

    part = await there.call("GET", door, headers={"Range": "bytes=10-"})
    piece = await there.call("GET", door, headers={"Range": "bytes=10-19"})
    past = await there.call("GET", door, headers={"Range": f"bytes={len(data)}-"})

    assert (part.status, part.body) == (206, data[10:])
    assert part.headers["content-range"] == f"bytes 10-{len(data) - 1}/{len(data)}"
    assert piece.body == data[10:20]
    assert past.status == 416
    async with world(tmp_path / "other", unknown(download_range=False)) as other:
        job = await other.create([line("a")])
        data = await other.output(job)
        door = f"/download/v1beta/files/batch-{job.removeprefix('batches/')}:download?alt=media"
        whole = await other.call("GET", door, headers={"Range": "bytes=10-"})
        assert (whole.status, whole.body) == (200, data)


@pytest.mark.parametrize("token", [None, "Bearer x"])
async def test_registering_needs_oauth(there: World, token: str | None) -> None:
    """`files:register` takes gs:// URIs with a bearer token only, all or nothing."""
    headers = {"Authorization": token} if token else {}

    answer = await there.call(
        "POST", "/v1beta/files:register", {"uris": ["gs://b/o"]}, headers=headers
    )
    wrong = await there.call(
        "POST", "/v1beta/files:register", {"uris": ["gs://b/o", "https://x"]}, headers=headers
    )

    if token is None:
        assert answer.status == 401
        return
    assert answer.json["files"][0]["source"] == "REGISTERED"
    assert answer.json["files"][0]["uri"] == "gs://b/o"
    assert wrong.status == 400
