"""JSON Schema (2020-12) of the messages, from the models.

A schema tells the shape of a message, and what its fields ask of each other, as far as JSON Schema
has words for it. What it cannot compare (a deadline after its beginning, a threshold not above the
party count, the reply address) stands in descriptions.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from . import json_schema_rules, requests, results, sessions

SCHEMAS: dict[str, tuple[TypeAdapter[Any], str]] = {
    "request": (requests.ADAPTER, "What producers ask for"),
    "result": (results.DELIVERED, "What producers get back"),
    "instruction": (sessions.INSTRUCTION, "What the coordinator tells parties"),
    "report": (sessions.REPORT, "What parties tell the coordinator, inside a signed envelope"),
}
"""Name -> a union told apart by one field, and what it is."""


def json_schema(name: str) -> dict[str, Any]:
    adapter, title = SCHEMAS[name]
    schema = adapter.json_schema(ref_template="#/$defs/{model}")
    _require_what_must_stand(schema, schema["$defs"])
    json_schema_rules.add(schema["$defs"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}


def component_schemas() -> dict[str, Any]:
    """All models of all four, by name, referring to each other as AsyncAPI components."""
    components: dict[str, Any] = {}
    for adapter, _ in SCHEMAS.values():
        schema = adapter.json_schema(ref_template="#/components/schemas/{model}")
        definitions = schema["$defs"]
        _require_what_must_stand(schema, definitions)
        json_schema_rules.add(definitions)
        components.update(definitions)
    return dict(sorted(components.items()))


def members(name: str) -> dict[str, str]:
    """The discriminator's values in a union -> the name of the model."""
    adapter, _ = SCHEMAS[name]
    mapping = adapter.json_schema()["discriminator"]["mapping"]
    return {tag: ref.rpartition("/")[2] for tag, ref in mapping.items()}


def _require_what_must_stand(schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    """The field that tells the members apart, and the version, have defaults in Python; on paper
    they must stand."""
    given = {schema["discriminator"]["propertyName"], "version"}
    for ref in schema["discriminator"]["mapping"].values():
        model = definitions[ref.rpartition("/")[2]]
        model["required"] = sorted(
            {*model.get("required", ()), *given & model["properties"].keys()},
            key=list(model["properties"]).index,
        )
