"""The harness can fail: without one of the promises' causes, it says which promise is broken.

Every scenario is run here with its mutation only; `test_faults` has the same faults strike workers
that lack nothing, and nothing is found.
"""

from __future__ import annotations

import pytest

from ops.chaos.experiment import Outcome, Settings, run
from ops.chaos.faults import Kind
from ops.chaos.load import FirstKeyError
from ops.stack.services import Services
from tests.system.faults.scenarios import LASTS_S, MUTATED


def tried(services: Services, settings: Settings) -> Outcome:
    """Without a check of its own a worker may not even make the first keys: then it has not been
    found out, and begins again."""
    for last in (False, False, True):
        try:
            return run(services, settings)
        except FirstKeyError:
            if last:
                raise
    raise AssertionError


@pytest.mark.parametrize("mutation", MUTATED)
def test_a_worker_without_one_of_its_checks_is_found_out(services: Services, mutation: str) -> None:
    scenario = MUTATED[mutation]
    outcome = tried(
        services,
        Settings(
            seed=1,
            seconds=LASTS_S,
            injections=tuple(scenario.injections()),
            rate_per_s=scenario.rate_per_s,
            mix=scenario.mix,
            lifetime_s=scenario.lifetime_s,
            cancelled=scenario.cancelled,
            cancelled_after_s=(0.5, 1.0),
            waits_s=5,
            quiet_s=3,
            settles_s=0,
            processes_per_party=1,
            presigning_processes=int("ecdsa" in scenario.mix),
            coordinator_processes=1,
            entry=("-m", "tests.system.faults.mutant", mutation),
        ),
    )
    assert scenario.breaks in {violation.rule for violation in outcome.violations}
    assert outcome.facts.struck
    assert all(struck.hits for struck in outcome.facts.struck if struck.kind is Kind.GREEDY)
