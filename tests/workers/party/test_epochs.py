"""From one epoch of a key to the next, at parties with stores: nobody's word is taken for it, and
nothing is deleted before it is proven."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from contracts.envelope import UnverifiedEnvelope
from contracts.epochs import EpochBundle
from contracts.errors import ContractError
from contracts.failures import FailureCode
from contracts.primitives import Curve
from contracts.requests import ReshareRequest
from contracts.results import Status
from contracts.sessions import EpochCertified, ReshareCreated, SessionFailed
from tests.contracts.samples import CLIENT, STRANGER
from tests.session.epoch_bundles import (
    FROM_EPOCH,
    NEW_PARTIES,
    TO_EPOCH,
    Forger,
    old_facts,
    request,
)
from tests.session.party.reshares import created, members, party, share_of
from tests.workers.doubles import FakePublisher
from tests.workers.migrated import migrate
from workers.delivery.locks import SessionLocks
from workers.delivery.scopes import SessionScopes
from workers.party.commits import PartyCommits
from workers.party.epochs import ENDS_S, SIGNS_ON_S, Epochs
from workers.party.machines import Machine
from workers.party.rounds import RoundSessions
from workers.session.errors import RefusedError
from workers.session.party.acceptance import key_facts
from workers.session.party.resharing import ENGINE
from workers.settings import PartyLimits
from workers.store.interface import PartyStore, StoreUnavailableError
from workers.store.opening import open_party_store
from workers.store.records import (
    CancellationRecord,
    EpochRecord,
    EpochStatus,
    Outgoing,
    PartyChange,
)
from workers.store.sealing import MasterKeys, Sealer

SEALER = Sealer(MasterKeys({1: bytes(range(32))}))
EVERYBODY = ("p1", "p2", "p3", "p4", "p5", "p6")
LEAVER, STAYS, NEWCOMER = "p3", "p2", "p4"
BEFORE = "p1"
"""Holds a share of the epoch before, and is no member."""
KNOWN = old_facts(Curve.SECP256K1)
KEY = KNOWN.session_id


class Clock:
    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


@dataclass
class Node:
    """One party: its store, what it publishes, and its two ends."""

    store: PartyStore
    publisher: FakePublisher
    epochs: Epochs
    rounds: RoundSessions

    @classmethod
    def over(cls, name: str, store: PartyStore, clock: Clock) -> Node:
        publisher, us, limits = FakePublisher(), party(name), PartyLimits()
        sending: Any = publisher
        commits = PartyCommits(us, store, sending, clock)
        machine = Machine({"reshare": ENGINE}, us, store, limits, lambda size: bytes(size))

        async def remembers(_: int) -> None: ...

        return cls(
            store=store,
            publisher=publisher,
            epochs=Epochs(us, store, commits, machine, limits, remembers, clock),
            rounds=RoundSessions(
                store, commits, machine, SessionScopes(), SessionLocks(), limits, clock
            ),
        )

    async def statuses(self) -> dict[int, str]:
        return {each.epoch: each.status.value for each in await self.store.epochs(KEY)}

    async def shares(self) -> dict[int, bool]:
        """By epoch, whether it is usable."""
        return {each.epoch: each.active for each in await self.store.key_shares()}

    def failures(self) -> list[SessionFailed]:
        return [
            SessionFailed.model_validate_json(_payload(each))
            for each in self.publisher.sent
            if each.kind == "session_failed"
        ]


def _payload(message: Outgoing) -> bytes:
    return UnverifiedEnvelope.from_bytes(message.body).claimed.payload


@dataclass
class Nodes:
    """
    Attributes:
        asked: Made for each test: stores go by a clock that cannot be turned.
    """

    by_name: dict[str, Node]
    clock: Clock
    asked: ReshareRequest

    def __getitem__(self, name: str) -> Node:
        return self.by_name[name]

    async def run(self, told: ReshareCreated) -> EpochBundle | None:
        """All that its members say to each other; what the coordinator puts together of it."""
        names = [member.party_id for member in told.terms.members]
        heard = dict.fromkeys(names, 0)
        for name in names:
            await self[name].epochs.begin(told)
            await self[name].rounds.play_parked(told.session_id)
        while any(heard[name] < len(self[name].publisher.sent) for name in names):
            for name in names:
                sent = self[name].publisher.sent[heard[name] :]
                heard[name] += len(sent)
                for message in sent:
                    await self._deliver(message)
        return self.bundle(told)

    async def _deliver(self, message: Outgoing) -> None:
        if message.kind.startswith("reshare/"):
            envelope = UnverifiedEnvelope.from_bytes(message.body).claimed
            await self[message.routing_key].rounds.enter(envelope, message.body)

    def asking(self, **changes: Any) -> ReshareRequest:
        return self.asked.model_copy(update=changes)

    def told(self, asked: ReshareRequest | None = None, **terms: Any) -> ReshareCreated:
        return created(asked or self.asked, KNOWN, terms=terms)

    def next(self, before: EpochBundle, parties: list[str], **changes: Any) -> ReshareCreated:
        """The epoch after it, dealt by three of its holders."""
        known = before.key.facts
        asked = request(
            known,
            request_id="next",
            parties=parties,
            first_epoch=known.epoch + 1,
            issued_at=self.clock(),
            expires_at=self.clock() + 60_000,
            **changes,
        )
        seated = members(("p4", "p5", "p2"), parties, holders=NEW_PARTIES)
        terms = {"epoch": known.epoch + 1, "members": seated}
        return created(asked, known, terms=terms, predecessor=before.key)

    def bundle(self, told: ReshareCreated) -> EpochBundle | None:
        said = [
            EpochCertified.model_validate_json(_payload(each))
            for node in self.by_name.values()
            for each in node.publisher.sent
            if each.kind == "epoch_certified"
        ]
        if not said:
            return None
        return EpochBundle(
            request=told.request,
            request_signature=told.request_signature,
            predecessor=told.predecessor,
            key=said[0].key,
            possessions=said[0].possessions,
            dealt=said[0].dealt,
        )


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    asked = request(KNOWN)
    clock = Clock(asked.issued_at)
    async with contextlib.AsyncExitStack() as stack:
        made = {}
        for name in EVERYBODY:
            url = f"sqlite:///{tmp_path / name}.sqlite"
            await migrate("party", url)
            opened = open_party_store(
                url, party_id=name, sealer=SEALER, witness=tmp_path / f"{name}.incarnation"
            )
            store = await stack.enter_async_context(opened)
            made[name] = Node.over(name, store, clock)
            if (share := share_of(name, KNOWN)) is not None:
                await store.commit(_holding(share))
                await store.certify_epoch(
                    EpochRecord(
                        key_session=KEY,
                        epoch=FROM_EPOCH,
                        session_id=b"an earlier reshare",
                        status=EpochStatus.CERTIFIED,
                        at=0,
                    ),
                    share.certificates,
                )
                await store.activate_epoch(KEY, FROM_EPOCH, 0, 0)
                await store.retire_epochs(KEY, FROM_EPOCH, [], 0)
        yield Nodes(made, clock, asked)


def _holding(share: Any) -> PartyChange:
    return PartyChange(
        session_id=hashlib.sha256(b"made").digest(),
        expected_version=0,
        protocol="keygen",
        key_session=None,
        status="completed",
        deadline=0,
        state=b"",
        cause="made",
        key_share=share,
    )


###
### The way
###


async def test_a_key_goes_from_one_epoch_to_the_next(nodes: Nodes) -> None:
    bundle = await nodes.run(nodes.told())
    assert bundle is not None
    for name in NEW_PARTIES:
        assert (await nodes[name].statuses())[TO_EPOCH] == "pending"
    for name in EVERYBODY:
        assert await nodes[name].epochs.proven(bundle)
    assert (await nodes[STAYS].shares()) == {FROM_EPOCH: True, TO_EPOCH: False}

    nodes.clock.pass_(SIGNS_ON_S - 1)
    await nodes[STAYS].epochs.go_on()
    assert await nodes[STAYS].statuses() == {FROM_EPOCH: "active", TO_EPOCH: "certified"}
    nodes.clock.pass_(1)
    await nodes[STAYS].epochs.go_on()
    assert await nodes[STAYS].shares() == {FROM_EPOCH: True, TO_EPOCH: True}
    nodes.clock.pass_(ENDS_S)
    for name in EVERYBODY:
        for _ in range(2):
            await nodes[name].epochs.go_on()
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
            await nodes[name].epochs.go_on()


###
### What is refused, and changes nothing
###


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
    await node.store.commit(replace(_holding(other), session_id=hashlib.sha256(b"x").digest()))
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
            _holding(None), session_id=hashlib.sha256(b"cancel").digest(), forbids=forbids
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
    await nodes[STAYS].epochs.go_on()
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
    await node.epochs.go_on()
    later = nodes.next(bundle, parties=list(NEW_PARTIES))
    await node.epochs.begin(later)
    assert node.failures() == []
    nodes.clock.pass_(ENDS_S)
    await node.epochs.go_on()
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
        await node.epochs.go_on()
    session = await node.store.session(nodes.told(epoch=FROM_EPOCH + 1).session_id)
    assert await node.store.sessions_under_way(KEY) == []
    assert session is None or session.state == b""
    assert (await node.statuses())[FROM_EPOCH + 1] == "retired"


async def test_one_key_that_cannot_go_on_keeps_no_other_from_it(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node, other = nodes[BEFORE], hashlib.sha256(b"other key").digest()
    spoilt = EpochRecord(
        key_session=other,
        epoch=1,
        session_id=b"",
        status=EpochStatus.CERTIFIED,
        bundle="{}",
        at=0,
        due_at=0,
    )
    await node.store.certify_epoch(spoilt, None)
    await node.epochs.proven(Forger().bundle())
    nodes.clock.pass_(SIGNS_ON_S)
    activate = node.store.activate_epoch

    async def fails(key_session: bytes, *values: int) -> bool:
        if key_session == other:
            raise ValueError("spoilt")
        return await activate(key_session, *values)

    monkeypatch.setattr(node.store, "activate_epoch", fails)
    await node.epochs.go_on()
    assert (await node.statuses())[TO_EPOCH] == "active"
    assert "epoch put off" in caplog.text

    async def away(*_: object) -> bool:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(node.store, "activate_epoch", away)
    with pytest.raises(StoreUnavailableError):
        await node.epochs.go_on()
