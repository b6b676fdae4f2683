"""What the coordinator tells the parties of a session."""

from __future__ import annotations

from contracts import addresses, sessions
from contracts.sessions import INSTRUCTION, SessionCreated
from tests.session.builders import NOW, facts, signing_session
from tests.session.conducts import keygen_conduct, waiting
from tests.session.ecdsa_sessions import batch, list_session
from workers.session.coordinator import instructions
from workers.session.nonce_batches import batch_id

###
### Invitations
###


def test_everybody_is_invited_with_all_commitments() -> None:
    session = signing_session()
    invited = instructions.invitations(
        session.conduct(),
        request=session.signed.body,
        signature=session.signed.signature,
        time_left_ms=5_000,
        now=NOW,
    )
    contents = [INSTRUCTION.validate_json(each.body) for each in invited]
    assert [each.routing_key for each in invited] == ["party-1", "party-3"]
    assert {each.exchange for each in invited} == {addresses.SESSIONS}
    for content in contents:
        assert isinstance(content, SessionCreated)
        assert content.commitments == list(session.commitments.values())
        assert content.session_id == content.terms.session_id()
        assert (content.request, content.time_left_ms) == (session.signed.body, 5_000)
        assert content.issued_at == NOW


def test_an_invitation_of_the_last_moment_still_has_time_left() -> None:
    session = signing_session()
    (first, _) = instructions.invitations(
        session.conduct(), request=b"{}", signature=b"", time_left_ms=-5, now=NOW
    )
    assert SessionCreated.model_validate_json(first.body).time_left_ms == 1


def test_a_new_key_needs_no_commitments() -> None:
    conduct = keygen_conduct()
    assert conduct.lacking() == []
    invited = instructions.invitations(
        conduct, request=b"{}", signature=b"", time_left_ms=1, now=NOW
    )
    assert len(invited) == 3
    assert SessionCreated.model_validate_json(invited[0].body).commitments == []


def test_everybody_is_invited_with_the_presignatures_runs_of_a_batch_together() -> None:
    session = list_session()
    invited = instructions.invitations(
        session.conduct(),
        request=session.signed.body,
        signature=session.signed.signature,
        time_left_ms=5_000,
        now=NOW,
    )
    assert [each.routing_key for each in invited] == ["party-1", "party-3"]
    first, second = (batch(seed).batch.session_id for seed in ("run", "second"))
    for each in invited:
        content = SessionCreated.model_validate_json(each.body)
        assert content.commitments == []
        assert [(used.batch, used.positions) for used in content.presignatures] == [
            (first, [2, 0]),
            (second, [1]),
            (first, [1]),
        ]


###
### Wishes and farewells
###


def test_only_who_lacks_a_commitment_is_asked_for_nonces() -> None:
    _, conduct = waiting(1)
    (wish,) = instructions.nonce_wishes(conduct, 4, now=NOW)
    assert wish.routing_key == "party-3"
    wanted = INSTRUCTION.validate_json(wish.body)
    assert isinstance(wanted, sessions.NoncesWanted)
    assert wanted.batch_id == batch_id(conduct.session_id, "party-3")
    assert (wanted.session_id, wanted.count) == (conduct.session_id, 4)
    assert wanted.issued_at == NOW
    assert wanted.key_session == facts().session_id


def test_farewells_go_to_every_party_and_to_all_who_listen() -> None:
    conduct = keygen_conduct()
    first, *others = instructions.farewells(conduct, now=NOW)
    assert (first.exchange, first.routing_key) == (addresses.CANCEL, "")
    assert [(each.exchange, each.routing_key) for each in others] == [
        (addresses.SESSIONS, f"party-{i}") for i in (1, 2, 3)
    ]
    for each in (first, *others):
        over = sessions.SessionCancelled.model_validate_json(each.body)
        assert over.session_id == conduct.session_id
