"""A cancellation that binds: no interleaving makes a false final, and each rule is needed."""

from __future__ import annotations

from itertools import product

import pytest

from .conformance import Model, disagreement, walk
from .interleavings import Design, Found, Scene, explore, false_finals
from .party import CANCEL_RULES, SHARE_RULES, Body, Cancel

pytestmark = pytest.mark.long

ONE_BODY = Scene(bodies=(Body("a", 2),), cancels=(Cancel(3, 2), Cancel(7, 2)), ends=9)
TRIES = Scene(bodies=(Body("a", 2),), cancels=(), sessions=4, losses=0)
TWO_BODIES = Scene(bodies=(Body("a", 2), Body("b", 4)), cancels=(Cancel(5, 4),), ends=6)
NO_TARGET = Scene(bodies=(Body("a", 4),), cancels=(Cancel(5, 4), Cancel(3, None)), ends=6)
SCENES = (TRIES, TWO_BODIES, NO_TARGET, ONE_BODY)

ONLY_TIME_PASSES = {"from the future", "cancel from the future"}
"""What is not of the future when a worker reads is not in its transaction either."""
SECOND_LOCKS = {"lost since", "too long ago"}
"""Whoever reads since when a statement counts needs nobody to refuse what is older."""
NEEDED = [name for name in (*SHARE_RULES, *CANCEL_RULES) if name not in SECOND_LOCKS]


def counterexample(design: Design, *scenes: Scene) -> Found | None:
    for scene in scenes or SCENES:
        found = explore(scene, design)
        if found.trace:
            return found
    return None


@pytest.mark.parametrize("scene", SCENES, ids=["tries", "two bodies", "no target", "one body"])
def test_no_interleaving_breaks_a_promise(scene: Scene) -> None:
    found = explore(scene, Design())
    assert found.trace == []
    assert found.states > 1_000


@pytest.mark.parametrize("name", NEEDED)
def test_without_a_rule_a_promise_is_broken(name: str) -> None:
    assert counterexample(Design(off=frozenset({name})))


@pytest.mark.parametrize("name", [name for name in NEEDED if name not in ONLY_TIME_PASSES])
def test_a_rule_that_is_not_asked_in_the_transaction_is_none(name: str) -> None:
    fenced = name != "not remembered"
    assert counterexample(Design(early=frozenset({name}), unfenced=not fenced))


@pytest.mark.parametrize(
    "design",
    [
        Design(sends_first=True),
        Design(states_first=True),
        Design(forgets_sharp=True),
        Design(names_beginning=False),
    ],
    ids=["a share sent first", "a statement sent first", "forgotten early", "no beginning"],
)
def test_what_is_done_in_another_order_or_too_soon_breaks_a_promise(design: Design) -> None:
    assert counterexample(design)


def test_for_one_body_a_refusal_does_for_the_beginning_that_a_statement_names() -> None:
    assert counterexample(Design(names_beginning=False), ONE_BODY) is None
    for name in sorted(SECOND_LOCKS):
        without = Design(names_beginning=False, off=frozenset({name}))
        assert counterexample(without, ONE_BODY)


def test_a_cancel_that_says_nothing_of_its_target_needs_the_beginning() -> None:
    silent = Scene(bodies=(Body("a", 2),), cancels=(Cancel(9, None),))
    assert counterexample(Design(), silent) is None
    assert counterexample(Design(names_beginning=False), silent)


def test_a_lost_memory_alone_keeps_what_a_crash_forgets_from_being_signed() -> None:
    """That cancellations are logged spares a party refusals; it is not what binds."""
    assert counterexample(Design(logged=False), ONE_BODY) is None


###
### Three parties, and liars
###

HONEST = {(False, False), (True, False), (False, True)}
"""Stated, signed: what the interleavings leave of one party."""


@pytest.mark.parametrize(
    ("parties", "threshold"), [(2, 2), (3, 2), (3, 3), (4, 2), (5, 3), (5, 4), (7, 4)]
)
def test_no_more_liars_than_are_tolerated_make_a_false_final(parties: int, threshold: int) -> None:
    assert list(false_finals(HONEST, parties=parties, threshold=threshold)) == []


@pytest.mark.parametrize(("parties", "threshold"), [(3, 2), (5, 3)])
def test_one_party_that_breaks_its_promise_is_a_liar_too_many(parties: int, threshold: int) -> None:
    broken = {*HONEST, (True, True)}
    assert list(false_finals(broken, parties=parties, threshold=threshold))


def test_liars_beyond_what_is_tolerated_can_always_deceive() -> None:
    """So the number that a client is told is the right one, and no smaller one."""
    parties, threshold = 3, 2
    deceived = set()
    for liars in range(parties + 1):
        for honest in product(HONEST, repeat=parties - liars):
            stated = liars + sum(each[0] for each in honest)
            signed = liars + sum(each[1] for each in honest)
            tolerated = stated - (parties - threshold) - 1
            if 0 <= tolerated < liars and signed >= threshold:
                deceived.add((tolerated, liars))
    assert {(0, 1), (1, 2)} <= deceived


###
### Real stores
###


@pytest.mark.parametrize("seed", range(20))
async def test_the_model_conforms_to_itself(seed: int) -> None:
    assert await disagreement(Model(), walk(seed, 200)) is None


@pytest.mark.parametrize("name", [*SHARE_RULES, *CANCEL_RULES])
async def test_a_store_without_a_rule_does_not_conform(name: str) -> None:
    told = [
        await disagreement(Model(Design(off=frozenset({name}))), walk(seed, 200))
        for seed in range(20)
    ]
    assert any(told)
