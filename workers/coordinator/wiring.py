"""The coordinator's handlers, wired to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from contracts.admission import ClientPolicy

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher
from ..delivery.scopes import SessionScopes
from ..session.peers import Peer
from ..settings import CoordinatorLimits, PoolLimits
from ..store.interface import CoordinatorStore
from .accounts import Accounts
from .admission import Admission
from .answers import Answers
from .api_keys import ApiKeys
from .batches import BatchConsumer
from .beginnings import Beginnings
from .cancelling import Cancelling
from .commits import CoordinatorCommits
from .joining import Joining
from .liveness import Liveness
from .pools import Pools
from .questions import Questions
from .recent import RecentSessions
from .refusals import Refusals
from .reports import ReportConsumer
from .requests import Desks, RequestConsumer
from .signing_sessions import SigningSessions
from .waiting_line import WaitingLine


@dataclass(frozen=True, slots=True)
class Coordinator:
    """What one process of the coordinator is made of."""

    requests: RequestConsumer
    reports: ReportConsumer
    pools: Pools
    liveness: Liveness
    admission: Admission

    @classmethod
    def over(
        cls,
        store: CoordinatorStore,
        publisher: Publisher,
        *,
        parties: Mapping[str, Peer],
        clients: Sequence[ClientPolicy],
        limits: CoordinatorLimits,
        pool_limits: PoolLimits,
        clock: Callable[[], int] = now_ms,
    ) -> Coordinator:
        scopes, recent = SessionScopes(), RecentSessions()
        liveness = Liveness(
            store, silent_after_ms=int(limits.party_silent_seconds * 1000), clock=clock
        )
        # What ends a session may begin another one, and what begins one may have to end it.
        commits = CoordinatorCommits(
            store,
            publisher,
            recent,
            again=lambda *given: signings.begin_again(*given),  # noqa: PLW0108 - made below
            clock=clock,
        )
        line = WaitingLine(store, publisher, recent, end=commits.end, clock=clock)
        pools = Pools(store, publisher, liveness, pool_limits, line, clock=clock)
        batches = BatchConsumer(store, publisher, pools, line, clock=clock)
        grace_ms = int(limits.grace_seconds * 1000)
        beginnings = Beginnings(
            store,
            publisher,
            scopes,
            recent,
            commits,
            pools,
            nonce_batch=limits.nonce_batch,
            grace_ms=grace_ms,
            clock=clock,
        )
        signings = SigningSessions(
            store,
            publisher,
            liveness,
            pools,
            beginnings,
            try_ms=int(limits.try_seconds * 1000),
            clock=clock,
        )
        reports = ReportConsumer(
            parties,
            store,
            liveness,
            scopes,
            recent,
            commits,
            pools,
            batches,
            beginnings,
            grace_ms=grace_ms,
            clock=clock,
        )
        admission = Admission(store, per_client=limits.sessions_per_client, in_all=limits.sessions)
        answers = Answers(publisher, clock=clock)
        requests = RequestConsumer(
            parties,
            clients,
            store,
            publisher,
            liveness,
            beginnings,
            signings,
            admission,
            answers,
            Refusals(store, publisher, clock=clock),
            Desks(
                questions=Questions(store, answers, clock=clock),
                cancelling=Cancelling(clients, store, answers, scopes, reports, clock=clock),
                joining=Joining(store, answers, commits, beginnings, clock=clock),
                accounts=Accounts(store, answers, clock=clock),
                api_keys=ApiKeys(store, answers, clock=clock),
            ),
            clock=clock,
        )
        return cls(requests, reports, pools, liveness, admission)
