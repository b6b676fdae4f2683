"""A key's epochs at a party: what begins one, what proves it, and the way from one to the next.

A party goes on in three steps of its own, each one transaction, and takes nobody's word for any:

- *certified*: it has the bundle that proves the epoch. Both sign for `SIGNS_ON_S`: whoever asks
  goes over to the new one meanwhile, and no signature has to wait;
- *active*: the new epoch signs alone. Sessions of the one before, begun already, have `ENDS_S`;
- *retired*: of all lower epochs everything is deleted.

Whoever was away does the same from the bundle that it is shown later. Nothing is ever deleted for
an epoch that is not proven.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

from contracts.epochs import open_reshare
from contracts.errors import ContractError
from contracts.identity import PublicIdentity
from contracts.keys import EpochBundle, KeyFacts
from contracts.requests import ReshareRequest
from contracts.sessions import ReshareCreated

from ..protocols.rounds import ProtocolError
from ..session.epochs import ENDS_S, SIGNS_ON_S, check_bundle
from ..session.errors import NameTakenError, NoShareError, RefusedError, StaleEpochError
from ..session.party.acceptance import Party, key_facts
from ..session.party.reshare_acceptance import Held, accept_reshare
from ..session.protocols import RESHARE
from ..settings import PartyLimits
from ..store.interface import PartyStore
from ..store.records import EpochRecord, EpochStatus
from .commits import PartyCommits, check
from .machines import Machine

logger = logging.getLogger(__name__)


class Epochs:
    """
    Arguments:
        machine: With an engine for reshares.
        require_memory_of: Raises RefusedError for what was issued before we lost our memory.
        clock: Unix milliseconds.
    """

    def __init__(
        self,
        party: Party,
        store: PartyStore,
        commits: PartyCommits,
        machine: Machine,
        limits: PartyLimits,
        require_memory_of: Callable[[int], Awaitable[None]],
        clock: Callable[[], int],
    ) -> None:
        self._party = party
        self._store = store
        self._commits = commits
        self._machine = machine
        self._limits = limits
        self._require_memory_of = require_memory_of
        self._clock = clock

    async def begin(self, told: ReshareCreated) -> None:
        """Take part in making an epoch, or tell the coordinator why not."""
        session_id, terms, cause = told.session_id, told.terms, told.instruction
        if await self._store.session(session_id) is not None:
            return await self._commits.send_again(session_id, cause)
        held = await self.held(terms.key_session)
        try:
            request = self._asked(told)
            await self._require_memory_of(request.issued_at)
            accept_reshare(told, request, self._party, held, now=self._clock())
            if await self._store.name_taken(request.owner, request.key_id, terms.key_session):
                raise NameTakenError(request.key_id)
            step = await self._machine.begin(RESHARE.name, told, held.active)
            outcome = await self._commits.first(
                session_id,
                step,
                protocol=RESHARE.name,
                key_session=terms.key_session,
                cause=cause,
                time_left_ms=min(told.time_left_ms, int(self._limits.session_seconds * 1000)),
            )
            check(outcome)
        except (RefusedError, ProtocolError) as error:
            await self._commits.refuse(
                session_id,
                error,
                terms.members,
                protocol=RESHARE.name,
                key_session=terms.key_session,
                epoch=terms.epoch,
                cause=cause,
            )
        return None

    async def shown(self, bundles: Sequence[EpochBundle]) -> None:
        """Believe in the last of several epochs that were made one from the other, by way of those
        before it where we missed some.

        Raises ContractError if the last one convinces us of nothing; what those before it prove is
        believed all the same.
        """
        for bundle in bundles:
            try:
                await self.proven(bundle)
            except ContractError:
                # From before the first epoch that we know, perhaps.
                if bundle is bundles[-1]:
                    raise

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
        pinned = {name: peer.identity for name, peer in self._party.peers.items()}
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
        return await self._store.certify_epoch(record, certificates)

    async def explained(self, error: Exception, key_session: bytes | None, epoch: int) -> Exception:
        """A session's refusal, as one that says so where it is of another epoch than the one that
        signs here. Who has lost its share of this very epoch, or all that it knew of the key, is
        not behind: nothing that it is shown helps."""
        if not isinstance(error, NoShareError) or key_session is None:
            return error
        epochs = await self._store.epochs(key_session)
        known = max((each.epoch for each in epochs if each.bundle is not None), default=0)
        if known == epoch or not (epochs or await self._store.key_share(key_session, known)):
            return error
        return StaleEpochError(epoch, known)

    async def go_on(self, key_session: bytes) -> None:
        """What has become due with one key; see `PartyStore.keys_due`."""
        for record in await self._store.epochs(key_session):
            if record.due_at is not None and record.due_at <= self._clock():
                await self._go_on(record)

    async def held(self, key_session: bytes) -> Held:
        """What we know of the key by ourselves."""
        epochs = await self._store.epochs(key_session)
        signs = {EpochStatus.CERTIFIED, EpochStatus.ACTIVE}
        newest = max((each.epoch for each in epochs if each.status in signs), default=0)
        share = await self._store.key_share(key_session, newest)
        return Held(
            active=share if share is not None and share.active else None,
            begun=max((each.epoch for each in epochs), default=0),
            proven=max((each.epoch for each in epochs if each.bundle is not None), default=0),
            banned={ban.party_id for ban in await self._store.bans()},
        )

    async def _go_on(self, record: EpochRecord) -> None:
        key_session, epoch, now = record.key_session, record.epoch, self._clock()
        told = {"key_session": key_session.hex(), "epoch": epoch}
        if record.status is EpochStatus.CERTIFIED:
            due_at = now + int(ENDS_S * 1000)
            if await self._store.activate_epoch(key_session, epoch, now, due_at):
                logger.info("a key has a new epoch", extra=told)
        elif record.status is EpochStatus.ACTIVE:
            ending = await self._below(key_session, epoch)
            if await self._store.retire_epochs(key_session, epoch, ending, now):
                logger.info("a key's earlier epochs are deleted", extra=told)

    async def _below(self, key_session: bytes, epoch: int) -> list[bytes]:
        """Sessions under way with shares of lower epochs, or that were to make one."""
        found = []
        for session_id in await self._store.sessions_under_way(key_session):
            session = await self._store.session(session_id)
            if session is None or not session.state:
                continue
            if self._machine.seat(session).state.epoch < epoch:
                found.append(session_id)
        return found

    async def _known(
        self, bundle: EpochBundle, epochs: Collection[EpochRecord], pending: KeyFacts | None
    ) -> KeyFacts:
        """What the bundle has to come from: an epoch that signs or signed here, one whose bundle we
        have, or the one that we have a share dealt from. Raises ContractError."""
        claimed = bundle.predecessor.facts
        known = [
            EpochBundle.model_validate_json(each.bundle).key.facts
            for each in epochs
            if each.bundle is not None and each.epoch == claimed.epoch
        ]
        share = await self._store.key_share(bundle.key.facts.session_id, claimed.epoch)
        if share is not None and share.active:
            known.append(key_facts(share))
        if claimed in known:
            return claimed
        dealt_from = None if pending is None else pending.reshared
        if dealt_from is not None and dealt_from.predecessor == claimed.digest():
            return claimed
        raise ContractError(
            f"epoch {bundle.key.facts.epoch} of key {claimed.key_id} comes from epoch "
            f"{claimed.epoch}, of which nothing is known here: show the bundles before it first"
        )

    def _asked(self, told: ReshareCreated) -> ReshareRequest:
        """Raises RefusedError."""
        owners = self._owners(told.predecessor.facts.client_id)
        try:
            return open_reshare(told.request, told.request_signature, owners)
        except ContractError as error:
            raise RefusedError(f"the request does not check out here: {error}") from None

    def _owners(self, client_id: str | None) -> list[PublicIdentity]:
        """Whose requests for a new epoch of this client's keys we take."""
        return [
            policy.identity
            for policy in self._party.clients
            if policy.allows(client_id, RESHARE.name)
        ]
