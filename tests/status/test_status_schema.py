"""Every answer of every route is as the OpenAPI document says, whatever is asked."""

import asyncio
import json
import socket
import socketserver
import threading

import aiohttp
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok

from orchestrator.domain.batches import Tally, Usage
from orchestrator.status.openapi import document
from orchestrator.status.routes import ROUTES

SPECIFICATION = document("9.9")
TARGET: dict[str, str] = {}
schema = schemathesis.openapi.from_dict(SPECIFICATION)


def resolved(name):
    """Return the schema of one view with all it refers to."""
    return {"$ref": f"#/components/schemas/{name}", "components": SPECIFICATION["components"]}


async def filled(world, make):
    """Bring about sets and batches in many states."""
    for number in range(3):
        await world.receive(make.info(number))
    of = make.info(5)
    _, planned = await world.run(of, *(make.part(of, serial) for serial in (1, 2, 3)))
    job = await world.submit(planned[0])
    await world.collect(job, Tally(answered=2, missing=1), Usage(prompt=5))
    await world.submit(planned[1], "batches/j2")
    await world.room.feed.load()
    return of


async def test_every_view_is_as_its_schema_says(world, make):
    """Each JSON answer validates against the schema of its route, formats too."""
    of = await filled(world, make)
    connector = aiohttp.UnixConnector(path=str(world.path))
    async with (
        world.serving(),
        aiohttp.ClientSession("http://localhost", connector=connector) as session,
    ):
        for route in ROUTES:
            if route.method != "GET" or route.returns is None:
                continue
            headers = {"Accept": "application/json"}
            async with session.get(route.path.format(id=of.id), headers=headers) as answer:
                told = await answer.json()
            jsonschema.validate(told, resolved(route.returns.__name__))
            assert told


async def test_the_document_is_served_and_names_every_route(world):
    """/openapi.json is the document the tests are made from, and is itself valid JSON Schema."""
    connector = aiohttp.UnixConnector(path=str(world.path))
    async with (
        world.serving(),
        aiohttp.ClientSession("http://localhost", connector=connector) as session,
        session.get("/openapi.json") as answer,
    ):
        served = await answer.json()

    assert served == json.loads(json.dumps(SPECIFICATION))
    assert set(served["paths"]) == {route.path for route in ROUTES}
    for name in served["components"]["schemas"]:
        jsonschema.Draft202012Validator.check_schema(resolved(name))
    for operations in served["paths"].values():
        for operation in operations.values():
            assert operation["summary"].endswith(".")


class Bridge(socketserver.BaseRequestHandler):
    """TCP on loopback to the Unix socket: the fuzzer speaks TCP only."""

    def handle(self):
        with socket.socket(socket.AF_UNIX) as inside:
            inside.connect(TARGET["path"])
            back = threading.Thread(target=pump, args=(inside, self.request))
            back.start()
            pump(self.request, inside)
            back.join()


def pump(source, sink):
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@pytest.fixture
async def bridged(world, make):
    of = await filled(world, make)
    async with world.serving():
        TARGET["path"] = str(world.path)
        with Server(("127.0.0.1", 0), Bridge) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            yield f"http://127.0.0.1:{server.server_address[1]}", of.id
            server.shutdown()
            thread.join()


def quiet(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("known", [False, True], ids=["any set", "a known set"])
@pytest.mark.parametrize(
    "examples", [20, pytest.param(2000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)
async def test_no_request_brings_about_an_answer_that_is_not_in_the_document(
    bridged, examples, known
):
    """Fuzzed on every route: no error of ours, every status and body as documented."""
    address, set_id = bridged
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]

    def fuzz():
        for operation in operations:

            @quiet(examples)
            @given(case=operation.as_strategy())
            def check(case):
                if known and "id" in case.path_parameters:
                    case.path_parameters["id"] = set_id
                headers = {"Accept": "application/json"}
                case.call_and_validate(base_url=address, headers=headers, timeout=10)

            check()

    assert len(operations) == len(ROUTES)
    await asyncio.to_thread(fuzz)
