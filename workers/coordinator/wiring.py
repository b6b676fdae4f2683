"""The coordinator's handlers, wired to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from contracts.admission import ClientPolicy
from contracts.coordinators import Coordinators
from contracts.envelope import EVERYONE
from contracts.identity import Identity

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher
from ..pool_limits import PoolLimits
from ..session.envelopes import Instructions
from ..session.peers import Peer
from ..session.protocols import CANCEL, OF_REQUESTS, PRESIGN, PROTOCOLS, REHEARSE, complete
from ..settings import CoordinatorLimits
from ..store.interface import CoordinatorStore
from .accounts import Accounts
from .admission import Admission
from .answers import Answers
from .api_keys import ApiKeys
from .batches import Batches
from .beginnings import Beginnings
from .cancellations import Cancellations
from .cancelling import Cancelling
from .commits import CoordinatorCommits
from .endings import Endings
from .entrance import Entrance
from .histories import Histories
from .joining import Joining
from .liveness import Liveness
from .local_sessions import LocalSessions
from .operators import Operators
from .pools import Pools
from .questions import Questions
from .refusals import Refusals
from .rehearsals import RehearsalDesk, Rehearsals
from .reports import ReportConsumer
from .request_sessions import RequestSessions
from .requests import RequestConsumer
from .reshares import Reshares
from .retirements import Retirements
from .sessions import SessionKind, SessionKinds
from .signing_sessions import SigningSessions
from .supply import Supply
from .vouching import Vouching
from .waiting_line import WaitingLine


@dataclass(frozen=True, slots=True)
class Coordinator:
    """What one process of the coordinator is made of."""

    requests: RequestConsumer
    reports: ReportConsumer
    pools: Pools
    reshares: Reshares
    retirements: Retirements
    liveness: Liveness
    admission: Admission
    entrance: Entrance

    @classmethod
    def over(
        cls,
        store: CoordinatorStore,
        publisher: Publisher,
        *,
        identities: Sequence[Identity],
        parties: Mapping[str, Peer],
        clients: Iterable[ClientPolicy],
        limits: CoordinatorLimits,
        pool_limits: PoolLimits,
        clock: Callable[[], int] = now_ms,
    ) -> Coordinator:
        """Each room is given those below it. What goes upwards goes by the event.

        Arguments:
            publisher: Of one that signs, see `signature`.
            identities: The coordinator's own: parties seal what they tell it alone for one of them.
        """
        given = _Given(
            store=store,
            publisher=publisher,
            identities=identities,
            parties=parties,
            clients=clients,
            limits=limits,
            pool_limits=pool_limits,
            clock=clock,
        )
        rooms = _rooms(given)
        admission = Admission(store, per_owner=limits.sessions_per_owner, in_all=limits.sessions)
        entrance = Entrance.of(
            limits, rooms.local.departures, queue_prefetch=given.queue_prefetch, clock=clock
        )
        return cls(
            _requests(given, rooms, admission, entrance),
            _reports(given, rooms),
            rooms.pools,
            rooms.reshares,
            rooms.retirements,
            rooms.liveness,
            admission,
            entrance,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """As `Coordinator.over` was given it."""

    store: CoordinatorStore
    publisher: Publisher
    identities: Sequence[Identity]
    parties: Mapping[str, Peer]
    clients: Iterable[ClientPolicy]
    limits: CoordinatorLimits
    pool_limits: PoolLimits
    clock: Callable[[], int]

    @property
    def grace_ms(self) -> int:
        return int(self.limits.grace_seconds * 1000)

    @property
    def switch_ms(self) -> int:
        return int(self.limits.switch_seconds * 1000)

    @property
    def queue_prefetch(self) -> int:
        return self.limits.prefetch_of_each(len({each.client_id for each in self.clients} - {None}))

    @property
    def tolerance_ms(self) -> int:
        return int(self.limits.clock_tolerance_seconds * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rooms:
    """Where sessions are conducted, below the two that consume deliveries."""

    local: LocalSessions
    liveness: Liveness
    commits: CoordinatorCommits
    pools: Pools
    beginnings: Beginnings
    signings: SigningSessions
    reshares: Reshares
    retirements: Retirements
    cancellations: Cancellations
    rehearsals: Rehearsals
    kinds: Mapping[str, SessionKind]


def _rooms(given: _Given) -> _Rooms:
    store, publisher, clock = given.store, given.publisher, given.clock
    grace_ms, try_ms = given.grace_ms, int(given.limits.try_seconds * 1000)
    silent_after_ms = int(given.limits.party_silent_seconds * 1000)
    local, endings = LocalSessions(), Endings()
    liveness = Liveness(store, silent_after_ms=silent_after_ms, clock=clock)
    commits = CoordinatorCommits(store, publisher, local, endings, clock=clock)
    line = WaitingLine(store, publisher, local, commits, clock=clock)
    supply = Supply(local.departures, clock=clock)
    pools = Pools(
        store,
        publisher,
        liveness,
        given.pool_limits,
        line,
        supply,
        parties=given.parties,
        clock=clock,
    )
    beginnings = Beginnings(
        store,
        publisher,
        local,
        commits,
        pools,
        nonce_batch=given.limits.nonce_batch,
        grace_ms=grace_ms,
        clock=clock,
    )
    signings = SigningSessions(
        store,
        liveness,
        pools,
        beginnings,
        supply,
        parties=given.parties,
        try_ms=try_ms,
        clock=clock,
    )
    reshares = Reshares(store, liveness, pools, beginnings, parties=given.parties, clock=clock)
    retirements = Retirements(store, publisher, liveness, parties=given.parties, clock=clock)
    endings.heard_by(signings.begin_again)
    endings.heard_by(reshares.begin_again)
    asked_for = RequestSessions(
        store,
        local,
        commits,
        pools,
        beginnings,
        identities=given.identities,
        parties=given.parties,
        grace_ms=grace_ms,
        switch_ms=given.switch_ms,
        clock=clock,
    )
    cancellations = Cancellations(
        store, publisher, local, commits, parties=given.parties, clock=clock
    )
    rehearsals = Rehearsals(store, publisher, local, commits, parties=given.parties, clock=clock)
    kinds: dict[str, SessionKind] = {
        **dict.fromkeys(OF_REQUESTS, asked_for),
        PRESIGN.name: Batches(store, publisher, pools, line, local.departures, clock=clock),
        CANCEL.name: cancellations,
        REHEARSE.name: rehearsals,
    }
    complete("what a coordinator conducts", kinds, PROTOCOLS.values())
    return _Rooms(
        local=local,
        liveness=liveness,
        commits=commits,
        pools=pools,
        beginnings=beginnings,
        signings=signings,
        reshares=reshares,
        retirements=retirements,
        cancellations=cancellations,
        rehearsals=rehearsals,
        kinds=kinds,
    )


def _reports(given: _Given, rooms: _Rooms) -> ReportConsumer:
    siblings = Instructions(
        Coordinators.of(*(each.public for each in given.identities)),
        EVERYONE,
        tolerance_ms=given.tolerance_ms,
        clock=given.clock,
    )
    return ReportConsumer(
        given.store,
        rooms.local,
        SessionKinds(rooms.kinds),
        parties=given.parties,
        vouching=Vouching(given.store, given.publisher, parties=given.parties, clock=given.clock),
        retirements=rooms.retirements,
        siblings=siblings,
        grace_ms=given.grace_ms,
        clock=given.clock,
    )


def _requests(
    given: _Given, rooms: _Rooms, admission: Admission, entrance: Entrance
) -> RequestConsumer:
    store, publisher, clock = given.store, given.publisher, given.clock
    answers, operators = Answers(publisher, clock=clock), Operators(given.clients)
    desks = (
        Questions(operators, store, answers),
        Histories(operators, store, answers, switch_ms=given.switch_ms),
        Cancelling(
            operators,
            store,
            answers,
            rooms.cancellations,
            entrance,
            parties=given.parties,
            liveness=rooms.liveness,
            grace_ms=given.grace_ms,
            clock=clock,
        ),
        RehearsalDesk(
            store,
            answers,
            rooms.rehearsals,
            parties=given.parties,
            liveness=rooms.liveness,
            grace_ms=given.grace_ms,
            clock=clock,
        ),
        Joining(store, answers, rooms.commits, rooms.beginnings),
        Accounts(store, answers),
        ApiKeys(store, answers, clock=clock),
    )
    return RequestConsumer(
        parties=given.parties,
        clients=given.clients,
        store=store,
        publisher=publisher,
        liveness=rooms.liveness,
        beginnings=rooms.beginnings,
        signings=rooms.signings,
        reshares=rooms.reshares,
        admission=admission,
        entrance=entrance,
        answers=answers,
        refusals=Refusals(store, publisher, clock=clock),
        tolerance_ms=given.tolerance_ms,
        desks=desks,
        clock=clock,
    )
