"""Which node of the broker is worth losing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from urllib.parse import quote

from ops.stack.deployment import Deployment
from topology.management import Management

from .faults import LEADING
from .machines import Machine


async def chosen(
    deployment: Deployment, machines: Sequence[Machine], target: str
) -> Machine | None:
    """The node that leads most queues, or fewest; None where there is no second one."""
    if len(machines) < 2:
        return None
    async with Management(deployment.monitor_url) as management:
        queues = await management.get(f"queues/{quote(deployment.vhost)}?columns=name,leader")
    led = Counter(queue.get("leader") for queue in queues)
    return (max if target == LEADING else min)(machines, key=lambda each: led[each.name])
