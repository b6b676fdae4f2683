"""Whole deliveries, good ones and spoilt ones, and what the client makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from ... import results as models
from ... import strict_json
from ...checks import announced_session, same
from ...client.trust import Trust
from ...coordinators import Coordinators, result_headers
from ...errors import ContractError, UnauthenticatedError
from ...identity import Identity
from ...primitives import Scheme, Status
from ...signing import SignedRequest
from ..hands import CLIENT, COORDINATOR, ED25519, NOW, PARTIES, SECP256K1
from ..refusals import reason

KNOWN = (ED25519.certified(), SECP256K1.certified(schemes=[Scheme.BIP340, Scheme.ECDSA]))
"""What the client knows of its keys when the results come."""
UNAUTHENTICATED, MALFORMED, DISBELIEVED = "unauthenticated", "malformed", "disbelieved"


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """
    Attributes:
        asked: What it comes to the asker of.
        refused: Where it is: its header, its form, or what it says.
    """

    name: str
    asked: SignedRequest
    body: bytes
    by: Identity = COORDINATOR
    headers: Mapping[str, Any] | None = None
    refused: str | None = None

    def shown(self) -> dict[str, Any]:
        """As it stands in the file."""
        headers = self.headers if self.headers is not None else result_headers(self.body, self.by)
        refused, why = verdict(self.asked, self.body, headers)
        assert refused == self.refused, (self.name, refused, why)
        return {
            "name": self.name,
            "request": self.asked.body.decode(),
            "headers": dict(headers),
            "body": self.body.decode(),
            "refused": refused,
            "reason": why,
        }


def verdict(
    asked: SignedRequest, body: bytes, headers: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    """What the client makes of it: where it refuses it, if it does, and why."""
    try:
        Coordinators.of(COORDINATOR.public).check_result(body, headers, now=NOW)
    except UnauthenticatedError as error:
        return UNAUTHENTICATED, str(error)
    try:
        content = strict_json.validated(models.DELIVERED, body)
    except (ValidationError, ContractError) as error:
        return MALFORMED, reason(error)
    try:
        asyncio.run(_believe(asked, content))
    except ContractError as error:
        return DISBELIEVED, str(error)
    return None, None


async def _believe(asked: SignedRequest, content: models.Delivered) -> None:
    if isinstance(content, models.SessionAnnounced):
        same("client_id", content.client_id, "svcA")
        announced_session(asked.digest, content)
        return

    async def nothing_more(tenant: str | None, key_id: str) -> None: ...

    pinned = {name: each.public for name, each in PARTIES.items()}
    trust = Trust("svcA", pinned, [CLIENT.public], nothing_more)
    listed = models.QueryKeysResult(**base(asked, session_id=None), keys=list(KNOWN))
    await trust.check(listed, None)
    await trust.check(content, asked)


def base(asked: SignedRequest, **changes: Any) -> dict[str, Any]:
    return {
        "request_id": asked.request.request_id,
        "client_id": asked.request.client_id,
        "session_id": bytes([5]) * 32,
        "request_digest": asked.digest,
        "status": Status.COMPLETED,
        "finished_at": NOW + 1,
        **changes,
    }


Changes = Mapping[str, tuple[dict[str, Any], str | None]]
"""Name -> what is spoilt, and where it is refused."""


def changed(
    name: str, asked: SignedRequest, good: BaseModel, changes: Changes
) -> Sequence[Delivery]:
    """The good one, and each change to it."""
    cases: Changes = {"good": ({}, None), **changes}
    return [
        Delivery(
            name=f"{name}: {what}",
            asked=asked,
            body=good.model_copy(update=update).model_dump_json().encode(),
            refused=refused,
        )
        for what, (update, refused) in cases.items()
    ]


ANOTHERS: Changes = {
    "another client's": ({"client_id": "svcB"}, DISBELIEVED),
    "nobody's with an id": ({"client_id": None}, DISBELIEVED),
    "of another request": ({"request_id": "r2"}, DISBELIEVED),
    "of another request of this id": ({"request_digest": bytes(32)}, DISBELIEVED),
}
