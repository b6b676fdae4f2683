"""From one epoch of a key to the next, at parties with stores: nobody's word is taken for it, and
nothing is deleted before it is proven."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from contracts.errors import ContractError
from contracts.failures import FailureCode
from contracts.identity import Identity
from contracts.keys import EpochBundle
from contracts.requests import MAX_LIFETIME_MS, ReshareRequest
from contracts.results import Status
from tests.contracts.samples import CLIENT, STRANGER
from tests.session.builders import TOLERANCE_MS
from tests.session.epoch_bundles import (
    FROM_EPOCH,
    NEW_PARTIES,
    TO_EPOCH,
    Forger,
)
from tests.session.party.reshares import members, share_of
from tests.workers.party.nodes import (
    BEFORE,
    EVERYBODY,
    KEY,
    KNOWN,
    LEAVER,
    NEWCOMER,
    STAYS,
    Node,
    Nodes,
    holding,
    nodes,
)
from workers.session.epochs import ENDS_S, SIGNS_ON_S
from workers.session.errors import RefusedError
from workers.session.party.acceptance import key_facts
from workers.session.protocols import RESHARE
from workers.store.database import Row
from workers.store.promise_marks import PromiseMarks
from workers.store.records import CancellationRecord, IncarnationRecord, Outcome, PartyChange
from workers.store.sealing import ErasedError
from workers.store.shared.party import SharedPartyStore

pytestmark = pytest.mark.long

__all__ = ["nodes"]


###
### The way
###


async def test_a_key_goes_from_one_epoch_to_the_next(nodes: Nodes) -> None:
    bundle = await nodes.run(nodes.told())
    assert bundle is not None
    for name in NEW_PARTIES:
        assert (await nodes[name].statuses())[TO_EPOCH] == "pending"
    assert (await nodes[STAYS].shares()) == {FROM_EPOCH: True, TO_EPOCH: False}
    for name in EVERYBODY:
        assert await nodes[name].epochs.proven(bundle)
    assert (await nodes[STAYS].shares()) == {FROM_EPOCH: True, TO_EPOCH: True}

    nodes.clock.pass_(SIGNS_ON_S - 1)
    await nodes[STAYS].epochs.go_on(KEY)
    assert await nodes[STAYS].statuses() == {FROM_EPOCH: "active", TO_EPOCH: "certified"}
    nodes.clock.pass_(1)
    await nodes[STAYS].epochs.go_on(KEY)
    assert await nodes[STAYS].shares() == {FROM_EPOCH: False, TO_EPOCH: True}
    nodes.clock.pass_(ENDS_S)
    for name in EVERYBODY:
        for _ in range(2):
            await nodes[name].epochs.go_on(KEY)
            nodes.clock.pass_(ENDS_S)
    for name in EVERYBODY:
        statuses, shares = await nodes[name].statuses(), await nodes[name].shares()
        assert statuses[TO_EPOCH] == "active"
        assert statuses.get(FROM_EPOCH, "retired") == "retired"
        assert shares == ({TO_EPOCH: True} if name in NEW_PARTIES else {})
    share = await nodes[NEWCOMER].store.key_share(KEY, TO_EPOCH)
    assert share is not None
    assert key_facts(share) == bundle.key.facts
    assert share.certificates == bundle.key.certificates


async def test_who_comes_again_gets_what_was_sent(nodes: Nodes) -> None:
    begun, node = nodes.told(), nodes[LEAVER]
    await node.epochs.begin(begun)
    sent = list(node.publisher.sent)
    await node.epochs.begin(begun)
    assert node.publisher.sent == sent * 2
    assert node.failures() == []


async def test_two_generations_follow_each_other(nodes: Nodes) -> None:
    """What the newcomers hold is dealt on, by whoever they are by then."""
    first = await nodes.run(nodes.told())
    assert first is not None
    await _switch(nodes, first)
    again = nodes.next(first, parties=["p2", "p1", "p3"], threshold=2)
    second = await nodes.run(again)
    assert second is not None, [nodes[name].failures() for name in EVERYBODY]
    await _switch(nodes, second)
    assert await nodes["p1"].shares() == {TO_EPOCH + 1: True}
    assert await nodes["p4"].shares() == {}
    assert second.key.facts.public_key == KNOWN.public_key


async def _switch(nodes: Nodes, bundle: EpochBundle) -> None:
    for name in EVERYBODY:
        await nodes[name].epochs.proven(bundle)
    for pause_s in (SIGNS_ON_S, ENDS_S):
        nodes.clock.pass_(pause_s)
        for name in EVERYBODY:
            await nodes[name].epochs.go_on(KEY)


###
### What is refused, and changes nothing
###


async def test_who_lost_its_memory_deals_nothing_as_long_as_a_promise_lasts(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have stated of the key that there is no other epoch. Who only receives begins."""
    begun = nodes.told()
    lost = IncarnationRecord(
        incarnation=bytes(16), progress=0, begun_at=nodes.clock(), reason="the database was copied"
    )

    async def memory() -> IncarnationRecord:
        return lost

    for name in (STAYS, LEAVER, NEWCOMER):
        monkeypatch.setattr(nodes[name].store, "memory", memory)
        await nodes[name].epochs.begin(begun)
    for name in (STAYS, LEAVER):
        (failed,) = nodes[name].failures()
        assert failed.failure.code is FailureCode.PARTY_REFUSED
        assert "promised to deal nothing of this key" in failed.failure.message
    assert nodes[NEWCOMER].failures() == []
    lasts_ms = MAX_LIFETIME_MS + 2 * TOLERANCE_MS
    lost = replace(lost, begun_at=nodes.clock() - lasts_ms - 1)
    again = nodes.told(salt=bytes(32))
    await nodes[STAYS].epochs.begin(again)
    assert len(nodes[STAYS].failures()) == 1


