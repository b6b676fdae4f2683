"""Whatever the document allows to be sent, and much that it does not, is answered as it says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi import checks

from contracts.client import BrokerUnavailableError, ResultTimeoutError
from contracts.primitives import Curve, Scheme

from .callers import ALICE, Known, gateway
from .desks import DeskDouble

KEY = "k"
WHAT: list[CheckFunction] = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
FEW = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)

SCHEMA = schemathesis.openapi.from_asgi(
    "/openapi.json", Known(gateway(DeskDouble()), ALICE)
).include(path_regex="^/api/v1/")


def behind(desk: DeskDouble) -> str:
    """Puts the desk behind the application, and a key with an account, and a session upon it."""

    async def make() -> str:
        opened = await desk.begin_key(
            ALICE.tenant,
            key_id=KEY,
            curve=Curve.SECP256K1,
            threshold=2,
            party_count=3,
            parties=None,
            user_id="u",
            reference="r",
            request_id="r",
        )
        await desk.wait(ALICE.tenant, opened.session_id, 1)
        begun = await desk.begin_signature(
            ALICE.tenant,
            key_id=KEY,
            message=bytes(32),
            scheme=Scheme.ECDSA,
            derivation_path=None,
            signers=None,
            reference="s",
            request_id="s",
        )
        return begun.session_id.hex()

    gateway(desk)
    return asyncio.run(make())


@pytest.mark.long
@SCHEMA.parametrize()
@FEW
def test_what_nobody_foresaw_is_answered_as_documented(case: schemathesis.Case[Any]) -> None:
    session_id = behind(DeskDouble())
    case.call_and_validate(checks=[not_a_server_error, *WHAT])
    if case.path_parameters:  # of what exists, more is to be said
        own = KEY if "/accounts/" in case.path else session_id
        case.path_parameters["id"] = own
        case.call_and_validate(checks=[not_a_server_error, *WHAT])
    if isinstance(case.body, dict) and {"key_id", "account_id"} & set(case.body):
        case.body = {**case.body, "key_id": KEY}
        case.body.pop("account_id", None)
        case.call_and_validate(checks=[not_a_server_error, *WHAT])


@pytest.mark.parametrize(
    ("error", "status"),
    [(BrokerUnavailableError("it is away"), 503), (ResultTimeoutError("r"), 504)],
)
@SCHEMA.parametrize()
@settings(FEW, max_examples=2, phases=[Phase.generate])
def test_what_the_queue_does_to_it_is_documented_too(
    case: schemathesis.Case[Any], error: Exception, status: int
) -> None:
    desk = DeskDouble()
    behind(desk)
    desk.refusing = error
    answer: Any = case.call()
    case.validate_response(answer, checks=WHAT)
    assert answer.status_code in {status, 422}
