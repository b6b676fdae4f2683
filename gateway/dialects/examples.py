"""What the OpenAPI document shows for each request and answer. The signature is a real one.

The tests send every request that stands here and hold every answer against its schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi.openapi.models import Example

Requests = dict[str, Example]

_MAKING = "54e66424460a369e13d9c75b26eb92830d8a0f0a483c8a0ab3b96f2670e9427c"
_SIGNING = "4915a50abb963da890301abaf0c362e3cba7db005e48723673f55bc148221323"
_RESHARING = "b6c8d9f2a9f24f3a1d0f5c7f0f2de60b7bd7a6c1f5d3a2e4c6b8f0a1d2e3f405"
_KEY = "9af211329b2fc82e5efe906062c73008"
_TOKENS = (
    "00903b35b33dc80d9058e53bea6d93acca59e2dbd81e4dd47a346422c51729f2",
    "17b9639c99eebb8bf27dc599a4ae762accf05843cd8d926270098df9403f6c83",
    "52300c648d7bf3be9967637971f2df7210fc207355efc3cffdd86324cc972f20",
)
_PUBLIC_KEY = "024033389cf6632a172546748fda79e7fbabce944b552db5dba81b16c01fec377b"
_MESSAGE = "UGF5IDEgY29pbiB0byBBbGljZQ=="
_DIGEST = "e5a51ef01472ad2ee8ea092abdfacc50d0b61aea627a76baba60884eebe63d82"
_R = "271d54b5d510a840fb7846ff2f0495da5fa5607d4fd937c644e474e8b92664de"
_S = "253be36fc76e0359977a4a98389c168317c200df8534c5ccbb9a5cdcbe93b953"
_PARTIES = ("server-party-1", "server-party-2", "server-party-3")


def answer(
    responses: Mapping[int | str, Any], status: int, example: Mapping[str, Any]
) -> dict[int | str, Any]:
    """A route's `responses` with an example for the good one."""
    good = {**responses.get(status, {}), "content": {"application/json": {"example": example}}}
    return {**responses, status: good}


def _one(summary: str, value: Mapping[str, Any]) -> Example:
    return {"summary": summary, "value": value}


def _devices(count: int) -> list[dict[str, str]]:
    return [
        {"party_id": name, "device_type": "server", "device_id": f"party{number}"}
        for number, name in enumerate(_PARTIES[:count], start=1)
    ]


###
### Requests
###

MPC_KEYGEN: Requests = {
    "named": _one(
        "Of three parties that you name, two sign",
        {"threshold_n": 3, "threshold_t": 2, "participants": _devices(3)},
    ),
    "solana": _one(
        "Of three parties that the service chooses, for ed25519",
        {"threshold_n": 3, "threshold_t": 2, "curve": "ed25519"},
    ),
}

MPC_SIGN: Requests = {
    "hash": _one(
        "A digest that you have made, by parties that you name",
        {"key_id": _KEY, "message_hash": f"0x{_DIGEST}", "parties": list(_PARTIES[:2])},
    ),
    "child": _one(
        "A message, with a child of an account's key",
        {"account_id": _KEY, "message": _MESSAGE, "derivation_path": "m/0/7"},
    ),
    "taproot": _one(
        "A digest, as BIP-340 has it",
        {"key_id": _KEY, "message_hash": _DIGEST, "scheme": "bip340"},
    ),
}

_OTHERS = {
    "threshold_n": 3,
    "threshold_t": 2,
    "participants": [
        {"party_id": name} for name in ("server-party-1", "server-party-2", "party-4")
    ],
}

MPC_RESHARE: Requests = {
    "refresh": _one("A refresh: the same parties and threshold", {"key_id": _KEY}),
    "others": _one(
        "Another party in place of one, dealt by those who stay",
        {"key_id": _KEY, **_OTHERS, "dealers": list(_PARTIES[:2])},
    ),
    "later": _one(
        "Again, after tries that came to nothing",
        {"account_id": _KEY, "first_epoch": 4},
    ),
}

ACCOUNT_RESHARE: Requests = {
    "refresh": _one("A refresh: the same parties and threshold", {}),
    "more": _one("All three have to sign from now on", {"threshold_t": 3}),
}

NEW_ACCOUNT: Requests = {
    "usual": _one("2 of 3 parties, on secp256k1", {"user_id": "alice"}),
    "other": _one(
        "3 of 3 parties, on ed25519",
        {"user_id": "alice", "threshold_n": 3, "threshold_t": 3, "curve": "ed25519"},
    ),
}

ACCOUNT_SIGN: Requests = {
    "message": _one("A message", {"message": _MESSAGE}),
    "hash": _one("A digest that you have made", {"message_hash": _DIGEST}),
}

NEW_SIGNING_CONFIG: Requests = {"two": _one("These two", {"parties": list(_PARTIES[:2])})}

NEW_SESSION: Requests = {
    "keygen": _one(
        "Make a key",
        {
            "session_type": "keygen",
            "threshold_n": 3,
            "threshold_t": 2,
            "participants": _devices(3),
        },
    ),
    "reshare": _one(
        "Give a key other shares", {"session_type": "reshare", "key_id": _KEY, **_OTHERS}
    ),
    "sign": _one(
        "Sign with a key",
        {"session_type": "sign", "key_id": _KEY, "message": _MESSAGE, "participants": _devices(2)},
    ),
}

JOIN: Requests = {
    "session": _one(
        "With the session's token", {"join_token": _TOKENS[0], "party_id": "server-party-1"}
    ),
}

###
### Answers
###

