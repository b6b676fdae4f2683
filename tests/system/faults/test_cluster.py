"""One node of a broker of three is killed under load and comes back: nobody has to notice."""

from __future__ import annotations

import json
import logging

import pytest

from ops.chaos.experiment import Settings, run
from ops.chaos.facts import Facts, Struck
from ops.chaos.faults import LEADING, Kind
from ops.chaos.schedule import Injection
from ops.stack.services import running_services
from tests.conftest import STACK

NODE = Injection(at_s=1, kind=Kind.NODE, target=LEADING, lasts_s=6, seed=1)
IN_FLIGHT = 12
"""What a busy machine still does within a lifetime, when all have waited for a fault to end."""


@pytest.mark.system
@pytest.mark.timeout(400)
def test_a_broker_of_three_nodes_loses_one_and_no_request_is_lost_or_doubled_or_wrong(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for noisy in ("aiormq", "aio_pika", "asyncio", "contracts"):
        caplog.set_level(logging.CRITICAL, noisy)
    settings = Settings(
        seed=7,
        seconds=60,
        injections=(NODE,),
        rate_per_s=4,
        lifetime_s=30,
        in_flight=IN_FLIGHT,
        mix={"keygen": 1, "ed25519": 1, "ecdsa": 1},
        ends_with_faults=True,
        settles_s=0.5,
        processes_per_party=1,
    )
    with running_services(STACK, nodes=3) as services:
        outcome = run(services, settings)
    assert [f"{each.rule}: {each.text}" for each in outcome.violations] == []
    (struck,) = outcome.facts.struck
    assert struck.hits == 1
    assert outcome.figures.by_ending["completed"] > outcome.figures.requests / 2
    assert keys_made_meanwhile(outcome.facts, struck), "it took all parties until the node was back"


def keys_made_meanwhile(facts: Facts, struck: Struck) -> int:
    """Begun after the node went, done before it was back: for a key all parties are needed."""
    return sum(
        asked.request.operation == "keygen"
        and asked.asked_s > struck.began_s
        and any(
            answer.at_s < struck.ended_s and json.loads(answer.body)["status"] == "completed"
            for answer in facts.answers.get(request_id, ())
        )
        for request_id, asked in facts.asked.items()
    )
