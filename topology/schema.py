"""JSON Schema of the files, for editors: what may stand where, while it is being written.

It says less than `check`, which knows names, lines and what a role may have at most.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from topology.definitions import (
    ARGUMENTS,
    EXCHANGE_TYPES,
    KEYS,
    QUEUE_TYPES,
    TAGS,
    USER_LIMITS,
    VHOST_LIMITS,
)
from topology.model import GROUPS, ID, ID_IN_WORDS, MAX_LOGIN
from topology.passwords import SOURCES
from topology.roles import ROLES

Schema = dict[str, Any]

_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_TEXT: Final[Schema] = {"type": "string", "minLength": 1}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_NAME: Final[Schema] = {
    "type": "string",
    "pattern": r"^(?:#|(?:[A-Za-z0-9_.*-]|\{[a-z]+\}){1,255})$",
    "description": "A name; {id} is any one id, {party} or {client} the member's.",
}


def as_json(schema: Schema) -> str:
    """As it stands in its file."""
    return json.dumps(schema, indent=2) + "\n"


def members_schema() -> Schema:
    """Of ``members.yaml``."""
    one = {"type": "string", "pattern": f"^{ID}$", "description": ID_IN_WORDS}
    listed = {"type": "array", "items": one, "uniqueItems": True}
    return {
        "$schema": _DRAFT,
        "title": "Warren: members",
        **_mapping({**dict.fromkeys(GROUPS, listed), "logins": _of_names(_logins())}),
    }


def _logins() -> Schema:
    number = {"type": "integer", "minimum": 1, "maximum": MAX_LOGIN}
    return {"type": "array", "items": number, "minItems": 1, "uniqueItems": True}


def flow_schema() -> Schema:
    """Of all other files."""
    sections = {
        "exchanges": _of_names(_mapping({"type": _one_of(EXCHANGE_TYPES)}, needed=("type",))),
        "queues": _of_names(_queue()),
        "policies": _of_names(_policy()),
        "roles": _mapping({role: _role(role) for role in ROLES}),
        "vhost": _mapping({"limits": _mapping(dict.fromkeys(VHOST_LIMITS, _COUNT))}),
    }
    return {"$schema": _DRAFT, "title": "Warren: topology", **_mapping(sections)}


def _queue() -> Schema:
    group = _one_of(GROUPS)
    binding = _mapping({"exchange": _TEXT, "key": _TEXT}, needed=("exchange",))
    return _mapping(
        {
            "type": _one_of(QUEUE_TYPES),
            "for_each": {"anyOf": [group, {"type": "array", "items": group, "minItems": 1}]},
            "arguments": _mapping(
                {key: {"type": ["string", "integer", "boolean"]} for key in ARGUMENTS}
            ),
            "bindings": {"type": "array", "items": binding},
        }
    )


def _policy() -> Schema:
    """In an overlay a part of it will do, so nothing is needed here."""
    listed = {"type": "array", "items": _NAME, "minItems": 1}
    definition = {
        key: _one_of(wanted) if isinstance(wanted, tuple) else _COUNT if wanted is int else _TEXT
        for keys in KEYS.values()
        for key, wanted in keys.items()
    }
    return _mapping(
        {
            "exchanges": listed,
            "queues": listed,
            "definition": _mapping(definition),
            "priority": {"type": "integer"},
        }
    )


def _role(role: str) -> Schema:
    names = {"type": "array", "items": _NAME}
    password = {source: _TEXT for source in SOURCES if source != "command"}
    password["command"] = {"type": "array", "items": _TEXT, "minItems": 1}
    kept = {**_mapping(password), "minProperties": 1, "maxProperties": 1}
    group = ROLES[role].group
    return _mapping(
        {
            **({"for_each": {"const": group}} if group else {}),
            "user": _TEXT,
            "configure": names,
            "write": names,
            "read": names,
            "topics": _of_names(_mapping({"write": names, "read": names})),
            "limits": _mapping(dict.fromkeys(USER_LIMITS, _COUNT)),
            "tags": {"type": "array", "items": _one_of(TAGS)},
            "password": {"anyOf": [{"const": "none"}, kept]},
        }
    )


def _mapping(properties: Mapping[str, Schema], needed: Iterable[str] = ()) -> Schema:
    told: Schema = {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }
    return told | ({"required": list(needed)} if needed else {})


def _of_names(each: Schema) -> Schema:
    return {"type": "object", "additionalProperties": each}


def _one_of(words: Iterable[str]) -> Schema:
    return {"enum": list(words)}
