"""A producer, and what it asks for."""

from __future__ import annotations

import dataclasses
import secrets
from typing import Any

from contracts.client import Client, ClientSettings
from contracts.client.correspondence import Correspondence
from contracts.client.trust import Trust
from contracts.coordinators import Coordinators
from contracts.primitives import Scheme
from contracts.results import SignResult
from contracts.signing import SignedRequest, sign_request

from . import samples
from .samples import CLIENT, COORDINATOR, PINNED


def settings(url: str, client_id: str | None = "svcA", **changes: Any) -> ClientSettings:
    """Of a client that asks once: on a slow machine, asking again unasked spoils a count."""
    given = ClientSettings(
        amqp_url=url,
        client_id=client_id,
        identity=CLIENT,
        coordinators=Coordinators.of(COORDINATOR.public),
        parties=PINNED,
        ask_again_s=60,
    )
    return dataclasses.replace(given, **changes)


async def nothing_comes(*_: object) -> None:
    raise AssertionError("nobody asked over the queue")


class Unconnected(Client):
    """The real client up to the queue, where a double of its own answers."""

    def __init__(self, settings: ClientSettings, tenant: str | None = None) -> None:
        trust = Trust(
            settings.client_id, settings.parties, [settings.identity.public], nothing_comes
        )
        super().__init__(settings, Correspondence(settings, nothing_comes), tenant, trust)


async def sign(client: Client, message: bytes = b"message", **more: Any) -> SignResult:
    return await client.sign("ed25519", message=message, scheme=Scheme.ED25519, **more)


def signed_request(**changes: Any) -> SignedRequest:
    given = {"request_id": secrets.token_hex(8), "key_id": "ed25519", **changes}
    return sign_request(samples.sign_request(**given), CLIENT)
