"""What a client believes, with the keys that it is told of."""

from __future__ import annotations

from typing import Any

from contracts.client.trust import Trust
from contracts.primitives import Curve
from contracts.requests import KeygenRequest
from contracts.results import KeygenResult, Result
from contracts.signing import SignedRequest

from .samples import CLIENT, PINNED, SingleKey, keygen_request, keygen_result

ED25519, SECP256K1 = (SingleKey(curve) for curve in Curve)
OTHER = SingleKey(Curve.ED25519, secret=bytes([1]) * 32)


async def fetches_nothing(tenant: str | None, key_id: str) -> None:
    pass


def trust(client_id: str | None = "svcA") -> Trust:
    return Trust(client_id, PINNED, [CLIENT.public], fetches_nothing)


def made(key: SingleKey, request: KeygenRequest | None = None, **changes: Any) -> KeygenResult:
    """What the request, or one of no tenant's, has made."""
    asked = request or keygen_request(curve=key.curve)
    return keygen_result(asked, key.made_for(asked, **changes))


async def heard(knowing: Trust, result: Result, signed: SignedRequest) -> None:
    """As the answer to these bytes."""
    await knowing.check(result.model_copy(update={"request_digest": signed.digest}), signed)
