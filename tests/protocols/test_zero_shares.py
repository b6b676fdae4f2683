"""Shares of zero."""

from __future__ import annotations

import pytest

from workers.protocols.groups import SECP256K1, Scalar
from workers.protocols.rounds import PartyIndex
from workers.protocols.zero_shares import pair_seed, zero_share

from .simulate import coins, indices

SESSION = b"session"


def shares(
    n: int, binding: bytes = SESSION, position: int = 0, seed: object = "seed"
) -> list[Scalar]:
    parties = indices(range(1, n + 1))
    seeds: dict[PartyIndex, dict[PartyIndex, bytes]] = {
        i: {
            j: pair_seed(SESSION, {k: coins(seed, k, i + j - k) for k in (i, j)})
            for j in parties
            if j != i
        }
        for i in parties
    }
    return [zero_share(binding, i, seeds[i], position) for i in parties]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_they_add_up_to_zero_and_are_none_themselves(n: int) -> None:
    zero = SECP256K1.scalar(0)
    assert sum(shares(n), start=zero) == zero
    assert zero not in shares(n)


def test_another_session_position_or_seed_gives_other_shares() -> None:
    drawn = [shares(3), shares(3, b"next"), shares(3, position=1), shares(3, seed="other")]
    assert len({share for one in drawn for share in one}) == 12


def test_both_sides_of_a_pair_find_the_same_seed_and_each_contribution_counts() -> None:
    one, two = indices((1, 2))
    a, b = coins("a"), coins("b")
    seed = pair_seed(SESSION, {one: a, two: b})
    assert seed == pair_seed(SESSION, {two: b, one: a})
    others = {pair_seed(SESSION, {one: b, two: b}), pair_seed(SESSION, {one: a, two: a})}
    assert len({seed, *others, pair_seed(b"next", {one: a, two: b})}) == 4
