"""What a schedule by chance would seldom hit: kills in the middle of what must not be remembered
wrongly, one soon after the other, and a liar whose batch others make as well."""

from __future__ import annotations

import json
import logging

import pytest

from ops.chaos.experiment import Settings, run
from ops.chaos.facts import Answer, Facts
from ops.chaos.faults import Kind
from ops.chaos.schedule import Injection
from ops.stack.services import running_services
from tests.conftest import STACK

MIX = {"keygen": 2, "ed25519": 4, "bip340": 2, "ecdsa": 6}
EVERY_S = 4.0
TOLERANCE_S = 1.0
LIAR = "party-2"
IN_FLIGHT = 30
"""What a busy machine still does within a lifetime, when all have waited for a fault to end."""

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
@pytest.mark.timeout(400)
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
        in_flight=IN_FLIGHT,
        tolerance_s=TOLERANCE_S,
        settles_s=0,
        ends_with_faults=True,
    )
    with running_services(STACK) as services:
        outcome = run(services, settings)
    assert [f"{each.rule}: {each.text}" for each in outcome.violations] == []
    assert [struck.hits > 0 for struck in outcome.facts.struck] == [True] * len(CHOSEN)
    assert LIAR in {accusation.against for accusation in outcome.facts.accusations}
    calm = [completed(answers) for answers in asked_in_calm(outcome.facts)]
    assert len(calm) > 20
    assert sum(calm) > len(calm) / 2, outcome.figures.by_ending


def asked_in_calm(facts: Facts) -> list[list[Answer]]:
    """The answers to what was asked while the database stood: all parties share it, and none of
    them does what was asked for before it forgot, nor for a clock's tolerance longer."""
    away = [
        (each.began_s - TOLERANCE_S, each.ended_s + 2 * TOLERANCE_S)
        for each in facts.struck
        if each.kind is Kind.DATABASE_KILL
    ]
    return [
        facts.answers.get(request_id, [])
        for request_id, asked in facts.asked.items()
        if not any(began_s <= asked.asked_s <= ended_s for began_s, ended_s in away)
    ]


def completed(answers: list[Answer]) -> bool:
    return bool(answers) and json.loads(answers[0].body)["status"] == "completed"
