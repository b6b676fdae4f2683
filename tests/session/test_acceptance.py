"""What a party refuses: one valid session, and one change in each case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts.envelope import Envelope
from contracts.identity import Identity
from contracts.keys import Holder
from contracts.primitives import Curve
from contracts.requests import CancelRequest
from contracts.sessions import Member, NonceCommitment, SessionTerms
from contracts.signing import ClientPolicy, sign_request
from tests.protocols.simulate import coins
from tests.session.builders import (
    CLIENT,
    CLIENT_ID,
    IDENTITIES,
    LIFETIME_MS,
    NOW,
    PEERS,
    TOLERANCE_MS,
    Signing,
    created,
    facts,
    keygen_created,
    keygen_request,
    member,
    party,
    signing_session,
    terms,
)
from workers.session.acceptance import (
    Accepted,
    Peer,
    accept,
    check_signing_key,
    own_commitment,
)
from workers.session.errors import RefusedError

STRANGER = Identity.generate()
ALL = [member(1), member(2), member(3)]
TOO_LATE = NOW + LIFETIME_MS + TOLERANCE_MS + 1


def test_a_valid_key_generation_is_accepted() -> None:
    made = keygen_created()
    accepted = accept(made, party(2), now=NOW)
    assert accepted.session_id == made.session_id
    assert accepted.own_index == 2
    assert [each.party_id for each in accepted.others()] == ["party-1", "party-3"]


def test_a_valid_signing_session_is_accepted() -> None:
    session = signing_session()
    accepted = accept(session.created(), party(3), now=NOW)
    assert accepted.own_index == 3
    assert own_commitment(accepted) == session.commitments[3]
    check_signing_key(accepted, facts())


@pytest.mark.parametrize(
    "request_fields",
    [{"parties": ["party-3", "party-1", "party-2"]}, {"threshold": 3}],
)
def test_what_the_client_names_and_gets_is_accepted(request_fields: dict[str, Any]) -> None:
    request = keygen_request(**request_fields)
    made = keygen_created(request, terms_changes={"threshold": request.threshold})
    assert accept(made, party(1), now=NOW).request == request


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"session_id": coins("another")}, "not the one that its terms give"),
        ({"request_signature": b"nonsense"}, "wrong signature"),
        ({"request": b"{"}, "not JSON"),
        (
            {"request": sign_request(keygen_request(request_id="other"), CLIENT).body},
            "wrong signature",
        ),
        ({"terms_changes": {"request_digest": coins("another")}}, "name another request"),
        ({"terms_changes": {"protocol": "sign"}}, "asks to keygen, the terms to sign"),
        ({"members": [member(1), member(2), member(3, identity=STRANGER)]}, "another identity"),
        ({"members": [member(2, index=1), member(3, index=2), member(4, index=3)]}, "we are not"),
        ({"members": [member(1), member(2), member(2, index=3)]}, "stands twice"),
        ({"members": [member(2, index=2), member(1, index=1), member(3)]}, "ascending order"),
        ({"members": [member(1, index=1), member(2, index=1), member(3)]}, "ascending order"),
        ({"terms_changes": {"key_session": coins("old key")}}, "no earlier key"),
        ({"terms_changes": {"epoch": 1}}, "no earlier key, epoch"),
        (
            {"commitments": [NonceCommitment(nonce_id=bytes(32), commitment=b"")]},
            "or commitments",
        ),
        ({"terms_changes": {"threshold": 3}}, "asked for 2 of 3, the terms say 3 of 3"),
        ({"members": [member(1), member(2)]}, "asked for 2 of 3, the terms say 2 of 2"),
        ({"members": [member(1), member(2), member(3, index=4)]}, "indices are 1 to n"),
        (
            {"members": [member(1), member(3, index=2), member(2, index=3)]},
            "not in the configured order",
        ),
        (
            {"request": keygen_request(parties=["party-1", "party-2", "party-4"])},
            "not those that the client named",
        ),
    ],
)
def test_a_key_generation_that_differs_in_one_thing_is_refused(
    changes: dict[str, Any], reason: str
) -> None:
    given = dict(changes)
    if not isinstance(given.get("request"), bytes):
        request, raw = given.pop("request", None), {}
    else:
        request, raw = None, {"request": given.pop("request")}
    made = keygen_created(request, **given)
    with pytest.raises(RefusedError, match=reason):
        accept(made.model_copy(update=raw), party(1), now=NOW)
