"""How the coordinator's sessions begin: in one transaction, and at the parties perhaps later.

A session may wait for callers, see `Conduct.begins_at`. What it will send is committed with it all
the same, so whoever finds it waiting too long can begin it, and twice if need be: the bytes are the
same. That it has begun is committed after they are sent, so that nobody has to remember it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from contracts.requests import KeygenRequest, ReshareRequest, SignRequest
from contracts.results import Status
from contracts.signing import SignedRequest

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher
from ..delivery.scopes import uninterrupted
from ..session.coordinator import resharing
from ..session.coordinator.announcing import ANNOUNCED, announcement
from ..session.coordinator.conduct import Conduct, Progress
from ..session.coordinator.instructions import invitations, nonce_wishes
from ..store.interface import CoordinatorStore
from ..store.records import (
    AccountRecord,
    CoordinatorChange,
    Event,
    KeyEpoch,
    Outcome,
    Outgoing,
    PoolName,
    RequestRecord,
    WaiterRecord,
)
from .commits import CoordinatorCommits
from .endings import Ended
from .gates import RequestCancelledError, Turn
from .local_sessions import LocalSessions
from .pools import Pools
from .recent import Known

CAUSE = "request"
BEGUN = "begun"


@dataclass(frozen=True, slots=True)
class _Opening:
    """How a session goes to its parties."""

    outgoing: tuple[Outgoing, ...]
    deadline: int
    waits_for: PoolName | None = None


class Beginnings:
    """
    Arguments:
        nonce_batch: How many nonces a party is asked for that has none left.
        grace_ms: By which sweeps for deadlines come too late.
    """

    def __init__(
        self,
        store: CoordinatorStore,
        publisher: Publisher,
        local: LocalSessions,
        commits: CoordinatorCommits,
        pools: Pools,
        *,
        nonce_batch: int,
        grace_ms: int,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._scopes = local.scopes
        self._recent = local.recent
        self._commits = commits
        self._pools = pools
        self._nonce_batch = nonce_batch
        self._grace_ms = grace_ms
        self._clock = clock

    async def commit(
        self,
        conduct: Conduct,
        record: RequestRecord,
        *,
        event: Mapping[str, object] | None = None,
        succeeds: bytes | None = None,
        reserve: tuple[str, str] | None = None,
        account: AccountRecord | None = None,
        epoch: KeyEpoch | None = None,
        turn: Turn | None = None,
    ) -> Outcome:
        """One transaction: session, its first event, the messages that start it, and the request:
        new, or taken over from the session that this one succeeds.

        Arguments:
            reserve: The name of the key that it is to make.
            epoch: That it is to make.
            turn: Kept until the session is over, unless it waits for something first.

        Raises:
            RequestCancelledError.
        """
        session_id, now = conduct.session_id, self._clock()
        opening = await self._opening(conduct, record, now)
        told: tuple[Outgoing, ...] = ()
        if conduct.announces and succeeds is None:
            told = (announcement(conduct),)
        deadline, waits_for = opening.deadline, opening.waits_for
        if conduct.begins_at is not None:
            deadline, waits_for = conduct.begins_at - self._grace_ms, None
        change = CoordinatorChange(
            session_id=session_id,
            expected_version=0,
            protocol=conduct.terms.protocol,
            key_session=conduct.terms.key_session,
            status=Status.WAITING.value,
            deadline=deadline,
            state=conduct.model_dump_json().encode(),
            cause=CAUSE,
            outgoing=(*told, *opening.outgoing),
            reserve_key=reserve,
            request=None if succeeds is not None else replace(record, session_id=session_id),
            events=(_created(conduct, event or {}),),
            waiter=_waiter(conduct, waits_for),
            succeeds=succeeds,
            account=account,
            epoch=epoch,
        )
        if turn is not None and conduct.begins_at is None and waits_for is None:
            turn.keep(session_id)
        seconds_left = (conduct.deadline - now) / 1000
        with self._scopes.enter(session_id, seconds_left=seconds_left), uninterrupted():
            outcome = await self._store.commit(change)
            if outcome is Outcome.CANCELLED:
                raise RequestCancelledError(record.request_id)
            if outcome is Outcome.COMMITTED:
                self._recent.keep(change, None, conduct)
                waits = conduct.begins_at is not None
                await self._publisher.publish_all(told if waits else change.outgoing)
            elif turn is not None:
                turn.leave()
        if outcome is Outcome.COMMITTED and waits_for is not None:
            await self._pools.make(waits_for)
        return outcome

    async def begin(self, known: Known) -> bool:
        """Send a session that waited for callers to its parties. The session's lock is held.

        False if another worker moved it on meanwhile: load and look again.
        """
        session, conduct = known.session, known.conduct
        waits_for = await self._pool(conduct)
        begun = conduct.model_copy(update={"begins_at": None})
        with uninterrupted():
            await self._publisher.publish_all(
                message
                for message in await self._store.outgoing(session.session_id, CAUSE)
                if message.kind != ANNOUNCED
            )
            progress = Progress(
                conduct=begun,
                status=Status(session.status),
                deadline=conduct.deadline if waits_for else begun.until(self._clock()),
                waiter=_waiter(conduct, waits_for),
            )
            done = await self._commits.commit(known, progress, BEGUN, None, Event(event=BEGUN))
        if done and waits_for is not None:
            await self._pools.make(waits_for)
        return done

    async def send_again(self, session_id: bytes) -> None:
        """For a request that came again: what its session sent, and that it was announced."""
        session = await self._store.session(session_id)
        if session is None:
            return
        conduct = Known.read(session).conduct
        sent = await self._store.outgoing(session_id, CAUSE)
        messages = [message for message in sent if message.kind != ANNOUNCED]
        if conduct.begins_at is not None or Status(session.status).final:
            messages = []
        if conduct.announces:
            messages.insert(0, announcement(conduct))
        await self._publisher.publish_all(messages)

    async def to_go_on(self, ended: Ended) -> RequestRecord | None:
        """The request of a session that ended without a result, if no other session has taken it
        over: one that has is begun for sure."""
        request = ended.conduct.request
        record = await self._store.request(request.owner, request.request_id)
        if record is None or record.result is not None:
            return None
        if record.session_id == ended.session_id:
            return record
        session = await self._store.session(record.session_id)
        if session is not None and not session.received:
            # Whoever began it may not have come to send it.
            sent = await self._store.outgoing(record.session_id, CAUSE)
            await self._publisher.publish_all(sent)
        return None

    async def _opening(self, conduct: Conduct, record: RequestRecord, now: int) -> _Opening:
        at = now if conduct.begins_at is None else conduct.begins_at
        deadline = conduct.until(at)
        waits_for = await self._pool(conduct)
        if waits_for is not None:
            return _Opening((), conduct.deadline, waits_for)
        if conduct.lacking():
            return _Opening(nonce_wishes(conduct, self._nonce_batch, now=now), deadline)
        invite = invitations if conduct.predecessor is None else resharing.invitations
        invited = invite(
            conduct,
            request=record.body,
            signature=record.signature,
            time_left_ms=deadline - at,
            now=now,
        )
        return _Opening(invited, deadline)

    async def _pool(self, conduct: Conduct) -> PoolName | None:
        """Whose presignatures the session has to wait for, if it has none."""
        if not conduct.presigned:
            return None
        assert conduct.facts is not None
        pool = self._pools.use(conduct.facts, conduct.terms.members)
        if conduct.presignatures:
            return None
        await self._pools.note_used()
        return pool


def record_of(signed: SignedRequest, session_id: bytes = b"") -> RequestRecord:
    """
    Arguments:
        session_id: May be left to `Beginnings.commit`.
    """
    return RequestRecord(
        owner=signed.request.owner,
        request_id=signed.request.request_id,
        operation=signed.request.operation,
        digest=signed.digest,
        body=signed.body,
        signature=signed.signature,
        session_id=session_id,
    )


def begins_at(
    request: KeygenRequest | ReshareRequest | SignRequest, now: int, deadline: int
) -> int | None:
    """When a session that waits for callers begins without them."""
    if request.join_window_ms is None:
        return None
    return min(now + request.join_window_ms, deadline)


def _created(conduct: Conduct, more: Mapping[str, object]) -> Event:
    parties = [member.party_id for member in conduct.terms.members]
    told: dict[str, object] = {"parties": parties}
    if isinstance(conduct.request, ReshareRequest):
        told |= {"from_epoch": conduct.request.from_epoch, "epoch": conduct.terms.epoch}
    return Event(event="session_created", details=json.dumps({**told, **more}))


def _waiter(conduct: Conduct, pool: PoolName | None) -> WaiterRecord | None:
    if pool is None:
        return None
    assert isinstance(conduct.request, SignRequest)
    count = len(conduct.request.tasks)
    return WaiterRecord(session_id=conduct.session_id, pool=pool, count=count)
