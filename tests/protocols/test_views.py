"""Parties that were told of different key generations: a mismatch, and nobody is blamed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from workers.protocols import keygen
from workers.protocols.groups import ED25519, SECP256K1
from workers.protocols.rounds import EchoMismatchError

from .simulate import KeygenParty, coins, index, parameters_of, run

Other = Callable[[keygen.Parameters], keygen.Parameters]

OTHERS: dict[str, Other] = {
    "context": lambda ours: replace(ours, context=b"another roster"),
    "session id": lambda ours: replace(ours, session_id=coins("another session")),
    "threshold": lambda ours: replace(ours, threshold=3),
    "group": lambda ours: replace(ours, group=ED25519),
}
EACH = pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())


@EACH
def test_another_view_is_a_mismatch_at_every_party_and_names_nobody(other: Other) -> None:
    parameters = parameters_of(SECP256K1, 2, 3)
    parameters[index(2)] = other(parameters[index(2)])
    parties = {i: KeygenParty(each) for i, each in parameters.items()}
    run(parties)
    seen = {}
    for i, party in parties.items():
        assert isinstance(party.outcome, EchoMismatchError), party.outcome
        seen[i] = party.outcome.parties
        assert party.round == 1  # nothing was opened to anybody
    assert seen == {1: {2}, 2: {1, 3}, 3: {2}}


@EACH
def test_a_view_is_of_all_parameters_but_the_index(other: Other) -> None:
    parameters = parameters_of(SECP256K1, 2, 3)
    one, two = parameters[index(1)], parameters[index(2)]
    assert one.view == two.view
    assert other(one).view != one.view
    assert replace(one, party_count=4).view != one.view


def test_what_was_committed_to_is_stored_once_the_views_were_found_equal() -> None:
    """As it was before there were views: a session that runs while a party is upgraded goes on."""
    parameters = parameters_of(SECP256K1, 2, 2)
    committed, commitment = {}, {}
    for i, each in parameters.items():
        committed[i], sent = keygen.round1(each, randomness=coins("views", i))
        assert sent.broadcast is not None
        commitment[i] = sent.broadcast
    opened, _ = keygen.round2(committed[index(1)], {index(2): commitment[index(2)]})
    data = opened.to_bytes()
    assert commitment[index(2)].digest in data
    assert commitment[index(2)].view not in data
    assert keygen.Opened.from_bytes(data) == opened
