"""The tokens that callers show: whose they are, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import addresses
from contracts.failures import FailureCode
from contracts.results import DELIVERED, SessionAnnounced
from tests.session.conducts import keygen_conduct
from workers.session.coordinator.announcing import (
    JoinError,
    all_joined,
    announced,
    announcement,
    caller_token,
    join,
    session_token,
)
from workers.session.coordinator.conduct import Conduct, First
from workers.session.coordinator.reports import silent_parties

PARTIES = ["party-1", "party-2", "party-3"]


def announcing(**changes: Any) -> Conduct:
    conduct = keygen_conduct()
    request = conduct.request.model_copy(update={"announce": True})
    return conduct.model_copy(update={"request": request, **changes})


def code(conduct: Conduct, token: bytes, party_id: str | None) -> FailureCode:
    with pytest.raises(JoinError) as caught:
        join(conduct, token, party_id)
    assert token.hex() not in str(caught.value)
    return caught.value.failure.code


def test_tokens_differ_by_session_party_and_secret() -> None:
    first = announcing()
    conducts = [
        first,
        announcing(join_secret=b"\x0f" * 32),
        announcing(terms=first.terms.model_copy(update={"salt": b"\x0f" * 32})),
    ]
    tokens = {
        token
        for conduct in conducts
        for token in (
            session_token(conduct),
            *(caller_token(conduct, each) for each in PARTIES),
        )
    }
    assert len(tokens) == 3 * 4


def test_all_sessions_of_a_request_have_the_tokens_of_the_first() -> None:
    first = announcing()
    later = announcing(
        terms=first.terms.model_copy(update={"salt": b"\x0f" * 32}),
        succeeded=first.first,
        tries=2,
    )
    assert later.session_id != first.session_id
    assert announced(later) == announced(first)
    assert announcement(later) == announcement(first)
    assert later.public_id == first.session_id


def test_an_announcement_goes_where_its_client_listens_and_reads_as_one() -> None:
    message = announcement(announcing())
    content = DELIVERED.validate_json(message.body)
    assert isinstance(content, SessionAnnounced)
    assert message.exchange == addresses.RESULTS
    assert message.routing_key == addresses.announcement_key(content.client_id, content.request_id)
    assert message.headers["session_id"] == content.session_id.hex()
    assert message.message_id != content.request_id
    tokens = {content.session_token.hex(), *(each.hex() for each in content.join_tokens.values())}
    assert tokens.isdisjoint(message.headers.values())


def test_an_announcement_without_a_client_id_names_none() -> None:
    conduct = announcing()
    request = conduct.request.model_copy(update={"client_id": None})
    message = announcement(conduct.model_copy(update={"request": request}))
    assert "client_id" not in message.headers
    assert announcement(conduct).headers["client_id"] == conduct.request.client_id
    assert message.routing_key == addresses.announcement_key(None, request.request_id)


def test_a_token_joins_its_own_party_however_often_it_is_shown() -> None:
    conduct = announcing()
    for party_id in PARTIES:
        assert not all_joined(conduct)
        token = caller_token(conduct, party_id)
        others = [each for each in PARTIES if each != party_id]
        for other in [*others, "party-9"]:
            assert code(conduct, token, other) is FailureCode.TOKEN_REFUSED
        by_name, _ = join(conduct, token, party_id)
        joined, conduct = join(conduct, token, None)
        assert joined == by_name == party_id
        for again in ((token, None), (session_token(conduct), party_id)):
            named, unchanged = join(conduct, *again)
            assert named == party_id
            assert unchanged is conduct
    assert all_joined(conduct)
    assert conduct.joined == PARTIES


def test_the_sessions_token_needs_a_name() -> None:
    conduct = announcing()
    assert code(conduct, session_token(conduct), None) is FailureCode.INVALID_REQUEST
    assert code(conduct, session_token(conduct), "party-9") is FailureCode.TOKEN_REFUSED
    assert join(conduct, session_token(conduct), "party-2")[0] == "party-2"


def test_there_are_no_tokens_where_nothing_was_announced() -> None:
    conduct = keygen_conduct()
    for token, party_id in [
        (session_token(conduct), "party-1"),
        (caller_token(conduct, "party-1"), None),
        (bytes(32), "party-1"),
    ]:
        assert code(conduct, token, party_id) is FailureCode.TOKEN_REFUSED


def test_a_session_that_waits_for_callers_blames_no_party() -> None:
    conduct = announcing(begins_at=7)
    assert silent_parties(conduct, []) == []
    assert silent_parties(announcing(), []) == PARTIES


def test_what_callers_made_of_a_session_is_stored_and_read_back() -> None:
    conduct = announcing(
        joined=["party-2"],
        begins_at=7,
        among=PARTIES,
        succeeded=First(session_id=bytes(32), parties=PARTIES, terms=announcing().first.terms),
    )
    assert Conduct.model_validate_json(conduct.model_dump_json()) == conduct
