"""What a party says of the shares that it has deleted: with the deletion or not at all, until it is
heard; and the same by hand."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.envelope import UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.retirements import Retirement
from contracts.sessions import EpochsRetired
from tests.contracts.samples import STRANGER
from tests.session.epoch_bundles import FROM_EPOCH, PINNED, TO_EPOCH, Forger
from tests.workers.party.nodes import BEFORE, KEY, LEAVER, STAYS, Node, Nodes, nodes
from workers.delivery.publisher import PublishError
from workers.session.epochs import ENDS_S, SIGNS_ON_S
from workers.store.interface import StoreUnavailableError

__all__ = ["nodes"]

BUNDLE = Forger().bundle()


async def retired(nodes: Nodes, name: str) -> None:
    await nodes[name].epochs.shown([BUNDLE])
    for pause_s in (SIGNS_ON_S, ENDS_S):
        nodes.clock.pass_(pause_s)
        await nodes[name].epochs.go_on(KEY)


def told(node: Node) -> list[Retirement]:
    envelopes = [
        UnverifiedEnvelope.from_bytes(each.body).claimed
        for each in node.publisher.sent
        if each.kind == "epochs_retired"
    ]
    return [EpochsRetired.model_validate_json(each.payload).retirement for each in envelopes]


async def tell_what_is_due(nodes: Nodes, name: str) -> None:
    for key_session in await nodes[name].store.retirements_due(nodes.clock(), 10):
        await nodes[name].epochs.tell(key_session)


async def test_what_is_deleted_is_told_once_and_signed(nodes: Nodes) -> None:
    await retired(nodes, BEFORE)
    assert told(nodes[BEFORE]) == [], "go_on deletes; what is due is told by another chore"
    await tell_what_is_due(nodes, BEFORE)
    await tell_what_is_due(nodes, BEFORE)
    (said,) = told(nodes[BEFORE])
    said.verify(PINNED[BEFORE], party_id=BEFORE, key_session=KEY, epoch=TO_EPOCH)
    assert (said.below, said.retired_at) == (TO_EPOCH, nodes.clock())
    assert said.backed_up_at is None
    assert await nodes[BEFORE].shares() == {}


async def test_nothing_is_told_before_it_is_deleted(nodes: Nodes) -> None:
    node = nodes[BEFORE]
    for pause_s in (0, SIGNS_ON_S, ENDS_S - 1):
        nodes.clock.pass_(pause_s)
        await node.epochs.shown([BUNDLE])
        await node.epochs.go_on(KEY)
        await tell_what_is_due(nodes, BEFORE)
    # What is kept from before is of the epoch before.
    assert [said.below for said in told(node) if said.below > FROM_EPOCH] == []
    assert FROM_EPOCH in await node.shares()


async def test_a_party_that_was_killed_before_it_told_tells_when_it_runs_again(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction that deletes is the last thing that it has done."""
    await retired(nodes, BEFORE)
    node = nodes[BEFORE]

    async def away(_: Any) -> None:
        raise PublishError("broker away")

    with monkeypatch.context() as patch:
        patch.setattr(node.publisher, "publish", away)
        with pytest.raises(PublishError):
            await tell_what_is_due(nodes, BEFORE)
    again = Node.over(BEFORE, node.store, nodes.clock)
    for key_session in await node.store.retirements_due(nodes.clock(), 10):
        await again.epochs.tell(key_session)
    assert [said.below for said in told(again)] == [TO_EPOCH]
    assert await node.store.retirements_due(nodes.clock(), 10) == []


async def test_a_killed_transaction_has_neither_deleted_nor_said_anything(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = nodes[BEFORE]
    await node.epochs.shown([BUNDLE])
    nodes.clock.pass_(SIGNS_ON_S)
    await node.epochs.go_on(KEY)
    nodes.clock.pass_(ENDS_S)

    async def killed(*_: Any) -> bool:
        raise StoreUnavailableError("the connection is gone")

    with monkeypatch.context() as patch:
        patch.setattr(node.store, "retire_epochs", killed)
        with pytest.raises(StoreUnavailableError):
            await node.epochs.go_on(KEY)
    assert FROM_EPOCH in await node.shares()
    before = await node.store.retirement(KEY)
    await node.epochs.go_on(KEY)
    assert FROM_EPOCH not in await node.shares()
    assert await node.store.retirement(KEY) != before


async def test_who_is_shown_the_proof_again_says_again_what_it_said(nodes: Nodes) -> None:
    await retired(nodes, BEFORE)
    await tell_what_is_due(nodes, BEFORE)
    nodes.clock.pass_(3600)
    await nodes[BEFORE].epochs.shown([BUNDLE])
    first, second = told(nodes[BEFORE])
    assert first == second


async def test_a_backup_of_before_is_told_of(nodes: Nodes) -> None:
    await nodes[BEFORE].store.note_backup(nodes.clock())
    made_at = nodes.clock()
    await retired(nodes, BEFORE)
    await tell_what_is_due(nodes, BEFORE)
    (said,) = told(nodes[BEFORE])
    assert said.backed_up_at == made_at


###
### By hand
###


async def test_a_leaver_retires_by_hand_at_once(nodes: Nodes) -> None:
    bundle = await nodes.run(nodes.told())
    assert bundle is not None
    node = nodes[LEAVER]
    said = await node.epochs.retire_at_once(bundle)
    said.verify(PINNED[LEAVER], party_id=LEAVER, key_session=KEY, epoch=TO_EPOCH)
    assert await node.shares() == {}
    assert await node.statuses() == {FROM_EPOCH: "retired", TO_EPOCH: "active"}
    # Once more says the same; its processes tell the coordinator.
    assert await node.epochs.retire_at_once(bundle) == said
    await tell_what_is_due(nodes, LEAVER)
    assert told(node) == [said]


async def test_a_process_that_runs_meanwhile_comes_to_the_same_end(nodes: Nodes) -> None:
    bundle = await nodes.run(nodes.told())
    assert bundle is not None
    node = nodes[STAYS]
    other = Node.over(STAYS, node.store, nodes.clock)
    await other.epochs.shown([bundle])
    said = await node.epochs.retire_at_once(bundle)
    for pause_s in (SIGNS_ON_S, ENDS_S):
        nodes.clock.pass_(pause_s)
        await other.epochs.go_on(KEY)
    assert await node.shares() == {TO_EPOCH: True}
    kept = await node.store.retirement(KEY)
    assert kept is not None
    assert Retirement.model_validate_json(kept) == said


@pytest.mark.parametrize(
    "forged",
    [Forger(signer=STRANGER).bundle(), Forger(secrets={}).bundle()],
    ids=["not asked for", "without shares"],
)
async def test_what_does_not_prove_an_epoch_deletes_nothing_by_hand_either(
    nodes: Nodes, forged: Any
) -> None:
    node = nodes[BEFORE]
    before = await node.store.retirement(KEY)
    with pytest.raises(ContractError):
        await node.epochs.retire_at_once(forged)
    assert await node.shares() == {FROM_EPOCH: True}
    assert await node.store.retirement(KEY) == before
