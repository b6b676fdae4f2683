"""The gates of one coordinator process, and which of them a request goes through."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from contracts.operations import OPERATIONS
from contracts.requests import (
    CancelRequest,
    KeygenRequest,
    Request,
    ReshareRequest,
    SignRequest,
)

from ..delivery.clock import now_ms
from ..settings import CoordinatorLimits
from .departures import Departures
from .gates import Company, Gate, Turn, Wish

SIGNING_PATIENCE_S = 5.0
KEYGEN_PATIENCE_S = 10.0
CANCEL_PATIENCE_S = 1.0
"""A cancel waits for parties that are away longer than for those that are busy."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """
    Attributes:
        signing, keys, reshares, cancels: Turns there are kept until a session is over.
        questions: For what is answered at once.
        refusals: To say no takes hardly any work, and two waits: for the disk and the broker.
        tolerance_ms: How far a client's clock may be behind.
    """

    signing: Gate
    keys: Gate
    reshares: Gate
    cancels: Gate
    questions: Gate
    refusals: Gate
    departures: Departures
    tolerance_ms: int
    clock: Callable[[], int]

    @classmethod
    def of(
        cls,
        limits: CoordinatorLimits,
        departures: Departures,
        *,
        queue_prefetch: int,
        clock: Callable[[], int] = now_ms,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Entrance:
        """
        Arguments:
            queue_prefetch: Of the queues that owners may share: no owner's requests may wait in
                all its places.
        """

        few = max(1, min(limits.waiting_per_owner, queue_prefetch // 2))

        company = Company(monotonic)

        def gate(
            name: str,
            at_once: int,
            alone: int,
            patience_s: float,
            per_owner: int = few,
            gives_way_to: Gate | None = None,
            rest: float = 0.0,
        ) -> Gate:
            return Gate(
                name,
                at_once=at_once,
                alone=alone,
                per_owner=per_owner,
                patience_s=patience_s,
                departures=departures,
                company=company,
                gives_way_to=gives_way_to,
                rest=rest,
                clock=clock,
                monotonic=monotonic,
            )

        signing = gate(
            "signatures",
            limits.signatures_at_once,
            limits.signatures_at_once_alone,
            SIGNING_PATIENCE_S,
        )
        return cls(
            signing=signing,
            keys=gate("keys", limits.keys_at_once, limits.keys_at_once_alone, KEYGEN_PATIENCE_S),
            reshares=gate(
                "reshares",
                limits.keys_at_once,
                limits.keys_at_once_alone,
                KEYGEN_PATIENCE_S,
                gives_way_to=signing,
                rest=limits.reshare_rest,
            ),
            cancels=gate(
                "cancels", limits.cancels_at_once, limits.cancels_at_once, CANCEL_PATIENCE_S
            ),
            # Whoever asks much is not told to ask again, which would cost as much as the answer.
            questions=gate(
                "answers",
                limits.questions_at_once,
                limits.questions_at_once_alone,
                SIGNING_PATIENCE_S,
                sys.maxsize,
            ),
            refusals=gate(
                "refusals",
                limits.refusals_at_once,
                limits.refusals_at_once_alone,
                SIGNING_PATIENCE_S,
                sys.maxsize,
            ),
            departures=departures,
            tolerance_ms=round(1000 * limits.clock_tolerance_seconds),
            clock=clock,
        )

    @property
    def gates(self) -> tuple[Gate, ...]:
        return (
            self.signing,
            self.keys,
            self.reshares,
            self.cancels,
            self.questions,
            self.refusals,
        )

    @property
    def filling(self) -> bool:
        """Whether somebody has to wait, or soon may, for turns that ended elsewhere."""
        return any(gate.waiting or 2 * gate.units >= gate.at_once for gate in self.gates)

    def turn(self, request: Request) -> contextlib.AbstractAsyncContextManager[Turn]:
        """A turn at the gate of such requests. Entering it raises OverloadedError
        or RequestCancelledError."""
        return self._gate(request).turn(self._wish(request))

    def withdraw(self, owner: str, request_id: str) -> None:
        """A cancel has come: if its target waits here for its turn, it will not have one. The
        cancel itself waits behind others', and its target would begin meanwhile."""
        self.signing.withdraw(owner, request_id)
        self.keys.withdraw(owner, request_id)
        self.reshares.withdraw(owner, request_id)

    @contextlib.asynccontextmanager
    async def refusing(self, owner: str) -> AsyncIterator[None]:
        """A turn to say no: whoever asks too much is not heard before others for it."""
        async with self.refusals.turn(Wish(owner=owner, kind="refusal")):
            yield

    def _gate(self, request: Request) -> Gate:
        match request:
            case KeygenRequest():
                return self.keys
            case ReshareRequest():
                return self.reshares
            case SignRequest():
                return self.signing
            case CancelRequest():
                return self.cancels
            case _:
                return self.questions

    def _wish(self, request: Request) -> Wish:
        kind: str = request.operation
        units = 1
        match request:
            case KeygenRequest(curve=curve):
                kind = f"keygen {curve}"
            case SignRequest(scheme=scheme, tasks=tasks):
                kind, units = f"sign {scheme}", len(tasks)
            case _:
                pass
        # A clock that runs ahead gives nobody more time, and what counts late has its time anew.
        deadline = self.clock() + request.expires_at - request.issued_at
        if not OPERATIONS[request.operation].counts_late:
            deadline = min(deadline, request.expires_at + self.tolerance_ms)
        return Wish(
            owner=request.owner,
            kind=kind,
            request_id=request.request_id,
            units=units,
            deadline=deadline,
        )
