"""Every fault once, mostly two at a time, on a stack of its own: nothing is lost, nothing comes
twice."""

from __future__ import annotations

import itertools
import logging

import pytest

from ops.chaos.experiment import Settings, run
from ops.chaos.faults import OF_SHARES, Kind, possible
from ops.chaos.schedule import schedule
from ops.stack.services import running_services
from tests.conftest import STACK

KINDS = tuple(kind for kind in possible(nodes=1) if kind not in OF_SHARES)
"""Until a key's shares of before are over takes a minute and a half: those are `warren chaos`'s."""
SEED = 4
SECONDS = 200.0
"""At most: the load ends with the last fault."""
IN_FLIGHT = 40
"""What a busy machine still does within a lifetime, when all have waited for a fault to end."""


@pytest.mark.system
@pytest.mark.timeout(600)
def test_every_fault_strikes_and_nothing_is_lost_or_doubled_or_wrong_or_left_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for noisy in ("aiormq", "aio_pika", "asyncio", "contracts"):
        caplog.set_level(logging.CRITICAL, noisy)
    every_kind = schedule(SEED, 10 * SECONDS, KINDS, gap_s=(0.5, 1.0), haste=3, overlap=1)
    injections = tuple(itertools.islice(every_kind, len(KINDS)))
    assert {injection.kind for injection in injections} == set(KINDS)
    settings = Settings(
        seed=SEED,
        seconds=SECONDS,
        injections=injections,
        lifetime_s=30,
        in_flight=IN_FLIGHT,
        settles_s=0,
        ends_with_faults=True,
    )
    with running_services(STACK) as services:  # broker and database die in this test
        outcome = run(services, settings)
    assert [f"{each.rule}: {each.text}" for each in outcome.violations] == []
    assert {struck.kind for struck in outcome.facts.struck} == set(KINDS)
    felt = {struck.kind for struck in outcome.facts.struck if struck.hits}
    assert felt >= {Kind.DISK_FULL, Kind.REPLAY, Kind.GREEDY, Kind.WEATHER, Kind.SILENT}
    assert outcome.figures.by_ending["completed"] > outcome.figures.requests / 2
