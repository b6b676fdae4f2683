from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from contracts.answers import failed_result
from contracts.client import (
    BrokerUnavailableError,
    ClientClosedError,
    RequestFailedError,
    ResultTimeoutError,
    TopologyError,
)
from contracts.failures import Failure, FailureCode
from gateway.problems import ALWAYS, KINDS, PROBLEM_RESPONSES, Problem, ProblemDetails
from tests.gateway.callers import calls, gateway
from tests.gateway.desks import DeskDouble
from tests.gateway.entrance import SECRET, opened, problem

STATUSES = {
    FailureCode.INVALID_REQUEST: 422,
    FailureCode.CONFLICT: 409,
    FailureCode.KEY_EXISTS: 409,
    FailureCode.UNKNOWN_KEY: 404,
    FailureCode.UNKNOWN_REQUEST: 404,
    FailureCode.UNKNOWN_PARTY: 422,
    FailureCode.TOO_FEW_PARTIES: 422,
    FailureCode.EXPIRED: 504,
    FailureCode.CANCELLED: 409,
    FailureCode.PARTY_FAULT: 503,
    FailureCode.PARTY_REFUSED: 503,
    FailureCode.SPOILT: 503,
    FailureCode.STALE_EPOCH: 503,
    FailureCode.KEY_BUSY: 503,
    FailureCode.UNKNOWN_ACCOUNT: 404,
    FailureCode.TOKEN_REFUSED: 403,
    FailureCode.SESSION_OVER: 409,
    FailureCode.OVERLOADED: 503,
    FailureCode.INTERNAL: 503,
}


def failed(code: FailureCode, **more: Any) -> RequestFailedError:
    failure = Failure.of(code, "So it is.", **more)
    result = failed_result(
        "sign",
        failure,
        request_id="r",
        client_id=None,
        request_digest=bytes(32),
        finished_at=1,
    )
    return RequestFailedError(failure, result)


@pytest.mark.parametrize(("told_ms", "header"), [(250, "1"), (1000, "1"), (7001, "8"), (None, "1")])
async def test_who_comes_too_early_is_told_in_seconds_when_to_come_again(
    told_ms: int | None, header: str
) -> None:
    async with opened() as entrance, entrance.caller() as caller:
        entrance.error = failed(FailureCode.OVERLOADED, retry_after_ms=told_ms)
        answer = await caller.get("/boom")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == header


@pytest.mark.parametrize("code", FailureCode)
async def test_every_no_of_the_coordinator_has_a_status(code: FailureCode) -> None:
    async with opened() as entrance, entrance.caller() as caller:
        entrance.error = failed(code)
        answer = await caller.get("/boom")
    assert answer.status_code == STATUSES[code]
    document = problem(answer)
    assert document["code"] == code
    assert document["detail"] == "So it is."
    assert document["retryable"] == (code.retryable and answer.status_code >= 500)
    assert document["instance"] == "/boom"
    assert ("retry-after" in answer.headers) == (answer.status_code == 503)


