"""What a body says about itself, as far as it may be shown.

Nothing of it is verified. The payload of an envelope is shown if it is an instruction of the
coordinator's, and no other's: it may be a sealed share.
"""

from __future__ import annotations

import base64
from typing import Any

import pydantic_core

from contracts import bundles, envelope
from contracts.envelope import UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.primitives import MAX_BODY_BYTES

READABLE_BYTES = 2 * MAX_BODY_BYTES
"""The most that a party takes for an instruction. Longer ones are for `--raw-to`."""

UNREADABLE = "unreadable"
_NOT_SHOWN = "not shown"
_TOKENS = {"join_token", "join_tokens", "session_token"}
_JSON = "application/json"


def shown(body: bytes) -> dict[str, Any]:
    """JSON that tells what the body is; `form` is ``envelope``, ``json``, ``bundle`` or
    ``unreadable``."""
    if parts := parts_of(body):
        return {
            "form": "bundle",
            "parts": [
                {
                    "message_id": part.message_id,
                    "kind": part.kind,
                    "bytes": len(part.body),
                    **shown(part.body),
                }
                for part in parts
            ],
        }
    claimed = _envelope(body)
    if claimed is not None:
        instruction = _json(claimed.payload) if claimed.sender == envelope.COORDINATOR else None
        return {
            "form": "envelope",
            "session_id": claimed.session_id.hex(),
            "epoch": claimed.epoch,
            "kind": claimed.kind,
            "round": claimed.round,
            "sender": claimed.sender,
            "recipient": claimed.recipient,
            "payload_bytes": len(claimed.payload),
            **_value(instruction),
        }
    value = _json(body)
    return {"form": UNREADABLE if value is None else "json", **_value(value)}


def _value(value: dict[str, Any] | None) -> dict[str, Any]:
    if value is None:
        return {}
    request = _request(value)
    return {"value": without_tokens(value), **({} if request is None else {"request": request})}


def parts_of(body: bytes) -> tuple[bundles.Part, ...]:
    """The messages in a bundle; none if it is no bundle."""
    try:
        return bundles.unpack(body)
    except ContractError:
        return ()


def kind_of(body: bytes, *, report: bool) -> str:
    """The AMQP type that goes with a body of ours, or `UNREADABLE`.

    Arguments:
        report: Whether it was for the coordinator: then an envelope's type names no round, as
            that of the coordinator's own.
    """
    if parts_of(body):
        return bundles.KIND
    claimed = _envelope(body)
    if claimed is not None:
        spoken = report or claimed.sender == envelope.COORDINATOR
        return claimed.kind if spoken else f"{claimed.kind}/{claimed.round}"
    value = _json(body) or {}
    for name in ("instruction", "operation", "result"):
        if isinstance(value.get(name), str):
            return str(value[name])[:255]  # AMQP has room for no more
    return UNREADABLE


def content_type_of(body: bytes) -> str:
    """What the body looks like, where nobody says."""
    if parts_of(body):
        return bundles.CONTENT_TYPE
    if _envelope(body) is not None:
        return envelope.CONTENT_TYPE
    return "application/octet-stream" if _json(body) is None else _JSON


def without_tokens(value: Any) -> Any:
    """Callers' tickets into sessions."""
    match value:
        case dict():
            return {
                name: _NOT_SHOWN if name in _TOKENS and inner else without_tokens(inner)
                for name, inner in value.items()
            }
        case list():
            return [without_tokens(inner) for inner in value]
    return value


def _envelope(body: bytes) -> envelope.Envelope | None:
    try:
        return UnverifiedEnvelope.from_bytes(body).claimed
    except ContractError:
        return None


def _json(body: bytes) -> dict[str, Any] | None:
    """None if the body is no JSON object, or one that only a program could read."""
    if len(body) > READABLE_BYTES:
        return None
    try:
        # Not json.loads: it nests as deep as somebody has set Python's recursion limit, and dies.
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _request(instruction: dict[str, Any]) -> dict[str, Any] | None:
    """The client's own request, which an instruction carries as bytes."""
    encoded = instruction.get("request")
    if not isinstance(encoded, str):
        return None
    try:
        return _json(base64.b64decode(encoded, validate=True))
    except ValueError:
        return None
