"""The service is spoken to only if it proves who it is; otherwise nothing was sent."""

import ssl
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import trustme

from orchestrator.gemini.transport import Pool, tcp
from orchestrator.ports import Unavailable
from tests.gemini.scripted import Connection, answer, scripted
from tests.gemini.values import FILE, JOB, client, operation, part

JSON = answer(200, operation())
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving(cert: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> dict[str, Any]:
    """Return the argument that adds a test's authority to those of the system, and no more."""

    def connectors(pool: Pool) -> aiohttp.BaseConnector:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return aiohttp.TCPConnector(ssl=context, force_close=pool.fresh)

    return {"connectors": connectors}


async def test_a_proven_service_is_spoken_to(authority: trustme.CA) -> None:
    """With a certificate of a trusted authority for its address all is well."""
    tls = serving(authority.issue_cert("127.0.0.1"))
    async with (
        scripted(JSON, tls=tls) as server,
        client(server.base_url, **trusting(authority)) as gemini,
    ):
        job = await gemini.jobs.create(part(), FILE, None)

    assert job.name == JOB


@pytest.mark.parametrize("fault", ["wrong host", "expired", "unknown authority"])
async def test_an_unproven_service_hears_nothing(authority: trustme.CA, fault: str) -> None:
    """TLS fails while connecting: certainly not sent, and the server saw no request."""
    certs = {
        "wrong host": lambda: authority.issue_cert("other.example"),
        "expired": lambda: authority.issue_cert("127.0.0.1", not_after=LONG_AGO),
        "unknown authority": lambda: trustme.CA().issue_cert("127.0.0.1"),
    }
    async with (
        scripted(JSON, tls=serving(certs[fault]())) as server,
        client(server.base_url, **trusting(authority)) as gemini,
    ):
        with pytest.raises(Unavailable, match="while connecting"):
            await gemini.jobs.create(part(), FILE, None)
        with pytest.raises(Unavailable, match="while connecting"):
            await gemini.jobs.scan()

        assert server.seen == []


async def test_verification_is_the_default(authority: trustme.CA) -> None:
    """Without any setting, a certificate that the system does not trust is not accepted."""
    tls = serving(authority.issue_cert("127.0.0.1"))
    async with scripted(JSON, tls=tls) as server, client(server.base_url) as gemini:
        with pytest.raises(Unavailable, match="Certificate"):
            await gemini.jobs.create(part(), FILE, None)

        assert server.seen == []


async def test_plain_text_on_a_tls_port_is_not_sent(authority: trustme.CA) -> None:
    """A server that does not speak TLS gets nothing to read."""

    async def greet(connection: Connection) -> None:
        await connection.send(b"220 welcome to something else\r\n")

    async with scripted(greet) as server:
        https = server.base_url.replace("http:", "https:")
        async with client(https, **trusting(authority)) as gemini:
            with pytest.raises(Unavailable, match="while connecting"):
                await gemini.jobs.create(part(), FILE, None)

        assert server.seen == []


async def test_creates_take_a_new_connection_each() -> None:
    """A kept connection may be dead already; a create is never the one to find out."""
    async with aiohttp.ClientSession():
        fresh, shared = tcp(Pool(True, 0)), tcp(Pool(False, 4))  # noqa: FBT003

        assert fresh.force_close
        assert not shared.force_close
        assert shared.limit == 4
        await fresh.close()
        await shared.close()
