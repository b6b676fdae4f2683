"""Revocations of API keys that are brought to the gateway itself.

Coordinator and queue may be away, or lie. Whoever brings one needs no API key: it is signed by the
authority, and can only end a key.
"""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request
from pydantic import BaseModel

from contracts.api_keys import MAX_ENTRY_BYTES, SignedApiKeyEntry
from contracts.errors import ContractError

from .dialects.bodies import BoundedRoute
from .entry.api_keys import ApiKeys
from .problems import Problem, problem_responses

logger = logging.getLogger(__name__)

REVOCATIONS = "/api-keys/revocations"
MAX_BYTES = 2 * MAX_ENTRY_BYTES

router = APIRouter(
    tags=["api keys"],
    route_class=BoundedRoute,
    responses=problem_responses(always=(403, 408, 413, 422, 500), also="revocation_refused"),
)


class Revoked(BaseModel):
    """The API key opens nothing any more, at this gateway."""

    api_key_id: str


@router.post(REVOCATIONS, operation_id="revoke_api_key", summary="End an API key by its authority")
async def revoke(request: Request, entry: SignedApiKeyEntry) -> Revoked:
    """Take the revocation as the API-key authority has signed it. It counts at once and for good,
    whatever the coordinator tells."""
    keys: ApiKeys = request.app.state.api_keys
    try:
        api_key_id = keys.revoke(entry)
    except ContractError as error:
        raise Problem("revocation_refused", f"The entry is refused: {error}.") from None
    logger.warning("an API key was revoked at this gateway", extra={"api_key": api_key_id})
    return Revoked(api_key_id=api_key_id)
