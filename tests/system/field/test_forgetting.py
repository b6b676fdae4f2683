"""The same signed bytes again, after something made a worker forget too early."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from contracts.requests import MAX_TRIES
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.patience import until
from tests.system.field.clocks import restart_at
from tests.system.producers import Producer

DAY_S = 86_400
LIFETIME_MS = 600_000
"""The longest that a request may live."""
SIGNERS = ["party-1", "party-2"]
FORGOTTEN = """
    WITH gone AS (DELETE FROM requests WHERE request_id = $1 RETURNING session_id)
    DELETE FROM sessions USING gone WHERE sessions.session_id = gone.session_id
"""


@pytest.fixture(scope="module")
def crew(services: Services) -> Iterator[Deployment]:
    with running_deployment(services, Plan(clients=("svcA",)).compact()) as running:
        yield running


async def query(crew: Deployment, owner: str, statement: str, *values: object) -> list[Any]:
    connection = await asyncpg.connect(crew.database_urls[owner])
    try:
        found: list[Any] = await connection.fetch(statement, *values)
        return found
    finally:
        await connection.close()


async def result(producer: Producer, fields: dict[str, Any]) -> dict[str, Any]:
    await producer.send(fields)
    told: dict[str, Any] = await producer.result(fields["request_id"])
    return told


async def new_key(producer: Producer) -> str:
    told = await result(producer, producer.body("keygen"))
    assert told["status"] == "completed", told
    return str(told["key_id"])


def to_sign(producer: Producer, key_id: str) -> dict[str, Any]:
    expires_at = time.time_ns() // 1_000_000 + LIFETIME_MS - 1_000
    return producer.body("sign", key_id=key_id, expires_at=expires_at, signers=SIGNERS)


async def signed(producer: Producer, fields: dict[str, Any]) -> dict[str, Any]:
    told = await result(producer, fields)
    assert told["status"] == "completed", told
    return told


async def forgets(crew: Deployment, owner: str, session_id: str) -> None:
    """Until the process has forgotten what it should: a session that ended long ago."""
    old = bytes.fromhex(session_id)
    await query(crew, owner, "UPDATE sessions SET ended_at = 1 WHERE session_id = $1", old)
    statement = "SELECT FROM sessions WHERE session_id = $1"

    async def gone() -> bool:
        return not await query(crew, owner, statement, old)

    await until(gone)


@pytest.mark.parametrize("ahead_s", [DAY_S + 3_600, 30 * DAY_S])
async def test_a_coordinator_whose_clock_was_far_ahead_answers_with_the_same_signature(
    crew: Deployment, ahead_s: float
) -> None:
    async with Producer.connect(crew, "svcA") as producer:
        key_id = await new_key(producer)
        fields, old = to_sign(producer, key_id), to_sign(producer, key_id)
        first, other = await signed(producer, fields), await signed(producer, old)
        await restart_at(crew, "coordinator", ahead_s)
        await forgets(crew, "coordinator", other["session_id"])
        await restart_at(crew, "coordinator", 0)
        again = await signed(producer, fields)
        assert again["session_id"] == first["session_id"]
        assert again["signature"] == first["signature"]


@pytest.mark.parametrize("ahead_s", [0, DAY_S + 3_600])
async def test_parties_notice_what_the_coordinator_has_forgotten_whatever_their_clocks_were(
    crew: Deployment, ahead_s: float
) -> None:
    async with Producer.connect(crew, "svcA") as producer:
        key_id = await new_key(producer)
        fields, old = to_sign(producer, key_id), to_sign(producer, key_id)
        first, other = await signed(producer, fields), await signed(producer, old)
        if ahead_s:
            for party_id in SIGNERS:
                await restart_at(crew, party_id, ahead_s)
                await forgets(crew, party_id, other["session_id"])
                await restart_at(crew, party_id, 0)
        sessions = {first["session_id"]}
        for _ in range(MAX_TRIES - 1):  # a request may begin so many, whoever begins them
            await query(crew, "coordinator", FORGOTTEN, fields["request_id"])
            sessions.add((await signed(producer, fields))["session_id"])
        await query(crew, "coordinator", FORGOTTEN, fields["request_id"])
        again = await result(producer, fields)
        assert again["session_id"] not in sessions
        assert again["status"] == "failed", again
        assert again["failure"]["code"] == "party_refused"
        # Whoever asks for something new is served.
        await signed(producer, to_sign(producer, key_id))


async def test_a_coordinator_that_should_forget_at_once_does_not_start(crew: Deployment) -> None:
    config = crew.directory / "coordinator.toml"
    hasty = config.with_name("hasty.toml")
    hasty.touch(mode=0o600)
    hasty.write_text(config.read_text().replace("[limits]", "[limits]\nretention_seconds = 5", 1))
    command = [sys.executable, "-m", "ops.cli", "coordinator", "run", "-c", str(hasty)]
    run = functools.partial(subprocess.run, command, capture_output=True, text=True, check=False)
    ended = await asyncio.to_thread(run)
    assert ended.returncode == 2
    assert "retention_seconds must be at least 630" in ended.stderr
