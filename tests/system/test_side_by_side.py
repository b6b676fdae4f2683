"""Several producers at once: each gets its own results, all of them, and nobody else's."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from contracts import addresses
from contracts.client import Client, ClientSettings, RequestFailedError
from contracts.failures import FailureCode
from contracts.primitives import Curve, Scheme
from contracts.results import SignResult, Status
from ops.stack.deployment import LEGACY, Deployment
from tests.patience import until
from tests.system.producers import Producer


async def test_two_clients_and_a_legacy_one_get_exactly_their_own(deployment: Deployment) -> None:
    async def work(name: str) -> list[SignResult]:
        settings = ClientSettings.load(deployment.clients[name])
        async with Client.connect(settings) as client:
            # The same key id for all of them: it is a name among one client's keys.
            key = await client.create_key(
                "same-name", curve=Curve.ED25519, threshold=2, party_count=3
            )
            signed = await asyncio.gather(
                *(
                    client.sign("same-name", message=f"{name} {i}".encode(), scheme=Scheme.ED25519)
                    for i in range(8)
                )
            )
            assert {each.client_id for each in signed} == {settings.client_id}
            assert {each.public_key for each in signed} == {key.facts.public_key}
            assert [each.message for each in signed] == [f"{name} {i}".encode() for i in range(8)]
            return list(signed)

    done = await asyncio.gather(*(work(name) for name in ("svcA", "svcB", LEGACY)))
    assert len({signed[0].public_key for signed in done}) == 3
    for name in ("svcA", LEGACY):
        async with Producer.connect(deployment, name) as producer:
            await producer.nothing_more()


async def test_a_request_sent_twice_has_one_result_sent_twice(
    legacy_producer: Producer,
) -> None:
    fields = legacy_producer.body("keygen")
    body = await legacy_producer.send(fields)
    first = await legacy_producer.result(fields["request_id"])
    await legacy_producer.send_bytes(body, operation="keygen", message_id=fields["request_id"])
    assert await legacy_producer.result(fields["request_id"]) == first
    await legacy_producer.nothing_more()


async def test_a_party_that_is_stopped_is_named_when_the_deadline_passes(
    deployment: Deployment, client: Client
) -> None:
    stopped = deployment.supervisor.pids["party-2.keygen.1"]
    os.kill(stopped, signal.SIGSTOP)
    try:
        with pytest.raises(RequestFailedError) as caught:
            await client.create_key(
                "never", curve=Curve.SECP256K1, threshold=2, party_count=3, timeout_s=10
            )
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert caught.value.result.status is Status.EXPIRED
    assert caught.value.failure.code is FailureCode.EXPIRED
    assert caught.value.failure.silent == ["party-2"]
    # The name is free again, and the party takes part again.
    await client.create_key("never", curve=Curve.SECP256K1, threshold=2, party_count=3)


async def test_a_party_that_is_killed_in_the_middle_goes_on_when_it_is_back(
    deployment: Deployment, client: Client
) -> None:
    making = asyncio.create_task(
        client.create_key("survivor", curve=Curve.ED25519, threshold=2, party_count=3)
    )
    await asyncio.sleep(0.03)
    os.kill(deployment.supervisor.pids["party-1.keygen.1"], signal.SIGKILL)
    await asyncio.sleep(0.2)
    deployment.supervisor.start(deployment.programs["party-1.keygen.1"])
    key = await making
    signed = await client.sign(
        "survivor", message=b"alive", scheme=Scheme.ED25519, signers=["party-1", "party-3"]
    )
    assert signed.public_key == key.facts.public_key


async def test_a_pile_of_one_clients_requests_does_not_delay_anothers(
    deployment: Deployment,
) -> None:
    pile, answered = 600, addresses.results_queue("svcB")
    coordinators = [
        pid for name, pid in deployment.supervisor.pids.items() if name.startswith("coordinator")
    ]
    async with (
        Producer.connect(deployment, "svcB") as greedy,
        Producer.connect(deployment, "svcA") as modest,
    ):

        async def ask(producer: Producer) -> str:
            fields = producer.body("sign", key_id="nobody-s")
            own = addresses.request_key("sign", producer.client_id)
            await producer.send(fields, routing_key=own)
            return str(fields["request_id"])

        async def answers() -> int:
            queue = await greedy.channel.declare_queue(answered, passive=True)
            return queue.declaration_result.message_count or 0

        for pid in coordinators:
            os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.gather(*(ask(greedy) for _ in range(pile)))
            asked = await ask(modest)
        finally:
            for pid in coordinators:
                os.kill(pid, signal.SIGCONT)
        await modest.result(asked)
        assert await answers() < pile / 2

        async def all_answered() -> bool:
            return await answers() == pile

        await until(all_answered)
        await (await greedy.channel.get_queue(answered)).purge()
