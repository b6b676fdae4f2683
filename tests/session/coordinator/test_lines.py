"""Owners take turns in a line, by what serving them costs."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from workers.session.coordinator.lines import Line, Place

OWNERS = st.sampled_from(["greedy", "modest", "third"])
WEIGHTS = st.integers(min_value=1, max_value=32)
ARRIVALS = st.lists(st.tuples(OWNERS, WEIGHTS), min_size=1, max_size=40)


def filled(arrivals: list[tuple[str, int]]) -> Line[int]:
    line: Line[int] = Line()
    for item, (owner, weight) in enumerate(arrivals):
        line.join(item, owner, weight)
    return line


def served(line: Line[int]) -> list[Place[int]]:
    """All of them, in the order of their turns."""
    places = []
    while (place := line.next()) is not None:
        line.serve(place.item)
        places.append(place)
    return places


@given(ARRIVALS)
def test_everybody_is_served_once_and_each_owner_in_the_order_of_asking(
    arrivals: list[tuple[str, int]],
) -> None:
    line = filled(arrivals)
    places = served(line)
    assert sorted(place.item for place in places) == list(range(len(arrivals)))
    for owner in ("greedy", "modest", "third"):
        own = [place.item for place in places if place.owner == owner]
        assert own == sorted(own)
    assert (len(line), line.waiting("greedy")) == (0, 0)


@given(ARRIVALS)
def test_who_waits_all_the_while_gets_no_less_than_others_but_for_one_turn(
    arrivals: list[tuple[str, int]],
) -> None:
    left = Counter(owner for owner, _ in arrivals)
    had: Counter[str] = Counter()
    for place in served(filled(arrivals)):
        had[place.owner] += int(place.weight)
        left[place.owner] -= 1
        waiting = [owner for owner, count in left.items() if count]
        for one in waiting:
            for other in waiting:
                assert abs(had[one] - had[other]) <= 32


@given(ARRIVALS, WEIGHTS)
def test_whoever_comes_new_is_behind_no_more_than_one_turn_of_each(
    arrivals: list[tuple[str, int]], weight: int
) -> None:
    line = filled(arrivals)
    line.join(-1, "new", weight)
    before = []
    for place in served(line):
        if place.item == -1:
            break
        before.append(place.owner)
    assert max(Counter(before).values(), default=0) <= 1


@given(ARRIVALS, OWNERS)
def test_what_is_ahead_is_what_is_served_before(
    arrivals: list[tuple[str, int]], owner: str
) -> None:
    line = filled(arrivals)
    told = line.ahead(owner)
    line.join(-1, owner, 1)
    before = 0.0
    for place in served(line):
        if place.item == -1:
            break
        before += place.weight
    assert told == before


def test_nobody_saves_up_turns_by_asking_for_nothing() -> None:
    line: Line[str] = Line()
    for i in range(100):
        line.join(f"greedy {i}", "greedy", 1)
        line.serve(f"greedy {i}")
    for i in range(4):
        line.join(f"late {i}", "late", 1)
        line.join(f"more {i}", "greedy", 1)
    order = []
    while (place := line.next()) is not None:
        line.serve(place.item)
        order.append(place.owner)
    assert abs(order[:4].count("late") - order[:4].count("greedy")) <= 1


def test_a_list_takes_as_many_turns_as_it_costs() -> None:
    line = filled([("greedy", 8), ("greedy", 8), *[("modest", 1)] * 8])
    order = [place.owner for place in served(line)]
    assert order.index("greedy") == 0
    assert order[1:9].count("modest") >= 7


def test_who_leaves_is_in_nobodys_way_and_may_leave_twice() -> None:
    line = filled([("greedy", 1), ("greedy", 1)])
    line.leave(0)
    line.leave(0)
    assert line.waiting("greedy") == 1
    assert 0 not in line
    assert [place.item for place in served(line)] == [1]


def test_the_first_that_fits_is_next() -> None:
    line = filled([("greedy", 5), ("modest", 1)])
    fitting = line.next(lambda place: place.weight < 5)
    assert fitting is not None
    assert fitting.owner == "modest"
    assert line.next(lambda _: False) is None
