"""Two coordinators, of which one does not know a party yet."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractIncomingMessage

from contracts import addresses
from contracts.client import Client, ClientSettings, RequestFailedError
from contracts.failures import FailureCode
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.patience import until
from tests.system.field.restarting import restart
from tests.system.producers import Producer
from tests.system.test_workers import dead_letters

MANY = 8
"""Each comes to either coordinator; that none of so many comes to the older one, is no chance."""
LATE = "party-3"
OLDER = "coordinator.2"
LONG_S = 60
UNKNOWN = "sign of life of a party that we do not know"


@pytest.fixture(scope="module")
def crew(services: Services) -> Iterator[Deployment]:
    plan = Plan(clients=("svcA", "svcB"), coordinator_processes=2)
    with running_deployment(services, plan.compact()) as running:
        asyncio.run(give_older_configuration(running))
        yield running


async def give_older_configuration(crew: Deployment) -> None:
    config = crew.directory / "coordinator.toml"
    older = config.with_name("older.toml")
    older.touch(mode=0o600)
    older.write_text(without(config.read_text(), LATE))
    program = crew.programs[OLDER]
    words = tuple(word.replace(str(config), str(older)) for word in program.arguments)
    crew.programs[OLDER] = replace(program, arguments=words)
    await restart(crew, "coordinator")
    # Before it has heard of any other, all that it knows are all that there are.
    log = crew.directory / "logs" / f"{OLDER}.log"
    await until(lambda: UNKNOWN in log.read_text())


def without(text: str, party_id: str) -> str:
    tables = text.split("[[parties]]")
    kept = [table for table in tables if f'party_id = "{party_id}"' not in table]
    assert len(kept) == len(tables) - 1
    # What comes after the last party belongs to no party.
    tail = next(table for table in tables if table not in kept).partition("[[clients]]")
    return "[[parties]]".join(kept) + tail[1] + tail[2]


@pytest.fixture
async def client(crew: Deployment) -> AsyncIterator[Client]:
    """Nothing becomes a dead letter meanwhile."""
    async with (
        Client.connect(ClientSettings.load(crew.clients["svcA"])) as connected,
        Producer.connect(crew, "svcB") as producer,
    ):
        yield connected
        assert await dead_letters(producer) == []


@pytest.mark.parametrize("named", [False, True])
async def test_keys_are_made_with_it(crew: Deployment, client: Client, named: bool) -> None:
    for number in range(MANY):
        name = f"key-{named}-{number}"
        await client.create_key(
            name,
            curve=Curve.ED25519,
            threshold=2,
            party_count=3,
            parties=crew.plan.party_ids if named else None,
            timeout_s=LONG_S,
        )
        await client.sign(
            name,
            message=b"with the new one",
            scheme=Scheme.ED25519,
            signers=["party-1", LATE],
            timeout_s=LONG_S,
        )


async def test_presignatures_are_made_and_used_with_it(client: Client) -> None:
    await client.create_key("ec", curve=Curve.SECP256K1, threshold=2, party_count=3)
    for number in range(MANY):
        for other in ("party-1", "party-2"):
            await client.sign(
                "ec",
                message=bytes([number]) * 32,
                scheme=Scheme.ECDSA,
                signers=[other, LATE],
                timeout_s=LONG_S,
            )


@asynccontextmanager
async def questions_to(crew: Deployment, party_id: str) -> AsyncIterator[list[bytes]]:
    """What it is told of cancelled requests; grows."""
    asked: list[bytes] = []

    async def hear(message: AbstractIncomingMessage) -> None:
        if message.type == "request_cancelled":
            asked.append(message.body)

    async with await aio_pika.connect(crew.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(addresses.SESSIONS, party_id)
        await queue.consume(hear, no_ack=True)
        yield asked


async def test_it_is_asked_what_it_knows_of_a_cancelled_request(
    crew: Deployment, client: Client
) -> None:
    """Whichever coordinator the cancel comes to: a holder that was not asked has stated nothing,
    and nothing would be final."""
    await client.create_key("cancelled", curve=Curve.ED25519, threshold=2, party_count=3)
    final = 0
    async with questions_to(crew, LATE) as asked:

        def are_asked(count: int) -> bool:
            return len(set(asked)) >= count

        for _ in range(MANY):
            before, name = len(set(asked)), secrets.token_hex(8)
            await client.cancel(name)
            with pytest.raises(RequestFailedError) as caught:
                await client.sign(
                    "cancelled", message=b"late", scheme=Scheme.ED25519, request_id=name
                )
            assert caught.value.failure.code is FailureCode.CANCELLED
            final += (await client.cancel(name)).final
            # By each of the two cancels; on a slow day a client asks once more, and so do they.
            await until(partial(are_asked, before + 2))
    assert final


async def test_its_signs_of_life_reach_both(crew: Deployment, client: Client) -> None:
    """The one that does not know it hears them, and nothing comes of that."""
    log = crew.directory / "logs" / f"{OLDER}.log"
    await until(lambda: UNKNOWN in log.read_text())
    connection = await asyncpg.connect(crew.database_urls["coordinator"])
    try:

        async def seen() -> int:
            found = await connection.fetchval(
                "SELECT last_seen FROM parties WHERE party_id = $1", LATE
            )
            return int(found)

        for _ in range(3):
            before = await seen()

            async def seen_again(before: int = before) -> bool:
                return await seen() > before

            await until(seen_again)
    finally:
        await connection.close()
    # Who names nobody is served with all three, so all three are alive to whoever serves.
    for number in range(MANY):
        await client.create_key(
            f"alive-{number}", curve=Curve.ED25519, threshold=3, party_count=3, timeout_s=LONG_S
        )
