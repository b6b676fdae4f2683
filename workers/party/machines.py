"""The protocols of several rounds, as `rounds` runs them: pure steps, and what they read first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import anyio

from contracts.sessions import Member, PresignBatch

from ..session.errors import RefusedError
from ..session.party import keygen, presigning
from ..session.party.acceptance import Accepted, Party
from ..session.party.direct import EPHEMERAL_RANDOMNESS_BYTES
from ..session.party.keygen import KeygenState
from ..session.party.presigning import PresignState
from ..session.party.step import Step
from ..settings import PartyLimits
from ..store.interface import PartyStore
from ..store.records import KeyShareRecord, Received, Session

S = TypeVar("S")

KEYGEN_RANDOMNESS_BYTES = 32


class RoundState(Protocol):
    """What every such protocol's state tells."""

    @property
    def members(self) -> list[Member]: ...
    @property
    def epoch(self) -> int: ...
    @property
    def round(self) -> int: ...


class Machine(Protocol):
    def state(self, session: Session) -> RoundState: ...

    async def advance(self, session: Session, received: Sequence[Received]) -> Step | None:
        """As `keygen.advance`."""

    async def finished(self, session: Session) -> None:
        """After the last step is committed and published."""


class KeygenMachine:
    def __init__(self, party: Party, randomness: Callable[[int], bytes]) -> None:
        self._party = party
        self._randomness = randomness

    def begin(self, accepted: Accepted) -> Step:
        return keygen.begin(
            accepted,
            self._party,
            randomness=self._randomness(KEYGEN_RANDOMNESS_BYTES),
            ephemeral_randomness=self._randomness(EPHEMERAL_RANDOMNESS_BYTES),
        )

    def state(self, session: Session) -> RoundState:
        return KeygenState.from_bytes(session.state)

    async def advance(self, session: Session, received: Sequence[Received]) -> Step | None:
        return keygen.advance(KeygenState.from_bytes(session.state), self._party, received)

    async def finished(self, session: Session) -> None:
        """Nothing is left to do."""


class PresignMachine:
    """Its steps take tens of milliseconds, so they run beside the event loop, one at a time."""

    def __init__(
        self,
        party: Party,
        store: PartyStore,
        limits: PartyLimits,
        randomness: Callable[[int], bytes],
    ) -> None:
        self._party = party
        self._store = store
        self._limits = limits
        self._randomness = randomness
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def begin(self, batch: PresignBatch, key_share: KeyShareRecord) -> Step:
        return await self._aside(
            functools.partial(
                presigning.begin,
                batch,
                self._party,
                key_share,
                randomness=self._randomness(presigning.RANDOMNESS_BYTES),
                ephemeral_randomness=self._randomness(EPHEMERAL_RANDOMNESS_BYTES),
            )
        )

    def state(self, session: Session) -> RoundState:
        return PresignState.from_bytes(session.state)

    async def advance(self, session: Session, received: Sequence[Received]) -> Step | None:
        state = PresignState.from_bytes(session.state)
        if not presigning.complete(state, received):
            return None
        assert session.key_session is not None
        key_share = await self._store.key_share(session.key_session, state.epoch)
        if key_share is None or not key_share.active:
            raise RefusedError("the share of the key is gone")
        return await self._aside(
            functools.partial(
                presigning.advance,
                state,
                self._party,
                key_share,
                received,
                randomness=self._randomness(presigning.RANDOMNESS_BYTES),
            )
        )

    async def finished(self, session: Session) -> None:
        assert session.key_session is not None
        await self._store.trim_presignatures(
            session.key_session,
            PresignState.from_bytes(session.state).epoch,
            keep=self._limits.presignatures_per_key,
            keep_in_all=self._limits.presignatures,
        )

    async def _aside(self, work: Callable[[], S]) -> S:
        return await anyio.to_thread.run_sync(
            work, limiter=self._one_at_a_time, abandon_on_cancel=True
        )
