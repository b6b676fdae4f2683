"""Whatever a gateway answers in these tests is held to its OpenAPI document: a status, a header's
absence or a field that is not there as documented fails the test that met it."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import httpx
import jsonschema_rs

from gateway import document
from gateway.problems import MEDIA_TYPE, SCHEMA

JSON = "application/json"
DOCUMENT: dict[str, Any] = json.loads(document.PATH.read_text())
PATHS = {
    re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))): operations
    for path, operations in DOCUMENT["paths"].items()
}


class UndocumentedError(AssertionError):
    """What was answered is not in the document."""


async def hold(answer: httpx.Response) -> None:
    """A hook for an `httpx.AsyncClient`. Raises UndocumentedError."""
    await answer.aread()
    if answer.status_code >= 400:
        check_schema(answer, {"$ref": f"#/components/schemas/{SCHEMA}"}, unless_json=True)
    operation = operation_of(answer.request)
    if operation is not None:
        check(answer, operation)


def operation_of(request: httpx.Request) -> Any:
    """None where the document has no such path. With a method that it has not, any of the path's:
    all may answer that."""
    for pattern, operations in PATHS.items():
        if pattern.fullmatch(request.url.path):
            method = "get" if request.method == "HEAD" else request.method.lower()
            if method == "options":
                return None
            return operations.get(method, next(iter(operations.values())))
    return None


def check(answer: httpx.Response, operation: Any) -> None:
    """Raises UndocumentedError unless the operation may answer so."""
    response = operation["responses"].get(str(answer.status_code))
    if response is None:
        raise UndocumentedError(f"{operation['operationId']}: {answer.status_code}")
    media = answer.headers.get("content-type", "").partition(";")[0]
    told = response.get("content", {})
    if answer.content and media not in told:
        raise UndocumentedError(f"{operation['operationId']}: {answer.status_code} in {media!r}")
    if media == JSON and answer.content:
        check_schema(answer, told[media]["schema"])
    for name in ("Allow", "Idempotent-Replayed", "Location", "Retry-After", "WWW-Authenticate"):
        if name in answer.headers and name not in response.get("headers", {}):
            raise UndocumentedError(f"{operation['operationId']}: {answer.status_code}: {name}")


def check_schema(answer: httpx.Response, schema: Any, *, unless_json: bool = False) -> None:
    """Raises UndocumentedError unless the content is as the schema has it, and has no more."""
    media = answer.headers.get("content-type", "")
    if not answer.content or (unless_json and media != MEDIA_TYPE):
        return
    try:
        _validator(json.dumps(schema)).validate(answer.json())
    except jsonschema_rs.ValidationError as error:
        raise UndocumentedError(f"{answer.request.url}: {error}") from None


@functools.cache
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    whole = {**json.loads(schema), "components": _closed(DOCUMENT["components"])}
    return jsonschema_rs.Draft202012Validator(whole)


def _closed(node: Any) -> Any:
    """The same schemas, with no field but those that they name."""
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    closed = {name: _closed(each) for name, each in node.items()}
    if isinstance(node.get("properties"), dict) and "allOf" not in node:
        closed["additionalProperties"] = False
    return closed
