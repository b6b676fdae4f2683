"""What the benchmarks' floods and bad manners do to a gateway and a broker, each for a moment and
in this process: that they ask for what they say, or they would measure nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from ops.bench import attackers, floods
from ops.bench.accounts import sign_path
from ops.bench.attackers import Attack, Target
from ops.bench.floods import DONE, Kind, Outcome, Wanted, Way
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.patience import until

FLOODER = "svcA"


@pytest.fixture(scope="module")
def stack(services: Services) -> Iterator[Deployment]:
    plan = Plan(clients=(FLOODER,), sqlite_parties=0, gateways=1)
    with running_deployment(services, plan.compact()) as running:
        yield running


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("via", Way)
async def test_a_flood_asks_and_is_answered_until_it_is_told_to_end(
    stack: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    via: Way,
    kind: Kind,
) -> None:
    monkeypatch.setattr(floods, "LEARNING_S", 0.0)
    monkeypatch.setattr(floods, "STREAM_S", 0.1)
    assert stack.gateways is not None
    wanted = Wanted(
        via=via,
        kind=kind,
        lanes=2,
        config=str(stack.clients[FLOODER]),
        url=stack.gateways.urls[0],
        api_key=stack.gateways.api_key,
    )
    outcome = Outcome()

    async def told() -> bytes:
        await until(lambda: outcome.answered[DONE] >= 2)
        return b""

    await floods._flood(wanted, told(), outcome)
    assert capsys.readouterr().out == "ready\n"
    assert set(outcome.answered) == {DONE}
    assert outcome.refusals_s == []


async def test_a_lane_counts_what_began_in_time_and_waits_when_it_is_told_no(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(floods, "asyncio", SimpleNamespace(sleep=sleep))
    codes = iter(["overloaded", DONE, "unknown_key"])

    async def operate() -> str:
        for code in codes:
            return code
        raise asyncio.CancelledError

    outcome = Outcome()
    with contextlib.suppress(asyncio.CancelledError):
        await outcome.lane(operate, counted_from=0.0)
    assert outcome.answered == {"overloaded": 1, DONE: 1, "unknown_key": 1}
    assert len(outcome.refusals_s) == 1
    assert pauses == [floods.PAUSE_S] * 2


@pytest.fixture
def attack(stack: Deployment, monkeypatch: pytest.MonkeyPatch) -> Attack:
    """Small, and in a hurry."""
    small = {"DRIBBLE_S": 0.0, "DRIBBLERS": 2, "IDLE": 3, "REQUESTS": 20, "CONNECTIONS": 2}
    for name, value in {**small, "HUGE_BYTES": 64 * 2**20, "HUGE_CALLERS": 2}.items():
        monkeypatch.setattr(attackers, name, value)
    assert stack.gateways is not None
    path = sign_path("no-such-account")
    return Attack(Target(stack.gateways.urls[0], stack.gateways.api_key, path))


async def test_a_burst_is_answered_request_by_request(attack: Attack) -> None:
    await attack.burst()
    assert attack.seen == {"404": 20}


@pytest.mark.parametrize(
    ("name", "seen"), [("huge bodies", {"413", "closed"}), ("slow callers", {"422", "closed"})]
)
async def test_what_is_cut_off_or_refused_begins_anew_until_it_is_told_to_end(
    attack: Attack, name: str, seen: set[str]
) -> None:
    attacking = asyncio.ensure_future(attackers.ATTACKS[name](attack))
    await until(lambda: attack.seen.total() >= 3)
    attacking.cancel()
    await asyncio.gather(attacking, return_exceptions=True)
    assert set(attack.seen) <= seen


async def test_idle_connections_say_nothing_and_stay(attack: Attack) -> None:
    attacking = asyncio.ensure_future(attack.idle())
    await asyncio.sleep(0.3)
    assert not attack.seen
    attacking.cancel()
    await asyncio.gather(attacking, return_exceptions=True)
