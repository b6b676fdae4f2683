"""Which results answer which requests, of the operations that begin no session."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.answers import check_answer
from contracts.errors import ContractError
from contracts.primitives import Curve, Scope, Status
from contracts.requests import ADAPTER as REQUEST
from contracts.requests import Request
from contracts.results import ADAPTER as RESULT
from contracts.results import AccountView, ApiKeyView, Result

from .samples import SingleKey, fields, session_view, sign_request, sign_result

SESSION = bytes([8]) * 32
VIEW = session_view()
OUTCOME = sign_result(sign_request(request_id="r0"), SingleKey(Curve.ED25519))
ACCOUNT = AccountView(
    account_id="treasury",
    user_id="Ada",
    status=Status.COMPLETED,
    session_id=SESSION,
    created_at=1,
    curve=Curve.ED25519,
    threshold=2,
    parties=["p1", "p2", "p3"],
    signers=["p3", "p1"],
    public_key=None,
)
API_KEY = ApiKeyView(
    api_key_id="first",
    holder="shop",
    key_digest=bytes([10]) * 32,
    scopes=[Scope.READ, Scope.SIGN],
    created_at=1,
    valid_until=None,
    revoked_at=None,
)
REVOKED = API_KEY.model_copy(update={"revoked_at": 2})


def request(operation: str, **changes: Any) -> Request:
    return REQUEST.validate_python(fields(operation, **changes))


def answer(operation: str, **changes: Any) -> Result:
    given: dict[str, Any] = {
        "result": operation,
        "request_id": "r1",
        "client_id": "svcA",
        "session_id": None,
        "status": Status.COMPLETED,
        "finished_at": 1,
    }
    return RESULT.validate_python({**given, **changes})


def changed(view: Any, **changes: Any) -> Any:
    return view.model_copy(update=changes)


ASKED = {
    "cancel": request("cancel"),
    "cancel by session": request("cancel", target=None, session_id=SESSION),
    "look": request("query_session"),
    "look by session": request("query_session", target=None, session_id=SESSION),
    "join": request("join_session"),
    "join one": request("join_session", party_id="p1"),
    "account": request("query_accounts", only="treasury"),
    "accounts": request("query_accounts"),
    "configure": request("configure_account"),
    "configure nobody": request("configure_account", signers=None),
    "put": request("put_api_key"),
    "revoke": request("revoke_api_key"),
    "api keys": request("query_api_keys"),
}


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("cancel", {"target": "r0"}),
        ("cancel by session", {"target": None}),
        ("look", {"session": VIEW}),
        ("look", {"session": VIEW, "outcome": OUTCOME}),
        ("look", {"session": VIEW, "outcome": changed(OUTCOME, session_id=bytes(32))}),
        ("look by session", {"session": VIEW}),
        ("join", {"session": VIEW, "party_id": "p3"}),
        ("join one", {"session": VIEW, "party_id": "p1"}),
        ("account", {"accounts": [ACCOUNT]}),
        ("accounts", {"accounts": [ACCOUNT, changed(ACCOUNT, account_id="z")], "more": True}),
        ("accounts", {}),
        ("configure", {"account": ACCOUNT}),
        ("configure nobody", {"account": changed(ACCOUNT, signers=None)}),
        ("put", {"api_key": API_KEY}),
        ("revoke", {"api_key": REVOKED}),
        ("api keys", {"api_keys": [API_KEY], "more": True}),
    ],
)
def test_a_fitting_answer_is_taken(asked: str, given: dict[str, Any]) -> None:
    check_answer(ASKED[asked], answer(ASKED[asked].operation, **given))


@pytest.mark.parametrize(
    ("asked", "given", "reason"),
    [
        ("cancel", {"target": "r9"}, "target"),
        ("look", {}, "no session"),
        ("look", {"session": changed(VIEW, request_id="r9")}, "target"),
        ("look by session", {"session": changed(VIEW, session_id=bytes(32))}, "session_id"),
        ("look", {"session": VIEW, "outcome": changed(OUTCOME, request_id="r9")}, "request_id"),
        ("look", {"session": VIEW, "outcome": changed(OUTCOME, client_id="svcB")}, "client_id"),
        ("look", {"session": VIEW, "outcome": changed(OUTCOME, key_id="other")}, "key_id"),
        ("look", {"session": changed(VIEW, operation="keygen"), "outcome": OUTCOME}, "outcome"),
        ("join", {"party_id": "p1"}, "no session"),
        ("join", {"session": VIEW}, "no party_id"),
        ("join", {"session": changed(VIEW, session_id=bytes(32)), "party_id": "p1"}, "session_id"),
        ("join one", {"session": VIEW, "party_id": "p3"}, "party_id"),
        ("account", {"accounts": [changed(ACCOUNT, account_id="z")]}, "something else"),
        ("account", {}, "something else"),
        ("accounts", {"more": True}, "empty page"),
        ("configure", {}, "no account"),
        ("configure", {"account": changed(ACCOUNT, account_id="z")}, "account_id"),
        ("configure", {"account": changed(ACCOUNT, signers=None)}, "signers"),
        ("configure nobody", {"account": ACCOUNT}, "signers"),
        ("put", {}, "no api_key"),
        ("put", {"api_key": changed(API_KEY, api_key_id="second")}, "api_key_id"),
        ("put", {"api_key": changed(API_KEY, holder="thief")}, "holder"),
        ("put", {"api_key": changed(API_KEY, key_digest=bytes(32))}, "key_digest"),
        ("put", {"api_key": changed(API_KEY, scopes=list(Scope))}, "scopes"),
        ("put", {"api_key": changed(API_KEY, valid_until=9)}, "valid_until"),
        ("revoke", {}, "no api_key"),
        ("revoke", {"api_key": changed(REVOKED, api_key_id="second")}, "api_key_id"),
        ("revoke", {"api_key": API_KEY}, "revoked_at"),
        ("api keys", {"more": True}, "empty page"),
    ],
)
def test_an_answer_to_something_else_is_refused(
    asked: str, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ContractError, match=reason):
        check_answer(ASKED[asked], answer(ASKED[asked].operation, **given))
