"""What any HTTP client may do: other spellings of keys, parameters and bodies that are legal."""

import gzip
import json
from pathlib import Path

import pytest

from tests.emulator.world import FLASH, World, inline, prompt, unknown, world

BODY = inline({"request": prompt("hello")}, name="one")


@pytest.mark.parametrize("door", ["header", "query", "dollar", "bearer", "token"])
async def test_a_key_may_come_by_any_door(there: World, door: str) -> None:
    """Header, `key`, `$key`, a bearer and `access_token` all name the same project."""
    await there.call("POST", FLASH, BODY, key="mine")
    headers = {"header": {"X-Goog-Api-Key": "mine"}, "bearer": {"Authorization": "Bearer mine"}}
    query = {"query": "?key=mine", "dollar": "?$key=mine", "token": "?access_token=mine"}

    listed = await there.call(
        "GET", "/v1beta/batches" + query.get(door, ""), key=None, headers=headers.get(door)
    )

    assert len(listed.json["operations"]) == 1


async def test_the_header_s_key_goes_before_the_query_s(there: World) -> None:
    """With two keys the header's counts; whose quota it is said to be changes nothing."""
    await there.call("POST", FLASH, BODY, key="one")

    listed = await there.call(
        "GET", "/v1beta/batches?key=two", headers={"x-goog-user-project": "other"}
    )

    assert len(listed.json["operations"]) == 1


async def test_a_compressed_body_is_a_body(there: World) -> None:
    """`Content-Encoding: gzip` is undone before anything else looks."""
    packed = gzip.compress(json.dumps(BODY).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}

    created = await there.call("POST", FLASH, packed, headers=headers)

    assert created.json["metadata"]["displayName"] == "one"


async def test_a_client_may_ask_before_it_sends(there: World) -> None:
    """`Expect: 100-continue` is answered, and then the call."""
    created = await there.call("POST", FLASH, BODY, headers={"Expect": "100-continue"})

    assert created.status == 200


async def test_spellings_mix_in_one_body(there: World) -> None:
    """snake_case and lowerCamelCase meet in one body, and the answer is lowerCamelCase."""
    request = prompt(
        "hello", generation_config={"maxOutputTokens": 64, "thinkingConfig": {"thinking_budget": 0}}
    )
    body = {"batch": {"display_name": "mixed", "inputConfig": {"requests": {"requests": [
        {"request": request, "metadata": {"key": "a"}}]}}}}  # fmt: skip

    created = await there.call("POST", FLASH, body)

    assert created.json["metadata"]["displayName"] == "mixed"


@pytest.mark.parametrize(
    "query",
    ["alt=json", "$alt=json", "alt=sse", "quotaUser=me", "$.xgafv=2", "prettyPrint=false",
     "pageSize=0", "pageSize=5000", "page_size=7", "filter=x", "fields=operations(name)"],
)  # fmt: skip
async def test_system_parameters_are_welcome(there: World, query: str) -> None:
    """What every method takes, in any spelling, changes nothing but the dress."""
    await there.call("POST", FLASH, BODY)

    listed = await there.call("GET", f"/v1beta/batches?{query}")

    assert len(listed.json["operations"]) == 1


async def test_an_unknown_parameter_is_refused(there: World) -> None:
    """A query parameter that no field has is a 400 in the front end's words, one for each."""
    answer = await there.call("GET", "/v1beta/files?page=2&size=3&pageSize=1")

    assert answer.status == 400
    assert answer.message == (
        'Invalid JSON payload received. Unknown name "page": Cannot bind query parameter. '
        "Field 'page' could not be found in request message.\n"
        'Invalid JSON payload received. Unknown name "size": Cannot bind query parameter. '
        "Field 'size' could not be found in request message."
    )
    [detail] = answer.json["error"]["details"]
    assert [v["description"] for v in detail["fieldViolations"]] == answer.message.split("\n")


async def test_an_unknown_parameter_can_be_ignored(tmp_path: Path) -> None:
    """Where the service is like that, nobody minds."""
    async with world(tmp_path, unknown(unknown_query="ignored")) as there:
        assert (await there.call("GET", "/v1beta/files?page=2")).json == {}
