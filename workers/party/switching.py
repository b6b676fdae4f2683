"""A party's way from one epoch of a key to the next.

It goes in three steps of its own, each one transaction, and takes nobody's word for any:

- *certified*: it has the bundle that proves the epoch. Both sign for `SIGNS_ON_S`: whoever asks
  goes over to the new one meanwhile, and no signature has to wait;
- *active*: the new epoch signs alone. Sessions of the one before, begun already, have `ENDS_S`;
- *retired*: of all lower epochs everything is deleted, and the party says so, signed.

Between the last two a party that has a share of both waits until the new one stands in a backup, or
a day at most, unless the owner asked otherwise. It signs nothing with the old one meanwhile.

Whoever was away does the same from the bundle that it is shown later. Nothing is ever deleted for
an epoch that is not proven.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from contracts.errors import ContractError
from contracts.identity import PublicIdentity
from contracts.keys import CertifiedKey, EpochBundle, KeyFacts
from contracts.primitives import DeleteAfter
from contracts.requests import ReshareRequest
from contracts.results import Status
from contracts.retirements import Retirement

from ..session.epochs import ENDS_S, SIGNS_ON_S, check_bundle
from ..session.party.acceptance import Party, key_facts
from ..session.peers import Certifying
from ..session.protocols import RESHARE
from ..store.interface import PartyStore, StoreUnavailableError
from ..store.records import EpochRecord, EpochStatus, WordRecord
from . import epoch_counts
from .machines import Machine

logger = logging.getLogger(__name__)

_TOLD = {
    EpochStatus.CERTIFIED: "a key's next epoch is proven",
    EpochStatus.ACTIVE: "a key has a new epoch",
    EpochStatus.RETIRED: "a key's earlier epochs are deleted",
}

LOOKS_AGAIN_MS = 3_600_000
"""For a backup that nobody could note, or that was noted in the same moment."""

PROVEN = {EpochStatus.CERTIFIED, EpochStatus.ACTIVE}


class Switching:
    """
    Arguments:
        machine: With an engine for each session that may be under way with a key.
        keep_ms: How long a share is kept at most until the one that replaces it is in a backup.
        clock: Unix milliseconds.
    """

    def __init__(
        self,
        party: Party,
        store: PartyStore,
        machine: Machine,
        clock: Callable[[], int],
        keep_ms: int = 0,
    ) -> None:
        self._keep_ms = keep_ms
        self._party = party
        self._store = store
        self._machine = machine
        self._clock = clock

    async def proven(self, bundle: EpochBundle) -> bool:
        """Believe in an epoch; False if a later one signs here, or this is known already.

        Raises ContractError, and nothing changes, if the bundle does not prove it.
        """
        facts = bundle.key.facts
        epochs = await self._store.epochs(facts.session_id)
        if any(each.epoch >= facts.epoch and each.bundle is not None for each in epochs):
            return False
        share = await self._store.key_share(facts.session_id, facts.epoch)
        pending = None if share is None else key_facts(share)
        known = await self._known(bundle, epochs, pending)
        pinned = Certifying(self._party.peers)
        owners = self._owners(known.client_id)
        check_bundle(bundle, known, pinned=pinned, owners=owners)
        assert facts.reshared is not None  # or it would have been refused
        now = self._clock()
        record = EpochRecord(
            key_session=facts.session_id,
            epoch=facts.epoch,
            session_id=facts.reshared.session_id,
            status=EpochStatus.CERTIFIED,
            bundle=bundle.model_dump_json(),
            at=now,
            due_at=now + int(SIGNS_ON_S * 1000),
        )
        # Where they differ, ours is of a try that nobody else saw through.
        certificates = bundle.key.certificates if pending == facts else None
        if not await self._store.certify_epoch(record, certificates, before=_name(known)):
            return False
        _came(record.key_session, record.epoch, EpochStatus.CERTIFIED)
        return True

    async def retire_at_once(self, bundle: EpochBundle) -> Retirement:
        """All three steps, without the time that others have to go over: for whoever signs no more
        with this key. What is to be told of it stays due.

        Raises ContractError, and nothing changes, if the bundle does not prove its epoch, nor is
        that or a later one proven here already.
        """
        key_session = bundle.key.facts.session_id
        await self.proven(bundle)
        proven = [each for each in await self._store.epochs(key_session) if each.status in PROVEN]
        newest = proven[-1].epoch
        await self._activate(key_session, newest)
        await self._retire(key_session, newest)
        kept = await self._store.retirement(key_session)
        if kept is None:
            raise StoreUnavailableError("another process of this party moved the key on: try again")
        return Retirement.model_validate_json(kept)

    async def go_on(self, key_session: bytes) -> None:
        """What has become due with one key; see `PartyStore.keys_due`."""
        for record in await self._store.epochs(key_session):
            if record.due_at is not None and record.due_at <= self._clock():
                await self._go_on(record)

    async def _go_on(self, record: EpochRecord) -> None:
        if record.status is EpochStatus.CERTIFIED:
            await self._activate(record.key_session, record.epoch)
        elif record.status is EpochStatus.ACTIVE:
            keep_until = await kept_until(self._store, record.key_session, self._keep_ms)
            if keep_until is None or self._clock() >= keep_until:
                await self._retire(record.key_session, record.epoch)
            else:
                await self._keep(record, keep_until)

    async def _activate(self, key_session: bytes, epoch: int) -> None:
        now = self._clock()
        if await self._store.activate_epoch(key_session, epoch, now, now + int(ENDS_S * 1000)):
            _came(key_session, epoch, EpochStatus.ACTIVE)

    async def _keep(self, record: EpochRecord, until: int) -> None:
        """All but the shares goes, in steps that may be repeated. A backup makes it due again."""
        key_session, epoch, now = record.key_session, record.epoch, self._clock()
        for session_id in await self._below(key_session, epoch):
            await self._store.end(session_id, Status.FAILED.value, now)
        await self._store.drop_prepared(key_session, epoch)
        about = {"key_session": key_session.hex(), "epoch": epoch}
        logger.info("a key's earlier share is kept until there is a backup", extra=about)
        await self._store.put_off_epoch(key_session, epoch, min(until, now + LOOKS_AGAIN_MS))

    async def _retire(self, key_session: bytes, epoch: int) -> None:
        """What is said of it is stored with it, so that neither is without the other."""
        now, ending = self._clock(), await self._below(key_session, epoch)
        retirement = Retirement.signed(
            self._party.speaker,
            self._party.party_id,
            key_session,
            epoch,
            retired_at=now,
            backed_up_at=await self._store.backed_up_at(key_session, epoch),
        )
        words = retirement.model_dump_json()
        if await self._store.retire_epochs(key_session, epoch, ending, now, words):
            _came(key_session, epoch, EpochStatus.RETIRED)

    async def _below(self, key_session: bytes, epoch: int) -> list[bytes]:
        """Sessions under way with shares of lower epochs, dealing them too, or that were to make
        one."""
        found = []
        for session_id in await self._store.sessions_under_way(key_session):
            session = await self._store.session(session_id)
            if session is None or not session.state:
                continue
            if self._machine.seat(session).state.erased_with < epoch:
                found.append(session_id)
        return found

    async def _known(
        self, bundle: EpochBundle, epochs: Collection[EpochRecord], pending: KeyFacts | None
    ) -> KeyFacts:
        """What the bundle has to come from: an epoch that signs or signed here, one whose bundle we
        have, the one that we have a share dealt from, or one that we have certified and lost.
        Raises ContractError."""
        claimed = bundle.predecessor.facts
        known = [
            EpochBundle.model_validate_json(each.bundle).key.facts
            for each in epochs
            if each.bundle is not None and each.epoch == claimed.epoch
        ]
        share = await self._store.key_share(bundle.key.facts.session_id, claimed.epoch)
        # What came from a backup was certified, whatever it is good for today.
        restored = {each.epoch for each in epochs if each.status is EpochStatus.SUSPENDED}
        if share is not None and (share.active or claimed.epoch in restored):
            known.append(key_facts(share))
        if claimed in known:
            return claimed
        dealt_from = None if pending is None else pending.reshared
        if dealt_from is not None and dealt_from.predecessor == claimed.digest():
            return claimed
        if self._certified(bundle.predecessor):
            return claimed
        raise ContractError(
            f"epoch {bundle.key.facts.epoch} of key {claimed.key_id} comes from epoch "
            f"{claimed.epoch}, of which nothing is known here: show the bundles before it first"
        )

    def _certified(self, key: CertifiedKey) -> bool:
        """Whether we signed its certificate, by the key that we have or one that we had: where our
        database was lost, nothing else tells."""
        me, certificate = self._party.party_id, key.certificates.get(self._party.party_id)
        mine = [each.identity for each in key.facts.holders if each.party_id == me]
        own = {each.der for each in self._party.peers[me].ever}
        if not any(map(self._party.has, own)):
            return False  # whoever is known by our name is not us
        if certificate is None or len(mine) != 1 or not own.issuperset(mine):
            return False
        key.facts.verify(me, certificate)
        return True

    def _owners(self, client_id: str | None) -> list[PublicIdentity]:
        """Whose requests for a new epoch of this client's keys we take."""
        return [
            policy.identity
            for policy in self._party.clients
            if policy.allows(client_id, RESHARE.name)
        ]


