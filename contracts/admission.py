"""Signed requests from outside: the checks that coordinator and parties make alike."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import pydantic_core
from pydantic import ValidationError

from . import addresses, strict_json
from .errors import ContractError, InvalidRequestError
from .identity import PublicIdentity
from .operations import OPERATIONS
from .primitives import ID_PATTERN, MAX_BODY_BYTES
from .requests import ADAPTER
from .signing import REQUEST_TAG, SIGNATURE_HEADER, SignedRequest, explain

_ID = re.compile(ID_PATTERN + r"\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPolicy:
    """One key that may sign requests, and for whom.

    Attributes:
        client_id: None: for producers without an id.
        operations: None: all of them.
        operator: It may cancel anybody's sessions.
    """

    identity: PublicIdentity
    client_id: str | None
    operations: frozenset[str] | None = None
    operator: bool = False

    def allows(self, client_id: str | None, operation: str) -> bool:
        return self.client_id == client_id and (
            self.operations is None or operation in self.operations
        )


def signature_of(headers: Mapping[str, Any]) -> bytes:
    """The header's signature. Raises ContractError if there is none or it is not base64."""
    text = headers.get(SIGNATURE_HEADER)
    if not isinstance(text, str):
        raise ContractError(f"header {SIGNATURE_HEADER!r} is missing: requests are signed")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ContractError(f"header {SIGNATURE_HEADER!r} is not base64") from None


def open_request(body: bytes, signature: bytes, policies: Sequence[ClientPolicy]) -> SignedRequest:
    """Bytes from outside -> a request by an authorised client.

    Raises:
        ContractError: it cannot be believed: no JSON object, no valid signature, or by a key
            that may not ask this for that client.
        InvalidRequestError: authorised, and its fields do not fit.
    """
    if len(body) > MAX_BODY_BYTES:
        raise ContractError(f"{len(body)} bytes; a request has at most {MAX_BODY_BYTES}")
    claims = _claims(body)
    signer = _authorise(claims, policies)
    signer.verify(REQUEST_TAG, body, signature)
    try:
        strict_json.refuse_repeated_fields(body)
        request = ADAPTER.validate_json(body)
    except (ValidationError, ContractError) as error:
        raise _invalid(claims, explain(error)) from None
    if (reason := addresses.misaddressed(request)) is not None:
        raise _invalid(claims, reason)
    return SignedRequest(request=request, body=body, signature=signature)


def check_metadata(
    signed: SignedRequest,
    *,
    headers: Mapping[str, Any],
    routing_key: str,
    message_id: str | None,
) -> None:
    """What AMQP says beside the body is unsigned, so it must say the same.

    Raises ContractError naming what contradicts. Nobody is answered: whoever wrote the header
    need not be the client.
    """
    request = signed.request
    expected: dict[str, str | None] = {
        "operation": request.operation,
        "request_id": request.request_id,
        "client_id": request.client_id,
    }
    for name, value in expected.items():
        if name in headers and headers[name] != value:
            raise ContractError(f"header {name!r} contradicts the body, which has {value!r}")
    # Which of the two, a client is free to choose; another's own queue it is not.
    keys = {addresses.request_key(request.operation, each) for each in (None, request.client_id)}
    if routing_key not in keys:
        raise ContractError(
            f"routing key {routing_key!r} contradicts operation {request.operation!r} of client "
            f"{request.client_id!r}"
        )
    if message_id != request.request_id:
        raise ContractError(f"message_id must be the request id {request.request_id!r}")


def _claims(body: bytes) -> dict[str, Any]:
    try:
        claims = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError:
        raise ContractError("the body is not JSON") from None
    if not isinstance(claims, dict):
        raise ContractError("the body is not a JSON object")
    return claims


def _authorise(claims: dict[str, Any], policies: Sequence[ClientPolicy]) -> PublicIdentity:
    signer, client_id, operation = (
        claims.get("signer"),
        claims.get("client_id"),
        claims.get("operation"),
    )
    if not isinstance(signer, str):
        raise ContractError("the body has no signer")
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise ContractError("the body has no operation that exists")
    for policy in policies:
        if policy.identity.to_base64() == signer and policy.allows(client_id, operation):
            return policy.identity
    raise ContractError("the signer is not authorised for this client id and operation")


def _invalid(claims: dict[str, Any], reason: str) -> ContractError:
    """An answer goes out only where the ids can stand in a routing key and a result."""
    request_id, key_id = claims.get("request_id"), claims.get("key_id")
    if not _is_id(request_id):
        return ContractError(f"no usable request_id, so no answer: {reason}")
    return InvalidRequestError(
        reason,
        operation=claims["operation"],
        request_id=request_id,
        client_id=claims.get("client_id"),
        key_id=key_id if _is_id(key_id) else None,
    )


def _is_id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and _ID.match(value) is not None
