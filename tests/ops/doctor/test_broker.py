"""Checks of what the management API tells: each verdict."""

from __future__ import annotations

import httpx
import pytest

from ops.doctor.report import Row, Verdict
from ops.doctor.surroundings import Surroundings
from topology.management import Management

from .samples import is_right, row

NODE = {"name": "rabbit@a", "running": True, "mem_alarm": False, "disk_free_alarm": False}


async def asked(name: str, told: object, status: int = 200) -> Row:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=told))
    async with Management("http://broker:15672", transport=transport) as management:
        return await row(f"broker.{name}", Surroundings(management=management))


@pytest.mark.parametrize(
    ("name", "told", "words"),
    [
        ("alarms", [NODE], None),
        ("alarms", [NODE | {"mem_alarm": True}], "rabbit@a is low on memory"),
        ("alarms", [NODE | {"disk_free_alarm": True}], "rabbit@a is low on disk space"),
        ("nodes", [NODE, NODE | {"name": "rabbit@b", "running": False}], "rabbit@b is down"),
        ("nodes", [NODE | {"partitions": ["rabbit@b"]}], "does not see rabbit@b"),
        ("nodes", [NODE], None),
        ("version", {"rabbitmq_version": "4.1.2"}, None),
        ("version", {"rabbitmq_version": "3.10.0"}, None),
        ("version", {"rabbitmq_version": "3.9.29"}, "RabbitMQ 3.9.29"),
        ("version", {}, "of no version"),
    ],
)
async def test_what_the_broker_tells_of_itself(name: str, told: object, words: str | None) -> None:
    found = await asked(name, told)
    if words is None:
        assert is_right(found)
    else:
        assert found.verdict is Verdict.FAILED
        assert words in found.found[0]


async def test_a_login_that_may_not_ask_is_a_sentence() -> None:
    found = await asked("alarms", {"error": "not_authorized", "reason": "not a monitor"}, 401)
    assert found.verdict is Verdict.FAILED
    assert found.found[0].startswith("could not look: ")


@pytest.mark.parametrize(
    "name", ["broker.alarms", "topology.plan", "topology.policies", "permissions.declared"]
)
async def test_without_a_management_api_its_checks_are_not_looked_at(name: str) -> None:
    found = await row(name, Surroundings())
    assert found.verdict is Verdict.NOT_LOOKED_AT
