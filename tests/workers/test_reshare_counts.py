"""What is counted and logged of reshares, at the coordinator and at parties."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.session.epoch_bundles import TO_EPOCH
from tests.workers.ecdsa import sent
from tests.workers.party.nodes import KEY, STAYS, Nodes, nodes
from tests.workers.reshares import OLD, ask, bundle_of, make
from tests.workers.simulate import World, world
from tests.workers.tries import everyone_is_alive, history
from workers import metrics
from workers.coordinator import reshare_counts
from workers.party import switching
from workers.party.epoch_counts import LATE_MS, count_keys_to_retire
from workers.session.epochs import ENDS_S, SIGNS_ON_S

__all__ = ["nodes"]

OURS = ("warren_reshare", "warren_epochs_total", "warren_keys_to_retire")
PLUMBING = ("_created", "_bucket")


def everything() -> dict[str, float]:
    """Of the metrics of reshares, as whoever scrapes sees them."""
    return {
        " ".join([sample.name.removeprefix("warren_"), *sample.labels.values()]): sample.value
        for metric in metrics.REGISTRY.collect()
        for sample in metric.samples
        if sample.name.startswith(OURS) and not sample.name.endswith(PLUMBING)
    }


@dataclass
class Since:
    """What has changed since it was made."""

    before: Mapping[str, float] = field(default_factory=everything)

    def counted(self, *names: str) -> dict[str, float]:
        found = {name: value - self.before.get(name, 0) for name, value in everything().items()}
        return {
            name: value for name, value in found.items() if value and name.startswith(names or "")
        }


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, party_count=4) as made:
        yield made
        assert made.dead == []


@pytest.mark.long
async def test_each_try_is_counted_by_what_came_of_it(
    shire: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, reshare_counts.__name__)
    key = await make(shire, "ed25519")
    since, began = Since(), shire.clock()
    request = await ask(shire, key, tries=2)
    assert since.counted() == {"reshares_begun_total": 1}
    (first,) = {each.headers["session_id"] for each in sent(shire, "reshare_created")}
    await shire.run(dropped=lambda message: message.routing_key == OLD[0])
    await shire.outlive(bytes.fromhex(first))
    await everyone_is_alive(shire)
    await shire.reports.expire(bytes.fromhex(first))
    counted = since.counted("reshare_", "reshares_begun")
    assert counted.pop("reshare_seconds_sum expired") >= (shire.clock() - began) / 1000 - 1
    assert counted == {"reshares_begun_total": 2, "reshare_seconds_count expired": 1}
    await shire.run()
    bundle = bundle_of(shire, request)
    counted = since.counted("reshare_seconds", "epochs")
    assert 0 <= counted.pop("reshare_seconds_sum made", 0) < 30  # of the second try alone
    del counted["reshare_seconds_sum expired"]
    assert counted == {
        "reshare_seconds_count expired": 1,
        "reshare_seconds_count made": 1,
        "epochs_total certified": 3,
    }

    # The log and the session's history say of which key, by which number.
    told = [record.__dict__ for record in caplog.records]
    assert [each["message"].rpartition(": ")[2] for each in told] == [
        *("begun", "expired", "begun", "made")
    ]
    assert [each["epoch"] for each in told] == [1, 1, 2, 2]
    assert {each["key_id"] for each in told} == {key.facts.key_id}
    assert {each["key_session"] for each in told} == {key.facts.session_id.hex()}
    assert f"nothing was heard of {OLD[0]}" in told[1]["failure"]
    reshared = bundle.key.facts.reshared
    assert reshared is not None
    (_, begun), *_ = await history(shire, reshared.session_id)
    assert (begun["epoch"], sorted(begun["dealers"])) == (2, sorted(reshared.dealers))


@pytest.mark.long
async def test_other_sessions_are_no_reshares(shire: World) -> None:
    since = Since()
    await make(shire, "ed25519")
    assert since.counted() == {}


async def test_each_step_of_a_key_is_counted_once(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, switching.__name__)
    bundle, node, since = await nodes.run(nodes.told()), nodes[STAYS], Since()
    assert bundle is not None
    for _ in range(2):  # told twice
        await node.epochs.proven(bundle)
    assert since.counted() == {"epochs_total certified": 1}
    for pause_s in (SIGNS_ON_S, 0, ENDS_S, 0):
        nodes.clock.pass_(pause_s)
        await node.epochs.go_on(KEY)
    steps = ("certified", "active", "retired")
    assert since.counted() == {f"epochs_total {step}": 1 for step in steps}
    told = [record.__dict__ for record in caplog.records]
    assert [(each["key_session"], each["epoch"]) for each in told] == [(KEY.hex(), TO_EPOCH)] * 3


async def test_a_try_that_is_refused_is_counted_by_its_reason(nodes: Nodes) -> None:
    node, since = nodes[STAYS], Since()
    told = nodes.told().model_copy(update={"request_signature": b"nobody's"})
    for _ in range(2):  # and again: one answer, one refusal
        await node.epochs.begin(told)
    assert since.counted() == {"reshares_refused_total party_refused": 1}


async def test_keys_with_something_left_to_delete_are_counted_and_late_ones_told_apart(
    nodes: Nodes,
) -> None:
    bundle, node = await nodes.run(nodes.told()), nodes[STAYS]
    assert bundle is not None

    async def to_retire() -> tuple[float, float]:
        await count_keys_to_retire(node.store, nodes.clock())
        found = everything()
        return found["keys_to_retire no"], found["keys_to_retire yes"]

    assert await to_retire() == (0, 0)
    await node.epochs.proven(bundle)
    assert await to_retire() == (1, 0)
    nodes.clock.pass_(SIGNS_ON_S + LATE_MS / 1000 - 1)
    assert await to_retire() == (1, 0)
    nodes.clock.pass_(1)
    assert await to_retire() == (0, 1)
    await node.epochs.go_on(KEY)
    assert await to_retire() == (1, 0)
    nodes.clock.pass_(ENDS_S)
    await node.epochs.go_on(KEY)
    assert await to_retire() == (0, 0)
