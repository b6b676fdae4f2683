"""The broker: it lets us in, all of its nodes are there, and it takes messages."""

from __future__ import annotations

from contracts.confirming import AWAY
from contracts.hosts import Hosts
from ops.configurations import Role
from ops.doctor.checks import Check, OfAll, OfFile, Trouble, warning
from ops.doctor.report import Group
from ops.doctor.surroundings import Subject, Surroundings
from workers.delivery.publisher import NoAdmissionError, admitted

OLDEST = (3, 10)
"""Of RabbitMQ: what `topology` is made for."""
ALARMS = {"mem_alarm": "memory", "disk_free_alarm": "disk space"}


async def reachable(_: Surroundings, subject: Subject) -> list[Trouble]:
    """Each host by itself: of a cluster one that is gone is not missed, until the next one goes."""
    urls = [str(url) for url in Hosts(subject.amqp_url, first=0).all]
    refused: list[str] = []
    for url in urls:
        try:
            async with await admitted(url):
                pass
        except NoAdmissionError as error:
            refused.append(str(error))
        except AWAY as error:
            refused.append(f"{Hosts(url)!r} does not answer ({type(error).__name__})")
    if len(refused) < len(urls):
        return [warning(text) for text in refused]
    return [Trouble(text) for text in dict.fromkeys(refused)]


async def alarms(surroundings: Surroundings) -> list[Trouble]:
    """While there is one, nobody's messages are taken."""
    return [
        Trouble(f"{node['name']} is low on {what}: the broker takes no messages")
        for node in await surroundings.asked("nodes")
        for alarm, what in ALARMS.items()
        if node.get(alarm)
    ]


async def nodes(surroundings: Surroundings) -> list[Trouble]:
    """Of a cluster that lost one, quorum queues go on, and may not lose another."""
    found = []
    for node in await surroundings.asked("nodes"):
        if not node.get("running"):
            found.append(Trouble(f"{node['name']} is down"))
        elif partitions := node.get("partitions"):
            found.append(Trouble(f"{node['name']} does not see {', '.join(partitions)}"))
    return found


async def version(surroundings: Surroundings) -> list[Trouble]:
    """As the broker says it."""
    told = str((await surroundings.asked("overview")).get("rabbitmq_version", ""))
    numbers = [int(part) for part in told.split(".")[:2] if part.isdigit()]
    if len(numbers) == 2 and tuple(numbers) >= OLDEST:
        return []
    return [Trouble(f"it is RabbitMQ {told or 'of no version that it says'}")]


ANYBODY = frozenset(Role)

CHECKS: tuple[Check, ...] = (
    OfFile(
        group=Group.BROKER,
        name="reachable",
        must="The broker answers, and lets the login of the file in",
        todo="start the broker, or mend amqp_url and the login: `warren topology plan`",
        runbook="broker-login.md",
        roles=ANYBODY,
        look=reachable,
    ),
    OfAll(
        group=Group.BROKER,
        name="alarms",
        must="No node of the broker is low on memory or disk space",
        todo="make room: `rabbitmq-diagnostics alarms`, then look which queue is long",
        look=alarms,
    ),
    OfAll(
        group=Group.BROKER,
        name="nodes",
        must="All nodes of the broker run and see each other",
        todo="start the node: `rabbitmqctl cluster_status`",
        runbook="lost-broker-node.md",
        look=nodes,
    ),
    OfAll(
        group=Group.BROKER,
        name="version",
        must="The broker is RabbitMQ 3.10 or later",
        todo="upgrade RabbitMQ",
        look=version,
    ),
)
