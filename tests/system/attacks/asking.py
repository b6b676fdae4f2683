"""Requests of the victims, signed by themselves: what an attacker can hear and say again."""

from __future__ import annotations

import secrets
from typing import Any

from contracts.addresses import result_key
from contracts.client import ClientSettings
from contracts.requests import ADAPTER
from contracts.signing import SignedRequest, sign_request

from .forms import now_ms

HOUR_MS = 3_600_000
LIFETIME_MS = 60_000
MESSAGE = b"\x11" * 32


def signed(
    settings: ClientSettings,
    operation: str,
    *,
    age_ms: int = 0,
    request_id: str | None = None,
    **fields: Any,
) -> SignedRequest:
    """Arguments: age_ms: Since it was issued; negative in the future."""
    request_id = request_id or f"attack-{secrets.token_hex(8)}"
    issued_at = now_ms() - age_ms
    made = ADAPTER.validate_python(
        {
            "operation": operation,
            "request_id": request_id,
            "client_id": settings.client_id,
            "signer": settings.identity.public.der,
            "issued_at": issued_at,
            "expires_at": issued_at + LIFETIME_MS,
            "reply_to": result_key(
                operation,
                client_id=settings.client_id,
                request_id=request_id,
                key_id=fields.get("key_id"),
            ),
            **fields,
        },
        strict=False,
    )
    return sign_request(made, settings.private_identity)


def sign(settings: ClientSettings, key_id: str, **fields: Any) -> SignedRequest:
    defaults: dict[str, Any] = {"scheme": "ed25519", "message": MESSAGE.hex()}
    return signed(settings, "sign", key_id=key_id, **(defaults | fields))


def keygen(settings: ClientSettings, key_id: str, **fields: Any) -> SignedRequest:
    defaults: dict[str, Any] = {"curve": "ed25519", "threshold": 2, "party_count": 3}
    return signed(settings, "keygen", key_id=key_id, **(defaults | fields))


def cancel(settings: ClientSettings, target: str, **fields: Any) -> SignedRequest:
    return signed(settings, "cancel", target=target, **fields)


def query_keys(settings: ClientSettings, **fields: Any) -> SignedRequest:
    return signed(settings, "query_keys", **fields)
