"""Certificates that others show: chain, name and end, at a server that speaks TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ops.doctor.report import Row, Verdict
from ops.doctor.surroundings import Surroundings
from ops.stack.certificates import TestingCa

from .samples import Office, is_right, row

DAYS = 20


@contextlib.asynccontextmanager
async def server(ca: TestingCa, host: str) -> AsyncIterator[int]:
    """Its port. It says nothing, as a broker before it is spoken to."""
    pair = ca.for_server("broker", (host,), days=DAYS)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(silence, "127.0.0.1", 0, ssl=context)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def looked_at(
    files: Office, shows: TestingCa, believed: Path, *, host: str = "127.0.0.1", days: int = 0
) -> Row:
    async with server(shows, host) as port:
        files.change("party-1.toml", "amqp://", "amqps://")
        files.change("party-1.toml", "@127.0.0.1:1/", f"@127.0.0.1:{port}/")
        files.change("party-1.toml", "[party]\n", f'[party]\namqp_ca_file = "{believed}"\n')
        surroundings = Surroundings(
            subjects=files.subjects("party-1"), clock=lambda: time.time() + days * 86_400
        )
        return await row("certificates.theirs", surroundings)


@pytest.fixture
def ca(tmp_path: Path) -> TestingCa:
    return TestingCa.make(tmp_path / "ca", days=29)


async def test_a_broker_that_is_believed_for_long_has_no_finding(
    files: Office, ca: TestingCa
) -> None:
    assert is_right(await looked_at(files, ca, ca.certificate))


async def test_a_broker_whose_certificate_ends_soon_is_a_warning(
    files: Office, ca: TestingCa
) -> None:
    found = await looked_at(files, ca, ca.certificate, days=DAYS - 2)
    assert found.verdict is Verdict.WARNING
    assert "that of the broker at 127.0.0.1 expires in " in found.found[0]


async def test_a_broker_of_another_ca_is_not_believed(
    files: Office, ca: TestingCa, tmp_path: Path
) -> None:
    other = TestingCa.make(tmp_path / "other")
    found = await looked_at(files, other, ca.certificate)
    assert found.verdict is Verdict.FAILED
    assert "signed by a CA that we were not told to believe" in found.found[0]


async def test_a_broker_of_another_name_is_not_believed(files: Office, ca: TestingCa) -> None:
    found = await looked_at(files, ca, ca.certificate, host="broker.test")
    assert found.verdict is Verdict.FAILED
    assert "is for another" in found.found[0]


async def test_without_tls_nobody_shows_one(files: Office) -> None:
    found = await row("certificates.theirs", Surroundings(subjects=files.subjects("party-1")))
    assert found.verdict is Verdict.NOT_LOOKED_AT
