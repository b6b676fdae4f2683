"""Dead letters of every kind, sent where they came from: whoever gets one has handled it before."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from contracts import addresses
from contracts.identity import Identity
from contracts.signing import REQUEST_TAG
from ops.cli.main import app
from ops.stack.deployment import Deployment
from tests.system.producers import Producer
from workers.coordinator.signature import Signature
from workers.delivery.publisher import Publisher, dead_letter
from workers.store.records import Outgoing

PARTY = "party-1"
SIGNERS = [PARTY, "party-2"]
QUIET_S = 1.5
SENT = """
    SELECT exchange, routing_key, kind, content_type, message_id, headers, body FROM outbox
    WHERE session_id = ANY($1::bytea[]) AND exchange = ANY($2::text[])
"""
KINDS = {
    "keygen",
    "sign",
    "session_created",
    "nonces_wanted",
    "presign_batch",
    *(f"keygen/{round_}" for round_ in (1, 2, 3, 4)),
    "party_joined",
    "key_certified",
    "nonces_made",
    "share_signed",
    "presignatures_made",
}
"""Of what may die: requests, instructions, messages of rounds, reports."""
REPLAYABLE = [addresses.SESSIONS, addresses.KEYGEN, addresses.PRESIGNING, addresses.REPORTS]


@dataclass
class Office:
    """What was asked for, and everything that can be seen of it."""

    deployment: Deployment
    producer: Producer
    requests: list[Outgoing]

    async def ask(self, operation: str, **changes: Any) -> dict[str, Any]:
        fields = self.producer.body(operation, **changes)
        body = json.dumps(fields).encode()
        signature = base64.b64encode(self.producer.identity.sign(REQUEST_TAG, body)).decode()
        request_id = fields["request_id"]
        await self.producer.send_bytes(
            body, operation=operation, message_id=request_id, signature=signature
        )
        self.requests.append(
            Outgoing(
                exchange=addresses.REQUESTS,
                routing_key=addresses.request_key(operation, self.producer.client_id),
                kind=operation,
                content_type="application/json",
                message_id=request_id,
                body=body,
                headers={"signature": signature},
            )
        )
        queue = await self.producer.channel.get_queue(self.queue)
        async with asyncio.timeout(60), queue.iterator(no_ack=True) as messages:
            message = await anext(messages)
        told: dict[str, Any] = json.loads(message.body)
        assert (told["request_id"], told["status"]) == (request_id, "completed"), told
        return {**fields, "result": message.body}

    @property
    def queue(self) -> str:
        return addresses.results_queue(self.producer.client_id)

    async def results(self) -> Mapping[str, set[bytes]]:
        """By request id, as they came by now; each one once."""
        queue = await self.producer.channel.get_queue(self.queue)
        found: defaultdict[str, set[bytes]] = defaultdict(set)
        while (message := await queue.get(fail=False, no_ack=True)) is not None:
            found[str(message.message_id)].add(message.body)
        return found

    async def query(self, where: str, statement: str, *values: object) -> list[Any]:
        connection = await asyncpg.connect(self.deployment.database_urls[where])
        try:
            found: list[Any] = await connection.fetch(statement, *values)
            return found
        finally:
            await connection.close()

    async def sessions(self) -> list[bytes]:
        """Those of our requests, the party's batch of nonces, the batches of the key."""
        own = await self.query(
            "coordinator",
            "SELECT session_id FROM requests WHERE request_id = ANY($1)",
            [request.message_id for request in self.requests],
        )
        keys = [row["session_id"] for row in own]
        batches = await self.query(
            PARTY,
            "SELECT session_id FROM sessions WHERE key_session = ANY($1)"
            " AND protocol IN ('presign', 'nonces')",
            keys,
        )
        return [*keys, *(row["session_id"] for row in batches)]

    async def until_over(self, sessions: list[bytes]) -> None:
        """Batches made ahead take a while; the test's own limit ends it."""
        unfinished = (
            "SELECT session_id FROM sessions WHERE session_id = ANY($1) AND ended_at IS NULL"
        )
        while True:
            found = [await self.query(at, unfinished, sessions) for at in ("coordinator", PARTY)]
            if not any(found):
                return
            await asyncio.sleep(0.1)

    async def sent(self, sessions: list[bytes]) -> list[Outgoing]:
        """What the coordinator has sent to the party, and the party to whomever."""
        rows = await self.query("coordinator", SENT, sessions, REPLAYABLE)
        told = [outgoing(row) for row in rows if row["routing_key"] == PARTY]
        rows = await self.query(PARTY, SENT, sessions, REPLAYABLE)
        # Stored as they are, and signed when they leave.
        key = (self.deployment.directory / "coordinator.key").read_text()
        signature = Signature(Identity.from_base64(key.strip()))
        return [*map(signature.under, told), *map(outgoing, rows)]

    async def state(self, sessions: list[bytes]) -> list[Any]:
        """All that these sessions are in the databases, and what can be used once."""
        found: list[Any] = []
        for where in ("coordinator", PARTY):
            for columns in (
                "session_id, version, status FROM sessions",
                "session_id, slot, sender, digest FROM inbox",
                "session_id, cause, position, body FROM outbox",
            ):
                statement = f"SELECT {columns} WHERE session_id = ANY($1) ORDER BY 1, 2, 3"
                rows = await self.query(where, statement, sessions)
                found.append([tuple(row) for row in rows])
        for where, table in ((PARTY, "nonces"), (PARTY, "key_shares"), ("coordinator", "keys")):
            found += await self.query(where, f"SELECT count(*) FROM {table}")
        return found


