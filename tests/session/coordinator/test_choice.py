from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failures import FailureCode
from contracts.identity import Identity
from contracts.keys import Holder, KeyFacts
from contracts.peers import Role
from contracts.terms import Member
from tests.protocols.simulate import coins
from tests.session.builders import IDENTITIES, PEERS, facts, keygen_request, signing_request
from workers.session.coordinator.choice import (
    ChoiceError,
    holders,
    indices_of,
    members_of,
    named_now,
    set_name,
    signer_sets,
    signers,
    sparing,
)
from workers.session.peers import Peer

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


###
### Signer sets
###

ECDSA = signing_request(scheme="ecdsa", message=bytes(32))


def key_of(party_count: int, threshold: int, session: object = "key") -> KeyFacts:
    """Of parties that nobody else here knows; the shares are no matter."""
    share = facts("secp256k1").holders[0].public_share
    return facts(
        "secp256k1",
        threshold=threshold,
        session_id=coins(session),
        holders=[
            Holder(party_id=f"p{i}", identity=b"identity %d" % i, public_share=share)
            for i in range(1, party_count + 1)
        ],
    )


def names_of(key: KeyFacts) -> list[str]:
    return [holder.party_id for holder in key.holders]


def sets(
    key: KeyFacts,
    *,
    alive: Collection[str] | None = None,
    quarrels: Iterable[tuple[str, str]] = (),
    stocked: Iterable[str] = (),
    signers: list[str] | None = None,
    resting: Collection[str] = (),
) -> list[str]:
    """By name."""
    request = ECDSA if signers is None else ECDSA.model_copy(update={"signers": signers})
    found = signer_sets(
        request,
        key,
        set(names_of(key)) if alive is None else alive,
        {frozenset(pair) for pair in quarrels},
        stocked,
        resting,
    )
    for each in found:
        assert [member.index for member in each] == sorted({member.index for member in each})
        for member in each:
            holder = key.holders[member.index - 1]
            assert (holder.party_id, holder.identity) == (member.party_id, member.identity)
    return [set_name(each) for each in found]


def party_ids(name: str) -> set[str]:
    return {f"p{i}" for i in indices_of(name)}


def test_a_set_that_spoilt_something_rests_while_there_is_another() -> None:
    key = key_of(3, 2)
    every = ["1,2", "1,3", "2,3"]
    (first,) = sets(key)
    second, *others = sets(key, resting=[first], stocked=every)
    assert first not in {second, *others}
    (third,) = sets(key, resting=[first, second])
    assert {first, second, third} == set(every)
    assert sets(key, resting=every) == [first]
    assert sets(key, signers=sorted(party_ids(first)), resting=[first]) == [first]


def test_a_set_has_a_name_and_a_name_a_set() -> None:
    key = key_of(12, 3)
    members = members_of(key, "2,10,11")
    assert [member.party_id for member in members] == ["p2", "p10", "p11"]
    assert set_name(members) == "2,10,11"
    assert indices_of("2,10,11") == [2, 10, 11]


def test_every_coordinator_has_the_same_home_set_whatever_the_order_of_its_lists() -> None:
    key = key_of(7, 3)
    (home,) = sets(key)
    assert len(party_ids(home)) == 3
    for alive in (names_of(key), names_of(key)[::-1], set(names_of(key))):
        assert sets(key, alive=alive) == [home]


def test_keys_have_other_homes_so_that_all_parties_work() -> None:
    homes = {sets(key_of(3, 2, seed))[0] for seed in range(60)}
    assert homes == {"1,2", "1,3", "2,3"}


@given(st.sets(st.sampled_from([f"p{i}" for i in range(1, 8)])))
def test_the_home_set_moves_no_more_than_the_silent_make_it(alive: set[str]) -> None:
    key = key_of(7, 3)
    usual, (home,) = party_ids(sets(key)[0]), sets(key, alive=alive)
    assert len(party_ids(home)) == 3
    assert len(party_ids(home) & alive) == min(3, len(alive))
    # Whoever belongs there and is alive, stays.
    assert usual & alive <= party_ids(home)


def test_a_silent_outsider_moves_nothing() -> None:
    key = key_of(7, 3)
    (home,) = sets(key)
    assert sets(key, alive=party_ids(home)) == [home]


def test_named_signers_are_the_only_set() -> None:
    key = key_of(3, 2)
    quarrel = [("p1", "p3")]
    for names in (["p1", "p3"], ["p3", "p1"]):
        assert sets(key, signers=names, alive=(), quarrels=quarrel, stocked=["1,2"]) == ["1,3"]


