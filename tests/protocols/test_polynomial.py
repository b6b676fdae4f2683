"""Shamir's sharing and Feldman's commitments."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from workers.protocols.groups import ED25519, SECP256K1, Group, IdentityError, Point
from workers.protocols.polynomial import (
    add_commitments,
    are_shares_of,
    commit,
    evaluate,
    evaluate_commitments,
    interpolating_value,
)
from workers.protocols.rounds import PartyIndex

from .simulate import index, indices

GROUPS = pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.name)
COEFFICIENTS = st.lists(st.integers(1, 2**256), min_size=2, max_size=5)


@GROUPS
def test_a_polynomial_is_evaluated_by_its_definition(group: Group) -> None:
    coefficients = [group.scalar(a) for a in (7, 11, 13)]
    assert evaluate(coefficients, index(4)) == group.scalar(7 + 11 * 4 + 13 * 16)


@GROUPS
@settings(max_examples=20, deadline=None)
@given(values=COEFFICIENTS, x=st.integers(1, 20))
def test_commitments_evaluate_to_the_committed_value(
    group: Group, values: list[int], x: int
) -> None:
    coefficients = [group.scalar(a) for a in values]
    # Horner's rule walks through the values of the polynomial's upper parts; none may be zero.
    tails = [evaluate(coefficients[k:], index(x)) for k in range(len(coefficients))]
    assume(all(scalar != group.scalar(0) for scalar in (*coefficients, *tails)))
    value = tails[0]
    assert evaluate_commitments(group, commit(coefficients), index(x)) == value * group.generator


@GROUPS
@settings(max_examples=20, deadline=None)
@given(values=COEFFICIENTS, data=st.data())
def test_any_t_values_interpolate_to_the_secret(
    group: Group, values: list[int], data: st.DataObject
) -> None:
    coefficients = [group.scalar(a) for a in values]
    places = st.permutations(range(1, 21)).map(lambda order: indices(order[: len(values)]))
    signers = data.draw(places)
    terms = [interpolating_value(group, signers, i) * evaluate(coefficients, i) for i in signers]
    assert sum(terms, start=group.scalar(0)) == coefficients[0]


@GROUPS
def test_values_are_interpolated_at_any_place(group: Group) -> None:
    coefficients = [group.scalar(a) for a in (7, 11, 13)]
    signers = indices((2, 4, 5))
    for x in (0, 1, 3, 9):
        terms = [
            interpolating_value(group, signers, i, at=x) * evaluate(coefficients, i)
            for i in signers
        ]
        expected = evaluate(coefficients, index(x)) if x else coefficients[0]
        assert sum(terms, start=group.scalar(0)) == expected


def shares_of(group: Group, *coefficients: int) -> tuple[Point, dict[PartyIndex, Point]]:
    """Public key and public shares of five parties."""
    scalars = [group.scalar(a) for a in coefficients]
    values = {i: evaluate(scalars, i) * group.generator for i in indices(range(1, 6))}
    return scalars[0] * group.generator, values


@GROUPS
def test_shares_belong_to_their_key_and_threshold(group: Group) -> None:
    public_key, shares = shares_of(group, 7, 11, 13)
    assert are_shares_of(group, public_key, shares, 3)
    assert are_shares_of(group, public_key, shares, 4)  # a degree may be lower than it could be
    assert not are_shares_of(group, public_key, shares, 2)
    assert not are_shares_of(group, shares[index(1)], shares, 3)
    for i in shares:
        assert not are_shares_of(group, public_key, {**shares, i: public_key}, 3)


@GROUPS
def test_fewer_shares_than_the_threshold_prove_nothing(group: Group) -> None:
    public_key, shares = shares_of(group, 7, 11, 13)
    assert not are_shares_of(group, public_key, {i: shares[i] for i in indices((1, 2))}, 3)


@GROUPS
def test_shares_of_which_a_sum_is_the_identity_are_none(group: Group) -> None:
    """The line through -1 and -2 is 0 at 0, which no key is."""
    one, two = (group.scalar(-a) * group.generator for a in (1, 2))
    assert not are_shares_of(group, one, {index(1): one, index(2): two}, 2)


@GROUPS
def test_sums_of_commitments_commit_to_sums(group: Group) -> None:
    one, two = ([group.scalar(a) for a in row] for row in ((3, 5), (7, 9)))
    total = [a + b for a, b in zip(one, two, strict=True)]
    assert add_commitments(group, [commit(one), commit(two)]) == commit(total)


@GROUPS
def test_a_root_at_an_index_has_no_point(group: Group) -> None:
    coefficients = [group.scalar(-6), group.scalar(2)]
    with pytest.raises(IdentityError):
        evaluate_commitments(group, commit(coefficients), index(3))
