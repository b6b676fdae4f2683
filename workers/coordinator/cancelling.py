"""Clients that cancel requests: their own, or as operators anybody's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from contracts.requests import CancelRequest
from contracts.results import Status
from contracts.sessions import cancel_session_id
from contracts.signing import SignedRequest

from ..delivery.clock import now_ms
from ..session.coordinator import cancellation as cancelling
from ..session.coordinator.cancellation import PATIENCE_MS, Cancellation
from ..session.peers import Peer, Speaking
from ..session.protocols import CANCEL
from ..store.interface import CoordinatorStore
from ..store.records import CoordinatorChange, RequestRecord
from .answers import Answers, conflict, unknown
from .beginnings import CAUSE, record_of
from .cancellations import Cancellations
from .desks import Service
from .entrance import Entrance
from .known_sessions import find
from .liveness import Liveness
from .operators import Operators


class Cancelling:
    """Begins the sessions of `cancellations`.

    Arguments:
        liveness: Other coordinators hear of parties that we do not know: those are asked too.
        grace_ms: By which sweeps for deadlines come too late.
    """

    def __init__(
        self,
        operators: Operators,
        store: CoordinatorStore,
        answers: Answers,
        cancellations: Cancellations,
        entrance: Entrance,
        *,
        parties: Mapping[str, Peer],
        liveness: Liveness,
        grace_ms: int,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._operators = operators
        self._store = store
        self._answers = answers
        self._cancellations = cancellations
        self._entrance = entrance
        self._parties = parties
        self._liveness = liveness
        self._grace_ms = grace_ms
        self._clock = clock

    def services(self) -> tuple[Service, ...]:
        return (Service.of(CancelRequest, self._handle),)

    async def _handle(self, signed: SignedRequest, request: CancelRequest) -> None:
        known = await self._known(signed)
        if known is None:
            if not self._may_cancel(request):
                return await self._answers.fail(signed, unknown("request"))
            self._entrance.withdraw(request.target_owner.name, request.target)
            async with self._entrance.turn(request) as turn:
                turn.keep(cancel_session_id(signed.digest))
                await self._begin(signed, request)
                known = await self._known(signed)
                assert known is not None
                if known.session_id != cancel_session_id(signed.digest):
                    turn.leave()
        if known.digest != signed.digest:
            return await self._answers.fail(signed, conflict(request.request_id))
        if known.result is not None:
            return await self._answers.again(known.result)
        return await self._cancellations.go_on(known.session_id)

    async def _begin(self, signed: SignedRequest, request: CancelRequest) -> None:
        """Whoever comes second under this request id changes nothing."""
        owner, now = request.target_owner.name, self._clock()
        found = await find(self._store, owner, target=request.target)
        moved = bool(await self._cancellations.epochs_of(request))
        session_id = cancel_session_id(signed.digest)
        cancellation = Cancellation(
            request=request,
            request_digest=signed.digest,
            by_operator=owner != request.owner,
            asked=cancelling.whom_to_ask(
                None if found is None else found.conduct, self._all_parties(), moved=moved
            ),
        )
        change = CoordinatorChange(
            session_id=session_id,
            expected_version=0,
            protocol=CANCEL.name,
            key_session=None,
            status=Status.WAITING.value,
            deadline=min(request.expires_at, now + PATIENCE_MS) - self._grace_ms,
            state=cancellation.model_dump_json().encode(),
            cause=CAUSE,
            outgoing=cancelling.questions(
                session_id,
                cancellation.asked,
                request=signed.body,
                signature=signed.signature,
                now=now,
            ),
            request=record_of(signed, session_id),
            cancels=(owner, request.target),
        )
        await self._store.commit(change)

    def _all_parties(self) -> list[str]:
        """While parties are added to the coordinators' configurations, one after another, those
        that are not in ours hold keys already, and without their word nothing is final."""
        return [*Speaking(self._parties), *sorted(self._liveness.known() - self._parties.keys())]

    def _may_cancel(self, request: CancelRequest) -> bool:
        return request.target_owner == request.owned_by or self._operators.include(request)

    async def _known(self, signed: SignedRequest) -> RequestRecord | None:
        request = signed.request
        return await self._store.request(request.owner, request.request_id, signed.digest)
