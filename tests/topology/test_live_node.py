"""A node of its own, empty: definitions go in, and come out the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.system.field.brokers import Broker as Node
from tests.system.field.brokers import own_broker
from topology import declared
from topology.broker import Broker
from topology.cli import app
from topology.management import Management
from topology.model import GROUPS, Members
from topology.plan import Plan, difference

pytestmark = pytest.mark.system

MEMBERS = Members(
    parties=("p1", "p-2"),
    clients=("svcA", "svc-a", "svc_a"),
    tenant_clients=("shop",),
    gateways=("gateway",),
    legacy_clients=("old",),
)


@pytest.fixture
def node() -> Iterator[Node]:
    yield from own_broker()


def comparable(definitions: dict[str, Any]) -> dict[str, list[str]]:
    """Of each kind, without what the node has of its own, and without what nobody can set."""
    told = {}
    for kind in (
        "vhosts",
        "users",
        "permissions",
        "topic_permissions",
        "parameters",
        "global_parameters",
        "policies",
        "queues",
        "exchanges",
        "bindings",
    ):
        told[kind] = sorted(
            json.dumps({key: value for key, value in one.items() if key != "metadata"}, default=str)
            if kind != "vhosts"
            else one["name"]
            for one in (_sorted(each) for each in definitions[kind])
            if _ours(one, kind)
        )
    return told


def _sorted(one: dict[str, Any]) -> dict[str, Any]:
    told = dict(sorted(one.items()))
    if "x-queue-type" in told.get("arguments", {}):  # an export says it twice
        kind = told["arguments"]["x-queue-type"]
        assert told.pop("type", kind) == kind
    if isinstance(told.get("tags"), str):  # as before 3.9
        told["tags"] = [tag for tag in told["tags"].split(",") if tag]
    if told.get("internal") is False:  # an export says it only where it is so
        del told["internal"]
    if "value" in told:  # a list of pairs, where rabbitmqctl exported it
        told["value"] = dict(told["value"])
    return {
        key: dict(sorted(value.items())) if isinstance(value, dict) else value
        for key, value in told.items()
    }


def _ours(one: dict[str, Any], kind: str) -> bool:
    if kind == "global_parameters":
        return str(one["name"]).startswith("warren_topology.")
    if kind == "users":
        return str(one["name"]).startswith("warren.")
    return "warren" in (one.get("vhost"), one.get("name"))


async def test_an_empty_node_imports_the_definitions_and_exports_the_same(
    node: Node, tmp_path: Path
) -> None:
    members, to, back = (tmp_path / name for name in ("members.yaml", "in.json", "out.json"))
    members.write_text(
        "".join(f"{group}: [{', '.join(MEMBERS.of(group))}]\n" for group in GROUPS),
        encoding="utf-8",
    )
    arguments = ["definitions", "--members", str(members), "--to", str(to)]
    arguments += ["--secrets", str(tmp_path / "given")]
    told = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert told.exit_code == 0, told.output

    await asyncio.to_thread(node.control, "import_definitions", str(to))
    await asyncio.to_thread(node.control, "export_definitions", str(back))
    wanted, found = (comparable(json.loads(path.read_text())) for path in (to, back))
    for kind, each in wanted.items():
        assert each, kind
        assert found[kind] == each, kind

    async with Management(node.node.management_url) as management:
        broker = Broker(management, vhost="warren")
        assert difference(declared(MEMBERS), await broker.found()) == Plan(changes=())
        # Also by what rabbitmqctl itself wrote, as after a node that was made anew from a backup.
        await asyncio.to_thread(node.control, "import_definitions", str(back))
        assert difference(declared(MEMBERS), await broker.found()) == Plan(changes=())
