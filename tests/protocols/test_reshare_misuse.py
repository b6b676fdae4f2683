"""Reshare as it must not be used: a mistake of ours is refused and blames nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from workers.protocols import reshare
from workers.protocols.groups import SECP256K1
from workers.protocols.rounds import MisuseError, PartyIndex

from .reshare_parties import (
    MOVED,
    SAME,
    ReshareParty,
    facts_of,
    finished_of,
    parameters_of,
    start,
    two_of_three,
)
from .simulate import Packet, coins, index, indices, random_key, run

KEYS = two_of_three(SECP256K1)
REFRESH = parameters_of(KEYS, SAME.members(), 2)
DEALER = REFRESH[index(1)]
RECEIVER = REFRESH[index(3)]
"""Party 2: it holds an old share, and does not deal."""

Row = tuple[int | None, int | None]


def members_of(*rows: Row) -> tuple[reshare.Member, ...]:
    return tuple(
        reshare.Member(None if i is None else index(i), None if j is None else index(j))
        for i, j in rows
    )


###
### Parameters
###


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (((1, 1), (None, 2), (None, 3)), "exactly 2 old holders"),
        (((1, 1), (2, 2), (3, 3)), "exactly 2 old holders"),
        (((1, 1), (1, 2), (None, 3)), "exactly 2 old holders"),
        (((1, 1), (4, 2), (None, 3)), "no share of the key"),
        (((1, 1), (2, 2), (None, 2)), "each one once"),
        (((1, 1), (2, 2), (None, 4)), "each one once"),
        (((1, 2), (2, 3)), "each one once"),
        (((1, 1), (2, 2), (None, None)), "neither deals nor receives"),
        (((1, 1), (2, None)), "receivers <= 20"),
        (((1, None), (2, None)), "receivers <= 20"),
        (((1, None), (2, None), *((None, j) for j in range(1, 22))), "receivers <= 20"),
    ],
)
def test_a_committee_that_does_not_fit_is_refused(rows: Sequence[Row], reason: str) -> None:
    with pytest.raises(MisuseError, match=reason):
        replace(DEALER, members=members_of(*rows))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"session_id": bytes(31)}, "session id"),
        ({"session_id": bytes(33)}, "session id"),
        ({"place": index(0)}, "not among"),
        ({"place": index(4)}, "not among"),
        ({"threshold": 1}, "threshold"),
        ({"threshold": 4}, "threshold"),
        ({"to_epoch": 0}, "epoch 0"),
        ({"to_epoch": 2**32}, "epoch 4294967296"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(MisuseError, match=reason):
        replace(DEALER, **change)


def test_a_session_of_forty_members_fits() -> None:
    keys = random_key(SECP256K1, 20, 20, "twenty deal")
    rows = members_of(*((i, None) for i in range(1, 21)), *((None, j) for j in range(1, 21)))
    parameters = parameters_of(keys, rows, 20)
    assert len(parameters) == 40
    last = parameters[index(40)]
    assert reshare.Parameters.from_bytes(last.to_bytes()) == last


OTHER_KEY = random_key(SECP256K1, 2, 3, "another key")
CHANGES: list[dict[str, Any]] = [
    {"session_id": coins("another session")},
    {"members": tuple(MOVED.members())},
    {"members": tuple(SAME.members()[::-1])},
    {"key": OTHER_KEY[index(1)].view},
    {"key": replace(DEALER.key, public_key=OTHER_KEY[index(1)].public_key)},
    {"key": replace(DEALER.key, public_shares=OTHER_KEY[index(1)].public_shares)},
    {"chain_code": coins("another chain code")},
    {"predecessor": coins("other facts")},
    {"to_epoch": 5},
    {"threshold": 3},
    {"context": b"another request"},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_all_that_members_agree_on_is_in_every_hash(change: dict[str, Any]) -> None:
    other = replace(DEALER, **change)
    assert other.binding != DEALER.binding
    assert other.proof_contexts(index(1))[0] != DEALER.proof_contexts(index(1))[0]
    state, _ = reshare.round1(DEALER, KEYS[index(1)], randomness=bytes(32))
    assert state.dealing is not None
    opening = state.dealing.opening
    assert opening.commitment(other, index(1)) != opening.commitment(DEALER, index(1))
    assert opening.commitment(DEALER, index(2)) != opening.commitment(DEALER, index(1))


def test_the_place_alone_is_nobody_elses() -> None:
    assert {each.binding for each in REFRESH.values()} == {DEALER.binding}


###
### Steps
###


@pytest.mark.parametrize("size", [0, 31, 33])
def test_randomness_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(MisuseError, match="randomness"):
        reshare.round1(DEALER, KEYS[index(1)], randomness=bytes(size))
    with pytest.raises(MisuseError, match="randomness"):
        reshare.round5(finished(1), b"facts", randomness=bytes(size))


def test_a_dealer_brings_its_share_and_nobody_else_brings_any() -> None:
    with pytest.raises(MisuseError, match="brings"):
        reshare.round1(DEALER, None, randomness=bytes(32))
    with pytest.raises(MisuseError, match="brings"):
        reshare.round1(RECEIVER, KEYS[index(2)], randomness=bytes(32))


def test_a_share_of_another_party_key_or_epoch_is_refused() -> None:
    with pytest.raises(MisuseError, match="another"):
        reshare.round1(DEALER, KEYS[index(3)], randomness=bytes(32))
    with pytest.raises(MisuseError, match="another"):
        reshare.round1(DEALER, OTHER_KEY[index(1)], randomness=bytes(32))


COMMITMENT = reshare.Commitment(DEALER.binding, b"")


@pytest.mark.parametrize("senders", [(), (2,), (1, 2, 3), (2, 4), (2, 3, 4)])
def test_round_2_does_not_run_on_an_incomplete_or_foreign_inbox(senders: tuple[int, ...]) -> None:
    committed, _ = reshare.round1(DEALER, KEYS[index(1)], randomness=bytes(32))
    with pytest.raises(MisuseError, match="inbox"):
        reshare.round2(committed, dict.fromkeys(indices(senders), COMMITMENT))


@pytest.mark.parametrize("senders", [(), (3,), (1, 2), (2, 3)])
def test_round_3_takes_openings_from_the_other_dealers_alone(senders: tuple[int, ...]) -> None:
    committed, _ = reshare.round1(DEALER, KEYS[index(1)], randomness=bytes(32))
    assert committed.dealing is not None
    opened = reshare.Opened(parameters=DEALER, dealing=committed.dealing, commitments={})
    with pytest.raises(MisuseError, match="inbox"):
        reshare.round3(opened, dict.fromkeys(indices(senders), committed.dealing.opening))


def stopped_in(
    parties: dict[PartyIndex, ReshareParty], place: int, round_: int
) -> tuple[bytes, list[Packet]]:
    """The state of one member when it has spoken in a round, and what is still under way."""
    under_way = [packet for each in parties.values() for packet in each.start()]
    while parties[index(place)].round < round_:
        packet = under_way.pop(0)
        under_way += parties[packet.recipient].receive(packet)
    return parties[index(place)].state, under_way


@pytest.mark.parametrize("senders", [(), (2,), (2, 3), (1, 2, 3, 4, 5)])
def test_round_4_takes_an_echo_from_every_other_member(senders: tuple[int, ...]) -> None:
    state, _ = stopped_in(start(SECP256K1, MOVED), 1, 3)
    echoed = reshare.Echoed.from_bytes(state)
    echo = reshare.Echo(echoed.transcript_digest)
    with pytest.raises(MisuseError, match="inbox"):
        reshare.round4(echoed, dict.fromkeys(indices(senders), echo))


def after_round_3(place: int) -> tuple[reshare.Dealt, Mapping[PartyIndex, reshare.Share]]:
    state, _ = stopped_in(start(SECP256K1, MOVED), place, 3)
    echoed = reshare.Echoed.from_bytes(state)
    echo = reshare.Echo(echoed.transcript_digest)
    dealt, outbox = reshare.round4(echoed, dict.fromkeys(echoed.parameters.others, echo))
    return dealt, outbox.direct


@pytest.mark.parametrize("senders", [(), (1,), (1, 2, 4)])
def test_finish_takes_shares_from_the_other_dealers_alone(senders: tuple[int, ...]) -> None:
    dealt, _ = after_round_3(3)
    with pytest.raises(MisuseError, match="inbox"):
        reshare.finish(dealt, dict.fromkeys(indices(senders)))


def test_a_member_that_leaves_is_sent_no_share_and_has_none() -> None:
    _, shares = after_round_3(1)
    assert index(2) not in shares
    dealt, _ = after_round_3(2)
    assert dealt.own_value == SECP256K1.scalar(0)
    with pytest.raises(MisuseError, match="inbox"):
        reshare.finish(dealt, {index(1): None})
    assert reshare.finish(dealt, {}).key_share is None


def test_a_member_that_does_not_deal_has_nothing_to_send() -> None:
    _, shares = after_round_3(3)
    assert shares == {}


def test_a_value_of_our_own_that_was_changed_in_the_store_is_nobody_elses_fault() -> None:
    parties = start(SECP256K1, SAME)
    state, under_way = stopped_in(parties, 1, 4)
    dealt = reshare.Dealt.from_bytes(state)
    changed = replace(dealt, own_value=dealt.own_value + SECP256K1.scalar(1))
    parties[index(1)].state = changed.to_bytes()
    while under_way:
        packet = under_way.pop(0)
        under_way += parties[packet.recipient].receive(packet)
    error = parties[index(1)].outcome
    assert isinstance(error, MisuseError), error
    assert parties[index(1)].stored is None


def finished(place: int) -> reshare.Finished:
    parties = start(SECP256K1, SAME)
    run(parties)
    return finished_of(parties)[index(place)]


def test_a_member_that_leaves_has_nothing_to_prove() -> None:
    parties = start(SECP256K1, MOVED)
    run(parties)
    end = finished_of(parties)[index(2)]
    with pytest.raises(MisuseError, match="nothing to prove"):
        reshare.round5(end, facts_of(end), randomness=bytes(32))


@pytest.mark.parametrize("senders", [(), (2,), (1, 2, 3), (2, 3, 4)])
def test_possessions_come_from_the_other_receivers_alone(senders: tuple[int, ...]) -> None:
    end = finished(1)
    said = reshare.round5(end, b"facts", randomness=bytes(32)).broadcast
    assert said is not None
    with pytest.raises(MisuseError, match="inbox"):
        reshare.check_possessions(end, b"facts", dict.fromkeys(indices(senders), said))
