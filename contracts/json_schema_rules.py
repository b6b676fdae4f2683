"""What the fields of one message ask of each other, in JSON Schema's words.

The models check the same in Python. `contracts/vectors/requests.json` and `results.json` have
what each rule refuses, and the TypeScript client, which reads the schemas, is held to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .primitives import Curve, Scheme, Status

Rule = dict[str, Any]


def _where(fields: Mapping[str, Any], then: Rule) -> Rule:
    """Where all these fields are so, the rest is so, too."""
    required = list(fields)
    return {"if": {"properties": dict(fields), "required": required}, "then": then}


def _with(**fields: Any) -> Rule:
    return {"properties": fields, "required": list(fields)}


def _without(*names: str) -> Rule:
    """Left out, or null."""
    return {"properties": {name: {"type": "null"} for name in names}}


_SET: Rule = {"not": {"type": "null"}}
_DIGEST: Rule = {"pattern": "^([0-9a-f]{2}){32}$"}


def _purposes() -> list[Rule]:
    """A key serves schemes of its curve, each once."""
    return [
        _where(
            {"curve": {"const": curve}},
            {
                "properties": {
                    "schemes": {
                        "items": {"enum": [each for each in Scheme if each.curve is curve]},
                        "minItems": 1,
                        "uniqueItems": True,
                    }
                }
            },
        )
        for curve in Curve
    ]


def _messages() -> list[Rule]:
    digests = [scheme for scheme in Scheme if scheme.message_size == 32]
    hardened_only = [scheme for scheme in Scheme if scheme.curve is Curve.ED25519]
    return [
        {
            "oneOf": [
                {"title": "One message", **_with(message=_SET), "allOf": [_without("items")]},
                {
                    "title": "A list of messages",
                    **_with(items=_SET, scheme={"const": Scheme.ECDSA}),
                    "allOf": [_without("message", "derivation_path")],
                },
            ]
        },
        _where(
            {"scheme": {"enum": digests}},
            {
                "properties": {
                    "message": _DIGEST,
                    "items": {"items": {"properties": {"message": _DIGEST}}},
                }
            },
        ),
        _where({"scheme": {"enum": hardened_only}}, _without("derivation_path")),
        _where(
            {"taproot_merkle_root": _SET},
            _with(
                scheme={"const": Scheme.BIP340},
                taproot_merkle_root={"pattern": "^([0-9a-f]{64})?$"},
            ),
        ),
    ]


def _distinct(name: str) -> Rule:
    return {"properties": {name: {"uniqueItems": True}}}


def _either(one: str, other: str, *titles: str) -> Rule:
    """One of the two fields, which the titles call by its name, and not the other."""
    named = zip(((one, other), (other, one)), titles, strict=True)
    return {
        "oneOf": [
            {"title": f"By {title}", **_with(**{name: _SET}), "allOf": [_without(left_out)]}
            for (name, left_out), title in named
        ]
    }


def _ends() -> list[Rule]:
    """A result has a failure unless it is completed, and is over."""
    return [
        {"properties": {"status": {"enum": [each for each in Status if each.final]}}},
        {
            "if": {"properties": {"status": {"const": Status.COMPLETED}}, "required": ["status"]},
            "then": _without("failure"),
            "else": _with(failure=_SET),
        },
    ]


RULES: Mapping[str, list[Rule]] = {
    "KeygenRequest": [_distinct("parties"), *_purposes()],
    "ReshareRequest": [_distinct("parties"), _distinct("dealers")],
    "SignRequest": [*_messages(), _distinct("signers")],
    "QuerySessionRequest": [_either("session_id", "target", "session id", "request id")],
    "QueryKeyHistoryRequest": [_either("key_id", "key_session", "key id", "the key's session")],
    "ConfigureAccountRequest": [_distinct("signers")],
    "KeyFacts": [
        *_purposes(),
        {
            "if": {"properties": {"version": {"enum": [2, 3]}}, "required": ["version"]},
            "then": _with(request_digest=_SET, origin=_SET),
            "else": _without("tenant", "request_digest", "schemes", "origin"),
        },
        {
            "if": {"properties": {"version": {"const": 3}}, "required": ["version"]},
            "then": _with(reshared=_SET, epoch={"minimum": 1}),
            "else": _without("reshared"),
        },
    ],
}


def add(definitions: dict[str, Any]) -> None:
    """To the models that stand there."""
    for name, model in definitions.items():
        rules = [*RULES.get(name, ())]
        if {"status", "failure", "finished_at"} <= model.get("properties", {}).keys():
            rules += _ends()
        if rules:
            model["allOf"] = rules
