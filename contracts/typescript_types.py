"""What the TypeScript client has of the contract: types and schemas, from the JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .addresses import LEGACY_RESULTS_QUEUE, REQUEST_KEYS, REQUESTS, results_queue
from .json_schema import json_schema
from .operations import OPERATIONS

FOLDER = Path(__file__).parent / "typescript" / "src" / "generated"
_HEAD = "// Written by `warren docs`, from the contract. Change the models in Python, not this.\n\n"
_SHOWN = {"description", "title", "discriminator", "$schema"}
"""What people read and a program does not."""
_WIDTH = 100


def documents() -> dict[str, str]:
    """File name -> text."""
    asked, told = json_schema("request"), json_schema("result")
    return {
        "messages.ts": _HEAD + "\n".join(_messages(asked, told)),
        "schemas.ts": _HEAD + "\n".join(_schemas(asked, told)),
        "addresses.ts": _HEAD + "\n".join(_addresses()),
    }


def _messages(asked: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[str]:
    own = {*asked["$defs"]} - {*told["$defs"]}
    for name, model in sorted({**asked["$defs"], **told["$defs"]}.items()):
        # Of a request the sender may leave out what has a default; of a result the reader finds
        # the default there.
        yield from _declared(name, model, optional=name in own)
    for name, schema in (("Request", asked), ("Delivered", told)):
        yield from _comment(schema["title"] + ".", "")
        yield f"export type {name} = {_type(schema)};"
        yield ""


def _declared(name: str, model: Mapping[str, Any], *, optional: bool) -> Iterator[str]:
    yield from _comment(model.get("description"), "")
    if "properties" not in model:
        yield f"export type {name} = {_type(model)};"
        yield ""
        return
    yield f"export interface {name} {{"
    required = {*model.get("required", ())}
    for field, schema in model["properties"].items():
        yield from _comment(schema.get("description"), "  ")
        mark = "?" if optional and field not in required else ""
        yield f"  readonly {field}{mark}: {_type(schema)};"
    yield "}"
    yield ""


def _type(schema: Mapping[str, Any]) -> str:
    match schema:
        case {"$ref": reference}:
            return str(reference).rpartition("/")[2]
        case {"const": value}:
            return json.dumps(value)
        case {"enum": values}:
            return " | ".join(map(json.dumps, values))
        case {"anyOf": members} | {"oneOf": members}:
            return " | ".join(map(_type, members))
        case {"type": "array", "items": items}:
            return (
                f"readonly ({_type(items)})[]"
                if " " in _type(items)
                else (f"readonly {_type(items)}[]")
            )
        case {"type": "object", "patternProperties": fields}:
            (values,) = fields.values()
            return f"Readonly<Record<string, {_type(values)}>>"
        case {"type": "object"}:
            return "Readonly<Record<string, unknown>>"
        case {"type": "integer"}:
            return "number"
        case {"type": kind}:
            return str(kind)
        case _:
            return "unknown"


def _comment(text: str | None, indent: str) -> Iterator[str]:
    if text is None:
        return
    lines = text.replace("*/", "* /").splitlines()
    if len(lines) == 1 and len(indent) + len(lines[0]) + 7 <= _WIDTH:
        yield f"{indent}/** {lines[0]} */"
        return
    yield f"{indent}/**"
    yield from (f"{indent} * {line}".rstrip() for line in lines)
    yield f"{indent} */"


def _schemas(asked: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[str]:
    definitions = {**asked["$defs"], **told["$defs"]}
    yield 'import type { Schema } from "../schema.js";'
    yield ""
    for name, schema in (("REQUEST", asked), ("DELIVERED", told)):
        members = {
            tag: reference.rpartition("/")[2]
            for tag, reference in schema["discriminator"]["mapping"].items()
        }
        yield f"/** {schema['title']}: by its discriminator, the name of its form. */"
        yield f"export const {name}: Readonly<Record<string, string>> = {json.dumps(members)};"
        yield ""
    yield "export const DEFINITIONS: Readonly<Record<string, Schema>> = {"
    for name, model in sorted(definitions.items()):
        yield f"  {name}: {json.dumps(_plain(model), separators=(',', ':'))},"
    yield "};"
    yield ""


def _plain(schema: Any) -> Any:
    """Without what only people read. Names of fields are no words of JSON Schema's."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {}
    for word, value in schema.items():
        if word in {"properties", "patternProperties"}:
            plain[word] = {name: _plain(each) for name, each in value.items()}
        elif word not in _SHOWN:
            plain[word] = _plain(value)
    return plain


def _addresses() -> Iterator[str]:
    yield "/** The exchange that takes requests. */"
    yield f"export const REQUESTS = {json.dumps(REQUESTS)};"
    yield ""
    yield "/** The queue that all producers without a client id share. */"
    yield f"export const LEGACY_RESULTS = {json.dumps(LEGACY_RESULTS_QUEUE)};"
    yield ""
    yield "/** A client's own queue begins so, and ends with its id. */"
    yield f"export const RESULTS = {json.dumps(results_queue('x')[:-1])};"
    yield ""
    yield "/** Operation -> routing key on `REQUESTS`. */"
    yield f"export const REQUEST_KEYS = {json.dumps(REQUEST_KEYS, indent=2)} as const;"
    yield ""
    words = {name: f"mpc_{row.word}_result" for name, row in OPERATIONS.items()}
    yield "/** Operation -> the second word of its result's routing key. */"
    yield f"export const RESULT_WORDS = {json.dumps(words, indent=2)} as const;"
    yield ""
