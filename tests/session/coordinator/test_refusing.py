"""Parties that do not accept each other, and requests that are signed by others nevertheless.

A model: who refuses whom is any directed graph; of a set's refusers any one may speak first; a
party of the version before names nobody. A set that has no refuser signs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, permutations, product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failures import Failure, FailureCode
from contracts.keys import KeyFacts
from contracts.requests import MAX_TRIES
from contracts.terms import Member
from tests.session.builders import signing_request
from tests.session.conducts import replaceable
from tests.session.coordinator.test_choice import key_of, names_of
from workers.session.coordinator.choice import signer_sets, signers
from workers.session.coordinator.conduct import Conduct
from workers.session.coordinator.refusing import Refusal, quarrels, refusal_of

Refuses = frozenset[tuple[str, str]]
"""Who refuses whom."""

Choose = Callable[[KeyFacts, list[Refusal]], list[Member]]


def by_nonces(seed: int) -> Choose:
    random = Random(seed)

    def choose(key: KeyFacts, refusals: list[Refusal]) -> list[Member]:
        return signers(signing_request(), key, names_of(key), random, refusals=refusals)

    return choose


def by_presignatures(stocked: Iterable[str] = ()) -> Choose:
    """With such pools in stock: the first set that has some is taken, the home set if none has."""
    in_stock = list(stocked)

    def choose(key: KeyFacts, refusals: list[Refusal]) -> list[Member]:
        request = signing_request(scheme="ecdsa", message=bytes(32))
        home, *others = signer_sets(request, key, names_of(key), (), in_stock, refusals=refusals)
        return others[0] if others else home

    return choose


@dataclass
class Course:
    """What came of a request."""

    tried: list[frozenset[str]]
    signed: bool


def course(
    key: KeyFacts, refuses: Refuses, choose: Choose, spokesman: Random, *, named: bool, tries: int
) -> Course:
    tried: list[frozenset[str]] = []
    refusals: list[Refusal] = []
    for _ in range(tries):
        chosen = frozenset(each.party_id for each in choose(key, refusals))
        tried.append(chosen)
        refusers = sorted({one for one, other in refuses if {one, other} <= chosen})
        if not refusers:
            return Course(tried, signed=True)
        speaker = spokesman.choice(refusers)
        because = [other for one, other in refuses if one == speaker and other in chosen]
        failure = Failure.of(
            FailureCode.PARTY_REFUSED, "because", culprits=because if named else []
        )
        refusal = refusal_of(failure, speaker, chosen)
        assert refusal is not None
        refusals.append(refusal)
    return Course(tried, signed=False)


def some_would_sign(key: KeyFacts, refuses: Refuses) -> bool:
    return any(
        not any({one, other} <= set(chosen) for one, other in refuses)
        for chosen in combinations(names_of(key), key.threshold)
    )


def graphs(names: list[str]) -> Iterator[Refuses]:
    arrows = list(permutations(names, 2))
    for present in product((False, True), repeat=len(arrows)):
        yield frozenset(arrow for arrow, there in zip(arrows, present, strict=True) if there)


@st.composite
def arrows(draw: st.DrawFn, key: KeyFacts) -> Refuses:
    return frozenset(draw(st.sets(st.sampled_from(list(permutations(names_of(key), 2))))))


KEYS = [key_of(n, t) for n in (3, 4, 5) for t in range(2, n)]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("choose", [by_nonces(1), by_presignatures(), by_presignatures(["1,2"])])
def test_of_three_parties_two_that_would_sign_are_found_whoever_refuses_whom(
    choose: Choose, named: bool
) -> None:
    key = key_of(3, 2)
    for seed, refuses in enumerate(graphs(names_of(key))):
        found = course(key, refuses, choose, Random(seed), named=named, tries=MAX_TRIES)
        assert found.signed == some_would_sign(key, refuses)
        assert found.signed or len(set(found.tried)) == 3


@given(st.data(), st.sampled_from(KEYS), st.integers(), st.booleans())
def test_a_set_that_would_sign_is_found_and_none_is_tried_twice_before(
    data: st.DataObject, key: KeyFacts, seed: int, named: bool
) -> None:
    refuses = data.draw(arrows(key))
    choose = data.draw(st.sampled_from([by_nonces(seed), by_presignatures()]))
    every = list(combinations(names_of(key), key.threshold))
    found = course(key, refuses, choose, Random(seed), named=named, tries=len(every))
    assert len(set(found.tried)) == len(found.tried) or not some_would_sign(key, refuses)
    assert found.signed == some_would_sign(key, refuses)


@given(st.data(), st.sampled_from(KEYS), st.integers())
def test_each_try_rules_out_a_pair_so_fewer_pairs_than_tries_are_always_got_round(
    data: st.DataObject, key: KeyFacts, seed: int
) -> None:
    pairs = list(permutations(names_of(key), 2))
    refuses = frozenset(data.draw(st.lists(st.sampled_from(pairs), max_size=MAX_TRIES - 1)))
    choose = data.draw(st.sampled_from([by_nonces(seed), by_presignatures()]))
    found = course(key, refuses, choose, Random(seed), named=True, tries=MAX_TRIES)
    assert found.signed == some_would_sign(key, refuses)


@given(st.data(), st.sampled_from(KEYS), st.integers(), st.booleans())
def test_one_party_that_nobody_accepts_or_that_accepts_nobody_is_left_out(
    data: st.DataObject, key: KeyFacts, seed: int, outcast: bool
) -> None:
    one, *others = data.draw(st.permutations(names_of(key)))
    refuses = frozenset((other, one) if outcast else (one, other) for other in others)
    choose = data.draw(st.sampled_from([by_nonces(seed), by_presignatures()]))
    found = course(key, refuses, choose, Random(seed), named=True, tries=MAX_TRIES)
    assert found.signed
    assert one not in found.tried[-1]


def test_those_that_are_in_no_refusal_come_first() -> None:
    key = key_of(4, 2)
    one, other, *rest = names_of(key)
    refusal = Refusal(party_id=one, because=[other], signers=[one, other])
    for choose in (by_nonces(7), by_presignatures(["1,2"])):
        assert [each.party_id for each in choose(key, [refusal])] == rest


def test_the_silent_are_no_way_round_a_party_that_may_have_mended_itself() -> None:
    """What it lost it makes anew; only when it refuses once more are the silent worth a try."""
    key = key_of(3, 2)
    one, other, silent = names_of(key)
    refusal = Refusal(party_id=one, because=[], signers=[one, other])
    for seed, count in product(range(10), (1, 2)):
        chosen = signers(
            signing_request(), key, [one, other], Random(seed), refusals=[refusal] * count
        )
        assert (silent in {each.party_id for each in chosen}) == (count == 2)


def test_only_a_refusal_is_one() -> None:
    for code in FailureCode:
        refusal = refusal_of(Failure.of(code, "because", culprits=["b"]), "a", ["b", "a"])
        assert (refusal is not None) == (code is FailureCode.PARTY_REFUSED)
        if refusal is not None:
            assert refusal == Refusal(party_id="a", because=["b"], signers=["a", "b"])
            assert quarrels([refusal]) == {frozenset({"a", "b"})}


def test_what_a_session_without_refusals_is_stored_as_is_read_by_the_version_before() -> None:
    plain = replaceable()
    assert b"refusals" not in plain.model_dump_json().encode()
    refusal = Refusal(party_id="a", because=["b"], signers=["a", "b"])
    told = plain.model_copy(update={"refusals": [refusal]})
    assert Conduct.model_validate_json(told.model_dump_json()) == told
