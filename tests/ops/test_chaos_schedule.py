"""What a seed decides."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.chaos.faults import LIARS, TRAITS, Kind, claims
from ops.chaos.schedule import FIRST_AFTER_S, LAST_BEFORE_S, schedule

pytestmark = pytest.mark.long

SEEDS = st.integers(min_value=0, max_value=2**32)


@given(SEEDS, st.floats(min_value=10, max_value=2000))
def test_the_same_seed_gives_the_same_schedule(seed: int, seconds: float) -> None:
    assert schedule(seed, seconds) == schedule(seed, seconds)
    assert schedule(seed, seconds, tuple(reversed(Kind))) == schedule(seed, seconds)


def test_another_seed_gives_another_schedule() -> None:
    assert len({schedule(seed, 300) for seed in range(20)}) == 20


@given(SEEDS, st.floats(min_value=10, max_value=2000))
def test_faults_come_one_after_another_within_the_load(seed: int, seconds: float) -> None:
    injections = schedule(seed, seconds)
    for earlier, later in pairwise(injections):
        assert later.at_s > earlier.at_s + earlier.lasts_s
    for injection in injections:
        assert injection.at_s >= FIRST_AFTER_S
        assert injection.at_s + injection.lasts_s <= seconds - LAST_BEFORE_S + 0.1


@given(SEEDS)
def test_every_kind_comes_once_before_any_comes_again(seed: int) -> None:
    kinds = [injection.kind for injection in schedule(seed, 2000)]
    assert set(kinds[: len(Kind)]) == set(Kind)
    assert set(kinds[len(Kind) : 2 * len(Kind)]) == set(Kind)


@given(SEEDS)
def test_every_fault_strikes_somebody_it_can_strike_for_as_long_as_it_may(seed: int) -> None:
    for injection in schedule(seed, 1000):
        traits = TRAITS[injection.kind]
        shortest, longest = traits.lasts_s
        assert shortest <= injection.lasts_s <= longest
        assert injection.target in (traits.targets or ("",))


def test_only_the_kinds_asked_for_strike_and_none_if_none_is() -> None:
    wanted = {Kind.CUT, Kind.KILL}
    assert {injection.kind for injection in schedule(1, 500, wanted)} == wanted
    assert schedule(1, 500, ()) == ()


def test_in_haste_faults_last_shorter() -> None:
    assert max(each.lasts_s for each in schedule(1, 1000, haste=10)) <= 3.5


@given(SEEDS)
def test_those_that_overlap_strike_while_the_other_lasts_and_want_nothing_of_its(
    seed: int,
) -> None:
    injections = schedule(seed, 600, overlap=1)
    assert any(injection.alongside for injection in injections)
    for earlier, later in pairwise(injections):
        if later.alongside:
            assert not earlier.alongside
            assert 0 <= later.at_s - earlier.at_s <= max(earlier.lasts_s, 1.0) + 0.1
            one, other = (claims(each.kind, each.target) for each in (earlier, later))
            assert one.isdisjoint(other)


@given(SEEDS)
def test_a_fault_that_strikes_alone_waits_until_all_before_it_are_over(seed: int) -> None:
    injections = schedule(seed, 600, overlap=0.5)
    for number, injection in enumerate(injections):
        if not injection.alongside:
            assert all(each.ends_s < injection.at_s for each in injections[:number])


@given(SEEDS)
def test_with_overlaps_too_every_kind_comes_once_before_any_comes_again(seed: int) -> None:
    kinds = [injection.kind for injection in schedule(seed, 2000, overlap=1)]
    assert set(kinds[: len(Kind)]) == set(Kind)
    assert set(kinds[len(Kind) : 2 * len(Kind)]) == set(Kind)


def test_two_never_lie_at_once_and_nobody_stops_what_is_stopped() -> None:
    for one in LIARS:
        for other in LIARS:
            assert claims(one, "party-1") & claims(other, "party-2")
    assert claims(Kind.ROLLING_RESTART, "") & claims(Kind.KILL, "party-1.1")
    assert claims(Kind.DATABASE_KILL, "keygen") & claims(Kind.DISK_FULL, "party-1")
    assert not claims(Kind.DATABASE_KILL, "keygen") & claims(Kind.DISK_FULL, "party-3")
    assert not claims(Kind.KILL, "party-1.1") & claims(Kind.KILL, "party-1.2")


def test_a_line_of_the_schedule_tells_when_what_and_whom() -> None:
    (first, *_) = schedule(3, 100, (Kind.CUT,))
    assert str(first).split()[:3] == ["4.0", "s", "cut"]
    assert first.target in str(first)
