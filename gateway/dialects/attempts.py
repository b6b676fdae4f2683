"""Under which id a creation is asked for, so that it can be repeated anywhere.

The coordinator remembers request ids. A caller's `Idempotency-Key` becomes one; what stood under it
is known again by a digest of the request, since its times and signature are others each time.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header, Request

from contracts.primitives import ID_PATTERN

from ..problems import Problem

HEADER = "Idempotency-Key"
PRINTABLE = r"^[!-~]([ -~]*[!-~])?$"

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=HEADER,
        min_length=1,
        max_length=255,
        pattern=PRINTABLE,
        description="1 to 255 printable characters, new for each thing that you want made. The "
        "same key with the same body gives the same session and answer, at any gateway; with "
        "another body, or at another path, 409.",
    ),
]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request that begins something, and what makes its repetition the same."""

    request_id: str
    reference: str
    """What was asked for: SHA-256 of method, path and body, in hex."""
    fresh: bool
    """Whether the request id was made up just now."""

    def of_wish(self, wish: str, number: int) -> Attempt:
        """The one that stands for this wish, whoever repeats it at whichever gateway.

        Arguments:
            number: Of those before it nothing came.
        """
        digest = hashlib.sha256(f"{number} of {wish}".encode()).hexdigest()
        return Attempt(request_id=digest, reference=digest, fresh=False)

    def key_id(self, tenant: str) -> str:
        """Of the key that this attempt makes. Not the request id itself, which may be a word as
        short as the caller likes, and which the coordinator forgets long before the key. No two
        tenants have the same: a certificate names the gateway and the key id, not the tenant."""
        made_by = f"{tenant}/{self.request_id}"
        return hashlib.sha256(b"key of request " + made_by.encode()).hexdigest()[:32]


async def attempt(request: Request, idempotency_key: str | None) -> Attempt:
    """Raises a Problem where it is not one key under which it is asked for."""
    if len(request.headers.getlist(HEADER)) > 1:
        raise Problem("invalid_request", f"{HEADER} came more than once.")
    path: str = request.scope["path"]
    asked = f"{request.method} {path}\n".encode() + await _canonical(request)
    return Attempt(
        request_id=_request_id(idempotency_key),
        reference=hashlib.sha256(asked).hexdigest(),
        fresh=idempotency_key is None,
    )


def _request_id(idempotency_key: str | None) -> str:
    if idempotency_key is None:
        return secrets.token_hex(16)
    if re.fullmatch(ID_PATTERN, idempotency_key):
        return idempotency_key
    return hashlib.sha256(idempotency_key.encode()).hexdigest()


async def _canonical(request: Request) -> bytes:
    """The body without what its writer is free in: spaces and the order of fields."""
    try:
        return json.dumps(await request.json(), sort_keys=True).encode()
    except (ValueError, RecursionError):  # no body of ours; or so deep in what is left aside
        return await request.body()
