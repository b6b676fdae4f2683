"""What a unit of work costs is learned at any concurrency, and never before there is evidence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.session.coordinator.rates import ENOUGH, FRESH_S, GUESS_S, Rates

STAYS = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=100),
        st.integers(min_value=1, max_value=50),
        st.integers(min_value=1, max_value=16),
    ),
    min_size=1,
    max_size=20,
)
"""When each began, how long it stayed, and its units."""


class Ledger(Rates):
    """Writes down every cost that it is taught."""

    def __init__(self) -> None:
        super().__init__()
        self.taught: list[float] = []

    def _learn(self, kind: str, seconds: float, alone: bool, now: float) -> None:
        self.taught.append(seconds)
        super()._learn(kind, seconds, alone, now)


@given(STAYS)
def test_the_costs_of_all_add_up_to_the_time_in_which_there_was_work(
    stays: list[tuple[int, int, int]],
) -> None:
    rates = Ledger()
    total = 0.0
    moments = sorted(
        [(began, 1, i) for i, (began, _, _) in enumerate(stays)]
        + [(began + stayed, 0, i) for i, (began, stayed, _) in enumerate(stays)]
    )
    for now, begins, i in moments:
        if begins:
            rates.began(i, "keygen", stays[i][2], now=now)
        else:
            rates.ended(i, now=now)
            total += rates.taught[-1] * stays[i][2]
    seconds = {second for began, stayed, _ in stays for second in range(began, began + stayed)}
    assert total == pytest.approx(len(seconds))
    assert rates.under_way == 0


@pytest.mark.parametrize("at_once", [2, 3, 8])
@pytest.mark.parametrize("per_second", [0.5, 4.0, 200.0])
def test_the_rate_of_a_busy_server_is_learned_whatever_the_concurrency(
    at_once: int, per_second: float
) -> None:
    """A server that does so many a second, and divides itself among `at_once`."""
    rates, now = Rates(), 0.0
    for i in range(at_once):
        rates.began(i, "sign", 1, now=now)
    for i in range(60):
        now += 1 / per_second
        rates.ended(i, now=now)
        rates.began(i + at_once, "sign", 1, now=now)
    assert rates.known("sign", now=now) == pytest.approx(1 / per_second, rel=0.1)
    assert rates.left(now=now) == pytest.approx(at_once / per_second, rel=0.1)


def test_what_is_late_while_others_are_done_changes_nothing() -> None:
    rates = Rates()
    rates.began("hangs", "keygen", 1, now=0)
    at = taught(rates, 0.01, at=1)
    before = rates.known("keygen", now=at)
    rates.ended("hangs", now=at, late=True)
    assert (rates.known("keygen", now=at), rates.setbacks("keygen")) == (before, 0)


def test_those_that_are_late_together_are_one_setback_and_some_that_are_done_undo_it() -> None:
    rates = Rates()
    for name in range(8):
        rates.began(name, "sign", 1, now=0)
    for name in range(8):
        rates.ended(name, now=5 + name, late=True)
    assert rates.setbacks("sign") == 1
    assert rates.known("sign", now=13) is None
    rates.began("again", "sign", 1, now=14)
    rates.ended("again", now=20, late=True)
    assert rates.setbacks("sign") == 2
    for name in range(7):
        rates.began(name, "sign", 1, now=21 + name)
        rates.ended(name, now=21.5 + name)
    assert rates.setbacks("sign") == 1


def test_nothing_is_known_before_enough_was_seen() -> None:
    rates = Rates()
    for i in range(ENOUGH - 1):
        rates.began((i, "a"), "keygen", 1, now=i)
        rates.began((i, "b"), "other", 1, now=i)
        rates.ended((i, "a"), now=i + 0.5)
        rates.ended((i, "b"), now=i + 0.5)
        assert rates.known("keygen", now=i + 0.5) is None
        assert rates.cost("keygen", now=i + 0.5) == GUESS_S
        assert rates.left(now=i + 0.5) == 0
    rates.began("a", "keygen", 1, now=10)
    rates.began("b", "other", 1, now=10)
    rates.ended("a", now=10.5)
    assert rates.known("keygen", now=10.5) == pytest.approx(0.25)


def test_a_session_that_was_alone_says_only_that_it_costs_no_more() -> None:
    rates = Rates()
    for i in range(20):
        rates.began(i, "keygen", 1, now=i)
        rates.ended(i, now=i + 0.9)
    assert rates.known("keygen", now=20) is None
    busy_until = taught(rates, 2.0, at=30)
    assert rates.known("keygen", now=busy_until) == pytest.approx(2.0)
    rates.began("slow", "keygen", 1, now=busy_until)
    rates.ended("slow", now=busy_until + 9)
    assert rates.known("keygen", now=busy_until + 9) == pytest.approx(2.0)
    now = busy_until + 9
    for i in range(10):
        rates.began(("fast", i), "keygen", 1, now=now)
        now += 0.5
        rates.ended(("fast", i), now=now)
    cost = rates.known("keygen", now=now)
    assert cost is not None
    assert cost < 1


def taught(rates: Rates, cost_s: float, *, at: float) -> float:
    """Pairs that end together, until the cost is known; returns when."""
    for i in range(ENOUGH):
        for half in "ab":
            rates.began((cost_s, i, half), "keygen", 1, now=at)
        at += 2 * cost_s
        for half in "ab":
            rates.ended((cost_s, i, half), now=at)
    return at


def test_what_was_known_long_ago_is_not_known_and_is_learned_anew() -> None:
    rates = Rates()
    at = taught(rates, 3.0, at=0)
    assert rates.known("keygen", now=at + FRESH_S) is not None
    later = at + FRESH_S + 1
    assert rates.known("keygen", now=later) is None
    at = taught(rates, 0.1, at=later)
    assert rates.known("keygen", now=at) == pytest.approx(0.1)


def test_what_hangs_is_no_work_and_teaches_nothing() -> None:
    rates = Ledger()
    rates.began("hangs", "keygen", 4, now=0)
    rates.began("works", "keygen", 1, now=0)
    rates.forget("hangs", now=5)
    assert rates.under_way == 1
    rates.ended("hangs", now=9)
    assert rates.taught == []
    rates.ended("works", now=10)
    assert rates.taught == [pytest.approx(6.0)]


def test_a_name_that_begins_twice_is_one_and_one_that_never_began_is_none() -> None:
    rates = Ledger()
    rates.began("a", "keygen", 1, now=0)
    rates.began("a", "keygen", 1, now=1)
    rates.ended("b", now=2)
    rates.ended("a", now=3)
    assert rates.taught == [3]
    rates.began("c", "keygen", 1, now=3)
    rates.ended("c", now=3)
    assert rates.taught == [3]


def test_time_is_divided_among_units_and_not_among_sessions() -> None:
    rates, now = Ledger(), 0.0
    rates.began("list", "sign", 9, now=now)
    rates.began("one", "sign", 1, now=now)
    rates.ended("list", now=9.0)
    rates.ended("one", now=10.0)
    assert rates.taught == [pytest.approx(0.9), pytest.approx(1.9)]
