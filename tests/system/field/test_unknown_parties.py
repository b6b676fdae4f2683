"""Two coordinators, of which one does not know a party yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from contracts.client import Client, ClientSettings
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.system.field.restarting import restart
from tests.system.producers import Producer
from tests.system.test_workers import dead_letters

KEYS = 8
LATE = "party-3"


@pytest.fixture
def crew(services: Services) -> Iterator[Deployment]:
    plan = Plan(clients=("svcA", "svcB"), coordinator_processes=2)
    with running_deployment(services, plan) as running:
        yield running


def without(text: str, party_id: str) -> str:
    tables = text.split("[[parties]]")
    kept = [table for table in tables if f'party_id = "{party_id}"' not in table]
    assert len(kept) == len(tables) - 1
    # What comes after the last party belongs to no party.
    tail = next(table for table in tables if table not in kept).partition("[[clients]]")
    return "[[parties]]".join(kept) + tail[1] + tail[2]


async def test_keys_are_made_with_it_and_nothing_becomes_a_dead_letter(crew: Deployment) -> None:
    config = crew.directory / "coordinator.toml"
    older = config.with_name("older.toml")
    older.touch(mode=0o600)
    older.write_text(without(config.read_text(), LATE))
    program = crew.programs["coordinator.2"]
    words = tuple(word.replace(str(config), str(older)) for word in program.arguments)
    crew.programs["coordinator.2"] = replace(program, arguments=words)
    await restart(crew, "coordinator")
    async with (
        Client.connect(ClientSettings.load(crew.clients["svcA"])) as client,
        Producer.connect(crew, "svcB") as producer,
    ):
        for number in range(KEYS):
            name = f"key-{number}"
            await client.create_key(
                name, curve=Curve.ED25519, threshold=2, party_count=3, timeout_s=60
            )
            await client.sign(
                name,
                message=b"with the new one",
                scheme=Scheme.ED25519,
                signers=["party-1", LATE],
                timeout_s=60,
            )
        assert await dead_letters(producer) == []
