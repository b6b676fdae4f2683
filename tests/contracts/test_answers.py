"""Which results answer which requests, of the operations that begin no session."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.answers import check_answer
from contracts.api_keys import SignedApiKeyEntry
from contracts.errors import ContractError
from contracts.identity import Identity
from contracts.primitives import Curve, Status
from contracts.requests import ADAPTER as REQUEST
from contracts.requests import Request
from contracts.results import ADAPTER as RESULT
from contracts.results import AccountView, Result

from .chains import Scribe
from .samples import (
    BEGUN,
    SCRIBE,
    SingleKey,
    fields,
    looked_at,
    session_view,
    sign_request,
    sign_result,
)

SESSION = bytes([8]) * 32
VIEW = session_view()
LOOKED = looked_at()
SEEN = LOOKED["session"]
OUTCOME = sign_result(BEGUN, SingleKey(Curve.ED25519))
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
FIRST = SCRIBE.signed_put()
STRANGER = Scribe(Identity.generate(), client_id="svcA")


def a_fifth(scribe: Scribe) -> SignedApiKeyEntry:
    return scribe.signed_put(number=5)


ENTRY = a_fifth(SCRIBE)


def request(operation: str, **changes: Any) -> Request:
    return REQUEST.validate_python(fields(operation, **changes))


def answer(operation: str, **changes: Any) -> Result:
    given: dict[str, Any] = {
        "result": operation,
        "request_id": "r1",
        "client_id": "svcA",
        "session_id": None,
        "request_digest": bytes(32),
        "status": Status.COMPLETED,
        "finished_at": 1,
    }
    return RESULT.validate_python({**given, **changes})


def changed(view: Any, **changes: Any) -> Any:
    return view.model_copy(update=changes)


ASKED = {
    "cancel": request("cancel"),
    "look": request("query_session"),
    "look by session": request("query_session", target=None, session_id=SEEN.session_id),
    "look by a tenant": request(
        "query_session", target=None, session_id=SEEN.session_id, tenant="shop"
    ),
    "join": request("join_session"),
    "join one": request("join_session", party_id="p1"),
    "account": request("query_accounts", only="treasury"),
    "accounts": request("query_accounts"),
    "configure": request("configure_account"),
    "configure nobody": request("configure_account", signers=None),
    "put": request("put_api_key"),
    "revoke": request("revoke_api_key"),
    "api keys": request("query_api_keys", after=4, limit=1),
}


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("cancel", {"target": "r0"}),
        ("look", LOOKED),
        ("look", LOOKED | {"outcome": OUTCOME}),
        ("look", LOOKED | {"outcome": changed(OUTCOME, session_id=bytes(32))}),
        ("look by session", LOOKED),
        ("join", {"session": VIEW, "party_id": "p3"}),
        ("join one", {"session": VIEW, "party_id": "p1"}),
        ("account", {"accounts": [ACCOUNT]}),
        ("accounts", {"accounts": [ACCOUNT, changed(ACCOUNT, account_id="z")], "more": True}),
        ("accounts", {}),
        ("configure", {"account": ACCOUNT}),
        ("configure nobody", {"account": changed(ACCOUNT, signers=None)}),
        ("put", {"number": 1}),
        ("revoke", {"number": 1}),
        ("api keys", {"entries": [ENTRY], "more": True, "after": 4}),
        ("api keys", {"after": 4}),
    ],
)
def test_a_fitting_answer_is_taken(asked: str, given: dict[str, Any]) -> None:
    check_answer(ASKED[asked], answer(ASKED[asked].operation, **given))


@pytest.mark.parametrize(
    ("asked", "given", "reason"),
    [
        ("cancel", {"target": "r9"}, "target"),
        ("look", {}, "no session"),
        ("look", LOOKED | {"session": changed(SEEN, request_id="r9")}, "target"),
        (
            "look by session",
            LOOKED | {"session": changed(SEEN, session_id=bytes(32))},
            "session_id",
        ),
        ("look", LOOKED | {"session": changed(SEEN, session_id=bytes(32))}, "session_id"),
        ("look by session", LOOKED | {"session": changed(SEEN, request_id="r9")}, "request_id"),
        ("look by session", LOOKED | {"session": changed(SEEN, tenant="bank")}, "owner"),
        ("look by a tenant", LOOKED, "owner"),
        ("look", LOOKED | {"session": changed(SEEN, client_id="svcB")}, "owner"),
        ("look", LOOKED | {"session": changed(SEEN, tenant="bank")}, "owner"),
        ("look", LOOKED | {"terms": None}, "no terms"),
        ("look", LOOKED | {"request": None}, "no request"),
        ("look", LOOKED | {"request": looked_at(sign_request())["request"]}, "terms' request"),
        ("look", LOOKED | {"outcome": changed(OUTCOME, request_id="r9")}, "request_id"),
        ("look", LOOKED | {"outcome": changed(OUTCOME, client_id="svcB")}, "client_id"),
        ("look", LOOKED | {"outcome": changed(OUTCOME, key_id="other")}, "key_id"),
        ("look", LOOKED | {"outcome": changed(OUTCOME, message=b"other")}, "messages"),
        (
            "look",
            LOOKED | {"outcome": changed(OUTCOME, request_digest=bytes(32))},
            "outcome's request_digest",
        ),
        ("look", looked_at(operation="keygen") | {"outcome": OUTCOME}, "outcome"),
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
        ("put", {}, "number"),
        ("put", {"number": 2}, "number"),
        ("revoke", {}, "number"),
        ("revoke", {"number": 2}, "number"),
        ("api keys", {"more": True, "after": 4}, "empty page"),
        ("api keys", {"entries": [ENTRY]}, "after"),
        ("api keys", {"entries": [ENTRY, ENTRY], "after": 4}, "longer page"),
        ("api keys", {"entries": [FIRST], "after": 4}, "entry's number"),
        ("api keys", {"entries": [a_fifth(Scribe(client_id="svcB"))], "after": 4}, "client_id"),
        ("api keys", {"entries": [a_fifth(STRANGER)], "after": 4}, "not signed"),
    ],
)
def test_an_answer_to_something_else_is_refused(
    asked: str, given: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ContractError, match=reason):
        check_answer(ASKED[asked], answer(ASKED[asked].operation, **given))