async def kept_until(store: PartyStore, key_session: bytes, keep_ms: int) -> int | None:
    """Until when at most the share of before waits for a backup of the one that signs; None if it
    waits for none. Of who has only one of both, a lost disk takes nothing that would be missed.

    Arguments:
        keep_ms: As for `Switching`.
    """
    active = [each for each in await store.epochs(key_session) if each.status is EpochStatus.ACTIVE]
    if not active or active[-1].bundle is None or keep_ms == 0:
        return None
    record, bundle = active[-1], EpochBundle.model_validate_json(active[-1].bundle)
    asked = ReshareRequest.model_validate_json(bundle.request)
    if asked.delete_after is DeleteAfter.CERTIFIED:
        return None
    kept = await store.kept_epochs(key_session)
    if record.epoch not in kept or min(kept) >= record.epoch:
        return None
    if await store.is_backed_up(key_session, record.epoch):
        return None
    return record.at + keep_ms


def _name(facts: KeyFacts) -> WordRecord | None:
    """None of a key's first epoch."""
    reshared = facts.reshared
    return None if reshared is None else WordRecord(facts.epoch, reshared.session_id)


def _came(key_session: bytes, epoch: int, step: EpochStatus) -> None:
    """To a step on its way; of what is retired it is the epoch above."""
    epoch_counts.STEPS.labels(step.value).inc()
    logger.info(_TOLD[step], extra={"key_session": key_session.hex(), "epoch": epoch})
