"""The operations that can be measured."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

from contracts.client import (
    BrokerUnavailableError,
    Client,
    ClientError,
    RequestFailedError,
    ResultTimeoutError,
)
from contracts.primitives import Curve, Scheme

from .load import Operation

RESULT_TIMEOUT = "result_timeout"
BROKER_UNAVAILABLE = "broker_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one operation is.

    Attributes:
        scheme: For signing; None for key generation.
    """

    operation: Literal["keygen", "sign"]
    curve: Curve
    scheme: Scheme | None
    threshold: int
    party_count: int


async def operation(client: Client, work: Work) -> Operation:
    """Make the key if one is needed; returns what is to be measured.

    From the call to the verified result in hand: building and signing the request are part of it,
    and so is verifying the answer.

    Raises ClientError if the key cannot be made.
    """
    if work.scheme is None:
        return lambda: _failure_of_keygen(client, work)
    key_id = fresh_key_id()
    await _make_key(client, work, key_id)
    scheme = work.scheme
    return lambda: _failure_of_signing(client, key_id, scheme)


def fresh_key_id() -> str:
    return f"bench-{secrets.token_hex(8)}"


async def _make_key(client: Client, work: Work, key_id: str) -> None:
    await client.create_key(
        key_id, curve=work.curve, threshold=work.threshold, party_count=work.party_count
    )


async def _failure_of_keygen(client: Client, work: Work) -> str | None:
    try:
        await _make_key(client, work, fresh_key_id())
    except ClientError as error:
        return failure_code(error)
    return None


async def _failure_of_signing(client: Client, key_id: str, scheme: Scheme) -> str | None:
    try:
        await client.sign(key_id, message=secrets.token_bytes(32), scheme=scheme)
    except ClientError as error:
        return failure_code(error)
    return None


def failure_code(error: ClientError) -> str:
    """What counts as a failed operation; anything else is raised again and ends the load."""
    match error:
        case RequestFailedError():
            return str(error.failure.code)
        case ResultTimeoutError():
            return RESULT_TIMEOUT
        case BrokerUnavailableError():
            return BROKER_UNAVAILABLE
        case _:
            raise error
