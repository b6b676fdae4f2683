"""Every message says that it is of version 1, and by that number."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from contracts import requests, results, sessions
from contracts.admission import open_request
from contracts.answers import failed_result
from contracts.errors import InvalidRequestError
from contracts.failures import Failure, FailureCode
from contracts.json_schema import SCHEMAS, json_schema
from contracts.primitives import Curve
from contracts.signing import REQUEST_TAG, explain
from tests.session.builders import nonces_wanted, signing_session
from tests.session.cancels import cancelled, told

from .samples import (
    CLIENT,
    SingleKey,
    announcement,
    fields,
    keygen_request,
    keygen_result,
    policies,
    sign_request,
    sign_result,
)

KEY = SingleKey(Curve.ED25519)
FAILURE = Failure.of(FailureCode.UNKNOWN_KEY, "no such key")
REFUSED: dict[str, Any] = {
    "request_digest": bytes(32),
    "request_id": "r1",
    "client_id": None,
    "finished_at": 1,
}
MESSAGES: list[tuple[TypeAdapter[Any], BaseModel]] = [
    *(
        (requests.ADAPTER, requests.ADAPTER.validate_python(fields(each)))
        for each in ("sign", "keygen", "cancel")
    ),
    (results.DELIVERED, sign_result(sign_request(), KEY)),
    (results.DELIVERED, keygen_result(keygen_request(), KEY.certified())),
    (results.DELIVERED, failed_result("query_keys", FAILURE, **REFUSED)),
    (results.DELIVERED, announcement(sign_request())),
    (sessions.INSTRUCTION, signing_session().created()),
    (sessions.INSTRUCTION, nonces_wanted(1)),
    (sessions.INSTRUCTION, told(cancelled())),
    (sessions.INSTRUCTION, sessions.SessionCancelled(session_id=bytes(32), issued_at=1)),
]
EACH = pytest.mark.parametrize(
    ("adapter", "message"), MESSAGES, ids=[type(message).__name__ for _, message in MESSAGES]
)


@EACH
def test_what_we_write_says_its_version(adapter: TypeAdapter[Any], message: BaseModel) -> None:
    body = message.model_dump_json()
    assert json.loads(body)["version"] == 1
    assert adapter.validate_json(body) == message


@EACH
@pytest.mark.parametrize("version", ["true", "1.0", "1e0", '"1"', "2", "0", "null", "[1]", "{}"])
def test_no_other_version_is_read(
    adapter: TypeAdapter[Any], message: BaseModel, version: str
) -> None:
    body = message.model_dump_json()
    assert body.count('"version":1,') == 1
    with pytest.raises(ValidationError) as caught:
        adapter.validate_json(body.replace('"version":1,', f'"version":{version},'))
    assert "version" in explain(caught.value)


@EACH
def test_a_message_without_a_version_is_refused(
    adapter: TypeAdapter[Any], message: BaseModel
) -> None:
    body = json.loads(message.model_dump_json())
    del body["version"]
    with pytest.raises(ValidationError) as caught:
        adapter.validate_json(json.dumps(body))
    assert explain(caught.value).endswith("version is missing; it must be the number 1")


@pytest.mark.parametrize("changes", [{"version": True}, {"version": 2}, {}])
def test_a_request_of_no_version_is_answered(changes: dict[str, Any]) -> None:
    request = json.loads(sign_request().model_dump_json())
    del request["version"]
    body = json.dumps(request | changes).encode()
    with pytest.raises(InvalidRequestError, match="version"):
        open_request(body, CLIENT.sign(REQUEST_TAG, body), policies())


def test_a_result_inside_a_result_says_its_version_too() -> None:
    outcome = sign_result(sign_request(), KEY)
    answer = results.QuerySessionResult(
        **REFUSED, session_id=None, status=results.Status.COMPLETED, outcome=outcome
    )
    body = json.loads(answer.model_dump_json())
    assert results.ADAPTER.validate_json(json.dumps(body)) == answer
    del body["outcome"]["version"]
    with pytest.raises(ValidationError, match="version is missing"):
        results.ADAPTER.validate_json(json.dumps(body))


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name != "report"])
def test_the_schemas_say_that_the_version_must_stand(name: str) -> None:
    schema = json_schema(name)
    for ref in schema["discriminator"]["mapping"].values():
        model = schema["$defs"][ref.rpartition("/")[2]]
        assert "version" in model["required"]
        assert model["properties"]["version"]["const"] == 1


def test_reports_have_no_version_of_their_own() -> None:
    """They travel in envelopes, whose tag has one."""
    models = json_schema("report")["$defs"]
    versioned = {name for name, model in models.items() if "version" in model.get("properties", {})}
    assert versioned == {"KeyFacts"}  # which are kept, and of either version
