"""What bad messages cost those who sign meanwhile, in this tree or in another one.

`python -P ops/bench/junk.py COUNT DIRECTORY` measures the tree that its PYTHONPATH names, and
writes JSON. So that an older tree can be measured by it as well, it stands on little.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import multiprocessing
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import aio_pika

from contracts import addresses
from contracts.client import Client, ClientSettings
from contracts.encoding import pack
from contracts.envelope import COORDINATOR, NO_SESSION, Envelope
from contracts.identity import Identity
from contracts.primitives import Curve, Scheme
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import running_services

CLIENT = "svcA"
QUIET_S = 4.0
AT_ONCE = 64
STRANGER = Identity.generate()

Message = tuple[bytes, dict[str, Any], str]
"""Body, headers, AMQP type."""


def noise() -> Message:
    """Nothing that anybody could have meant."""
    return secrets.token_bytes(400), {}, "share_signed"


def _signed(tag: bytes, body: bytes, kind: str) -> Message:
    signature = base64.b64encode(STRANGER.sign(tag, body)).decode()
    return body, {"signature": signature}, kind


def forged_result() -> Message:
    """A result that somebody else has signed."""
    body = json.dumps({"result": "sign", "request_id": secrets.token_hex(8)}).encode()
    return _signed(b"warren/result/v1", body, "sign")


def forged_request() -> Message:
    """A request by a signer whom nobody knows."""
    fields = {"signer": STRANGER.public.to_base64(), "operation": "sign"}
    body = json.dumps({**fields, "request_id": secrets.token_hex(8)}).encode()
    return _signed(b"warren/request/v1", body, "sign")


def _forged_envelope(sender: str, recipient: str, kind: str) -> Message:
    content = Envelope(
        session_id=NO_SESSION,
        epoch=0,
        kind=kind,
        round=0,
        sender=sender,
        recipient=recipient,
        payload=secrets.token_bytes(100),
    ).content()
    return pack((content, STRANGER.sign(b"warren/envelope/v1", content))), {}, kind


def forged_report() -> Message:
    """In a party's name, by somebody else."""
    return _forged_envelope("party-1", COORDINATOR, "share_signed")


def forged_instruction() -> Message:
    """In the coordinator's name, by somebody else."""
    return _forged_envelope(COORDINATOR, "party-1", "session_created")


Place = tuple[str, str, str]
"""Exchange, routing key, queue."""

RESULTS: Place = (
    addresses.RESULTS,
    f"mpc.mpc_signing_result.{CLIENT}.complete",
    addresses.results_queue(CLIENT),
)
REPORTS: Place = addresses.REPORTS, "share_signed.party-1", addresses.REPORTS_QUEUE
INBOX: Place = addresses.SESSIONS, "party-1", addresses.inbox_queue("party-1")
REQUESTS: Place = addresses.REQUESTS, "mpc.signing_request", addresses.request_queue("sign")

ATTACKS: Mapping[str, tuple[Place, Callable[[], Message]]] = {
    "results, unsigned": (RESULTS, noise),
    "results, forged": (RESULTS, forged_result),
    "reports, noise": (REPORTS, noise),
    "reports, forged": (REPORTS, forged_report),
    "inbox, noise": (INBOX, noise),
    "inbox, forged": (INBOX, forged_instruction),
    "requests, unsigned": (REQUESTS, noise),
    "requests, forged": (REQUESTS, forged_request),
}


def attack(url: str, name: str, count: int, begun: Event) -> None:
    """Publish so many as fast as the broker takes them; in a process of its own."""
    os.nice(5)
    asyncio.run(_attack(url, name, count, begun))


async def _attack(url: str, name: str, count: int, begun: Event) -> None:
    (exchange_name, key, _), make = ATTACKS[name]
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = await channel.get_exchange(exchange_name, ensure=False)
        begun.set()
        for _ in range(count // AT_ONCE):
            messages = [make() for _ in range(AT_ONCE)]
            await asyncio.gather(
                *(
                    exchange.publish(aio_pika.Message(body, headers=headers, type=kind), key)
                    for body, headers, kind in messages
                )
            )


async def measured(deployment: Deployment, count: int) -> dict[str, list[float]]:
    """Seconds that each signature took, by what was going on."""
    settings = ClientSettings.load(deployment.clients[CLIENT])
    taken: dict[str, list[float]] = {}
    async with (
        Client.connect(settings) as client,
        await aio_pika.connect(deployment.amqp_url) as connection,
    ):
        await client.create_key("k", curve=Curve.ED25519, threshold=2, party_count=3)
        channel = await connection.channel()
        for name, (place, _) in ATTACKS.items():
            quiet = functools.partial(_before, time.perf_counter() + QUIET_S)
            await _sign_while(client, quiet, taken, "quiet")
            spawn = multiprocessing.get_context("spawn")
            begun = spawn.Event()
            given = (deployment.amqp_url, name, count, begun)
            attacker = spawn.Process(target=attack, args=given)
            attacker.start()
            await asyncio.to_thread(begun.wait, 60)
            await _sign_while(client, attacker.is_alive, taken, name)
            while await _waiting(channel, place[2]):
                await _sign_once(client, taken, name)
            attacker.join()
    return taken


def _before(moment: float) -> bool:
    return time.perf_counter() < moment


async def _waiting(channel: aio_pika.abc.AbstractChannel, queue: str) -> int:
    found = await channel.declare_queue(queue, passive=True)
    return found.declaration_result.message_count or 0


async def _sign_while(
    client: Client, going_on: Callable[[], bool], taken: dict[str, list[float]], name: str
) -> None:
    while going_on():
        await _sign_once(client, taken, name)


async def _sign_once(client: Client, taken: dict[str, list[float]], name: str) -> None:
    began = time.perf_counter()
    await client.sign("k", message=b"junk around us", scheme=Scheme.ED25519)
    taken.setdefault(name, []).append(time.perf_counter() - began)


def main(count: int, directory: Path) -> None:
    """Of the tree that is imported."""
    with running_services(directory) as services, running_deployment(services, Plan()) as running:
        json.dump(asyncio.run(measured(running, count)), sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
