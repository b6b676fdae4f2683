"""What operators and their load balancers ask the workers of a whole stack."""

from __future__ import annotations

import re

import httpx

from contracts.client import Client
from contracts.primitives import Scheme
from ops.stack.deployment import Deployment
from tests.patience import until


async def test_every_worker_says_that_it_is_healthy_and_ready(deployment: Deployment) -> None:
    assert set(deployment.health_urls) == set(deployment.programs)
    async with httpx.AsyncClient(timeout=60) as http:
        for name, url in deployment.health_urls.items():
            service = "coordinator" if name.startswith("coordinator") else "party"
            health = await http.get(f"{url}/health")
            assert health.status_code == 200
            assert health.json() == {"service": service, "status": "healthy"}
            ready = await http.get(f"{url}/health/ready")
            assert ready.status_code == 200
            assert ready.json()["dependencies"] == {
                "database": "available",
                "broker": "available",
                "consumers": "available",
            }


async def test_deliveries_of_a_signature_are_counted(
    deployment: Deployment, client: Client, key_id: str
) -> None:
    before = await counted(deployment)
    await client.sign(key_id, message=b"counted", scheme=Scheme.ED25519)

    async def come(queue: str) -> float:
        return (await counted(deployment)).get(queue, 0) - before.get(queue, 0)

    async def heard() -> bool:
        return await come("warren.reports") >= 2  # one share of each signer, and signs of life

    await until(heard)  # the last one is acknowledged after the result
    assert await come("warren.requests.signing.svcA") == 1


async def counted(deployment: Deployment) -> dict[str, float]:
    """Deliveries acknowledged by the coordinator, by queue."""
    async with httpx.AsyncClient(timeout=60) as http:
        text = (await http.get(f"{deployment.health_urls['coordinator.1']}/metrics")).text
    pattern = r'warren_deliveries_total\{outcome="acked",queue="([^"]+)"\} (\S+)'
    return {queue: float(count) for queue, count in re.findall(pattern, text)}
