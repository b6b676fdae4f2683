"""What clients and coordinator sign, and what a session is called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .. import requests as models
from .. import strict_json
from ..addresses import request_key, result_key, results_queue
from ..coordinators import RESULT_TAG, Coordinators, Pin
from ..encoding import pack
from ..errors import UnauthenticatedError
from ..primitives import Curve, DeleteAfter, Owner, Scheme
from ..signing import REQUEST_TAG, SignedRequest, sign_request
from ..terms import Member, ReshareMember, ReshareTerms, SessionTerms
from .hands import CLIENT, COORDINATOR, ED25519, NOW, PARTIES, PATH, SPARE, STRANGER, b64
from .refusals import reason_of


def request(operation: str, **fields: Any) -> models.RequestBase:
    """By `CLIENT`, with what all requests have."""
    given: dict[str, Any] = {
        "operation": operation,
        "request_id": "r1",
        "client_id": "svcA",
        "signer": CLIENT.public.der,
        "issued_at": NOW,
        "expires_at": NOW + 60_000,
        "salt": "salt",
        **fields,
    }
    given["reply_to"] = result_key(
        operation,
        client_id=given["client_id"],
        request_id=given["request_id"],
        key_id=given.get("key_id"),
    )
    return models.ADAPTER.validate_python(given)


def signed(operation: str, **fields: Any) -> SignedRequest:
    """The same, signed."""
    made: Any = request(operation, **fields)
    return sign_request(made, CLIENT)


KEYGEN: dict[str, Any] = {
    "key_id": "treasury",
    "curve": Curve.ED25519,
    "threshold": 2,
    "party_count": 3,
}
RESHARE: dict[str, Any] = {
    "key_id": "ed25519",
    "public_key": ED25519.public_key,
    "from_epoch": 0,
    "first_epoch": 1,
    "tries": 2,
    "threshold": 2,
    "parties": ["p1", "p3"],
}
SIGN: dict[str, Any] = {"key_id": "ed25519", "scheme": Scheme.ED25519, "message": b"\0message"}
ECDSA: dict[str, Any] = {"key_id": "secp256k1", "scheme": Scheme.ECDSA, "message": bytes(32)}
ITEMS = [
    models.SignItem(message=bytes([1]) * 32),
    models.SignItem(message=bytes([2]) * 32, derivation_path=PATH),
]

ASKED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "a key": ("keygen", KEYGEN),
    "a key of a producer without an id": ("keygen", {**KEYGEN, "client_id": None}),
    "a key for a tenant, of named parties, for one scheme": (
        "keygen",
        {
            **KEYGEN,
            "curve": Curve.SECP256K1,
            "tenant": "alice",
            "parties": ["p1", "p2", "p3"],
            "schemes": [Scheme.ECDSA],
            "user_id": "Алиса",
            "reference": 'order "7"',
            "announce": True,
            "join_window_ms": 1000,
        },
    ),
    "other shares": ("reshare", RESHARE),
    "other shares of a producer without an id": ("reshare", {**RESHARE, "client_id": None}),
    "other shares, dealt by those that are named": (
        "reshare",
        {**RESHARE, "dealers": ["p1", "p3"], "first_epoch": 57, "tries": 8, "tenant": "alice"},
    ),
    "other shares, announced": (
        "reshare",
        {**RESHARE, "announce": True, "join_window_ms": 1000},
    ),
    "other shares, for which the former ones go at once": (
        "reshare",
        {**RESHARE, "delete_after": DeleteAfter.CERTIFIED},
    ),
    "a rehearsal": ("rehearse", RESHARE),
    "a rehearsal with dealers that are named": (
        "rehearse",
        {**RESHARE, "dealers": ["p1", "p3"], "first_epoch": 57, "tries": 8, "tenant": "alice"},
    ),
    "a signature": ("sign", SIGN),
    "a signature of a producer without an id": ("sign", {**SIGN, "client_id": None}),
    "a signature of a child key": ("sign", {**ECDSA, "derivation_path": PATH}),
    "a signature for an output key": (
        "sign",
        {**ECDSA, "scheme": Scheme.BIP340, "taproot_merkle_root": b""},
    ),
    "signatures of a list": ("sign", {**ECDSA, "message": None, "items": ITEMS}),
    "a cancel": ("cancel", {"target": "r0", "target_issued_at": NOW - 1}),
    "a cancel that names the key": (
        "cancel",
        {"target": "r0", "target_issued_at": NOW - 1, "key_session": bytes([5]) * 32},
    ),
    "an operator's cancel": (
        "cancel",
        {"target": "r0", "of": Owner(client_id="svcB", tenant="bob")},
    ),
    "all keys": ("query_keys", {}),
    "a session": ("query_session", {"target": "r0"}),
    "a key's history": ("query_key_history", {"key_id": "ed25519"}),
    "a page of the history of anybody's key": (
        "query_key_history",
        {"key_session": bytes([5]) * 32, "before": 4},
    ),
    "a join": (
        "join_session",
        {"session_id": bytes([8]) * 32, "join_token": bytes([9]) * 32, "party_id": "p1"},
    ),
    "accounts": ("query_accounts", {"after": "a1", "limit": 20}),
    "who signs for an account": (
        "configure_account",
        {"account_id": "a1", "signers": ["p1", "p3"]},
    ),
}

SPOILT: Mapping[str, tuple[str, dict[str, Any]]] = {
    "a deadline before its beginning": ("a key", {"expires_at": NOW}),
    "a deadline too far away": ("a key", {"expires_at": NOW + 600_001}),
    "more signers than parties": ("a key", {"threshold": 4}),
    "one signer": ("a key", {"threshold": 1}),
    "parties that are not as many": ("a key", {"parties": ["p1", "p2"]}),
    "a party twice": ("a key", {"parties": ["p1", "p2", "p2"]}),
    "a scheme of another curve": ("a key", {"schemes": ["ecdsa"]}),
    "no scheme": ("a key", {"schemes": []}),
    "schemes out of order": (
        "a key for a tenant, of named parties, for one scheme",
        {"schemes": ["ecdsa", "bip340"]},
    ),
    "an id with a dot": ("a key", {"key_id": "a.b"}),
    "no id": ("a key", {"key_id": ""}),
    "an unknown curve": ("a key", {"curve": "p256"}),
    "an unknown field": ("a key", {"algorithm": "x"}),
    "no version": ("a key", {"version": None}),
    "a threshold that no parties reach": ("other shares", {"threshold": 3}),
    "a new holder twice": ("other shares", {"parties": ["p1", "p1", "p2"]}),
    "one new holder": ("other shares", {"parties": ["p1"]}),
    "a dealer twice": ("other shares", {"dealers": ["p1", "p1"]}),
    "an epoch that is not later": ("other shares", {"from_epoch": 1}),
    "an epoch too far ahead": ("other shares", {"first_epoch": 64}),
    "a rehearsal for a threshold that no parties reach": ("a rehearsal", {"threshold": 3}),
    "a rehearsal for an epoch that is not later": ("a rehearsal", {"from_epoch": 1}),
    "a rehearsal for an epoch too far ahead": ("a rehearsal", {"first_epoch": 64}),
    "no tries": ("other shares", {"tries": 0}),
    "too many tries": ("other shares", {"tries": 9}),
    "former shares that go when nobody knows": ("other shares", {"delete_after": "later"}),
    "a rehearsal that says when shares go": ("a rehearsal", {"delete_after": "certified"}),
    "neither message nor items": ("a signature of a child key", {"message": None}),
    "message and items": ("signatures of a list", {"message": "00" * 32}),
    "items of another scheme": ("signatures of a list", {"scheme": "bip340"}),
    "items and one path": ("signatures of a list", {"derivation_path": PATH}),
    "no items": ("signatures of a list", {"items": []}),
    "an empty message": ("a signature", {"message": ""}),
    "half a byte": ("a signature", {"message": "0"}),
    "upper case": ("a signature", {"message": "AB"}),
    "a message that is no digest": ("a signature of a child key", {"message": "00" * 31}),
    "a path for ed25519": ("a signature", {"derivation_path": PATH}),
    "a hardened path": ("a signature of a child key", {"derivation_path": "m/44'/0"}),
    "a path with a leading zero": ("a signature of a child key", {"derivation_path": "m/01"}),
    "a step that would be hardened": (
        "a signature of a child key",
        {"derivation_path": "m/2147483648"},
    ),
    "a root for ecdsa": ("a signature of a child key", {"taproot_merkle_root": ""}),
    "a root of 31 bytes": ("a signature for an output key", {"taproot_merkle_root": "00" * 31}),
    "one signer of a signature": ("a signature", {"signers": ["p1"]}),
    "a signer twice": ("a signature", {"signers": ["p1", "p1"]}),
    "a target later than the cancel": ("a cancel", {"target_issued_at": NOW + 1}),
    "both names of a session": ("a session", {"session_id": "08" * 32}),
    "neither name of a session": ("a session", {"target": None}),
    "both names of a key": ("a key's history", {"key_session": "05" * 32}),
    "neither name of a key": ("a key's history", {"key_id": None}),
    "a history before the first epoch": ("a key's history", {"before": 0}),
    "a time that is no whole number": ("all keys", {"issued_at": 0.5}),
    "a page of none": ("all keys", {"limit": 0}),
}


def requests() -> dict[str, Any]:
    """Bodies as they are sent with their signatures and addresses; and what nobody may ask."""
    return {
        "identity": {"private_key": CLIENT.to_base64(), "public_key": CLIENT.public.to_base64()},
        "tag": REQUEST_TAG.decode(),
        "asked": [_asked(name, *given) for name, given in ASKED.items()],
        "refused": [_spoilt(name, *given) for name, given in SPOILT.items()],
    }


def _asked(name: str, operation: str, fields: dict[str, Any]) -> dict[str, Any]:
    made = signed(operation, **fields)
    client_id = made.request.client_id
    return {
        "name": name,
        "body": made.body.decode(),
        "signed": pack((REQUEST_TAG, made.body)).hex(),
        "signature": b64(made.signature),
        "digest": made.digest.hex(),
        "headers": made.headers(),
        "routing_key": request_key(operation, client_id),
        "results_queue": results_queue(client_id),
    }


def _spoilt(name: str, of: str, changes: dict[str, Any]) -> dict[str, Any]:
    operation, fields = ASKED[of]
    body = {**json.loads(signed(operation, **fields).body), **changes}
    if body["version"] is None:
        del body["version"]
    text = json.dumps(body)
    reason = reason_of(lambda: strict_json.validated(models.ADAPTER, text.encode()))
    assert reason is not None, name
    return {"name": name, "body": text, "reason": reason}


def coordinators() -> dict[str, Any]:
    """Whose word counts, and when."""
    body = b'{"result":"keygen"}'
    good = b64(COORDINATOR.sign(RESULT_TAG, body))
    pins = {
        "always": [Pin(COORDINATOR.public)],
        "in its time": [Pin(COORDINATOR.public, NOW, NOW + 1)],
        "too early": [Pin(COORDINATOR.public, NOW + 1, None)],
        "too late": [Pin(COORDINATOR.public, None, NOW)],
        "the second of two": [Pin(STRANGER.public), Pin(COORDINATOR.public)],
        "another one": [Pin(STRANGER.public)],
    }
    headers: dict[str, Any] = {
        "no signature": {},
        "a signature that is no text": {"signature": 7},
        "no base64": {"signature": good[:-1] + "!"},
        "a signature in another form": {"signature": b64(bytes(64))},
        "too long a signature": {"signature": "A" * 200},
        "over other bytes": {"signature": b64(COORDINATOR.sign(RESULT_TAG, body + b" "))},
        "with another tag": {"signature": b64(COORDINATOR.sign(b"warren/request/v1", body))},
        "somebody else's": {"signature": b64(STRANGER.sign(RESULT_TAG, body))},
        "not the only encoding": {"signature": b64(_padded(COORDINATOR.sign(RESULT_TAG, body)))},
    }
    cases = [(name, given, {"signature": good}) for name, given in pins.items()]
    cases += [(name, pins["always"], given) for name, given in headers.items()]
    return {
        "tag": RESULT_TAG.decode(),
        "now": NOW,
        "body": body.decode(),
        "cases": [
            {
                "name": name,
                "coordinators": [
                    {
                        "public_key": pin.identity.to_base64(),
                        "valid_from": pin.valid_from,
                        "valid_until": pin.valid_until,
                    }
                    for pin in given
                ],
                "headers": shown,
                "refused": _refusal(given, body, shown),
            }
            for name, given, shown in cases
        ],
    }


def _padded(signature: bytes) -> bytes:
    """The same numbers, the first of them with a zero in front that DER forbids."""
    size = signature[3]
    number = b"\0" + signature[4 : 4 + size]
    rest = signature[4 + size :]
    inside = b"\x02" + bytes([len(number)]) + number + rest
    return b"\x30" + bytes([len(inside)]) + inside


def _refusal(pins: list[Pin], body: bytes, headers: dict[str, Any]) -> dict[str, str] | None:
    try:
        Coordinators(pins).check_result(body, headers, now=NOW)
    except UnauthenticatedError as error:
        return {"kind": error.kind, "reason": str(error)}
    return None


def terms(of: SignedRequest, **changes: Any) -> SessionTerms:
    """Of a session of the request."""
    given: dict[str, Any] = {
        "protocol": of.request.operation,
        "request_digest": of.digest,
        "key_session": None if of.request.operation == "keygen" else bytes([5]) * 32,
        "epoch": 0,
        "threshold": 2,
        "members": [
            Member(party_id=name, index=index, identity=PARTIES[name].public.der)
            for index, name in ((1, "p1"), (3, "p3"))
        ],
        "salt": bytes(32),
    }
    return SessionTerms(**{**given, **changes})


def reshare_terms(of: SignedRequest, **changes: Any) -> ReshareTerms:
    """Of a session of the request: one deals and receives, one deals, one receives."""
    roles = {"p1": (1, 1), "p2": (2, None), "p3": (None, 2)}
    given: dict[str, Any] = {
        "request_digest": of.digest,
        "key_session": bytes([5]) * 32,
        "predecessor": ED25519.facts().digest(),
        "epoch": 1,
        "threshold": 2,
        "members": [
            ReshareMember(
                party_id=name,
                index=place,
                identity=PARTIES[name].public.der,
                deals_as=deals,
                receives_as=receives,
            )
            for place, (name, (deals, receives)) in enumerate(roles.items(), start=1)
        ],
        "salt": bytes(32),
    }
    return ReshareTerms(**{**given, **changes})


def sessions() -> dict[str, Any]:
    """Terms, and the id that they give."""
    anew = signed("reshare", **RESHARE)
    key, signature = signed("keygen", **KEYGEN), signed("sign", **SIGN)
    other = Member(party_id="p4", index=2, identity=SPARE.public.der)
    given: dict[str, SessionTerms | ReshareTerms] = {
        "of a key": terms(key),
        "of a signature": terms(signature),
        "of a later epoch": terms(signature, epoch=3),
        "with another salt": terms(signature, salt=bytes([1]) * 32),
        "of three": terms(
            signature, members=[*terms(signature).members[:1], other, *terms(signature).members[1:]]
        ),
        "of another threshold": terms(signature, threshold=3),
        "of other shares": reshare_terms(anew),
        "of a later try": reshare_terms(anew, epoch=2),
        "of other shares, dealt from another epoch": reshare_terms(anew, predecessor=bytes(32)),
    }
    return {
        "cases": [
            {
                "name": name,
                "terms": json.loads(each.model_dump_json()),
                "session_id": each.session_id().hex(),
            }
            for name, each in given.items()
        ]
    }
