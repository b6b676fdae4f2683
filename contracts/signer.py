"""Who signs a client's requests: a key in this process, or one that never leaves its service."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from .encoding import pack
from .errors import ContractError
from .identity import PublicIdentity, is_signature
from .requests import Request
from .signing import REQUEST_TAG, SignedRequest, unsigned


class Signer(Protocol):
    """`identity.Identity` is one, whose key is here."""

    @property
    def public(self) -> PublicIdentity:
        """What operators have entered for this client."""

    def sign(self, tag: bytes, data: bytes) -> bytes | Awaitable[bytes]:
        """ECDSA-P256-SHA256 over ``pack(tag, data)``, in DER. May take as long as it takes."""


@dataclass(frozen=True, slots=True)
class ServiceSigner:
    """A key of a key management service.

    Attributes:
        signs: Is handed the bytes to sign, and gives DER. Where the service wants their SHA-256
            only, take it in there.
    """

    public: PublicIdentity
    signs: Callable[[bytes], Awaitable[bytes]] = field(repr=False)

    async def sign(self, tag: bytes, data: bytes) -> bytes:
        """Raises ContractError where the service gives something else than a signature."""
        signature = await self.signs(pack((tag, data)))
        if not is_signature(signature):
            raise ContractError("the signer gave no DER signature")
        return signature


async def sign_request_by(request: Request, signer: Signer) -> SignedRequest:
    """As `signing.sign_request`, by whoever signs."""
    body = unsigned(request, signer.public)
    signature = signer.sign(REQUEST_TAG, body)
    if inspect.isawaitable(signature):
        signature = await signature
    return SignedRequest(request=request, body=body, signature=signature)
