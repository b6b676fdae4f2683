"""Signed requests from outside: the checks that coordinator and parties make alike."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import pydantic_core
from pydantic import ValidationError

from . import addresses, strict_json
from .errors import ContractError, InvalidRequestError, UnauthenticatedError
from .identity import PublicIdentity
from .operations import OPERATIONS
from .primitives import ID_PATTERN, MAX_BODY_BYTES
from .requests import ADAPTER
from .signing import REQUEST_TAG, SignedRequest, explain

_ID = re.compile(ID_PATTERN + r"\Z")
_SIGNER = re.compile(rb'"signer"\s*:\s*("[^"]{1,1000}")')


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPolicy:
    """One key that may sign requests, and for whom.

    Attributes:
        client_id: None: for producers without an id.
        operations: None: all but those that have to be named, see `Operation.named`.
        operator: It may cancel anybody's requests and look at their sessions.
    """

    identity: PublicIdentity
    client_id: str | None
    operations: frozenset[str] | None = None
    operator: bool = False

    def allows(self, client_id: str | None, operation: str) -> bool:
        if self.client_id != client_id:
            return False
        right = OPERATIONS[operation].right_of or operation
        if self.operations is None:
            return not OPERATIONS[right].named
        return right in self.operations


class Policies(Iterable[ClientPolicy]):
    """Whom a receiver knows, found by their keys: however many there are, a request costs the
    same."""

    def __init__(self, policies: Iterable[ClientPolicy]) -> None:
        self._set(policies)

    def __iter__(self) -> Iterator[ClientPolicy]:
        return iter(self._current()._all)

    def of(self, key: bytes) -> tuple[ClientPolicy, ...]:
        """What this key may sign; nothing if it is nobody's."""
        return self._current()._by_key.get(key, ())

    def _current(self) -> Policies:
        """For those that change."""
        return self

    def _set(self, policies: Iterable[ClientPolicy]) -> None:
        self._all = tuple(policies)
        self._by_key: dict[bytes, tuple[ClientPolicy, ...]] = {}
        for policy in self._all:
            key = policy.identity.der
            self._by_key[key] = (*self._by_key.get(key, ()), policy)


def check_size(body: bytes) -> None:
    """Raises UnauthenticatedError for what is no request by its size, whatever else it may be."""
    if len(body) > MAX_BODY_BYTES:
        raise _malformed(f"{len(body)} bytes; a request has at most {MAX_BODY_BYTES}")


def open_request(body: bytes, signature: bytes, policies: Iterable[ClientPolicy]) -> SignedRequest:
    """Bytes from outside -> a request by an authorised client.

    What nobody known has signed is not parsed: junk must cost less than what it delays.

    Raises:
        UnauthenticatedError: it cannot be believed: no valid signature, no JSON object, or by a
            key that may not ask this for that client.
        InvalidRequestError: authorised, and its fields do not fit.
    """
    check_size(body)
    known = policies if isinstance(policies, Policies) else Policies(policies)
    own = _signers(body, known)
    signer = own[0].identity
    signer.verify(REQUEST_TAG, body, signature)
    claims = _claims(body)
    _authorise(claims, signer, own)
    try:
        strict_json.refuse_repeated_fields(body)
        request = ADAPTER.validate_json(body)
    except (ValidationError, ContractError) as error:
        raise _invalid(claims, explain(error)) from None
    if (reason := addresses.misaddressed(request)) is not None:
        raise _invalid(claims, reason)
    return SignedRequest(request=request, body=body, signature=signature)


def check_queue(queue: str, *, operation: str, client_id: str | None) -> None:
    """Raises ContractError unless requests of this client may come by this queue.

    By the header CC or BCC a broker puts a message into any queue of an exchange that its sender
    may publish to at all, whatever routing keys the sender is allowed.
    """
    own = [addresses.request_queue(operation, each) for each in (client_id, None)]
    if queue not in own:
        raise ContractError(
            f"queue {queue!r} is not where client {client_id!r} asks for {operation!r}: that is "
            f"{' or '.join(map(repr, dict.fromkeys(own)))}; CC and BCC lead nowhere"
        )


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
        raise _malformed("the body is not JSON") from None
    if not isinstance(claims, dict):
        raise _malformed("the body is not a JSON object")
    return claims


def _signers(body: bytes, known: Policies) -> tuple[ClientPolicy, ...]:
    """What the key may sign that the first field `signer` names. No object within a request has
    such a field; what the request's own is, `_authorise` asks again."""
    named = _SIGNER.search(body)
    if named is None:
        raise _malformed("the body is no JSON object that names its signer")
    text = named[1].strip(b'"')
    if b"\\" in text:  # some writers escape the + and / of base64
        try:
            text = json.loads(named[1]).encode()
        except ValueError:
            raise _malformed("the body's signer is no text") from None
    try:
        der = base64.b64decode(text, validate=True)
    except ValueError:
        raise _unauthorised() from None
    if own := known.of(der):
        return own
    raise _unauthorised()


def _authorise(claims: dict[str, Any], signer: PublicIdentity, own: Iterable[ClientPolicy]) -> None:
    client_id, operation = claims.get("client_id"), claims.get("operation")
    if claims.get("signer") != signer.to_base64():
        raise _malformed("the body names several signers")
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise _malformed("the body has no operation that exists")
    if not any(policy.allows(client_id, operation) for policy in own):
        raise _unauthorised()


def _unauthorised() -> UnauthenticatedError:
    return UnauthenticatedError(
        "the signer is not authorised for this client id and operation", kind="stranger"
    )


def _malformed(reason: str) -> UnauthenticatedError:
    return UnauthenticatedError(reason, kind="malformed")


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
