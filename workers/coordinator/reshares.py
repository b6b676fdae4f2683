"""The coordinator's sessions that give a key new shares, and what follows when one has.

A session that fails is followed by another one with the next epoch and perhaps other dealers, as
often as the request allows. Its number is used up all the same.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Mapping

from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey, EpochBundle
from contracts.primitives import Curve
from contracts.requests import ReshareRequest
from contracts.signing import SignedRequest
from contracts.terms import ReshareTerms

from ..delivery.clock import now_ms
from ..session.coordinator import resharing
from ..session.coordinator.choice import ChoiceError, home_set, sparing
from ..session.coordinator.conduct import Conduct
from ..session.epochs import ENDS_S, SIGNS_ON_S
from ..session.peers import Peer
from ..store.interface import CoordinatorStore
from ..store.records import KeyEpoch, Outcome
from . import reshare_counts
from .beginnings import Beginnings, begins_at, record_of
from .endings import Ended
from .gates import Turn
from .liveness import Liveness
from .pools import Pools

SHORTEST_TRY_MS = 5_000
DUE_AT_ONCE = 100


class Reshares:
    def __init__(
        self,
        store: CoordinatorStore,
        liveness: Liveness,
        pools: Pools,
        beginnings: Beginnings,
        *,
        parties: Mapping[str, Peer],
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._liveness = liveness
        self._pools = pools
        self._beginnings = beginnings
        self._parties = parties
        self._clock = clock
        self._random = random.Random()

    async def begin(
        self, signed: SignedRequest, request: ReshareRequest, *, deadline: int, turn: Turn
    ) -> Outcome | Failure:
        """The first session of a request."""
        record = await self._store.key(request.owner, request.key_id)
        if record is None:
            return Failure.of(FailureCode.UNKNOWN_KEY, f"you have no key {request.key_id!r}")
        predecessor = CertifiedKey.model_validate_json(record.certified)
        if (unfit := resharing.unfit(request, predecessor.facts)) is not None:
            return unfit
        if await self._store.reshare_under_way(predecessor.facts.session_id):
            return resharing.busy(predecessor.facts)
        try:
            terms = await self._terms(request, signed.digest, predecessor)
        except ChoiceError as error:
            return error.failure
        now = self._clock()
        try_ms = (deadline - now) // request.tries
        conduct = Conduct(
            request=request,
            terms=terms,
            join_secret=os.urandom(32),
            deadline=deadline,
            try_ms=max(SHORTEST_TRY_MS, try_ms) if request.tries > 1 else None,
            facts=predecessor.facts,
            predecessor=predecessor,
            begun_at=self._clock(),
            begins_at=begins_at(request, now, deadline),
        )
        outcome = await self._beginnings.commit(
            conduct, record_of(signed), event=_told(terms), epoch=_begun(terms), turn=turn
        )
        if outcome is Outcome.COMMITTED:
            reshare_counts.begun(conduct)
        return outcome

    async def begin_again(self, ended: Ended) -> None:
        """Another try of the request, unless it has one."""
        before = ended.conduct
        request, predecessor = before.request, before.predecessor
        if not isinstance(request, ReshareRequest):
            return
        assert predecessor is not None
        record = await self._beginnings.to_go_on(ended)
        if record is None:
            return
        tries = before.tries + 1
        try:
            terms = await self._terms(request, record.digest, predecessor, before.avoided)
            epoch = _begun(terms)
        except ChoiceError:
            # Other requests have used the numbers up. Of one that nobody asked for the parties say
            # so, and with that the request has its result.
            assert isinstance(before.terms, ReshareTerms)
            none = {"epoch": request.epochs.stop, "salt": os.urandom(32)}
            terms, epoch, tries = before.terms.model_copy(update=none), None, request.tries
        conduct = before.model_copy(
            update={
                "terms": terms,
                "tries": tries,
                "succeeded": before.first,
                "begun_at": self._clock(),
            }
        )
        event = _told(terms) | {"try": tries, "after": ended.failure.message}
        outcome = await self._beginnings.commit(
            conduct, record, event=event, succeeds=ended.session_id, epoch=epoch
        )
        if outcome is Outcome.COMMITTED:
            reshare_counts.begun(conduct)

    async def tend(self) -> None:
        """See to what is due for epochs that were made: presignatures for those that will be asked
        soon, and nothing more of those that are asked no more."""
        now = self._clock()
        for epoch in await self._store.key_epochs_due(now, DUE_AT_ONCE):
            name = epoch.key_session, epoch.epoch
            assert epoch.signs_from is not None
            if now < epoch.signs_from:
                await self._prepare(epoch)
                over_ms = int((SIGNS_ON_S + ENDS_S) * 1000)
                await self._store.put_off_key_epoch(*name, epoch.signs_from + over_ms)
            else:
                await self._store.forget_epochs_below(*name)
                await self._store.put_off_key_epoch(*name, None)

    async def _prepare(self, epoch: KeyEpoch) -> None:
        """Have a pool for the new holders, if those of before had any."""
        assert epoch.bundle is not None
        bundle = EpochBundle.model_validate_json(epoch.bundle)
        before, facts = bundle.predecessor.facts, bundle.key.facts
        if facts.curve is not Curve.SECP256K1 or not self._pools.stocked(before):
            return
        alive = sparing(self._liveness.alive(), self._parties, facts)
        members = home_set(facts, alive, self._pools.quarrels)
        self._pools.use(facts, members)
        await self._pools.note_used()

    async def _terms(
        self,
        request: ReshareRequest,
        digest: bytes,
        predecessor: CertifiedKey,
        avoided: Collection[str] = (),
    ) -> ReshareTerms:
        """Of the next try. Raises ChoiceError."""
        facts = predecessor.facts
        begun = [each.epoch for each in await self._store.key_epochs(facts.session_id)]
        return ReshareTerms(
            request_digest=digest,
            key_session=facts.session_id,
            predecessor=facts.digest(),
            epoch=resharing.next_epoch(request, begun),
            threshold=request.threshold,
            members=resharing.members(
                request, facts, self._parties, self._liveness.alive(), self._random, avoided
            ),
            salt=os.urandom(32),
        )


def _told(terms: ReshareTerms) -> dict[str, object]:
    dealers = [member.party_id for member in terms.members if member.deals_as is not None]
    return {"epoch": terms.epoch, "dealers": dealers}


def _begun(terms: ReshareTerms) -> KeyEpoch:
    return KeyEpoch(key_session=terms.key_session, epoch=terms.epoch, session_id=terms.session_id())
