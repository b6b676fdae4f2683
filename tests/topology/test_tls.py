"""TLS to the management API: whom it believes, and what it says where it does not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ops.stack.certificates import Credentials, Pair, TestingCa
from topology import tls
from topology.management import Management
from topology.problems import TopologyError

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestingCa:
    return TestingCa.make(tmp_path_factory.mktemp("ca"))


@asynccontextmanager
async def listening(pair: Pair | None, ca: TestingCa | None = None) -> AsyncIterator[str]:
    """A management API that has one answer. Yields host and port.

    Arguments:
        ca: Of those whose certificates it asks for.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(ANSWER)
        writer.close()

    context = None
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose refusals come in the handshake
        if ca is not None:
            context.load_verify_locations(ca.certificate)
            context.verify_mode = ssl.CERT_REQUIRED
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def asked(url: str) -> object:
    async with Management(url) as management:
        return await management.get("overview")


async def refused(url: str) -> str:
    with pytest.raises(TopologyError) as problem:
        await asked(url)
    assert "hunter2" not in str(problem.value)
    return str(problem.value)


async def test_an_api_is_believed_by_its_ca_its_time_and_its_name(
    ca: TestingCa, tmp_path: Path
) -> None:
    stranger = TestingCa.make(tmp_path / "stranger")
    good = ca.for_server("good", ["127.0.0.1"])
    async with listening(good) as place:
        assert await asked(f"https://u:hunter2@{place}?cafile={ca.certificate}") == {}
        said = await refused(f"https://u:hunter2@{place}?cafile={stranger.certificate}")
        assert "is not believed" in said
        assert "WARREN_MANAGEMENT_CA_FILE" in said
        by_name = f"https://u:hunter2@{place}?cafile={ca.certificate}".replace("127.0.0.1", "127.1")
        assert "not valid for '127.1'" in await refused(by_name)
    async with listening(ca.for_server("late", ["127.0.0.1"], days=-1)) as place:
        assert "expired" in await refused(f"https://u:hunter2@{place}?cafile={ca.certificate}")


async def test_a_certificate_is_shown_where_it_is_asked_for(ca: TestingCa) -> None:
    own = Credentials.issued(ca, "administrator")
    files = f"certfile={own.pair.certificate}&keyfile={own.pair.key}"
    async with listening(ca.for_server("strict", ["127.0.0.1"]), ca) as place:
        assert await asked(f"https://u:hunter2@{place}?cafile={ca.certificate}&{files}") == {}
        said = await refused(f"https://u:hunter2@{place}?cafile={ca.certificate}")
        assert "no TLS with RabbitMQ's management API" in said


async def test_the_wrong_port_is_told(ca: TestingCa) -> None:
    async with listening(None) as place:
        said = await refused(f"https://u:hunter2@{place}?cafile={ca.certificate}")
    assert "its port for https" in said


def test_the_environment_names_what_the_address_does_not() -> None:
    environ = {
        "WARREN_MANAGEMENT_CA_FILE": "/a b.pem",
        "WARREN_MANAGEMENT_CERTIFICATE_FILE": "/own.pem",
        "WARREN_MANAGEMENT_KEY_FILE": "",
    }
    told = tls.with_files("https://h?certfile=/mine.pem", environ)
    assert tls.files_of(told) == {"cafile": Path("/a b.pem"), "certfile": Path("/mine.pem")}
    assert tls.with_files("https://h", {}) == "https://h"


def test_files_that_are_of_no_use_are_named(ca: TestingCa, tmp_path: Path) -> None:
    own, other = ca.for_user("own"), ca.for_user("other")
    opened = ca.for_user("opened")
    opened.key.chmod(0o644)
    junk = tmp_path / "junk"
    junk.write_text("no PEM")
    for query, said in (
        (f"cafile={tmp_path}/none", "none: No such file"),
        (f"cafile={junk}", "junk: has no certificate"),
        (f"certfile={own.certificate}", "belong together"),
        (f"certfile={own.certificate}&keyfile={other.key}", "are no certificate and the key"),
        (f"certfile={own.certificate}&keyfile={tmp_path}/none", "none: No such file"),
        (f"certfile={opened.certificate}&keyfile={opened.key}", "others have access"),
    ):
        with pytest.raises(tls.TlsError, match=said):
            tls.context(f"https://h?{query}")


def test_files_for_an_address_without_tls_are_a_mistake(ca: TestingCa) -> None:
    with pytest.raises(tls.TlsError, match="need https://"):
        Management(f"http://u:hunter2@h?cafile={ca.certificate}")
    assert tls.context("http://h") is None
