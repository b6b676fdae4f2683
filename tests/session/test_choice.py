from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failures import FailureCode
from contracts.identity import Identity
from tests.session.builders import IDENTITIES, PEERS, facts, keygen_request, signing_request
from workers.session.acceptance import Peer
from workers.session.choice import ChoiceError, holders, signers

EVERYBODY = set(PEERS)


def _names(chosen: list[str]) -> str:
    return " ".join(name.removeprefix("party-") for name in chosen)


@given(st.integers(), st.sets(st.sampled_from(sorted(PEERS))))
def test_holders_are_the_living_first_in_the_configured_order(seed: int, alive: set[str]) -> None:
    chosen = holders(keygen_request(), PEERS, alive, Random(seed))
    names = [each.party_id for each in chosen]
    assert len(set(names)) == 3
    assert names == sorted(names)
    assert len(alive.intersection(names)) == min(3, len(alive))
    assert [each.index for each in chosen] == [1, 2, 3]
    assert all(each.identity == IDENTITIES[each.party_id].public.der for each in chosen)


def test_the_configured_order_is_that_of_the_indices_not_of_the_names() -> None:
    turned = {name: Peer(10 - peer.index, peer.identity) for name, peer in PEERS.items()}
    chosen = holders(keygen_request(party_count=4), turned, EVERYBODY, Random(0))
    assert _names([each.party_id for each in chosen]) == "4 3 2 1"
    assert [each.index for each in chosen] == [1, 2, 3, 4]


def test_named_holders_are_taken_dead_or_alive() -> None:
    request = keygen_request(parties=["party-4", "party-1", "party-2"])
    chosen = holders(request, PEERS, {"party-3"}, Random(0))
    assert _names([each.party_id for each in chosen]) == "1 2 4"


def test_unknown_holders_are_named_and_so_are_those_that_exist() -> None:
    request = keygen_request(parties=["party-1", "party-8", "party-9"])
    with pytest.raises(ChoiceError, match="no party party-8, party-9; there are party-1") as wrong:
        holders(request, PEERS, EVERYBODY, Random(0))
    assert wrong.value.failure.code is FailureCode.UNKNOWN_PARTY


def test_too_few_parties_are_counted() -> None:
    with pytest.raises(ChoiceError, match="5 parties wanted, 4 exist") as wrong:
        holders(keygen_request(party_count=5), PEERS, EVERYBODY, Random(0))
    assert wrong.value.failure.code is FailureCode.TOO_FEW_PARTIES


def test_a_failure_with_all_names_at_their_longest_still_fits() -> None:
    public = Identity.generate().public
    peers = {f"{i:064}": Peer(i, public) for i in range(1, 21)}
    wanted = [f"{i:064}" for i in range(101, 121)]
    request = keygen_request(party_count=20, parties=wanted)
    with pytest.raises(ChoiceError) as wrong:
        holders(request, peers, (), Random(0))
    assert len(wrong.value.failure.message) == 2000


@given(st.integers(), st.sets(st.sampled_from(["party-1", "party-2", "party-3"])))
def test_signers_are_the_living_first_with_their_indices_in_the_key(
    seed: int, alive: set[str]
) -> None:
    key = facts()
    chosen = signers(signing_request(), key, alive, Random(seed))
    indices = [each.index for each in chosen]
    assert len(indices) == key.threshold
    assert indices == sorted(set(indices))
    for each in chosen:
        holder = key.holders[each.index - 1]
        assert (holder.party_id, holder.identity) == (each.party_id, each.identity)
    assert len(alive.intersection(each.party_id for each in chosen)) == min(2, len(alive))


def test_the_load_is_spread_over_all_that_live() -> None:
    random = Random(0)
    sets = {
        _names([each.party_id for each in signers(signing_request(), facts(), EVERYBODY, random)])
        for _ in range(100)
    }
    assert sets == {"1 2", "1 3", "2 3"}
    sets = {
        _names([each.party_id for each in holders(keygen_request(), PEERS, EVERYBODY, random)])
        for _ in range(200)
    }
    assert sets == {"1 2 3", "1 2 4", "1 3 4", "2 3 4"}


def test_named_signers_are_taken_in_the_order_of_their_indices() -> None:
    request = signing_request(signers=["party-3", "party-1"])
    chosen = signers(request, facts(), {"party-2"}, Random(0))
    assert [(each.party_id, each.index) for each in chosen] == [("party-1", 1), ("party-3", 3)]


def test_a_signer_without_a_share_is_named() -> None:
    request = signing_request(signers=["party-1", "party-4"])
    with pytest.raises(ChoiceError, match="party-4 holds no share of key key-1") as wrong:
        signers(request, facts(), EVERYBODY, Random(0))
    assert wrong.value.failure.code is FailureCode.UNKNOWN_PARTY


def test_another_number_of_signers_than_the_threshold_is_an_invalid_request() -> None:
    request = signing_request(signers=["party-1", "party-2", "party-3"])
    with pytest.raises(ChoiceError, match="names 3 parties; exactly 2 sign") as wrong:
        signers(request, facts(), EVERYBODY, Random(0))
    assert wrong.value.failure.code is FailureCode.INVALID_REQUEST
