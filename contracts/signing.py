"""Signed requests, as a client makes them. What their receivers check is in `admission`."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from pydantic import ValidationError

from . import addresses
from .errors import ContractError
from .identity import Identity
from .operations import OPERATIONS
from .requests import Request

REQUEST_TAG = b"warren/request/v1"
SIGNATURE_HEADER = "signature"


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


def sign_request(request: Request, identity: Identity) -> SignedRequest:
    if request.signer != identity.public.der:
        raise ValueError("the request names another signer")
    if (reason := addresses.misaddressed(request)) is not None:
        raise ValueError(reason)
    body = request.model_dump_json().encode()
    return SignedRequest(request=request, body=body, signature=identity.sign(REQUEST_TAG, body))


def explain(error: ValidationError | ContractError) -> str:
    """Where and what, without the input: that may be anything, a secret even."""
    if isinstance(error, ContractError):
        return str(error)
    parts = []
    for item in error.errors(include_url=False, include_input=False, include_context=False)[:5]:
        where = ".".join(str(step) for step in item["loc"] if step not in OPERATIONS)
        what = item["msg"].removeprefix("Value error, ")
        parts.append(f"{where}: {what}" if where else what)
    return "; ".join(parts)