def test_named_signers_that_cannot_be_are_refused() -> None:
    with pytest.raises(ChoiceError, match="p9 holds no share"):
        sets(key_of(3, 2), signers=["p1", "p9"])
    with pytest.raises(ChoiceError, match="names 3 parties; exactly 2"):
        sets(key_of(3, 2), signers=["p1", "p2", "p3"])


def test_other_sets_in_stock_follow_in_their_order() -> None:
    key = key_of(3, 2)
    (home,) = sets(key)
    others = [name for name in ("1,2", "1,3", "2,3") if name != home]
    assert sets(key, stocked=[home, *others]) == [home, *others]
    assert sets(key, stocked=[*others[::-1], home]) == [home, *others[::-1]]


@pytest.mark.parametrize("stocked", ["1", "1,2,3", "1,9", "8,9"])
def test_sets_that_are_none_of_the_keys_are_left_out(stocked: str) -> None:
    key = key_of(3, 2)
    assert sets(key, stocked=[stocked]) == sets(key)


def test_sets_in_stock_with_the_silent_or_with_a_quarrel_are_left_out() -> None:
    key = key_of(4, 2)
    names = [",".join(map(str, pair)) for pair in combinations((1, 2, 3, 4), 2)]
    alive = {"p1", "p2", "p3"}
    found = sets(key, alive=alive, quarrels=[("p1", "p2")], stocked=names)
    assert set(found) == {"1,3", "2,3"}


def test_who_quarrels_is_kept_apart_whoever_began_it() -> None:
    key = key_of(3, 2)
    (home,) = sets(key)
    one, other = sorted(party_ids(home))
    (apart,) = sets(key, quarrels=[(one, other)])
    assert sets(key, quarrels=[(other, one)]) == [apart]
    assert apart != home
    assert len(party_ids(apart) & {one, other}) == 1
    # A quarrel that is no concern of the home set changes nothing.
    (third,) = set(names_of(key)) - {one, other}
    assert sets(key, quarrels=[(one, third)]) == [home]
    assert sets(key, quarrels=[("stranger", one)]) == [home]


@pytest.mark.parametrize(
    ("loner", "silent"), [(i, j) for i in range(1, 5) for j in range(1, 5) if i != j]
)
def test_the_living_that_agree_come_before_the_silent(loner: int, silent: int) -> None:
    # Whoever quarrels with all who live agrees with the silent, and may rank first.
    key = key_of(4, 2)
    agreed = set(names_of(key)) - {f"p{loner}", f"p{silent}"}
    quarrels = [(f"p{loner}", other) for other in agreed]
    (chosen,) = sets(key, alive={*agreed, f"p{loner}"}, quarrels=quarrels)
    assert party_ids(chosen) == agreed


def test_the_silent_are_asked_where_the_living_do_not_agree() -> None:
    key = key_of(3, 2)
    (chosen,) = sets(key, alive={"p1", "p2"}, quarrels=[("p1", "p2")])
    assert "p3" in party_ids(chosen)


def test_where_everybody_quarrels_the_home_set_stays() -> None:
    key = key_of(5, 3)
    assert sets(key, quarrels=combinations(names_of(key), 2)) == sets(key)


@given(st.sets(st.sampled_from(list(combinations([f"p{i}" for i in range(1, 7)], 2)))))
def test_a_set_without_a_quarrel_is_found_wherever_there_is_one(
    quarrels: set[tuple[str, str]],
) -> None:
    key = key_of(6, 3)
    (home,) = sets(key, quarrels=quarrels)
    agreed = [
        set(chosen)
        for chosen in combinations(names_of(key), 3)
        if not any(set(pair) <= set(chosen) for pair in quarrels)
    ]
    if agreed:
        assert party_ids(home) in agreed
    else:
        assert [home] == sets(key)


def test_one_quarrel_among_twenty_moves_one_of_ten() -> None:
    key = key_of(20, 10)
    (home,) = sets(key)
    for one, other in combinations(sorted(party_ids(home)), 2):
        (chosen,) = sets(key, quarrels=[(one, other)])
        assert len(party_ids(chosen) & party_ids(home)) == 9
        assert not {one, other} <= party_ids(chosen)


def test_twenty_that_quarrel_in_the_worst_way_are_searched_to_the_end() -> None:
    # Eight pairs and four that all quarrel: no more than nine agree, in 32,805 ways or fewer.
    key = key_of(20, 10)
    names = names_of(key)
    quarrels = [(names[at], names[at + 1]) for at in range(0, 16, 2)]
    quarrels += combinations(names[16:], 2)
    assert sets(key, quarrels=quarrels) == sets(key)
    assert sets(key, quarrels=quarrels[:-1]) != sets(key)


