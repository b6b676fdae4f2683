"""A key's epochs at a party: what begins one, and what is known here of each. The way from one to
the next is `switching`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from contracts.epochs import open_rehearsal, open_reshare
from contracts.errors import ContractError
from contracts.keys import EpochBundle
from contracts.requests import MAX_LIFETIME_MS, RehearseRequest, ReshareRequest
from contracts.retirements import Retirement
from contracts.sessions import EpochsRetired, RehearsalAsked, ReshareCreated

from ..protocols.rounds import ProtocolError
from ..session.errors import (
    NameTakenError,
    NoShareError,
    RefusedError,
    StaleEpochError,
    SuspendedError,
)
from ..session.failures import failure_of
from ..session.party.acceptance import Party
from ..session.party.reshare_acceptance import Held, accept_reshare
from ..session.party.step import Step
from ..session.protocols import RESHARE
from ..settings import PartyLimits
from ..store.interface import PartyStore
from ..store.promise_marks import PromiseMarks
from ..store.records import EpochRecord, EpochStatus, Outcome
from . import epoch_counts
from .commits import PartyCommits, check
from .machines import Machine
from .switching import PROVEN, Switching
from .vouching import Vouching


class Epochs(Switching):
    """
    Arguments:
        machine: With an engine for reshares.
        require_memory_of: Raises RefusedError for what was issued before we lost our memory.
        clock: Unix milliseconds.
        marks: Of promises, if there are any.
    """

    def __init__(
        self,
        party: Party,
        store: PartyStore,
        commits: PartyCommits,
        machine: Machine,
        vouching: Vouching,
        limits: PartyLimits,
        require_memory_of: Callable[[int], Awaitable[None]],
        clock: Callable[[], int],
        marks: PromiseMarks | None = None,
    ) -> None:
        keep_ms = int(limits.backup_wait_seconds * 1000)
        super().__init__(party, store, machine, clock, keep_ms)
        self._commits = commits
        self._vouching = vouching
        self._limits = limits
        self._require_memory_of = require_memory_of
        self._marks = marks

    async def begin(self, told: ReshareCreated) -> None:
        """Take part in making an epoch, or tell the coordinator why not."""
        session_id, terms, cause = told.session_id, told.terms, told.instruction
        if await self._store.session(session_id) is not None:
            return await self._commits.send_again(session_id, cause)
        try:
            step = await self.first_step(told, self._asked(told))
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
            epoch_counts.REFUSALS.labels(failure_of(error, terms.members, round_=0).code).inc()
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

    async def first_step(self, told: ReshareCreated, request: ReshareRequest) -> Step:
        """That of a reshare in which we would take part; it changes nothing until it is committed.

        Arguments:
            request: What the session's request says, whose signer may ask for it.

        Raises RefusedError or ProtocolError where we would not.
        """
        key_session = told.terms.key_session
        held = await self.held(key_session)
        await self._require_memory_of(request.issued_at)
        await self._require_memory_of_promises(told)
        accept_reshare(told, request, self._party, held, now=self._clock())
        if await self._store.name_taken(request.owner, request.key_id, key_session):
            raise NameTakenError(request.key_id)
        return await self._machine.begin(RESHARE.name, told, held.active)

    async def would_begin(self, told: ReshareCreated, request: ReshareRequest) -> None:
        """All that is asked before a reshare begins, and nothing is kept of it.

        Raises RefusedError or ProtocolError if it would be refused.
        """
        await self.first_step(told, request)
        now = await self._store.now()  # the clock that lets promises end
        key_session, digest = told.terms.key_session, told.terms.request_digest
        if await self._store.promised(key_session, request.owner, now):
            check(Outcome.PROMISED)
        if await self._store.is_busy(key_session, digest, now):
            check(Outcome.KEY_BUSY)

    def rehearsed(self, asked: RehearsalAsked) -> RehearseRequest:
        """The request of an owner that asks whether we would. Raises RefusedError."""
        owners = self._owners(asked.predecessor.facts.client_id)
        try:
            return open_rehearsal(asked.request, asked.request_signature, owners)
        except ContractError as error:
            raise RefusedError(f"the request does not check out here: {error}") from None

    async def shown(self, bundles: Sequence[EpochBundle]) -> None:
        """Believe in the last of several epochs that were made one from the other, by way of those
        before it where we missed some. Where it changes nothing any more, who shows it may not have
        heard that the lower ones are deleted.

        Raises ContractError if the last one convinces us of nothing; what those before it prove is
        believed all the same.
        """
        *before, last = bundles
        for bundle in before:
            with contextlib.suppress(ContractError):
                # From before the first epoch that we know, perhaps.
                await self.proven(bundle)
        if not await self.proven(last):
            await self.tell(last.key.facts.session_id, last.key.facts.epoch)

    async def tell(self, key_session: bytes, epoch: int = 0) -> None:
        """What we say of a key's lower epochs, if they are deleted at least up to this one."""
        kept = await self._store.retirement(key_session)
        if kept is None:
            return
        said = Retirement.model_validate_json(kept)
        if said.below >= epoch:
            await self._commits.tell(EpochsRetired(retirement=said))
            await self._store.retirement_told(key_session, said.below)

    async def explained(self, error: Exception, key_session: bytes | None, epoch: int) -> Exception:
        """A session's refusal, as one that says so where it is of another epoch than the one that
        signs here. Who has lost its share of this very epoch, or all that it knew of the key, is
        not behind: nothing that it is shown helps."""
        if not isinstance(error, NoShareError) or key_session is None:
            return error
        epochs = await self._store.epochs(key_session)
        waits = EpochStatus.SUSPENDED
        if any((each.epoch, each.status) == (epoch, waits) for each in epochs):
            return SuspendedError()
        known = max((each.epoch for each in epochs if each.bundle is not None), default=0)
        if known == epoch or not (epochs or await self._store.key_share(key_session, known)):
            return error
        return StaleEpochError(epoch, known)

    async def held(self, key_session: bytes) -> Held:
        """What we know of the key by ourselves."""
        epochs = await self._store.epochs(key_session)
        newest = max((each.epoch for each in epochs if each.status in PROVEN), default=0)
        share = await self._store.key_share(key_session, newest)
        return Held(
            active=share if share is not None and share.active else None,
            begun=max((each.epoch for each in epochs), default=0),
            proven=max((each.epoch for each in epochs if each.bundle is not None), default=0),
            banned={ban.party_id for ban in await self._store.bans()},
        )

    async def _go_on(self, record: EpochRecord) -> None:
        if record.status is EpochStatus.SUSPENDED:
            await self._vouching.ask(record)
        else:
            await super()._go_on(record)

    async def _require_memory_of_promises(self, told: ReshareCreated) -> None:
        """A dealer must not forget that it promised to deal nothing of the key. Raises
        RefusedError."""
        dealers = {each.party_id for each in told.terms.members if each.deals_as is not None}
        memory = await self._store.memory()
        kept_ms = MAX_LIFETIME_MS + 2 * self._party.clock_tolerance_ms
        if memory.is_first or self._party.party_id not in dealers:
            return
        if self._clock() > memory.begun_at + kept_ms:
            return
        marks = self._marks
        if marks is None or not await asyncio.to_thread(marks.complete, self._clock() - kept_ms):
            raise RefusedError(
                "our database lost its memory a few minutes ago, so we cannot tell whether we "
                "promised to deal nothing of this key: ask again in eleven minutes"
            )
        if await asyncio.to_thread(marks.until, told.terms.key_session) >= self._clock():
            check(Outcome.PROMISED)

    def _asked(self, told: ReshareCreated) -> ReshareRequest:
        """Raises RefusedError."""
        owners = self._owners(told.predecessor.facts.client_id)
        try:
            return open_reshare(told.request, told.request_signature, owners)
        except ContractError as error:
            raise RefusedError(f"the request does not check out here: {error}") from None
