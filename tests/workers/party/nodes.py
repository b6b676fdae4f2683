"""Six parties with stores, who make a key's next epoch among themselves."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contracts.envelope import UnverifiedEnvelope
from contracts.keys import EpochBundle
from contracts.primitives import Curve
from contracts.requests import ReshareRequest
from contracts.retirements import Retirement
from contracts.sessions import EpochCertified, ReshareCreated, SessionFailed
from tests.session.epoch_bundles import FROM_EPOCH, IDENTITIES, NEW_PARTIES, old_facts, request
from tests.session.party.reshares import created, members, party, share_of
from tests.workers.doubles import FakePublisher
from tests.workers.migrated import migrate
from workers.delivery.locks import SessionLocks
from workers.delivery.scopes import SessionScopes
from workers.party.commits import PartyCommits
from workers.party.epochs import Epochs
from workers.party.machines import Machine
from workers.party.rounds import RoundSessions
from workers.party.vouching import Vouching
from workers.session.party.engines import ENGINES
from workers.settings import PartyLimits
from workers.store.interface import PartyStore
from workers.store.opening import open_party_store
from workers.store.records import EpochRecord, EpochStatus, Outgoing, PartyChange
from workers.store.sealing import MasterKeys, Sealer
from workers.store.share_keys import ShareKeys

MASTER_KEYS = MasterKeys({1: bytes(range(32))})
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
    def over(cls, name: str, store: PartyStore, clock: Clock, keep_s: float = 0) -> Node:
        """Arguments: keep_s: How long it waits for a backup, before it deletes a share."""
        limits = PartyLimits(backup_wait_seconds=keep_s)
        publisher, us = FakePublisher(), party(name)
        sending: Any = publisher
        commits = PartyCommits(us, store, sending, clock)
        machine = Machine(ENGINES, us, store, limits, lambda size: bytes(size))
        vouching = Vouching(us, store, sending, limits, clock)

        async def remembers(_: int) -> None: ...

        return cls(
            store=store,
            publisher=publisher,
            epochs=Epochs(us, store, commits, machine, vouching, limits, remembers, clock),
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
                url,
                party_id=name,
                sealer=Sealer(MASTER_KEYS, erasable=ShareKeys(tmp_path / f"{name}.halves", name)),
                witness=tmp_path / f"{name}.incarnation",
            )
            store = await stack.enter_async_context(opened)
            made[name] = Node.over(name, store, clock)
            if (share := share_of(name, KNOWN)) is not None:
                await store.commit(holding(share))
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
                said = Retirement.signed(
                    IDENTITIES[name], name, KEY, FROM_EPOCH, retired_at=0, backed_up_at=None
                )
                await store.retire_epochs(KEY, FROM_EPOCH, [], 0, said.model_dump_json())
                await store.retirement_told(KEY, FROM_EPOCH)
        yield Nodes(made, clock, asked)


def holding(share: Any) -> PartyChange:
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
