"""What a seed decides."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ops.chaos.faults import TRAITS, Kind
from ops.chaos.schedule import FIRST_AFTER_S, LAST_BEFORE_S, schedule

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


def test_a_line_of_the_schedule_tells_when_what_and_whom() -> None:
    (first, *_) = schedule(3, 100, (Kind.CUT,))
    assert str(first).split()[:3] == ["4.0", "s", "cut"]
    assert first.target in str(first)
