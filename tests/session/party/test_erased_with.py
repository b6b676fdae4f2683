"""With which epoch the end of what a step keeps has come."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.results import Status
from tests.session.builders import run_keygen
from tests.session.epoch_bundles import FROM_EPOCH, TO_EPOCH
from tests.session.party.reshares import sitting, told
from tests.session.presigners import begin, presign_batch, world
from workers.session.party.step import Step

DEALS_ONLY, BOTH, RECEIVES = "p3", "p2", ("p4", "p5")


def of(steps: Iterable[Step]) -> list[int | None]:
    """Those with a state, which all but the last have."""
    *kept, last = steps
    assert all(each.state for each in kept)
    assert (last.status, last.state, last.erased_with) == (Status.COMPLETED, b"", None)
    return [each.erased_with for each in kept]


def test_of_a_key_generation_with_the_first() -> None:
    for steps in run_keygen().steps.values():
        assert {*of(steps)} == {0}


def test_of_a_batch_with_its_keys() -> None:
    of_key = world()
    run = begin(of_key, presign_batch(of_key)).go_on()
    for signer in run.signers.values():
        assert {*of(signer.steps)} == {of_key.facts.epoch}


def test_of_a_dealer_with_the_one_that_it_deals_from_and_else_with_the_one_that_is_made() -> None:
    run = sitting(told()).play()
    assert FROM_EPOCH < TO_EPOCH
    for name in (DEALS_ONLY, BOTH):
        assert {*of(run.steps[name])} == {FROM_EPOCH}
    for name in RECEIVES:
        assert {*of(run.steps[name])} == {TO_EPOCH}
