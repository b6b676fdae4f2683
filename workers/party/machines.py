"""What runs the protocols of several rounds: pure plays, and what they have to be given."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import anyio

from ..session.party.acceptance import Party
from ..session.party.engine import Engine
from ..session.party.seat import RoundState, Seat
from ..session.party.step import Step
from ..session.protocols import Begun
from ..settings import PartyLimits
from ..store.interface import PartyStore
from ..store.records import KeyShareRecord, Received, Session

S = TypeVar("S")


class Machine:
    """Slow plays are made beside the event loop, one at a time.

    Arguments:
        engines: By protocol.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        party: Party,
        store: PartyStore,
        limits: PartyLimits,
        randomness: Callable[[int], bytes],
    ) -> None:
        self._engines = engines
        self._party = party
        self._store = store
        self._limits = limits
        self._randomness = randomness
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def begin(
        self, protocol: str, begun: Begun, key_share: KeyShareRecord | None = None
    ) -> Step:
        """Arguments: begun: Accepted already."""
        engine = self._engines[protocol]
        begin = functools.partial(
            engine.begin,
            begun,
            self._party.named_by(begun.terms.members),
            key_share=key_share,
            randomness=self._randomness,
        )
        return await self._play(engine, begin)

    def seat(self, session: Session) -> Seat:
        state = RoundState.from_bytes(session.state)
        party = self._party.named_by(state.members)
        return self._engines[session.protocol].seat(state, party)

    async def advance(self, session: Session, received: Sequence[Received]) -> Step | None:
        """As `Engine.advance`."""
        engine, seat = self._engines[session.protocol], self.seat(session)
        if seat.inbox(received, seat.state.round) is None:
            return None
        key_share = None
        if session.key_session is not None:
            key_share = await self._store.key_share(session.key_session, seat.state.epoch)
        advance = functools.partial(
            engine.advance,
            seat.state,
            seat.party,
            received,
            key_share=key_share,
            randomness=self._randomness,
        )
        return await self._play(engine, advance)

    async def finished(self, step: Step) -> None:
        """After the last step is committed and published."""
        if step.presignatures:
            made = step.presignatures[0]
            await self._store.trim_presignatures(
                made.key_session,
                made.epoch,
                keep=self._limits.presignatures_per_key,
                keep_in_all=self._limits.presignatures,
            )

    async def _play(self, engine: Engine, work: Callable[[], S]) -> S:
        if not engine.slow:
            return work()
        return await anyio.to_thread.run_sync(
            work, limiter=self._one_at_a_time, abandon_on_cancel=True
        )
