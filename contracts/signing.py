"""Signed requests, as a client makes them, and knows them again. What their receivers check is in
`admission`."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from . import addresses
from .errors import ContractError, UnauthenticatedError, sentence
from .identity import MAX_SIGNATURE_BYTES, Identity, PublicIdentity, is_signature
from .operations import OPERATIONS
from .requests import ADAPTER, Request

REQUEST_TAG = b"warren/request/v1"
SIGNATURE_HEADER = "signature"
_SIGNATURE_CHARACTERS = 4 * ((MAX_SIGNATURE_BYTES + 2) // 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A request with the bytes that were signed, which travel to every party unchanged."""

    request: Request
    body: bytes
    signature: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the body: what makes two requests the same one."""
        return hashlib.sha256(self.body).digest()

    def headers(self) -> dict[str, str]:
        """For people and tracing; those who repeat a field of the body must agree with it."""
        request = self.request
        headers = {
            SIGNATURE_HEADER: base64.b64encode(self.signature).decode(),
            "operation": request.operation,
            "request_id": request.request_id,
        }
        if request.client_id is not None:
            headers["client_id"] = request.client_id
        return headers


def signature_of(headers: Mapping[str, Any]) -> bytes:
    """The header's signature. Raises UnauthenticatedError if there is none that can be read."""
    text = headers.get(SIGNATURE_HEADER)
    if not isinstance(text, str):
        raise _unsigned("is missing: requests and results are signed")
    if len(text) > _SIGNATURE_CHARACTERS:
        raise _unsigned(f"has {len(text)} characters: that is no signature")
    try:
        signature = base64.b64decode(text, validate=True)
    except ValueError:
        raise _unsigned("is not base64") from None
    if not is_signature(signature):
        raise _unsigned("is no DER signature")
    return signature


def _unsigned(what: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"header {SIGNATURE_HEADER!r} {what}", kind="unsigned")


def sign_request(request: Request, identity: Identity) -> SignedRequest:
    body = unsigned(request, identity.public)
    return SignedRequest(request=request, body=body, signature=identity.sign(REQUEST_TAG, body))


def unsigned(request: Request, signer: PublicIdentity) -> bytes:
    """The bytes that this signer is to sign. Raises ValueError where they would be refused."""
    if request.signer != signer.der:
        raise ValueError("the request names another signer")
    if (reason := addresses.misaddressed(request)) is not None:
        raise ValueError(reason)
    return request.model_dump_json().encode()


def reopen(body: bytes, signature: bytes, identity: PublicIdentity) -> SignedRequest:
    """What `identity`, one's own, has signed before; whoever kept the bytes need not be believed.

    Raises ContractError.
    """
    identity.verify(REQUEST_TAG, body, signature)
    try:
        request = ADAPTER.validate_json(body)
    except ValidationError as error:
        raise ContractError(explain(error)) from None
    return SignedRequest(request=request, body=body, signature=signature)


def explain(error: ValidationError | ContractError) -> str:
    """Where and what, without the input: that may be anything, a secret even."""
    if isinstance(error, ContractError):
        return str(error)
    parts = []
    for item in error.errors(include_url=False, include_input=False)[:5]:
        where = ".".join(str(step) for step in item["loc"] if step not in OPERATIONS)
        what = sentence(item)
        parts.append(f"{where}: {what}" if where else what)
    return "; ".join(parts)