LASTS_MS = MAX_LIFETIME_MS + 2 * TOLERANCE_MS


@pytest.mark.parametrize(
    ("marked_for_ms", "promised_for_ms", "why"),
    [
        (LASTS_MS, -1, None),
        (LASTS_MS, 1000, "nothing is dealt of the key"),
        (LASTS_MS - 1, -1, "cannot tell whether we promised"),
    ],
)
async def test_who_has_all_marks_of_its_promises_deals_after_it_lost_its_memory(
    nodes: Nodes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    marked_for_ms: int,
    promised_for_ms: int,
    why: str | None,
) -> None:
    lost = IncarnationRecord(
        incarnation=bytes(16), progress=0, begun_at=nodes.clock(), reason="the server crashed"
    )

    async def memory() -> IncarnationRecord:
        return lost

    node, marks = nodes[STAYS], PromiseMarks(tmp_path)
    marks.begin(nodes.clock() - marked_for_ms)
    marks.mark(KEY, nodes.clock() + promised_for_ms)
    marks.mark(b"another key".ljust(32), nodes.clock() + 1000)
    node.epochs._marks = marks
    monkeypatch.setattr(node.store, "memory", memory)
    await node.epochs.begin(nodes.told())
    assert [why in failed.failure.message for failed in node.failures() if why] == [True] * bool(
        why
    )
    assert (TO_EPOCH in await node.statuses()) is (why is None)


async def test_a_wish_that_is_not_the_owners_is_refused_and_nothing_begins(nodes: Nodes) -> None:
    begun = nodes.told().model_copy(update={"request_signature": CLIENT.sign(b"another tag", b"x")})
    node = nodes[STAYS]
    await node.epochs.begin(begun)
    (failed,) = node.failures()
    assert failed.failure.code is FailureCode.PARTY_REFUSED
    assert "does not check out here" in failed.failure.message
    assert TO_EPOCH not in await node.statuses()


