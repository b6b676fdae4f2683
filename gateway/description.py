"""What the OpenAPI document says beyond what each route says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .problems import SCHEMA, ProblemDetails

Node = dict[str, Any]

ABOUT = """Keys that no machine ever holds, and signatures with them, for callers that speak HTTP.

**What goes wrong.** Every answer from 400 on is a problem (RFC 9457): go by its `code`, a word for
programs, and do what its `remedy` says. 400, 405, 431 and 501 come wherever a request goes.

**Asking twice, and waiting.** Whatever begins a session takes an `Idempotency-Key`; whoever wants
to wait for its end says `?wait=seconds`.

**Fields.** All names are written with underscores. What no schema here names is refused with 422,
in bodies and after the `?`, but for what is said of a participant's device. Answers may get more
fields, and never have `null` in one.

**Methods.** `HEAD` is answered wherever `GET` is, with the same status and headers and no body.
`OPTIONS` is answered with 204. There as with 405, `Allow` names the methods that the path has.

**Streams.** `GET /api/v1/sessions/{id}/events` is a stream of server-sent events, and with
`Upgrade: websocket` a WebSocket with the same messages; OpenAPI has no words for the latter, so its
description tells of it. This document is served at `/openapi.json`."""

SERVERS = [
    {"url": "/", "description": "The gateway that this document was got from."},
    {
        "url": "http://127.0.0.1:8080",
        "description": "A gateway on this machine, where it listens unless it is told otherwise.",
    },
]

TAGS = [
    {
        "name": "mpc",
        "description": "The specialised dialect: an operation for each thing to do, and a join "
        "token for each party. Sessions begin at once.",
    },
    {
        "name": "accounts",
        "description": "Keys that were made for a user, with a say in which parties sign.",
    },
    {
        "name": "sessions",
        "description": "The generic dialect: sessions of a type, one join token, and joining as a "
        "step of its own. Here every session can be watched and cancelled, whoever began it.",
    },
    {"name": "keys", "description": "Keys, with what their parties have signed for."},
    {
        "name": "api keys",
        "description": "The end of an API key, brought by whoever has it from the API keys' "
        "authority. Needs no API key.",
    },
    {"name": "health", "description": "How this gateway does. Needs no API key."},
]

_RATE_HEADERS = {
    "RateLimit": {
        "description": "What is left of your API key's requests, and in how many seconds they are "
        'whole again, as in the IETF\'s draft: `"key";r=199;t=2`.',
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": 'How many requests your API key has in how many seconds: `"key";q=200;w=2`.',
        "schema": {"type": "string"},
    },
}


def description(app: FastAPI) -> Node:
    """The whole document, from an application's routes."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary="Threshold signatures over HTTP",
        description=ABOUT,
        contact={"name": "Whoever operates this gateway"},
        servers=SERVERS,
        tags=TAGS,
        routes=app.routes,
    )
    schemas = document["components"]["schemas"]
    problem = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas[SCHEMA] = problem
    operations = list(_operations(document))
    for operation in operations:
        _say_how_much_is_left(operation)
        _parameters_without_null(operation)
    asked = _reached([each.get("requestBody", {}) for each in operations], schemas)
    for name, schema in schemas.items():
        for field in schema.get("properties", {}).values():
            # What generates clients takes a field with a default for one that is always there. What
            # it is if it is left out, its description says.
            field.pop("default", None)
            if name not in asked:
                _without_null(field)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _operations(document: Node) -> Iterator[Node]:
    for path in document["paths"].values():
        yield from path.values()


def _say_how_much_is_left(operation: Node) -> None:
    """With what an API key was counted for."""
    if "security" not in operation:
        return
    for status, response in operation["responses"].items():
        if status < "300" or status == "429":
            response["headers"] = {**response.get("headers", {}), **_RATE_HEADERS}


def _parameters_without_null(operation: Node) -> None:
    """Nothing in a URL or header is null."""
    for parameter in operation.get("parameters", []):
        _without_null(parameter["schema"])


def _without_null(schema: Node) -> None:
    """Answers leave out what there is not."""
    choices = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    if len(choices) == 1:
        del schema["anyOf"]
        schema.update(choices[0])
    elif choices:
        schema["anyOf"] = choices


def _reached(nodes: Iterable[Any], schemas: Mapping[str, Any]) -> set[str]:
    """The names of the schemas that these refer to, and those refer to in turn."""
    found: set[str] = set()
    waiting = list(nodes)
    while waiting:
        match waiting.pop():
            case {"$ref": str(reference), **rest}:
                waiting.append(rest)
                name = reference.rsplit("/", 1)[1]
                if name not in found:
                    found.add(name)
                    waiting.append(schemas[name])
            case dict(node):
                waiting.extend(node.values())
            case list(node):
                waiting.extend(node)
    return found