_NEW_KEY = {
    "session_id": _MAKING,
    "session_type": "keygen",
    "threshold_n": 3,
    "threshold_t": 2,
    "status": "waiting",
}

MPC_KEYGEN_CREATED = {**_NEW_KEY, "join_tokens": dict(zip(_PARTIES, _TOKENS, strict=True))}
SESSION_CREATED = {**_NEW_KEY, "join_token": _TOKENS[0]}

MPC_SIGN_CREATED = {
    "session_id": _SIGNING,
    "session_type": "sign",
    "threshold_n": 3,
    "threshold_t": 2,
    "status": "waiting",
    "join_tokens": dict(zip(_PARTIES[:2], _TOKENS[:2], strict=True)),
}

MPC_RESHARE_CREATED = {
    "session_id": _RESHARING,
    "session_type": "reshare",
    "threshold_n": 3,
    "threshold_t": 2,
    "status": "waiting",
    "join_tokens": dict(zip(("server-party-1", "server-party-2", "party-4"), _TOKENS, strict=True)),
}

_SIGNED = {
    "session_id": _SIGNING,
    "session_type": "sign",
    "threshold_n": 3,
    "threshold_t": 2,
    "key_id": _KEY,
    "created_at": "2026-11-21T06:15:00.000Z",
    "deadline": "2026-11-21T06:16:00.000Z",
}


def _participants(status: str) -> list[dict[str, str]]:
    return [{"party_id": name, "status": status} for name in _PARTIES[:2]]


def _progress(joined: int, signed: int) -> list[dict[str, Any]]:
    return [
        {"round": 1, "name": "joined", "done": joined, "total": 2},
        {"round": 2, "name": "signed", "done": signed, "total": 2},
    ]


SESSION = {
    **_SIGNED,
    "status": "completed",
    "participants": _participants("completed"),
    "progress": _progress(2, 2),
    "signature_may_exist": True,
    "result": {
        "key_id": _KEY,
        "scheme": "ecdsa",
        "message_hash": _DIGEST,
        "public_key": _PUBLIC_KEY,
        "signature": f"{_R}{_S}01",
        "r": _R,
        "s": _S,
        "recovery_id": 1,
        "der": f"30440220{_R}0220{_S}",
        "ethereum": f"{_R}{_S}1c",
        "signers": list(_PARTIES[:2]),
    },
}

JOINED = {
    **_SIGNED,
    "status": "waiting",
    "participants": [
        {"party_id": "server-party-1", "status": "joined"},
        {"party_id": "server-party-2", "status": "waiting"},
    ],
    "progress": _progress(1, 0),
    "signature_may_exist": True,
    "party_id": "server-party-1",
}

CANCELLED = {
    **_SIGNED,
    "status": "cancelled",
    "participants": _participants("waiting"),
    "progress": _progress(0, 0),
    "failure": {
        "code": "cancelled",
        "message": "cancelled by its client",
        "retryable": False,
        "culprits": [],
        "silent": [],
    },
    "signature_may_exist": False,
    "final": True,
    "liars_tolerated": 1,
}

_IDENTITY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"
    "SQjEc/A4vSyp+emrLoyfiott82ml8PJeOsMDOkgAAwgIVNiV+w3oocGPCnnH/wNIMp66Okew4UMwmmud/YR3cg=="
)
_CERTIFICATE = (
    "MEUCIQC8fv+OcI4WhCDpmGaG6De3ED5zdh0vDJT3NHeLPJ21"
    "PAIgXjMTn9u8G2N/wa//MaaBXEFdq4eF2f8RyIxvd0Bpud4="
)
_MEMBERS = ("party-1", "party-2", "party-3")

KEY = {
    "key_id": _KEY,
    "curve": "secp256k1",
    "public_key": _PUBLIC_KEY,
    "certified_key": {
        "facts": {
            "version": 2,
            "client_id": "gateway",
            "key_id": _KEY,
            "session_id": _MAKING,
            "epoch": 0,
            "curve": "secp256k1",
            "threshold": 2,
            "public_key": _PUBLIC_KEY,
            "chain_code": "06" * 32,
            "holders": [
                {"party_id": name, "identity": _IDENTITY, "public_share": _PUBLIC_KEY}
                for name in _MEMBERS
            ],
            "transcript_digest": "07" * 32,
            "request_digest": "08" * 32,
            "origin": "generated",
        },
        "certificates": dict.fromkeys(_MEMBERS, _CERTIFICATE),
    },
    "threshold_n": 3,
    "threshold_t": 2,
    "epoch": 0,
    "parties": list(_PARTIES),
    "schemes": ["bip340", "ecdsa", "secp256k1"],
}

ACCOUNT = {
    "account_id": _KEY,
    "user_id": "alice",
    "status": "completed",
    "session_id": _MAKING,
    "threshold_n": 3,
    "threshold_t": 2,
    "curve": "secp256k1",
    "public_key": _PUBLIC_KEY,
    "epoch": 0,
    "parties": list(_PARTIES),
    "created_at": "2026-11-21T06:14:00.000Z",
}

ACCOUNTS = {"accounts": [ACCOUNT], "next": _KEY}

SIGNING_CONFIG = {
    "account_id": _KEY,
    "configured": True,
    "threshold_t": 2,
    "parties": list(_PARTIES[:2]),
}

DEFAULT_SIGNING_CONFIG = {**SIGNING_CONFIG, "configured": False, "parties": list(_PARTIES)}

SESSION_EVENTS = {
    "end": {
        "summary": "The last one",
        "value": {"id": "1.4", "event": "end", "data": json.dumps(SESSION)},
    }
}