def outgoing(row: Mapping[str, Any]) -> Outgoing:
    return Outgoing(**{**row, "headers": json.loads(row["headers"])})


@pytest.fixture
async def office(deployment: Deployment, producer: Producer) -> Office:
    return Office(deployment, producer, [])


def source_of(message: Outgoing) -> str:
    """The queue in which it would have died."""
    match message.exchange:
        case addresses.REQUESTS:
            return addresses.request_queue(message.kind, message.routing_key.split(".")[2])
        case addresses.REPORTS:
            return addresses.REPORTS_QUEUE
        case addresses.KEYGEN:
            return addresses.keygen_queue(message.routing_key)
        case addresses.PRESIGNING:
            return addresses.presigning_queue(message.routing_key)
        case _:
            return addresses.inbox_queue(message.routing_key)


async def test_dead_letters_of_every_kind_are_replayed_without_harm(office: Office) -> None:
    key = await office.ask("keygen", curve="secp256k1")
    answers = [key]
    for scheme in ("bip340", "ecdsa"):
        changes = {"key_id": key["key_id"], "scheme": scheme, "message": "5a" * 32}
        answers.append(await office.ask("sign", **changes, signers=SIGNERS))
    sessions = await office.sessions()
    await office.until_over(sessions)
    letters = [*office.requests, *await office.sent(sessions)]
    assert {letter.kind for letter in letters} >= KINDS
    before = await office.state(sessions)

    async with Publisher(office.deployment.amqp_url, name="test") as publisher:
        for letter in letters:
            copy = dead_letter(
                body=letter.body,
                headers={**letter.headers, "message_id": letter.message_id},
                routing_key=letter.routing_key,
                reason="a mistake of ours",
                source=source_of(letter),
                kind=letter.kind,
                content_type=letter.content_type,
                exchange=letter.exchange,
            )
            await publisher.publish(copy)
    arguments = ["dead-letters", "replay", "--all", "--yes", "--json"]
    arguments += ["--reason-contains", "a mistake of ours"]
    environment = {"WARREN_AMQP_URL": office.deployment.amqp_urls["operator"]}
    ended = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)
    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.stdout)
    assert len(told["replayed"]) == len(letters)
    assert {letter["kind"] for letter in told["replayed"]} == {each.kind for each in letters}

    await asyncio.sleep(QUIET_S)
    again = await office.results()
    for answer in answers:
        assert again[answer["request_id"]] == {answer["result"]}
    assert len(again) == len(answers)
    await office.producer.nothing_more()  # neither a result nor a dead letter
    assert await office.state(sessions) == before
