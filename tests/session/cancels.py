"""Cancels of a client's, and how the coordinator tells the parties of them."""

from __future__ import annotations

from typing import Any

from contracts import addresses
from contracts.identity import Identity
from contracts.requests import CancelRequest
from contracts.sessions import RequestCancelled, cancel_session_id
from contracts.signing import SignedRequest, sign_request
from contracts.statements import Statement
from tests.session.builders import CLIENT, CLIENT_ID, IDENTITIES, LIFETIME_MS, NOW

TARGET = "request-1"


def cancel_request(**changes: Any) -> CancelRequest:
    fields: dict[str, Any] = {
        "request_id": "cancel-1",
        "client_id": CLIENT_ID,
        "signer": CLIENT.public.der,
        "issued_at": NOW,
        "expires_at": NOW + LIFETIME_MS,
        "target": TARGET,
    } | changes
    reply_to = addresses.result_key(
        "cancel", client_id=fields["client_id"], request_id=fields["request_id"], key_id=None
    )
    return CancelRequest(reply_to=reply_to, **fields)


def cancelled(by: Identity = CLIENT, **changes: Any) -> SignedRequest:
    return sign_request(cancel_request(signer=by.public.der, **changes), by)


def told(signed: SignedRequest, **changes: Any) -> RequestCancelled:
    fields: dict[str, Any] = {
        "session_id": cancel_session_id(signed.digest),
        "issued_at": NOW,
        "request": signed.body,
        "request_signature": signed.signature,
    }
    return RequestCancelled(**fields | changes)


def statement(
    i: int, request: CancelRequest | None = None, *, by: int | None = None, **changes: Any
) -> Statement:
    """Party i's, of what the cancel is about; signed by another one's identity where asked for."""
    asked = request or cancel_request()
    given: dict[str, Any] = {"issued_from": 0, "issued_until": asked.issued_at} | changes
    return Statement.signed(
        IDENTITIES[f"party-{by or i}"], f"party-{i}", asked.target_owner, asked.target, **given
    )
