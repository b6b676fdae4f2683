"""The operations that can be measured."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from contracts.client import (
    BrokerUnavailableError,
    Client,
    ClientError,
    RequestFailedError,
    ResultTimeoutError,
)
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Scheme
from contracts.requests import SignItem

from .load import Operation

RESULT_TIMEOUT = "result_timeout"
BROKER_UNAVAILABLE = "broker_unavailable"
DIGEST_BYTES = 32


class Pool(StrEnum):
    """Where the presignatures of ECDSA come from."""

    WARM = "warm"
    """All were made before the measurement."""
    COLD = "cold"
    """Each is made when it is asked for."""
    SUSTAINED = "sustained"
    """The pool was full at the beginning, and is filled again as a stack does it by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one operation is.

    Attributes:
        scheme: Of the signatures, or what presignatures are for; None for key generation.
        batch: Digests of one request, or presignatures of one batch.
        pool: For ECDSA on a stack of our own.
        refill: Whether another key's pool is filled all the while.
    """

    operation: Literal["keygen", "sign", "presign"]
    curve: Curve
    scheme: Scheme | None
    threshold: int
    party_count: int
    batch: int = 1
    pool: Pool | None = None
    refill: bool = False

    @property
    def presigns(self) -> bool:
        """Whether presignatures have to do with it, other than those of a stack not our own."""
        return self.operation == "presign" or self.pool is not None or self.refill

    @property
    def operation_name(self) -> str:
        """What one operation is called in sentences."""
        return "batch" if self.operation == "presign" else "request"

    @property
    def unit(self) -> str:
        """What one operation makes `batch` of."""
        return {"keygen": "key", "sign": "signature", "presign": "presignature"}[self.operation]


@dataclass(frozen=True, slots=True)
class Subject:
    """
    Attributes:
        key_session: Of the one key that signs; None for key generation.
    """

    operate: Operation
    key_session: bytes | None


async def subject(client: Client, work: Work) -> Subject:
    """Make the key if one is needed; returns what is to be measured.

    From the call to the verified result in hand: building and signing the request are part of it,
    and so is verifying the answer.

    Raises ClientError if the key cannot be made.
    """
    if work.scheme is None:
        return Subject(lambda: _failure_of_keygen(client, work), None)
    scheme = work.scheme
    key = await make_key(client, work, work.curve)
    key_id, session = key.facts.key_id, key.facts.session_id
    if work.batch == 1:
        return Subject(lambda: _failure_of_signing(client, key_id, scheme), session)
    return Subject(lambda: _failure_of_list(client, key_id, scheme, work.batch), session)


async def make_key(client: Client, work: Work, curve: Curve) -> CertifiedKey:
    """A new key to measure with."""
    return await client.create_key(
        f"bench-{secrets.token_hex(8)}",
        curve=curve,
        threshold=work.threshold,
        party_count=work.party_count,
    )


async def _failure_of_keygen(client: Client, work: Work) -> str | None:
    try:
        await make_key(client, work, work.curve)
    except ClientError as error:
        return failure_code(error)
    return None


async def _failure_of_signing(client: Client, key_id: str, scheme: Scheme) -> str | None:
    try:
        await client.sign(key_id, message=secrets.token_bytes(DIGEST_BYTES), scheme=scheme)
    except ClientError as error:
        return failure_code(error)
    return None


async def _failure_of_list(client: Client, key_id: str, scheme: Scheme, count: int) -> str | None:
    items = [SignItem(message=secrets.token_bytes(DIGEST_BYTES)) for _ in range(count)]
    try:
        await client.sign_all(key_id, items, scheme=scheme)
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