async def test_who_is_to_blame_or_missing_is_named() -> None:
    async with opened() as entrance, entrance.caller() as caller:
        entrance.error = failed(FailureCode.TOO_FEW_PARTIES, silent=["party-3"])
        assert problem(await caller.get("/boom"))["silent"] == ["party-3"]
        entrance.error = failed(FailureCode.PARTY_FAULT, culprits=["party-2"])
        assert problem(await caller.get("/boom"))["culprits"] == ["party-2"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BrokerUnavailableError("amqp://user:password@host is away"), 503, "broker_unavailable"),
        (TopologyError("exchange is missing at host"), 503, "broker_unavailable"),
        (ClientClosedError("closed"), 503, "stopping"),
        (ResultTimeoutError("r-1"), 504, "no_answer"),
        (RuntimeError("a detail that is nobody's business"), 500, "gateway_error"),
    ],
)
async def test_what_the_gateway_cannot_help_is_told_without_details(
    error: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened() as entrance, entrance.caller() as caller:
        entrance.error = error
        answer = await caller.get("/boom")
    assert answer.status_code == status
    assert problem(answer)["code"] == code
    for word in ("password", "host", "business", "RuntimeError"):
        assert word not in answer.text
    if status == 500:
        assert "nobody's business" in caplog.text
        assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"text": "x", "count": "many and s3cret"}', {"body.count"}),
        (b'{"count": 1}', {"body.text"}),
        (b'{"text": s3cret}', {"body.9"}),
        (b"s3cret", {"body.0"}),
        (b'"s3cret"', {"body"}),
        (b"", {"body"}),
        (b"\xff\xfe", {"body.0"}),
        (b'{"text":\n "x",\n y}', {"body.16"}),
        (b"[" * 100_000, {"body.201"}),  # no deeper
    ],
)
async def test_a_body_that_does_not_fit_names_its_fields_and_is_not_given_back(
    body: bytes, fields: set[str]
) -> None:
    async with opened() as entrance, entrance.caller() as caller:
        answer = await caller.post(
            "/notes", content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 422
    document = problem(answer)
    assert document["code"] == "invalid_request"
    assert "s3cret" not in answer.text
    assert {error["field"] for error in document.get("errors", [{"field": "body"}])} == fields


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (b'{"text": x}', "application/json", "is not JSON: expected value at line 1 column 10"),
        (b'{"text": "x",}', "application/json", "is not JSON: trailing comma at line 1 column 14"),
        (b'{"text": "x"}', "text/plain", "send it with Content-Type: application/json"),
        (b"[]", "application/json", "must be a JSON object"),
        (
            b'{"text": "x", "text": "y"}',
            "application/json",
            "field 'text' stands twice in one object",
        ),
        (b'{"text": "x", "a": [{"b": 1, "b": 1}]}', "application/json", "field 'b' stands twice"),
    ],
)
async def test_what_is_no_json_object_is_told_why(
    body: bytes, content_type: str, said: str
) -> None:
    async with opened() as entrance, entrance.caller() as caller:
        answer = await caller.post("/notes", content=body, headers={"Content-Type": content_type})
    (error,) = problem(answer)["errors"]
    assert said in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        {f"field-{number}": 1 for number in range(1000)},
        {"f" * 10_000: 1},
        {"session_type": "s" * 10_000},
    ],
)
async def test_what_does_not_fit_in_a_thousand_ways_is_not_told_at_length(body: Any) -> None:
    async with calls(gateway(DeskDouble())) as http:
        answer = await http.post("/api/v1/sessions", json={"session_type": "keygen", **body})
    assert problem(answer)["code"] == "invalid_request"
    assert len(answer.content) < 5000


async def test_a_session_type_that_there_is_not_is_answered_with_those_that_there_are() -> None:
    async with calls(gateway(DeskDouble())) as http:
        answer = await http.post("/api/v1/sessions", json={"session_type": "s3cret"})
    (error,) = problem(answer)["errors"]
    assert error["message"] == "'session_type' must be one of 'keygen', 'reshare', 'sign'"
    assert "s3cret" not in answer.text


async def test_what_does_not_exist_is_a_problem_too() -> None:
    async with opened() as entrance, entrance.caller() as caller:
        assert problem(await caller.get("/nothing"))["code"] == "not_found"
        refused = await caller.delete("/who")
        assert problem(refused)["code"] == "method_not_allowed"
        assert refused.headers["allow"] == "GET, HEAD, OPTIONS"
        assert problem(await caller.get("/who/"))["code"] == "not_found"


async def test_a_path_comes_back_as_it_was_sent() -> None:
    async with opened() as entrance, entrance.caller() as caller:
        answer = await caller.get("/%3Cscript%3E%0d%0aX:%20y")
    assert problem(answer)["instance"] == "/%3Cscript%3E%0d%0aX:%20y"
    assert "<" not in answer.text


def test_every_problem_fits_the_schema_that_the_document_promises() -> None:
    for code, kind in KINDS.items():
        document = json.loads(Problem(code, "So it is.").body("/x"))
        assert ProblemDetails.model_validate(document).status == kind.status


def test_every_status_of_a_problem_is_documented_somewhere() -> None:
    assert {kind.status for kind in KINDS.values()} == set(PROBLEM_RESPONSES)
    assert set(ALWAYS) < set(PROBLEM_RESPONSES)


def test_every_failure_code_is_a_kind_of_problem() -> None:
    assert set(FailureCode) <= set(KINDS)


async def test_an_answer_that_has_begun_is_broken_off_and_not_mended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from starlette.responses import StreamingResponse

    async with opened() as entrance, entrance.caller() as caller:

        async def parts() -> Any:
            yield b"half"
            raise RuntimeError("in the middle")

        async def stream(scope: Any, receive: Any, send: Any) -> None:
            await StreamingResponse(parts())(scope, receive, send)

        entrance.app.mount("/stream", stream)
        with caplog.at_level(logging.CRITICAL), pytest.raises(RuntimeError, match="in the middle"):
            await caller.get("/stream/")
