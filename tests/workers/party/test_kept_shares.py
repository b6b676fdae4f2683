"""A share of an epoch that is over waits for a backup of the one that replaces it: it signs nothing
meanwhile, nobody is told that it is gone, and it goes by itself in the end."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from contracts.keys import EpochBundle
from contracts.primitives import DeleteAfter
from tests.session.epoch_bundles import FROM_EPOCH, TO_EPOCH
from tests.workers.party.nodes import (
    EVERYBODY,
    KEY,
    LEAVER,
    NEWCOMER,
    STAYS,
    Node,
    Nodes,
    nodes,
)
from tests.workers.party.test_retiring import tell_what_is_due, told
from workers import holdings
from workers.party.switching import LOOKS_AGAIN_MS
from workers.session.epochs import ENDS_S, SIGNS_ON_S
from workers.settings import MAX_BACKUP_WAIT_S
from workers.store.interface import StoreUnavailableError
from workers.store.shared.party import tombstones_beside
from workers.store.tombstones import Tombstones

pytestmark = pytest.mark.long

__all__ = ["nodes"]

BOTH = {FROM_EPOCH: False, TO_EPOCH: True}


def again(nodes: Nodes, name: str, keep_s: float = MAX_BACKUP_WAIT_S) -> Node:
    """Its process, started anew on the same database; as its operators set it by default."""
    nodes.by_name[name] = Node.over(name, nodes[name].store, nodes.clock, keep_s)
    return nodes[name]


async def switched(nodes: Nodes, keep_s: float = MAX_BACKUP_WAIT_S, **asked: Any) -> EpochBundle:
    """All that a party does by itself in the first two minutes."""
    bundle = await nodes.run(nodes.told(nodes.asking(**asked)))
    assert bundle is not None
    for name in EVERYBODY:
        node = again(nodes, name, keep_s)
        assert await node.epochs.proven(bundle)
    for pause_s in (SIGNS_ON_S, ENDS_S):
        nodes.clock.pass_(pause_s)
        for name in EVERYBODY:
            await nodes[name].epochs.go_on(KEY)
    return bundle


async def backed_up(nodes: Nodes, name: str, *epochs: int) -> None:
    now = nodes.clock()
    shares = [(KEY, epoch) for epoch in epochs]
    await nodes[name].store.backup_kept(shares, now, unless_due_by=now + int(ENDS_S * 1000))


async def due(nodes: Nodes, name: str) -> bool:
    return await nodes[name].store.keys_due(nodes.clock(), 10) == [KEY]


async def test_who_holds_both_keeps_the_old_share_until_there_is_a_backup(nodes: Nodes) -> None:
    await switched(nodes)
    node = nodes[STAYS]
    assert await node.shares() == BOTH, "and the old one signs nothing"
    assert (await node.statuses())[FROM_EPOCH] == "active"
    assert not await due(nodes, STAYS)
    await tell_what_is_due(nodes, STAYS)
    assert told(node) == [], "it has not deleted it"
    await backed_up(nodes, STAYS, FROM_EPOCH)
    await node.epochs.go_on(KEY)
    assert await node.shares() == BOTH, "a backup of before is none of this one"
    await backed_up(nodes, STAYS, TO_EPOCH)
    assert await due(nodes, STAYS)
    await node.epochs.go_on(KEY)
    assert await node.shares() == {TO_EPOCH: True}
    await tell_what_is_due(nodes, STAYS)
    (said,) = told(node)
    assert (said.below, said.retired_at) == (TO_EPOCH, nodes.clock())


async def test_it_waits_for_so_long_by_its_own_clock_and_no_longer(nodes: Nodes) -> None:
    await switched(nodes, keep_s=5_000)
    await nodes[STAYS].epochs.go_on(KEY)
    left_s = 5_000 - ENDS_S
    nodes.clock.pass_(LOOKS_AGAIN_MS / 1000)
    assert await due(nodes, STAYS), "it looks for backups that could not be noted"
    await nodes[STAYS].epochs.go_on(KEY)
    assert await nodes[STAYS].shares() == BOTH
    nodes.clock.pass_(left_s - LOOKS_AGAIN_MS / 1000 - 1)
    assert not await due(nodes, STAYS)
    nodes.clock.pass_(1)
    assert await due(nodes, STAYS)
    await nodes[STAYS].epochs.go_on(KEY)
    assert await nodes[STAYS].shares() == {TO_EPOCH: True}


async def test_a_backup_that_was_made_in_time_is_not_waited_for(nodes: Nodes) -> None:
    bundle = await nodes.run(nodes.told())
    assert bundle is not None
    node = again(nodes, STAYS)
    await node.epochs.proven(bundle)
    await backed_up(nodes, STAYS, TO_EPOCH)
    for pause_s in (SIGNS_ON_S, ENDS_S):
        nodes.clock.pass_(pause_s)
        await node.epochs.go_on(KEY)
    assert await node.shares() == {TO_EPOCH: True}


async def test_who_is_shown_out_or_new_waits_for_nothing(nodes: Nodes) -> None:
    await switched(nodes)
    assert await nodes[LEAVER].shares() == {}
    assert await nodes[NEWCOMER].shares() == {TO_EPOCH: True}
    for name in (LEAVER, NEWCOMER):
        await tell_what_is_due(nodes, name)
        assert [said.below for said in told(nodes[name])] == [TO_EPOCH]


async def test_the_owner_may_have_all_deleted_at_once(nodes: Nodes) -> None:
    await switched(nodes, delete_after=DeleteAfter.CERTIFIED)
    assert await nodes[STAYS].shares() == {TO_EPOCH: True}


async def test_an_operator_may_have_it_wait_for_nothing(nodes: Nodes) -> None:
    await switched(nodes, keep_s=0)
    assert await nodes[STAYS].shares() == {TO_EPOCH: True}


async def test_a_process_that_is_started_anew_goes_on_waiting(nodes: Nodes) -> None:
    await switched(nodes)
    node = again(nodes, STAYS)
    await node.epochs.go_on(KEY)
    assert await node.shares() == BOTH
    await backed_up(nodes, STAYS, TO_EPOCH)
    node = again(nodes, STAYS)
    await node.epochs.go_on(KEY)
    assert await node.shares() == {TO_EPOCH: True}


@pytest.mark.parametrize("step", ["end", "drop_prepared", "put_off_epoch"])
async def test_who_is_killed_on_the_way_takes_the_steps_again(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    bundle = await nodes.run(nodes.told())
    assert bundle is not None
    node = again(nodes, STAYS)
    await node.epochs.proven(bundle)
    nodes.clock.pass_(SIGNS_ON_S)
    await node.epochs.go_on(KEY)
    begun = nodes.told(salt=bytes(32))

    async def under_way(_: bytes) -> list[bytes]:
        return [begun.session_id]

    async def killed(*_: object) -> None:
        raise StoreUnavailableError("the connection is gone")

    nodes.clock.pass_(ENDS_S)
    with monkeypatch.context() as patch:
        patch.setattr(node.epochs, "_below", lambda *_: under_way(KEY))
        patch.setattr(node.store, step, killed)
        with pytest.raises(StoreUnavailableError):
            await node.epochs.go_on(KEY)
    assert await node.shares() == BOTH
    node = again(nodes, STAYS)
    assert await due(nodes, STAYS)
    await node.epochs.go_on(KEY)
    assert await node.shares() == BOTH
    assert not await due(nodes, STAYS)


async def test_a_later_epoch_takes_all_before_it_along(nodes: Nodes) -> None:
    """Two shares wait; the last one's backup is enough."""
    first = await switched(nodes)
    second = await nodes.run(nodes.next(first, parties=["p2", "p1", "p3"], threshold=2))
    assert second is not None
    node = nodes[STAYS]
    assert await node.epochs.proven(second)
    for pause_s in (SIGNS_ON_S, ENDS_S):
        nodes.clock.pass_(pause_s)
        await node.epochs.go_on(KEY)
    assert await node.shares() == {FROM_EPOCH: False, TO_EPOCH: False, TO_EPOCH + 1: True}
    await backed_up(nodes, STAYS, TO_EPOCH + 1)
    await node.epochs.go_on(KEY)
    assert await node.shares() == {TO_EPOCH + 1: True}


async def test_operators_see_what_waits_and_until_when(nodes: Nodes, tmp_path: Path) -> None:
    await switched(nodes)
    node = nodes[STAYS]
    tombstones = Tombstones(tombstones_beside(tmp_path / f"{STAYS}.incarnation"))
    keep_ms = int(MAX_BACKUP_WAIT_S * 1000)
    until = (await node.store.epochs(KEY))[-1].at + keep_ms

    async def told_of() -> list[tuple[int, str, str | None]]:
        rows = await holdings.told(node.store, tombstones, keep_ms)
        return [(row["epoch"], row["status"], row["kept_until"]) for row in rows]

    (before, _, shown), now = await told_of()
    assert (before, now) == (FROM_EPOCH, (TO_EPOCH, "active", None))
    assert shown is not None
    assert datetime.fromisoformat(shown).timestamp() == until // 1000
    rows = await holdings.told(node.store, tombstones, keep_ms)
    assert "deleted when that is in a backup, or at" in holdings.usable_in_words(rows[0])
    await backed_up(nodes, STAYS, TO_EPOCH)
    assert [each[2] for each in await told_of()] == [None, None]
