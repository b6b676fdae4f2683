"""Shovels and federation are named by `drift`, whoever set them, and never their addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.system.field.brokers import Broker as Node
from tests.system.field.brokers import own_broker
from topology.broker import Broker
from topology.cli import CHANGES, app
from topology.management import Management
from topology.model import Found, Ref, Topology
from topology.parameters import found_parameters
from topology.plan import difference

VHOST = "warren"
SECRET = "hunter2-of-a-shovel"


class Told:
    """A management API that tells these parameters, and these shovels, if there is the plugin."""

    def __init__(self, *parameters: Any, shovels: Any = None) -> None:
        self.answers = {"parameters": list(parameters), "shovels": shovels}

    async def get(self, path: str, *, missing_ok: bool = False) -> Any:
        answer = self.answers[path]
        assert answer is not None or missing_ok
        return answer


def parameter(component: str, vhost: str, **value: Any) -> dict[str, Any]:
    told = {key.replace("_", "-"): one for key, one in value.items()}
    return {"component": component, "name": "it", "vhost": vhost, "value": told}


def static(**told: Any) -> dict[str, Any]:
    return {"name": "it", "type": "static", **told}


UPSTREAM = ("federation-upstream it",)
HERE = ("shovel it",)
ELSEWHERE = ("shovel it", "vhost other")
CONFIGURED = ("shovel it", "the broker's configuration")
OURS = f"amqp://bob:{SECRET}@127.0.0.1/{VHOST}"


@pytest.mark.parametrize(
    ("told", "named"),
    [
        (Told(), ()),
        (Told(parameter("shovel", VHOST, src_uri="amqp://", src_queue="jobs")), (HERE,)),
        (Told(parameter("federation-upstream", VHOST, uri="amqp://far")), (UPSTREAM,)),
        (Told(parameter("of-a-plugin-to-come", VHOST)), (("of-a-plugin-to-come it",),)),
        (Told(parameter("vhost-limits", VHOST, max_queues=5)), ()),
        (Told(parameter("operator_policy", VHOST)), ()),
        (Told(parameter("shovel", "other", src_uri=OURS)), (ELSEWHERE,)),
        (Told(parameter("shovel", "other", dest_uri=["amqp://x/y", OURS])), (ELSEWHERE,)),
        (Told(parameter("shovel", "other", src_uri="amqp:///%77arren")), (ELSEWHERE,)),
        (Told(parameter("shovel", "other", src_uri="amqp:///other", dest_uri="amqp://")), ()),
        (Told(parameter("shovel", "other", src_uri="amqp://[")), ()),
        (Told({**parameter("of-a-plugin", "other"), "value": "text"}), ()),
        (Told(shovels=[static(src_uri="amqp:///warren")]), (CONFIGURED,)),
        (Told(shovels=[static()]), (CONFIGURED,)),
        (Told(shovels=[static(src_uri="amqp:///a", dest_uri="amqp:///b")]), ()),
        (Told(shovels=[{**static(), "type": "dynamic"}]), ()),
    ],
)  # fmt: skip
async def test_what_moves_messages_of_the_vhost_is_named(
    told: Any, named: tuple[tuple[str, ...], ...]
) -> None:
    assert await found_parameters(told, VHOST) == tuple(Ref("parameter", each) for each in named)


async def test_of_a_vhost_called_as_the_default_one_an_address_need_not_speak() -> None:
    told: Any = Told(parameter("shovel", "other", src_uri="amqp://127.0.0.1"))
    assert await found_parameters(told, "/") == (Ref("parameter", ELSEWHERE),)


def test_they_are_drift_and_change_nothing() -> None:
    known = Ref("parameter", HERE)
    found = Found(
        vhost=VHOST,
        vhost_exists=True,
        topology=Topology.of([]),
        owned=frozenset(),
        depths={},
        parameters=(known,),
    )
    plan = difference(Topology.of([]), found)
    assert (plan.drift, plan.changes, str(known)) == ((known,), (), "parameter shovel it")


@pytest.fixture
def node() -> Iterator[Node]:
    yield from own_broker()


@pytest.mark.system
async def test_a_broker_with_shovels_and_federation(node: Node) -> None:
    plugins = ("rabbitmq_shovel", "rabbitmq_federation", "rabbitmq_shovel_management")
    await asyncio.to_thread(node.control, "enable", *plugins, program="rabbitmq-plugins")
    async with Management(node.node.management_url) as management:
        for vhost in (VHOST, "other"):
            await management.send("PUT", "vhosts/{}", vhost, body={})
        shovel = {"src-uri": OURS, "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b"}
        for vhost, name in ((VHOST, "thief"), ("other", "thief-from-outside")):
            await management.send(
                "PUT", "parameters/shovel/{}/{}", vhost, name, body={"value": shovel}
            )
        upstream = {"value": {"uri": f"amqp://bob:{SECRET}@127.0.0.1"}}
        path = "parameters/federation-upstream/{}/{}"
        await management.send("PUT", path, VHOST, "far", body=upstream)
        limits = {"value": 500}
        await management.send("PUT", "vhost-limits/{}/max-queues", VHOST, body=limits)

        found = await Broker(management, vhost=VHOST).found()
    assert [str(ref) for ref in found.parameters] == [
        "parameter federation-upstream far",
        "parameter shovel thief",
        "parameter shovel thief-from-outside on vhost other",
    ]
    environment = {"WARREN_MANAGEMENT_URL": node.node.management_url}
    shown = await asyncio.to_thread(CliRunner().invoke, app, ["drift"], env=environment)
    assert "parameter shovel thief-from-outside on vhost other" in shown.output
    assert shown.exit_code == CHANGES
    assert SECRET not in shown.output + repr(found)
