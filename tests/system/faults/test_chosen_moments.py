"""What a schedule by chance would seldom hit: kills in the middle of what must not be remembered
wrongly, one soon after the other, and a liar whose batch others make as well."""

from __future__ import annotations

import logging

import pytest

from ops.chaos.experiment import Settings, run
from ops.chaos.faults import Kind
from ops.chaos.schedule import Injection
from ops.stack.services import running_services
from tests.conftest import STACK

MIX = {"keygen": 2, "ed25519": 4, "bip340": 2, "ecdsa": 6}
EVERY_S = 4.0
LIAR = "party-2"

# The liar comes first, while no pool has anything; nonces last, as those of all keys are gone.
CHOSEN = tuple(
    Injection(at_s=0.5 + EVERY_S * number, kind=kind, target=target, lasts_s=lasts_s, seed=0)
    for number, (kind, target, lasts_s) in enumerate(
        (
            (Kind.PRESIGNING_LIAR, LIAR, 3.0),
            (Kind.DATABASE_KILL, "keygen", 0.0),
            (Kind.DATABASE_KILL, "presigning", 0.0),
            (Kind.DATABASE_KILL, "nonces", 0.0),
        )
    )
)


@pytest.mark.system
@pytest.mark.timeout(180)
def test_kills_at_the_worst_moments_double_nothing_and_a_liar_is_named_when_it_presigns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for noisy in ("aiormq", "aio_pika", "asyncio", "contracts"):
        caplog.set_level(logging.CRITICAL, noisy)
    settings = Settings(
        seed=1,
        seconds=90,
        injections=CHOSEN,
        mix=MIX,
        lifetime_s=10,
        settles_s=0,
        ends_with_faults=True,
    )
    with running_services(STACK) as services:
        outcome = run(services, settings)
    assert [f"{each.rule}: {each.text}" for each in outcome.violations] == []
    assert [struck.hits > 0 for struck in outcome.facts.struck] == [True] * len(CHOSEN)
    assert LIAR in {accusation.against for accusation in outcome.facts.accusations}
    assert outcome.figures.by_ending["completed"] > outcome.figures.requests / 2
