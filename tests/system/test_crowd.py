"""One owner asks for far more than can be done; another one's signatures come as ever.

No stop-watch: what counts is who is refused, who expires, and in whose place others are served.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from contracts.client import Begun, Client, ClientSettings, RequestFailedError
from contracts.failures import Failure, FailureCode
from contracts.primitives import Curve, Scheme, Scope
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.gateways import new_api_key
from ops.stack.services import Services

GREEDY, MODEST = "svcA", "svcB"
FLOOD = 40
WAITING = 4
LIMITS: dict[str, dict[str, float]] = {
    "coordinator": {"keys_at_once": 2, "waiting_per_owner": WAITING}
}


@pytest.fixture(scope="module")
def stack(services: Services) -> Iterator[Deployment]:
    plan = Plan(clients=(GREEDY, MODEST), sqlite_parties=0, gateways=1, limits=LIMITS)
    with running_deployment(services, plan) as running:
        yield running


@pytest.fixture
async def greedy(stack: Deployment) -> AsyncIterator[Client]:
    async with Client.connect(ClientSettings.load(stack.clients[GREEDY])) as connected:
        yield connected


@pytest.fixture
async def modest(stack: Deployment) -> AsyncIterator[Client]:
    async with Client.connect(ClientSettings.load(stack.clients[MODEST])) as connected:
        yield connected


async def begin(client: Client, tenant: str | None = None) -> Begun:
    asking = client if tenant is None else client.acting_for(tenant)
    return await asking.begin_key(
        f"flood-{secrets.token_hex(8)}", curve=Curve.ED25519, threshold=2, party_count=3
    )


async def outcome(begun: Begun) -> str:
    failure = (await begun.result()).failure
    return "done" if failure is None else failure.code.value


async def flood(client: Client, count: int, *tenants: str) -> tuple[list[Failure], Counter[str]]:
    """All at once. Who was refused, and what came of those that began."""
    opened = await asyncio.gather(
        *(begin(client, tenant) for tenant in tenants or (None,) for _ in range(count)),
        return_exceptions=True,
    )
    refused, begun = [], []
    for each in opened:
        if isinstance(each, RequestFailedError):
            refused.append(each.failure)
        else:
            assert isinstance(each, Begun), each
            begun.append(each)
    return refused, Counter(await asyncio.gather(*map(outcome, begun)))


async def test_beside_a_flood_of_keys_the_other_owners_signatures_all_come(
    greedy: Client, modest: Client
) -> None:
    await modest.create_key("quiet", curve=Curve.ED25519, threshold=2, party_count=3)
    flooding = asyncio.create_task(flood(greedy, FLOOD))
    signed = 0
    while not flooding.done():
        result = await modest.sign("quiet", message=b"modest", scheme=Scheme.ED25519)
        assert result.signature
        signed += 1
    refused, came = await flooding
    assert signed
    assert set(came) == {"done"}  # what is let in is done, and never expires
    assert len(refused) + came.total() == FLOOD
    assert len(refused) >= FLOOD // 4
    for failure in refused:
        assert failure.code is FailureCode.OVERLOADED
        assert failure.retryable
        assert failure.retry_after_ms
        assert f"client {GREEDY!r} has {WAITING} requests waiting here for keys" in failure.message


async def test_a_tenant_in_a_crowd_of_its_own_client_is_heard_at_once(greedy: Client) -> None:
    flooding = asyncio.create_task(flood(greedy, FLOOD, "greedy"))
    for _ in range(3):
        own = greedy.acting_for("modest")
        await own.create_key(
            f"own-{secrets.token_hex(8)}", curve=Curve.ED25519, threshold=2, party_count=3
        )
    refused, came = await flooding
    assert set(came) == {"done"}
    assert all(f"tenant 'greedy' of client {GREEDY!r}" in each.message for each in refused)
    assert refused


async def test_the_library_asks_again_when_it_is_told_to_and_all_is_done(greedy: Client) -> None:
    keys = await asyncio.gather(
        *(
            greedy.create_key(
                f"patient-{secrets.token_hex(8)}",
                curve=Curve.ED25519,
                threshold=2,
                party_count=3,
                timeout_s=300,
            )
            for _ in range(3 * WAITING)
        )
    )
    assert len({key.facts.key_id for key in keys}) == 3 * WAITING


async def test_over_http_the_excess_is_told_when_to_come_again(stack: Deployment) -> None:
    assert stack.gateways is not None
    gateways = stack.gateways
    flooder = await new_api_key(gateways.config, gateways.authority, "flooder", tuple(Scope))
    wish = {"curve": "ed25519", "threshold_n": 3, "threshold_t": 2}

    async def ask(http: httpx.AsyncClient) -> httpx.Response:
        return await http.post(
            "/api/v1/accounts?wait=10", json={**wish, "user_id": secrets.token_hex(4)}
        )

    async with httpx.AsyncClient(
        base_url=gateways.urls[0], headers={"X-API-Key": flooder}, timeout=60
    ) as http:
        assert (await ask(http)).status_code == 201  # the gateway knows the key by now
        answers = await asyncio.gather(*(ask(http) for _ in range(FLOOD)))
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {201, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert answer.json()["code"] == "overloaded"
            assert "tenant 'flooder'" in answer.json()["detail"]
            assert int(answer.headers["Retry-After"]) >= 1


async def test_key_generations_stand_in_no_inbox(stack: Deployment, greedy: Client) -> None:
    """Who makes no keys signs all the same: nothing of a key generation is in front of it."""
    await greedy.create_key("before", curve=Curve.ED25519, threshold=2, party_count=3)
    makers = [pid for name, pid in stack.supervisor.pids.items() if ".keygen." in name]
    for pid in makers:
        os.kill(pid, signal.SIGSTOP)
    stuck = [asyncio.create_task(begin(greedy)) for _ in range(2)]
    try:
        opened = await asyncio.gather(*stuck)
        for _ in range(3):
            await greedy.sign("before", message=b"goes on", scheme=Scheme.ED25519)
        assert not any(each.done for each in opened)
    finally:
        for pid in makers:
            os.kill(pid, signal.SIGCONT)
    assert [await outcome(each) for each in opened] == ["done"] * 2
