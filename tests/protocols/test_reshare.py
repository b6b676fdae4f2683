"""Reshare: the key stays, its shares are new, and every check has a lie that it catches."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from workers.protocols import frost, reshare
from workers.protocols.groups import ED25519, SECP256K1, Group
from workers.protocols.rounds import (
    DisputeError,
    PartyFaultError,
    PartyIndex,
)

from .dkls23.batches import Batch, presign, sign_all, task_of
from .dkls23.batches import parameters_of as batch_parameters_of
from .frost_signing import Signing
from .reshare_lies import (
    OF_ALL,
    OF_DEALERS,
    OF_RECEIVERS,
    OF_SHARES,
    OF_THE_REST,
    at,
    one_more,
    rooted_at,
    shifted,
)
from .reshare_parties import (
    MOVED,
    SAME,
    Committee,
    Lie,
    ReshareParty,
    Slot,
    finished_of,
    honest_of,
    parameters_of,
    parties_of,
    start,
    two_of_three,
    undisturbed,
)
from .simulate import coins, deal, index, indices, random_key, reconstruct, run

GROUPS = pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.name)
COMMITTEES = {
    "refresh": SAME,
    "another committee": MOVED,
    "nobody stays": Committee(dealers=(1, 2), receivers=(0, 0, 0), threshold=2),
    "a newcomer": Committee(dealers=(2, 3), receivers=(1, 2, 3, 0), threshold=2),
    "one leaves": Committee(dealers=(1, 3), receivers=(3, 1), threshold=2),
    "the leaver does not deal": Committee(dealers=(1, 2), receivers=(2, 1), threshold=2),
    "higher threshold": Committee(dealers=(1, 2), receivers=(1, 2, 3), threshold=3),
}
EACH_COMMITTEE = pytest.mark.parametrize("committee", COMMITTEES.values(), ids=COMMITTEES.keys())
LIAR = index(1)
"""Deals in every committee here, and receives in SAME."""
BYSTANDER = index(3)
"""Receives in every committee here, and does not deal."""


###
### What honest parties get
###


@GROUPS
@EACH_COMMITTEE
def test_all_members_agree_on_the_new_epoch_of_the_old_key(
    group: Group, committee: Committee
) -> None:
    old = two_of_three(group)[index(1)]
    parties = start(group, committee)
    run(parties)
    ends = finished_of(parties)
    assert len({end.transcript_digest for end in ends.values()}) == 1
    assert len({end.key.to_bytes() for end in ends.values()}) == 1
    for m, end in ends.items():
        assert end.key.public_key == old.public_key
        assert end.key.threshold == committee.threshold
        assert sorted(end.key.public_shares) == list(range(1, len(committee.receivers) + 1))
        share = end.key_share
        assert (share is None) == (parties[m].parameters.own.receives_as is None)
        if share is not None:
            assert share.index == parties[m].parameters.own.receives_as
            assert share.view == end.key
            assert share.chain_code == old.chain_code
            assert share.secret_share * group.generator == end.key.public_shares[share.index]


@GROUPS
@EACH_COMMITTEE
def test_any_t_new_shares_are_the_old_key(group: Group, committee: Committee) -> None:
    old = two_of_three(group)
    new = undisturbed(old, committee.members(), committee.threshold)
    for signers in combinations(new, committee.threshold):
        secret = reconstruct({j: new[j] for j in signers})
        assert secret * group.generator == old[index(1)].public_key


@pytest.mark.parametrize("suite", ["ed25519", "secp256k1", "bip340"])
@EACH_COMMITTEE
def test_every_t_of_the_new_epoch_sign_under_the_old_key(suite: str, committee: Committee) -> None:
    ciphersuite = frost.ciphersuite(suite)
    old = two_of_three(ciphersuite.group)
    new = undisturbed(old, committee.members(), committee.threshold)
    key = frost.output_key(ciphersuite, old[index(1)].public_key)
    for signers in combinations(new, committee.threshold):
        signing = Signing.start(ciphersuite, new, list(signers))
        signature = signing.aggregate(signing.shares())
        assert frost.verify(ciphersuite, key, signing.message, signature)


@pytest.mark.parametrize("committee", [SAME, MOVED], ids=["refresh", "another committee"])
def test_new_shares_presign_and_sign_ecdsa_under_the_old_key(committee: Committee) -> None:
    old = two_of_three(SECP256K1)
    new = undisturbed(old, committee.members(), committee.threshold)
    signers = range(1, committee.threshold + 1)
    batch = Batch(keys=new, parameters=batch_parameters_of(new, signers))
    made = presign(batch)
    firsts = [presignatures[0] for presignatures in made.values()]
    assert firsts[0].view.public_key == old[index(1)].public_key
    assert sign_all(firsts, task_of(coins("digest")))


@GROUPS
def test_a_lost_share_is_repaired_and_its_loser_brings_nothing(group: Group) -> None:
    """Party 2 has lost its share: it stands among the receivers only."""
    keys = two_of_three(group)
    left = {i: keys[i] for i in indices((1, 3))}
    repaired = undisturbed(left, SAME.members(), 2)
    for signers in combinations(repaired, 2):
        secret = reconstruct({j: repaired[j] for j in signers})
        assert secret * group.generator == keys[index(1)].public_key


@GROUPS
def test_epochs_follow_each_other_and_never_mix(group: Group) -> None:
    """Old shares sign until they are deleted; with new ones beside them they make another key."""
    first = two_of_three(group)
    second = undisturbed(first, SAME.members(), 2)
    third = undisturbed(second, MOVED.members(), 3)
    for epoch, t in ((first, 2), (second, 2), (third, 3)):
        secret = reconstruct({j: epoch[j] for j in list(epoch)[:t]})
        assert secret * group.generator == first[index(1)].public_key
    mixed = {index(1): first[index(1)], index(2): second[index(2)]}
    assert reconstruct(mixed) * group.generator != first[index(1)].public_key


@GROUPS
def test_every_share_is_new_and_fewer_than_t_are_not_the_key(group: Group) -> None:
    old = two_of_three(group)
    new = undisturbed(old, SAME.members(), 2)
    assert all(new[j].secret_share != old[j].secret_share for j in old)
    raised = undisturbed(old, COMMITTEES["higher threshold"].members(), 3)
    two = {j: raised[j] for j in indices((1, 2))}
    assert reconstruct(two) * group.generator != old[index(1)].public_key


def test_a_dealer_with_fresh_randomness_deals_another_polynomial_of_the_same_share() -> None:
    keys = two_of_three(SECP256K1)
    parameters = parameters_of(keys, SAME.members(), 2)[index(1)]
    dealings = []
    for label in ("one", "two"):
        state, _ = reshare.round1(parameters, keys[index(1)], randomness=coins(label))
        assert state.dealing is not None
        dealings.append(state.dealing)
    one, two = dealings
    assert one.coefficients[0] == two.coefficients[0]
    assert one.coefficients[1] != two.coefficients[1]
    assert one.opening.salt != two.opening.salt


def test_guessed_randomness_does_not_tell_the_polynomial() -> None:
    """The share is mixed in: with another one in the same session, everything is another."""
    share = two_of_three(SECP256K1)[index(1)]
    other = replace(share, secret_share=share.secret_share + SECP256K1.scalar(1))
    parameters = parameters_of({index(1): share}, SAME.members(), 2)[index(1)]
    dealings = []
    for each in (share, other):
        state, _ = reshare.round1(parameters, each, randomness=bytes(32))
        assert state.dealing is not None
        dealings.append(state.dealing)
    one, two = dealings
    assert not {*one.coefficients} & {*two.coefficients}
    assert one.opening.salt != two.opening.salt


###
### Liars
###


def assert_named(party: ReshareParty, culprits: set[PartyIndex], check: str) -> None:
    error = party.outcome
    assert isinstance(error, PartyFaultError), error
    assert error.culprits == culprits
    assert error.check == check
    assert not error.ban
    assert party.stored is None or check in {"possession", "malformed"}


@GROUPS
@pytest.mark.parametrize("committee", [SAME, MOVED], ids=["refresh", "another committee"])
@pytest.mark.parametrize("lie", OF_DEALERS, ids=lambda lie: lie.name)
def test_a_dealers_lie_names_it_at_every_honest_member(
    group: Group, committee: Committee, lie: Lie
) -> None:
    parties = start(group, committee, {LIAR: lie})
    run(parties)
    for party in honest_of(parties, LIAR).values():
        assert_named(party, {LIAR}, lie.check)


@GROUPS
@pytest.mark.parametrize("lie", [*OF_THE_REST, *OF_ALL], ids=lambda lie: lie.name)
def test_the_lie_of_a_member_that_does_not_deal_names_it(group: Group, lie: Lie) -> None:
    parties = start(group, MOVED, {BYSTANDER: lie})
    run(parties)
    for party in honest_of(parties, BYSTANDER).values():
        assert_named(party, {BYSTANDER}, lie.check)


@GROUPS
@pytest.mark.parametrize("lie", OF_RECEIVERS, ids=lambda lie: lie.name)
def test_a_receiver_that_cannot_prove_its_share_is_named_by_leavers_too(
    group: Group, lie: Lie
) -> None:
    parties = start(group, MOVED, {BYSTANDER: lie})
    run(parties)
    assert parties[index(2)].parameters.own.receives_as is None
    for party in honest_of(parties, BYSTANDER).values():
        assert_named(party, {BYSTANDER}, lie.check)


@GROUPS
@pytest.mark.parametrize("lie", OF_SHARES, ids=lambda lie: lie.name)
def test_a_wrong_share_is_a_dispute_of_its_two_parties_and_blames_neither(
    group: Group, lie: Lie
) -> None:
    parties = start(group, MOVED, {LIAR: lie})
    run(parties)
    for m, party in honest_of(parties, LIAR).items():
        if party.parameters.own.receives_as is None:
            assert party.outcome is None  # it waits for certificates that do not come
            continue
        error = party.outcome
        assert isinstance(error, DisputeError), error
        assert not isinstance(error, PartyFaultError)
        assert error.accuser == m
        assert error.accused == {LIAR}
        assert error.check == "share"
        assert party.stored is None


def test_a_dispute_accuses_all_whose_shares_are_wrong() -> None:
    lie = OF_SHARES[0]
    parties = start(ED25519, MOVED, {index(1): lie, index(2): OF_SHARES[3]})
    run(parties)
    error = parties[BYSTANDER].outcome
    assert isinstance(error, DisputeError)
    assert error.accused == {1, 2}


def test_only_the_receiver_of_a_wrong_share_disputes_it_and_nobody_gets_all_certificates() -> None:
    lie = Lie("to one", "share", tamper=at(Slot.SHARE, one_more, to=BYSTANDER))
    parties = start(SECP256K1, MOVED, {LIAR: lie})
    run(parties)
    for m, party in honest_of(parties, LIAR).items():
        if m == BYSTANDER:
            assert isinstance(party.outcome, DisputeError)
        else:
            assert party.outcome is None
            assert party.missing() == {(Slot.POSSESSION, BYSTANDER)}


@GROUPS
def test_two_dealers_who_shift_against_each_other_are_both_named(group: Group) -> None:
    """The sum of their constant terms is right: a check of the public key alone would pass."""
    lies = {1: Lie("up", "", claim=shifted(99)), 2: Lie("down", "", claim=shifted(-99))}
    parties = start(group, MOVED, {index(m): lie for m, lie in lies.items()})
    run(parties)
    for party in honest_of(parties, index(1), index(2)).values():
        assert_named(party, {index(1), index(2)}, "constant term")


@GROUPS
def test_a_polynomial_with_a_root_at_a_receiver_is_refused_there_and_its_dealer_named(
    group: Group,
) -> None:
    parties = start(group, MOVED, {LIAR: Lie("root", "root", claim=rooted_at(2))})
    run(parties)
    named = {m for m, party in parties.items() if isinstance(party.outcome, PartyFaultError)}
    (m,) = (m for m, j in parties[LIAR].parameters.receivers.items() if j == 2)
    assert named == {m}
    assert_named(parties[m], {LIAR}, "root")


def test_culprits_go_by_place_where_indices_differ() -> None:
    """Old party 3 deals at place 2 and is to be new party 1: three numbers of one party."""
    committee = Committee(dealers=(1, 3), receivers=(3, 0), threshold=2)
    parties = start(SECP256K1, committee, {index(2): OF_DEALERS[3]})
    run(parties)
    assert_named(parties[index(1)], {index(2)}, "constant term")


def test_all_culprits_are_named_and_each_check() -> None:
    keys = random_key(SECP256K1, 4, 4, "four deal")
    committee = Committee(dealers=(1, 2, 3, 4), receivers=(1, 2, 3, 4), threshold=3)
    lies = {index(1): OF_DEALERS[1], index(2): OF_DEALERS[3], index(4): OF_DEALERS[7]}
    parties = parties_of(keys, parameters_of(keys, committee.members(), 3), lies)
    run(parties)
    assert_named(parties[index(3)], {index(1), index(2), index(4)}, "constant term, opening, proof")


###
### Twice, and for other facts
###


def test_a_second_version_of_a_message_is_equivocation() -> None:
    parties = start(SECP256K1, SAME)
    packets = parties[LIAR].start()
    parties[BYSTANDER].start()
    first = next(packet for packet in packets if packet.recipient == BYSTANDER)
    parties[BYSTANDER].receive(first)
    assert parties[BYSTANDER].receive(first) == []
    assert parties[BYSTANDER].outcome is None
    parties[BYSTANDER].receive(replace(first, data=bytes(64)))
    assert_named(parties[BYSTANDER], {LIAR}, "equivocation")


def test_a_possession_is_of_these_facts_this_party_and_this_share() -> None:
    parties = start(SECP256K1, SAME)
    run(parties)
    end = finished_of(parties)[index(1)]
    said = reshare.round5(end, b"facts", randomness=coins("possession")).broadcast
    assert said is not None
    assert reshare.possession_holds(end.key, b"facts", index(1), said)
    assert not reshare.possession_holds(end.key, b"other facts", index(1), said)
    assert not reshare.possession_holds(end.key, b"facts", index(2), said)
    twin = replace(
        end.key, public_shares=dict.fromkeys(indices((1, 2)), end.key.public_shares[index(1)])
    )
    assert not reshare.possession_holds(twin, b"facts", index(2), said)
    other = deal([SECP256K1.scalar(3), SECP256K1.scalar(4)], party_count=3)[index(1)].view
    assert not reshare.possession_holds(other, b"facts", index(1), said)
