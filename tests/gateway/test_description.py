"""The OpenAPI document as a whole, and that these tests hold every answer to it."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import jsonschema_rs
import pytest

from contracts.primitives import Curve
from gateway.app import WITHOUT_KEY
from gateway.problems import KINDS, MEDIA_TYPE, Problem

from .callers import calls, gateway
from .desks import DeskDouble
from .documented import DOCUMENT, UndocumentedError, hold

OPERATIONS = {
    operation["operationId"]: (method, path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
DIGEST = "e5a51ef01472ad2ee8ea092abdfacc50d0b61aea627a76baba60884eebe63d82"
BASE64 = "aGVsbG8="


def test_the_document_says_where_and_what_and_who() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert DOCUMENT["servers"][0]["url"] == "/"
    told = [tag["name"] for tag in DOCUMENT["tags"] if tag["description"]]
    used = {tag for _, _, operation in OPERATIONS.values() for tag in operation["tags"]}
    assert len(told) == len(set(told))
    assert set(told) == used
    for word in ("HEAD", "OPTIONS", "WebSocket", "/openapi.json"):
        assert word in DOCUMENT["info"]["description"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_described_and_says_all_that_it_answers(name: str) -> None:
    _, path, operation = OPERATIONS[name]
    assert re.fullmatch("[a-z]+(_[a-z]+)*", name)
    assert len(operation["tags"]) == 1
    assert operation["summary"]
    assert operation["description"]
    for parameter in operation.get("parameters", []):
        assert parameter["description"]
        assert {"type": "null"} not in parameter["schema"].get("anyOf", [])
    named = [parameter["name"] for parameter in operation.get("parameters", [])]
    assert ("wait" in named) == path.startswith("/api/v1/"), "a promise that can be asked for"
    responses = operation["responses"]
    assert {"400", "405", "408", "413", "431", "500", "501"} <= set(responses)
    assert ("401" in responses) == ("429" in responses) == (path not in WITHOUT_KEY)
    assert list(responses["405"]["headers"]) == ["Allow"]
    for status in {"429", "503"} & set(responses):
        if MEDIA_TYPE in responses[status]["content"]:
            assert "Retry-After" in responses[status]["headers"]
    if "201" in responses:
        assert {"Location", "Idempotent-Replayed"} <= set(responses["201"]["headers"])
    for status, response in responses.items():
        assert response["description"], status
        for told in response.get("headers", {}).values():
            assert told["description"]


def test_a_code_that_one_operation_alone_answers_stands_with_no_other() -> None:
    for code, name in (("revocation_refused", "revoke_api_key"), ("token_refused", "join_session")):
        kind = KINDS[code]
        having = [
            each
            for each, (_, _, operation) in OPERATIONS.items()
            if kind.title in operation["responses"].get(str(kind.status), {}).get("description", "")
        ]
        assert having == [name]


def test_no_field_has_a_default_and_what_is_left_out_is_said() -> None:
    """A generated client takes a field with a default for one that is always there."""
    schemas = DOCUMENT["components"]["schemas"]
    assert not [
        (name, field)
        for name, schema in schemas.items()
        for field, told in schema.get("properties", {}).items()
        if "default" in told
    ]
    account = schemas["NewAccount"]
    for field, value in (("threshold_n", "3"), ("threshold_t", "2"), ("curve", "`secp256k1`")):
        assert account["properties"][field]["description"].endswith(f"Left out: {value}.")
    assert account["required"] == ["user_id"]


@pytest.mark.parametrize("name", [n for n, (*_, o) in OPERATIONS.items() if "requestBody" in o])
def test_a_request_that_is_shown_fits_its_schema(name: str) -> None:
    content = OPERATIONS[name][2]["requestBody"]["content"]["application/json"]
    whole = {**content["schema"], "components": DOCUMENT["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole)
    assert name == "revoke_api_key" or content["examples"]
    for shown in content.get("examples", {}).values():
        validator.validate(shown["value"])


ALTERNATIVES = [
    ({"key_id": "k", "message": BASE64}, True),
    ({"account_id": "k", "message_hash": DIGEST}, True),
    ({"key_id": "k", "account_id": None, "message": BASE64, "message_hash": None}, True),
    ({"key_id": "k", "message_hash": DIGEST, "message_encoding": "hex"}, True),
    ({"key_id": "k", "message": "hello", "message_encoding": "utf8"}, True),
    ({"key_id": "k"}, False),
    ({"message": BASE64}, False),
    ({"key_id": "k", "account_id": "k", "message": BASE64}, False),
    ({"key_id": "k", "message": BASE64, "message_hash": DIGEST}, False),
    ({"key_id": None, "message": BASE64}, False),
    ({"key_id": "k", "message": None}, False),
    ({"key_id": "k", "message_hash": DIGEST, "message_encoding": "utf8"}, False),
]


@pytest.mark.parametrize(("wish", "right"), ALTERNATIVES)
@pytest.mark.parametrize(
    ("path", "schema"), [("/api/v1/mpc/sign", "MpcSign"), ("/api/v1/sessions", "SignSession")]
)
async def test_the_schema_tells_apart_what_the_gateway_tells_apart(
    wish: dict[str, Any], right: bool, path: str, schema: str
) -> None:
    desk = DeskDouble()
    opened = await desk.begin_key(
        "alice",
        key_id="k",
        curve=Curve.SECP256K1,
        threshold=2,
        party_count=3,
        parties=None,
        reference="r",
        request_id="r",
    )
    await desk.wait("alice", opened.session_id, 1)
    body = {"session_type": "sign", **wish} if schema == "SignSession" else wish
    whole = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    assert jsonschema_rs.Draft202012Validator(whole).is_valid(body) is right
    async with calls(gateway(desk)) as http:
        answer = await http.post(path, json=body)
    assert answer.status_code == (201 if right else 422), answer.text


def answered(
    status: int, content: Any, path: str = "/api/v1/sessions", method: str = "POST", **headers: str
) -> httpx.Response:
    media = MEDIA_TYPE if status >= 400 else "application/json"
    return httpx.Response(
        status,
        content=json.dumps(content).encode(),
        headers={"Content-Type": media, **headers},
        request=httpx.Request(method, f"http://gateway{path}"),
    )


SESSION = {**OPERATIONS["create_session"][2]["responses"]["201"]["content"]["application/json"]}
PROBLEM = Problem("unknown_key", "So it is.").document("/x")


@pytest.mark.parametrize(
    "answer",
    [
        answered(202, SESSION["example"]),
        answered(201, {**SESSION["example"], "colour": "red"}),
        answered(201, {**SESSION["example"], "status": "perhaps"}),
        answered(201, {**SESSION["example"], "result": None}),
        answered(201, {}),
        answered(201, SESSION["example"], **{"Retry-After": "1"}),
        answered(201, SESSION["example"], **{"Content-Type": "text/html"}),
        answered(418, {**PROBLEM, "status": 418}),
        answered(404, {**PROBLEM, "colour": "red"}),
        answered(404, {**PROBLEM, "code": "perhaps"}),
        answered(404, {**PROBLEM, "colour": "red"}, path="/elsewhere"),
        answered(200, {}, path="/health", method="GET"),
    ],
)
async def test_an_answer_that_is_not_in_the_document_fails_whichever_test_met_it(
    answer: httpx.Response,
) -> None:
    with pytest.raises(UndocumentedError):
        await hold(answer)


async def test_an_answer_that_is_in_the_document_passes() -> None:
    await hold(answered(201, SESSION["example"], Location="/api/v1/sessions/x"))
    await hold(answered(404, PROBLEM))
    await hold(
        answered(405, Problem("method_not_allowed", "So it is.").document("/x"), Allow="GET")
    )