async def test_another_signer_than_the_owner_is_refused(nodes: Nodes) -> None:
    await nodes[STAYS].epochs.begin(nodes.told(nodes.asking(signer=STRANGER.public.der)))
    (failed,) = nodes[STAYS].failures()
    assert "somebody else than the key's owner" in failed.failure.message


async def test_what_was_issued_before_our_memory_began_is_refused(nodes: Nodes) -> None:
    node = nodes[STAYS]

    async def forgot(_: int) -> None:
        raise RefusedError("our database lost its memory")

    node.epochs._require_memory_of = forgot
    await node.epochs.begin(nodes.told())
    (failed,) = node.failures()
    assert "lost its memory" in failed.failure.message


async def test_a_newcomer_with_another_key_of_that_name_refuses(nodes: Nodes) -> None:
    node = nodes[NEWCOMER]
    share = share_of(STAYS, KNOWN)
    assert share is not None
    other = replace(share, key_session=hashlib.sha256(b"another key").digest(), epoch=0)
    await node.store.commit(replace(holding(other), session_id=hashlib.sha256(b"x").digest()))
    await node.epochs.begin(nodes.told())
    (failed,) = node.failures()
    assert failed.failure.code is FailureCode.KEY_EXISTS


async def test_a_second_session_for_the_same_epoch_is_refused(nodes: Nodes) -> None:
    """A coordinator that tells two committees."""
    node = nodes[STAYS]
    await node.epochs.begin(nodes.told())
    await node.epochs.begin(nodes.told(salt=hashlib.sha256(b"another").digest()))
    (failed,) = node.failures()
    assert f"epoch {TO_EPOCH} is not above {TO_EPOCH}" in failed.failure.message


