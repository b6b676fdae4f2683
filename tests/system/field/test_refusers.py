"""A party that others do not accept, and requests that name no signers."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import asyncpg
import pytest

from contracts.client import Client, ClientSettings
from contracts.identity import Identity
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.system.field.restarting import change, restart

ROUNDS = 12
"""FROST's signers are chosen by lot: in so many a pair that cannot sign is among the first."""


@pytest.fixture
def crew(services: Services) -> Iterator[Deployment]:
    with running_deployment(services, Plan(clients=("svcA",)).compact()) as running:
        yield running


async def mistake(crew: Deployment, party_id: str, other: str) -> None:
    """This party is configured with another identity of the other one's."""
    path = crew.directory / f"{party_id}.toml"
    peers = {
        peer["party_id"]: peer["public_key"] for peer in tomllib.loads(path.read_text())["peers"]
    }
    change(path, peers[other], Identity.generate().public.to_base64())
    await restart(crew, party_id)


async def leave_out(crew: Deployment, party_id: str, other: str) -> None:
    """The other one is not in this party's configuration."""
    await without_table(crew, party_id, "peers", f'party_id = "{other}"')


async def without_table(crew: Deployment, party_id: str, name: str, line: str) -> None:
    path = crew.directory / f"{party_id}.toml"
    tables = path.read_text().split("\n\n")
    kept = [table for table in tables if not (f"[[{name}]]" in table and line in table)]
    assert len(kept) == len(tables) - 1
    path.write_text("\n\n".join(kept))
    await restart(crew, party_id)


@pytest.mark.parametrize("refusers", [["party-3"], ["party-2", "party-3"]])
async def test_those_sign_that_accept_each_other(crew: Deployment, refusers: list[str]) -> None:
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as client:
        await client.create_key("ed", curve=Curve.ED25519, threshold=2, party_count=3)
        await client.create_key("ec", curve=Curve.SECP256K1, threshold=2, party_count=3)
        for refuser in refusers:
            await mistake(crew, refuser, "party-1")
        wrong = [{"party-1", refuser} for refuser in refusers]
        for number in range(ROUNDS):
            for key, scheme in (("ed", Scheme.ED25519), ("ec", Scheme.ECDSA)):
                message = bytes([number]) * 32
                result = await client.sign(key, message=message, scheme=scheme, timeout_s=60)
                assert set(result.signers) not in wrong


@pytest.fixture(scope="module")
def of_four(services: Services) -> Iterator[Deployment]:
    with running_deployment(services, Plan(clients=("svcA",), party_count=4).compact()) as running:
        yield running


@pytest.fixture
async def four(of_four: Deployment) -> AsyncIterator[Deployment]:
    """Configured as it should be, before and after; nobody remembers who refused whom."""
    files = {path: path.read_text() for path in of_four.directory.glob("party-*.toml")}
    yield of_four
    for path, text in files.items():
        if path.read_text() != text:
            path.write_text(text)
            await restart(of_four, path.stem)
    connection = await asyncpg.connect(of_four.database_urls["coordinator"])
    try:
        await connection.execute("DELETE FROM quarrels")
    finally:
        await connection.close()


async def sign_often(client: Client, name: str, threshold: int) -> list[set[str]]:
    """Who signed, each time."""
    found = []
    for number in range(ROUNDS // 2):
        for kind, scheme in (("ed", Scheme.ED25519), ("ec", Scheme.ECDSA)):
            message = bytes([number]) * 32
            result = await client.sign(
                f"{name}-{kind}", message=message, scheme=scheme, timeout_s=60
            )
            assert len(result.signers) == threshold
            found.append(set(result.signers))
    return found


async def make_keys(client: Client, name: str, threshold: int) -> None:
    for kind, curve in (("ed", Curve.ED25519), ("ec", Curve.SECP256K1)):
        await client.create_key(f"{name}-{kind}", curve=curve, threshold=threshold, party_count=4)


@pytest.mark.parametrize("refuse", [mistake, leave_out])
async def test_three_of_four_sign_with_one_of_two_that_refuse_each_other(
    four: Deployment, refuse: Callable[[Deployment, str, str], Awaitable[None]]
) -> None:
    async with Client.connect(ClientSettings.load(four.clients["svcA"])) as client:
        name = f"three-{refuse.__name__}"
        await make_keys(client, name, 3)
        await refuse(four, "party-3", "party-4")
        await refuse(four, "party-4", "party-3")
        for signers in await sign_often(client, name, 3):
            assert not signers >= {"party-3", "party-4"}


async def test_a_party_that_does_not_know_the_client_leaves_others_to_sign(
    four: Deployment,
) -> None:
    """Its refusal is about nobody but itself."""
    async with Client.connect(ClientSettings.load(four.clients["svcA"])) as client:
        await make_keys(client, "unknown", 3)
        await without_table(four, "party-1", "clients", 'client_id = "svcA"')
        for signers in await sign_often(client, "unknown", 3):
            assert signers == {"party-2", "party-3", "party-4"}
