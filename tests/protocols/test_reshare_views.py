"""Reshares that end by nobody's fault: members saw different things, or the old facts are wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.protocols import reshare
from workers.protocols.groups import SECP256K1
from workers.protocols.polynomial import commit, evaluate
from workers.protocols.rounds import (
    DisputeError,
    EchoMismatchError,
    PartyFaultError,
    SpoiltSessionError,
)

from .reshare_lies import (
    OF_ECHOES,
    at,
    flip,
)
from .reshare_parties import (
    MOVED,
    SAME,
    Lie,
    ReshareParty,
    Slot,
    honest_of,
    parameters_of,
    parties_of,
    start,
    two_of_three,
)
from .simulate import index, run

LIAR = index(1)
BYSTANDER = index(3)
"""Receives and does not deal."""


@pytest.mark.parametrize("liar", [1, 2, 3, 4])
@pytest.mark.parametrize("lie", OF_ECHOES, ids=lambda lie: lie.name)
def test_who_saw_something_else_is_no_culprit(lie: Lie, liar: int) -> None:
    parties = start(SECP256K1, MOVED, {index(liar): lie})
    run(parties)
    for party in honest_of(parties, index(liar)).values():
        error = party.outcome
        assert isinstance(error, EchoMismatchError), error
        assert error.parties == {liar}
        assert not isinstance(error, PartyFaultError | DisputeError)
        assert party.stored is None


def test_no_share_leaves_before_its_dealer_knows_that_all_saw_the_same() -> None:
    parties = start(SECP256K1, MOVED, {LIAR: Lie("echo", "", tamper=at(Slot.ECHO, flip(0)))})
    run(parties)
    honest = honest_of(parties, LIAR)
    for party in honest.values():
        error = party.outcome
        assert isinstance(error, EchoMismatchError)
        assert error.parties == {LIAR}
        assert not {(Slot.SHARE, m) for m in honest} & party.inbox.keys()


def test_another_view_is_found_before_a_commitment_is_judged() -> None:
    """Who deals is itself a part of what somebody was told."""
    keys = two_of_three(SECP256K1)
    parameters = parameters_of(keys, SAME.members(), 2)
    told = replace(SAME, dealers=(2, 3)).members()
    parameters[index(3)] = replace(parameters[index(3)], members=tuple(told))
    parties = parties_of(keys, parameters)
    run(parties)
    seen = {}
    for m, party in parties.items():
        assert isinstance(party.outcome, EchoMismatchError), party.outcome
        seen[m] = party.outcome.parties
    assert seen == {1: {3}, 2: {3}, 3: {1, 2}}


def test_a_dealer_with_two_faces_is_an_echo_mismatch_and_nobody_is_blamed() -> None:
    """The liar runs two sessions, one with member 2 and one with member 3, each flawless."""
    keys = two_of_three(SECP256K1)
    parameters = parameters_of(keys, SAME.members(), 2)
    honest = honest_of(parties_of(keys, parameters), LIAR)
    faces = {m: ReshareParty(parameters[LIAR], keys[index(1)], seed=("face", m)) for m in honest}
    under_way = [packet for party in honest.values() for packet in party.start()]
    for m, face in faces.items():
        under_way += [packet for packet in face.start() if packet.recipient == m]
    while under_way:
        packet = under_way.pop(0)
        if packet.recipient == LIAR:
            for m, face in faces.items():
                under_way += [sent for sent in face.receive(packet) if sent.recipient == m]
        else:
            under_way += honest[packet.recipient].receive(packet)
    for m, party in honest.items():
        error = party.outcome
        assert isinstance(error, EchoMismatchError), error
        assert error.parties == honest.keys() - {m}


def test_old_facts_that_contradict_themselves_spoil_the_session_and_blame_nobody() -> None:
    """Every dealer's constant term is what the facts say, and their sum is not the key."""
    keys = two_of_three(SECP256K1)
    foreign = SECP256K1.scalar(7) * SECP256K1.generator
    wrong = {i: replace(share, public_key=foreign) for i, share in keys.items()}
    parties = parties_of(wrong, parameters_of(wrong, SAME.members(), 2))
    run(parties)
    for party in parties.values():
        error = party.outcome
        assert isinstance(error, SpoiltSessionError)
        assert "old public shares" in str(error)


def test_an_epoch_with_the_identity_in_it_is_refused() -> None:
    """Two dealers whose polynomials cancel out, which nobody can arrange who must commit first."""
    keys = two_of_three(SECP256K1)
    parameters = parameters_of(keys, SAME.members(), 2)[index(1)]
    coefficients = [SECP256K1.scalar(5), SECP256K1.scalar(6)]
    opposite = [SECP256K1.scalar(7), -coefficients[1]]
    dealt = reshare.Dealt(
        parameters=parameters,
        own_value=evaluate(coefficients, index(1)),
        vectors={index(1): commit(coefficients), index(2): commit(opposite)},
        transcript_digest=bytes(32),
    )
    share = reshare.Share(evaluate(opposite, index(1)))
    with pytest.raises(SpoiltSessionError, match="identity"):
        reshare.finish(dealt, {index(2): share})