async def test_of_two_sessions_for_one_epoch_at_the_same_time_one_begins(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have looked before either was there."""
    node = nodes[STAYS]
    held = await node.epochs.held(KEY)

    async def as_before(_: bytes) -> Any:
        return held

    monkeypatch.setattr(node.epochs, "held", as_before)
    await node.epochs.begin(nodes.told())
    await node.epochs.begin(nodes.told(salt=hashlib.sha256(b"another").digest()))
    (failed,) = node.failures()
    assert "was begun here meanwhile" in failed.failure.message


async def test_nothing_more_is_dealt_from_an_epoch_that_was_followed(nodes: Nodes) -> None:
    bundle = await nodes.run(nodes.told())
    assert bundle is not None
    await nodes[BEFORE].epochs.proven(bundle)
    again = nodes.asking(request_id="another", first_epoch=TO_EPOCH + 1)
    other = nodes.told(again, epoch=TO_EPOCH + 1, members=members(dealers=("p1", "p2")))
    await nodes[BEFORE].epochs.begin(other)
    (failed,) = nodes[BEFORE].failures()
    assert f"epoch {TO_EPOCH} of key treasury was made already" in failed.failure.message


async def test_what_was_cancelled_is_certified_by_nobody(nodes: Nodes) -> None:
    begun = nodes.told()
    asked = ReshareRequest.model_validate_json(begun.request)
    for name in NEW_PARTIES:
        store = nodes[name].store
        forbids = CancellationRecord(
            owner=asked.owner,
            request_id=asked.request_id,
            issued_until=asked.issued_at,
            forbidden_until=nodes.clock() + 10**9,
            statement=None,
            limit=10,
            incarnation=(await store.memory()).incarnation,
        )
        change = replace(
            holding(None), session_id=hashlib.sha256(b"cancel").digest(), forbids=forbids
        )
        await store.commit(change)
    assert await nodes.run(begun) is None
    for name in NEW_PARTIES:
        (failed, *_) = nodes[name].failures()
        assert "cancelled" in failed.failure.message
        assert TO_EPOCH not in await nodes[name].shares()


###
### What does not convince
###


async def test_certificates_without_the_bundle_convince_nobody(nodes: Nodes) -> None:
    """Two pinned parties and the coordinator, who know the key and the request, and no shares."""
    forged = Forger(secrets={}).bundle()
    for name in EVERYBODY:
        with pytest.raises(ContractError):
            await nodes[name].epochs.proven(forged)
        assert TO_EPOCH not in await nodes[name].statuses()
    nodes.clock.pass_(10 * (SIGNS_ON_S + ENDS_S))
    await nodes[STAYS].epochs.go_on(KEY)
    assert await nodes[STAYS].shares() == {FROM_EPOCH: True}


async def test_a_bundle_of_another_owners_wish_convinces_nobody(nodes: Nodes) -> None:
    forged = Forger(signer=STRANGER).bundle()
    with pytest.raises(ContractError, match="somebody else than the key's owner"):
        await nodes[BEFORE].epochs.proven(forged)


async def test_who_knows_nothing_of_the_epoch_before_is_not_convinced(nodes: Nodes) -> None:
    bundle = Forger().bundle()
    assert await nodes[BEFORE].epochs.proven(bundle)
    with pytest.raises(ContractError, match="of which nothing is known here: show the bundles"):
        await nodes[NEWCOMER].epochs.proven(bundle)


async def test_who_has_lost_its_database_knows_what_it_certified(nodes: Nodes) -> None:
    """It can be told of the next epoch by nothing but that, and would never hear of it."""
    lost = Node.over(BEFORE, nodes[NEWCOMER].store, nodes.clock)
    bundle = Forger().bundle()
    assert await lost.epochs.proven(bundle)
    assert await lost.statuses() == {TO_EPOCH: "certified"}


@pytest.mark.parametrize("certificate", [None, bytes(64), "another's"])
async def test_what_it_did_not_certify_itself_it_does_not_take_for_known(
    nodes: Nodes, certificate: bytes | str | None
) -> None:
    lost = Node.over(BEFORE, nodes[NEWCOMER].store, nodes.clock)
    bundle = Forger().bundle()
    given = dict(bundle.predecessor.certificates)
    mine = given.pop(BEFORE)
    if certificate is not None:
        given[BEFORE] = certificate if isinstance(certificate, bytes) else given[STAYS]
    assert given.get(BEFORE) != mine
    predecessor = bundle.predecessor.model_copy(update={"certificates": given})
    with pytest.raises(ContractError):
        await lost.epochs.proven(bundle.model_copy(update={"predecessor": predecessor}))
    assert await lost.statuses() == {}


async def test_who_has_another_identity_by_now_has_certified_nothing(nodes: Nodes) -> None:
    renamed = Node.over(NEWCOMER, nodes[NEWCOMER].store, nodes.clock)
    renamed.epochs._party = replace(renamed.epochs._party, party_id=BEFORE)
    with pytest.raises(ContractError, match="of which nothing is known here"):
        await renamed.epochs.proven(Forger().bundle())


async def test_who_changed_its_key_since_knows_what_it_certified_by_the_former_one(
    nodes: Nodes,
) -> None:
    lost, changed = Node.over(BEFORE, nodes[NEWCOMER].store, nodes.clock), Identity.generate()
    party = lost.epochs._party
    own = party.peers[BEFORE]
    peers = dict(party.peers) | {BEFORE: replace(own, identity=changed.public, former=own.ever)}
    lost.epochs._party = replace(party, identity=changed, peers=peers)
    assert await lost.epochs.proven(Forger().bundle())
    assert await lost.statuses() == {TO_EPOCH: "certified"}


async def test_a_share_of_a_try_that_nobody_saw_through_goes(nodes: Nodes) -> None:
    """Whoever is pending with other facts than were proven has a share that is none."""
    node = nodes[STAYS]
    await nodes.run(nodes.told())
    assert (await node.shares())[TO_EPOCH] is False
    assert await node.epochs.proven(Forger().bundle())
    assert await node.shares() == {FROM_EPOCH: True}


async def test_an_epoch_that_a_later_one_has_followed_changes_nothing(nodes: Nodes) -> None:
    node = nodes[BEFORE]
    later = Forger().saying(epoch=TO_EPOCH + 1).bundle()
    assert await node.epochs.proven(later)
    assert not await node.epochs.proven(Forger().bundle())
    assert not await node.epochs.proven(later)
    assert TO_EPOCH not in await node.statuses()


###
### What is deleted
###


async def test_sessions_of_lower_epochs_end_and_others_do_not(nodes: Nodes) -> None:
    bundle = await nodes.run(nodes.told())
    assert bundle is not None
    node = nodes[STAYS]
    await node.epochs.proven(bundle)
    nodes.clock.pass_(SIGNS_ON_S)
    await node.epochs.go_on(KEY)
    later = nodes.next(bundle, parties=list(NEW_PARTIES))
    await node.epochs.begin(later)
    assert node.failures() == []
    nodes.clock.pass_(ENDS_S)
    await node.epochs.go_on(KEY)
    session = await node.store.session(later.session_id)
    assert session is not None
    assert session.status == Status.IN_PROGRESS.value
    assert await node.shares() == {TO_EPOCH: True}


async def test_a_try_that_still_waits_ends_with_the_epochs_below(nodes: Nodes) -> None:
    node = nodes[STAYS]
    await node.epochs.begin(nodes.told(epoch=FROM_EPOCH + 1))
    assert await node.epochs.proven(Forger().bundle())
    for pause_s in (SIGNS_ON_S, ENDS_S):
        nodes.clock.pass_(pause_s)
        await node.epochs.go_on(KEY)
    session = await node.store.session(nodes.told(epoch=FROM_EPOCH + 1).session_id)
    assert await node.store.sessions_under_way(KEY) == []
    assert session is None or session.state == b""
    assert (await node.statuses())[FROM_EPOCH + 1] == "retired"


async def test_a_try_that_deals_from_an_epoch_below_ends_with_it(nodes: Nodes) -> None:
    """Its state tells our share of that, however high the epoch that it was to make."""
    node, told = nodes[STAYS], nodes.told(epoch=TO_EPOCH + 1)
    await node.epochs.begin(told)
    assert await node.epochs.proven(Forger().bundle())
    nodes.clock.pass_(SIGNS_ON_S)
    await node.epochs.go_on(KEY)
    assert await node.store.sessions_under_way(KEY) == [told.session_id]
    nodes.clock.pass_(ENDS_S)
    await node.epochs.go_on(KEY)
    assert await node.store.sessions_under_way(KEY) == []
    session = await node.store.session(told.session_id)
    assert session is not None
    assert (session.status, session.state) == (Status.FAILED.value, b"")


@pytest.mark.parametrize(
    ("name", "over_with"), [(STAYS, FROM_EPOCH), (LEAVER, FROM_EPOCH), (NEWCOMER, TO_EPOCH)]
)
async def test_no_copy_of_what_a_member_kept_opens_when_its_epoch_is_over(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, name: str, over_with: int
) -> None:
    """Copied after each step."""
    store = cast("SharedPartyStore", nodes[name].store)
    copies: list[Row] = []
    commit = store.commit

    async def then_copied(change: PartyChange) -> Outcome:
        outcome = await commit(change)
        copies.extend(
            await store._database.fetch(
                "SELECT session_id, version, protocol, key_session, status, deadline, state "
                "FROM sessions WHERE ended_at IS NULL"
            )
        )
        return outcome

    monkeypatch.setattr(store, "commit", then_copied)
    bundle = await nodes.run(nodes.told())
    assert bundle is not None
    assert len(copies) > len(RESHARE.rounds)
    for epoch in range(FROM_EPOCH, over_with + 1):
        for copy in copies:
            assert store._rows.session(copy, ()).state
        store._rows.halves.erase_below(KEY, epoch + 1)
    for copy in copies:
        with pytest.raises(ErasedError, match=f"epoch {over_with} "):
            store._rows.session(copy, ())
