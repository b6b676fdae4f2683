"""The coordinator's sessions that sign: begun for a request, and begun again with other signers.

When signers fail a request, others serve it and the client sees one result. The session that failed
ends without a result, and its request goes on in a new one. That takes the request over in the
transaction in which it begins, so only one session's result counts, whoever dies on the way.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Mapping

from contracts.failures import FailureCode
from contracts.keys import CertifiedKey, KeyFacts
from contracts.primitives import Scheme
from contracts.requests import SignRequest
from contracts.sessions import NonceCommitment
from contracts.signing import SignedRequest
from contracts.terms import Member, SessionTerms

from ..delivery.clock import now_ms
from ..session.coordinator import choice
from ..session.coordinator.conduct import Conduct, Presigned
from ..session.coordinator.refusing import Refusal
from ..session.peers import Peer
from ..store.interface import CoordinatorStore
from ..store.records import (
    CommitmentRecord,
    Outcome,
    PooledPresignature,
    PoolName,
    RequestRecord,
)
from .beginnings import Beginnings, begins_at, record_of
from .endings import Ended
from .gates import Turn
from .liveness import Liveness
from .pools import Pools
from .supply import Supply


class SigningSessions:
    """
    Arguments:
        try_ms: Without progress for so long, other signers are tried.
    """

    def __init__(
        self,
        store: CoordinatorStore,
        liveness: Liveness,
        pools: Pools,
        beginnings: Beginnings,
        supply: Supply,
        *,
        parties: Mapping[str, Peer],
        try_ms: int,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._liveness = liveness
        self._pools = pools
        self._beginnings = beginnings
        self._supply = supply
        self._parties = parties
        self._try_ms = try_ms
        self._clock = clock
        self._random = random.Random()

    async def begin(
        self,
        signed: SignedRequest,
        request: SignRequest,
        facts: KeyFacts,
        *,
        deadline: int,
        among: Collection[str] | None = None,
        turn: Turn | None = None,
    ) -> RequestRecord | None:
        """The first session of a request. Returns the request as it is known, if it came before.

        Arguments:
            among: Whom signers are chosen from where the request names none; None: all holders.
            turn: Which the session takes.

        Raises:
            ChoiceError; OverloadedError, if the presignatures would come too late.
        """
        record = record_of(signed)
        presigned = request.scheme is Scheme.ECDSA
        sets = self._sets(request, facts, avoided=(), refusals=(), among=among)
        by_name = {choice.set_name(members): members for members in sets}
        admission = await self._store.admit(
            record.owner,
            record.request_id,
            record.digest,
            key_session=facts.session_id,
            epoch=facts.epoch,
            scheme=request.scheme.value,
            parties=[] if presigned else [member.party_id for member in sets[0]],
            pools=list(by_name) if presigned else [],
            presignatures=len(request.tasks),
        )
        if admission.request is not None:
            return admission.request
        taken = admission.presignatures
        if presigned and not taken:
            pool = _pool(facts, sets[0])
            self._supply.require(record.owner, pool, len(request.tasks), deadline)
        conduct = self._conduct(
            request,
            facts,
            by_name[taken[0].signers] if taken else sets[0],
            record.digest,
            deadline=deadline,
            commitments=admission.claimed,
            presignatures=taken,
            among=among,
        )
        window = begins_at(request, self._clock(), deadline)
        conduct = conduct.model_copy(update={"begins_at": window})
        outcome = await self._beginnings.commit(conduct, record, turn=turn)
        if outcome is Outcome.COMMITTED:
            return None
        return await self._store.request(record.owner, record.request_id, record.digest)

    async def begin_again(self, ended: Ended) -> None:
        """Another session for the request, unless it has one: then that is begun for sure."""
        before = ended.conduct
        request, facts = before.request, before.facts
        if not isinstance(request, SignRequest):
            return
        assert facts is not None
        record = await self._beginnings.to_go_on(ended)
        if record is None:
            return
        if ended.failure.code is FailureCode.STALE_EPOCH:
            newest = await self._newest(request)
            # Where those that the request names hold no share any more, they say so once more.
            facts = newest if newest is not None and _can_sign(request, newest) else facts
        among = _still_enough(before.among, facts)
        sets = self._sets(
            request,
            facts,
            avoided=before.avoided,
            refusals=before.refusals,
            among=among,
        )
        members, taken = (
            await self._claim(facts, sets, len(request.tasks))
            if before.presigned
            else (sets[0], ())
        )
        conduct = self._conduct(
            request,
            facts,
            members,
            record.digest,
            deadline=before.deadline,
            presignatures=taken,
            tries=before.tries + 1,
            among=among,
        )
        kept = {
            "join_secret": before.join_secret,
            "succeeded": before.first,
            "joined": before.joined,
            "avoided": before.avoided,
            "refusals": before.refusals,
        }
        conduct = conduct.model_copy(update=kept)
        event = {"try": conduct.tries, "after": ended.failure.message}
        await self._beginnings.commit(conduct, record, event=event, succeeds=ended.session_id)

    async def _newest(self, request: SignRequest) -> KeyFacts | None:
        """Of the key's newest epoch: who is behind is shown what proves it."""
        record = await self._store.key(request.owner, request.key_id)
        return None if record is None else CertifiedKey.model_validate_json(record.certified).facts

    def _sets(
        self,
        request: SignRequest,
        facts: KeyFacts,
        *,
        avoided: Collection[str],
        refusals: Collection[Refusal],
        among: Collection[str] | None,
    ) -> list[list[Member]]:
        """Who may sign, the best first."""
        living = self._liveness.alive() - set(avoided)
        alive = choice.sparing(living, self._parties, facts, among)
        if request.scheme is not Scheme.ECDSA:
            return [choice.signers(request, facts, alive, self._random, among, refusals)]
        return choice.signer_sets(
            request,
            facts,
            alive,
            self._pools.quarrels,
            self._pools.stocked(facts),
            self._pools.resting(facts),
            among,
            refusals,
        )

    async def _claim(
        self, facts: KeyFacts, sets: list[list[Member]], count: int
    ) -> tuple[list[Member], tuple[PooledPresignature, ...]]:
        for members in sets:
            taken = await self._store.claim_presignatures(_pool(facts, members), count)
            if taken:
                return members, taken
        return sets[0], ()

    def _conduct(
        self,
        request: SignRequest,
        facts: KeyFacts,
        members: list[Member],
        request_digest: bytes,
        *,
        deadline: int,
        commitments: Mapping[str, CommitmentRecord] | None = None,
        presignatures: tuple[PooledPresignature, ...] = (),
        tries: int = 1,
        among: Collection[str] | None,
    ) -> Conduct:
        choosable = facts.party_count if among is None else len(among)
        others_could = request.signers is None and choosable > facts.threshold
        return Conduct(
            request=request,
            terms=SessionTerms(
                protocol="sign",
                request_digest=request_digest,
                key_session=facts.session_id,
                epoch=facts.epoch,
                threshold=facts.threshold,
                members=choice.named_now(members, self._parties),
                salt=os.urandom(32),
            ),
            join_secret=os.urandom(32),
            deadline=deadline,
            try_ms=self._try_ms if others_could else None,
            tries=tries,
            facts=facts,
            commitments={
                party_id: NonceCommitment(nonce_id=each.nonce_id, commitment=each.commitment)
                for party_id, each in (commitments or {}).items()
            },
            presignatures=[Presigned.of(each) for each in presignatures],
            among=None if among is None else list(among),
        )


def _can_sign(request: SignRequest, facts: KeyFacts) -> bool:
    """Whether those that the request names, if it does, can sign by this epoch."""
    if request.signers is None:
        return True
    holders = {holder.party_id for holder in facts.holders}
    return holders.issuperset(request.signers) and len(request.signers) == facts.threshold


def _still_enough(among: Collection[str] | None, facts: KeyFacts) -> Collection[str] | None:
    """Whom signers are chosen from, where enough of them hold a share of this epoch; else all."""
    if among is None:
        return None
    left = [holder.party_id for holder in facts.holders if holder.party_id in among]
    return left if len(left) >= facts.threshold else None


def _pool(facts: KeyFacts, members: list[Member]) -> PoolName:
    return PoolName(
        key_session=facts.session_id, epoch=facts.epoch, signers=choice.set_name(members)
    )