###
### Among those whom the key's owner has configured
###


@given(
    st.integers(),
    st.sets(st.sampled_from(["party-1", "party-2", "party-3"])),
    st.sets(st.sampled_from(["party-1", "party-2", "party-3"]), min_size=2),
    st.sets(st.sampled_from(["1,2", "1,3", "2,3"])),
)
def test_nobody_else_is_chosen_dead_or_alive_in_stock_or_not(
    seed: int, alive: set[str], among: set[str], stocked: set[str]
) -> None:
    chosen = signers(signing_request(), facts(), alive, Random(seed), among)
    sets = signer_sets(signing_request(), facts(), alive, (), sorted(stocked), ["1,2"], among)
    for members in (chosen, *sets):
        names = {each.party_id for each in members}
        assert len(names) == 2
        assert names <= among
        assert all(facts().holders[each.index - 1].party_id == each.party_id for each in members)


def test_whom_a_request_names_need_not_be_configured() -> None:
    request, among = signing_request(signers=["party-3", "party-1"]), ["party-1", "party-2"]
    for chosen in (
        signers(request, facts(), EVERYBODY, Random(0), among),
        *signer_sets(request, facts(), EVERYBODY, (), (), (), among),
    ):
        assert [each.party_id for each in chosen] == ["party-1", "party-3"]


DRAINED = {**PEERS, "party-1": replace(PEERS["party-1"], drained=True)}
RECOVERY = {**PEERS, "party-1": replace(PEERS["party-1"], role=Role.RECOVERY)}
RETIRED = {**PEERS, "party-1": replace(PEERS["party-1"], present=False)}


@pytest.mark.parametrize("parties", [DRAINED, RECOVERY, RETIRED])
def test_who_takes_no_new_keys_gets_none_unless_it_is_named(parties: dict[str, Peer]) -> None:
    for seed in range(20):
        chosen = holders(keygen_request(), parties, EVERYBODY, Random(seed))
        assert _names([each.party_id for each in chosen]) == "2 3 4"
    with pytest.raises(ChoiceError, match="4 parties wanted, 3 take new keys") as wrong:
        holders(keygen_request(party_count=4), parties, EVERYBODY, Random(0))
    assert wrong.value.failure.code is FailureCode.TOO_FEW_PARTIES


def test_a_drained_party_or_one_for_recovery_that_is_named_is_taken() -> None:
    request = keygen_request(parties=["party-1", "party-2", "party-4"])
    for parties in (DRAINED, RECOVERY):
        chosen = holders(request, parties, EVERYBODY, Random(0))
        assert _names([each.party_id for each in chosen]) == "1 2 4"


def test_a_retired_party_that_is_named_is_none() -> None:
    request = keygen_request(parties=["party-1", "party-2", "party-4"])
    with pytest.raises(ChoiceError, match="no party party-1; there are party-2, party-3, party-4"):
        holders(request, RETIRED, EVERYBODY, Random(0))


def test_who_is_to_be_spared_is_while_enough_others_live() -> None:
    key = facts()
    for parties in (DRAINED, RECOVERY):
        assert sparing(EVERYBODY, parties, key) == EVERYBODY - {"party-1"}
        assert sparing({"party-1", "party-2"}, parties, key) == {"party-1", "party-2"}
        # party-4 holds no share.
        assert sparing({"party-1", "party-2", "party-4"}, parties, key) == EVERYBODY - {"party-3"}
        assert sparing(EVERYBODY, parties, key, ["party-1", "party-2"]) == EVERYBODY
    assert sparing(EVERYBODY, PEERS, key) == EVERYBODY
    assert sparing({"party-8", *PEERS}, DRAINED, key) == {
        "party-2",
        "party-3",
        "party-4",
        "party-8",
    }


def test_members_are_named_by_the_keys_that_count_now() -> None:
    new, stranger = Identity.generate().public, Identity.generate().public
    parties = {**PEERS, "party-2": replace(PEERS["party-2"], identity=new)}
    members = [
        Member(party_id=name, index=i, identity=stranger.der)
        for i, name in enumerate(("party-2", "party-3", "party-9"), start=1)
    ]
    named = named_now(members, parties)
    assert [each.identity for each in named] == [
        new.der,
        IDENTITIES["party-3"].public.der,
        stranger.der,
    ]
