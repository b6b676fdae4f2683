"""What the OpenAPI document shows is what happens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from contracts import ecdsa
from contracts.primitives import Curve
from gateway.dialects import examples
from gateway.problems import MEDIA_TYPE

from .callers import calls, gateway
from .desks import PARTIES, DeskDouble

DOCUMENT: dict[str, Any] = gateway(DeskDouble()).openapi()
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    if path.startswith("/api/v1/")
    for method, operation in methods.items()
}
KEY = str(examples.ACCOUNT["account_id"])
JSON = "application/json"


def requests() -> list[Any]:
    return [
        pytest.param(name, shown["value"], id=f"{name}-{which}")
        for name, (_, _, operation) in OPERATIONS.items()
        for which, shown in operation.get("requestBody", {"content": {JSON: {"examples": {}}}})[
            "content"
        ][JSON]["examples"].items()
    ]


def fits(content: Any, schema: Any) -> None:
    """Raises unless it does."""
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(whole).validate(content)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Where what the examples speak of exists, also under their ids."""
    desk = DeskDouble()
    opened = await desk.begin_key(
        "alice",
        key_id=KEY,
        curve=Curve.SECP256K1,
        threshold=2,
        party_count=3,
        parties=list(PARTIES)[:3],
        user_id="alice",
        reference="r",
        request_id="r",
    )
    await desk.wait("alice", opened.session_id, 1)
    async with calls(gateway(desk)) as http:
        yield http


async def path_of(http: httpx.AsyncClient, name: str, path: str) -> str:
    """With the id of an account, or of a session that has just begun."""
    if "/accounts/" in path or "/keys/" in path:
        return path.replace("{id}", KEY)
    if "{id}" not in path:
        return path
    begun = await http.post("/api/v1/sessions", json=examples.NEW_SESSION["keygen"]["value"])
    return path.replace("{id}", begun.json()["session_id"])


@pytest.mark.parametrize(("name", "body"), requests())
async def test_a_request_that_is_shown_works(
    http: httpx.AsyncClient, name: str, body: dict[str, Any]
) -> None:
    method, path, operation = OPERATIONS[name]
    path = await path_of(http, name, path)
    if name == "join_session":  # the only thing in an example that cannot be known beforehand
        begun = await http.post("/api/v1/sessions", json=examples.NEW_SESSION["keygen"]["value"])
        path = f"/api/v1/sessions/{begun.json()['session_id']}/join"
        body = {**body, "join_token": begun.json()["join_token"]}
    answer = await http.request(method, path, json=body)
    assert answer.status_code in {200, 201}, answer.text
    response = operation["responses"][str(answer.status_code)]
    fits(answer.json(), response["content"][JSON]["schema"])
    if method == "POST" and answer.status_code == 201:
        waited = await http.request(method, f"{path}?wait=1", json=body)
        fits(waited.json(), response["content"][JSON]["schema"])


@pytest.mark.parametrize(
    "name", [name for name, (_, _, op) in OPERATIONS.items() if "requestBody" not in op]
)
async def test_what_takes_no_body_answers_as_it_is_documented(
    http: httpx.AsyncClient, name: str
) -> None:
    method, path, operation = OPERATIONS[name]
    answer = await http.request(method, await path_of(http, name, path))
    assert answer.status_code == 200, answer.text
    if name != "session_events":
        fits(answer.json(), operation["responses"]["200"]["content"][JSON]["schema"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_answer_that_is_shown_fits_its_schema(name: str) -> None:
    _, _, operation = OPERATIONS[name]
    shown = 0
    for status in ("200", "201"):
        for media in operation["responses"].get(status, {}).get("content", {}).values():
            if "example" in media:
                fits(media["example"], media["schema"])
                shown += 1
    assert shown == (name != "session_events")


def test_the_event_that_is_shown_is_a_session() -> None:
    _, _, operation = OPERATIONS["session_events"]
    media = operation["responses"]["200"]["content"]["text/event-stream"]
    shown = media["examples"]["end"]["value"]
    fits(shown, media["schema"])
    fits(json.loads(shown["data"]), {"$ref": "#/components/schemas/Session"})


def test_the_signature_that_is_shown_verifies() -> None:
    made: Any = examples.SESSION["result"]
    public_key, digest, signature = (
        bytes.fromhex(made[name]) for name in ("public_key", "message_hash", "signature")
    )
    ecdsa.check(public_key, digest, signature)
    parsed = ecdsa.EcdsaSignature.from_bytes(signature)
    assert (parsed.der.hex(), parsed.ethereum.hex()) == (made["der"], made["ethereum"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_says_what_can_go_wrong_and_whose_key_it_needs(name: str) -> None:
    _, _, operation = OPERATIONS[name]
    assert operation["security"] == [{"X-API-Key": []}]
    assert operation["summary"]
    problems = {status: each for status, each in operation["responses"].items() if status >= "4"}
    assert set(problems) >= {"401", "403", "404", "413", "422", "429", "500", "503", "504"}
    assert all(set(each["content"]) == {MEDIA_TYPE} for each in problems.values())
    if operation["responses"].get("201"):
        header = [each["name"] for each in operation["parameters"] if each["in"] == "header"]
        assert header == ["Idempotency-Key"]
        assert "409" in problems
