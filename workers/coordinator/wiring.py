"""The coordinator's handlers, wired to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from contracts.admission import ClientPolicy

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher
from ..session.peers import Peer
from ..session.protocols import OF_REQUESTS, PROTOCOLS
from ..settings import CoordinatorLimits, PoolLimits
from ..store.interface import CoordinatorStore
from .accounts import Accounts
from .admission import Admission
from .answers import Answers
from .api_keys import ApiKeys
from .batches import Batches
from .beginnings import Beginnings
from .cancelling import Cancelling
from .commits import CoordinatorCommits
from .endings import Endings
from .joining import Joining
from .liveness import Liveness
from .local_sessions import LocalSessions
from .pools import Pools
from .questions import Questions
from .refusals import Refusals
from .reports import ReportConsumer
from .request_sessions import RequestSessions
from .requests import RequestConsumer
from .sessions import SessionKind, SessionKinds
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
        """Each room is given those below it. What goes upwards goes by the event."""
        grace_ms, try_ms = int(limits.grace_seconds * 1000), int(limits.try_seconds * 1000)
        silent_after_ms = int(limits.party_silent_seconds * 1000)
        local, endings = LocalSessions(), Endings()
        liveness = Liveness(store, silent_after_ms=silent_after_ms, clock=clock)
        commits = CoordinatorCommits(store, publisher, local, endings, clock=clock)
        line = WaitingLine(store, publisher, local, commits, clock=clock)
        pools = Pools(store, publisher, liveness, pool_limits, line, clock=clock)
        beginnings = Beginnings(
            store,
            publisher,
            local,
            commits,
            pools,
            nonce_batch=limits.nonce_batch,
            grace_ms=grace_ms,
            clock=clock,
        )
        signings = SigningSessions(
            store, publisher, liveness, pools, beginnings, try_ms=try_ms, clock=clock
        )
        endings.heard_by(signings.begin_again)
        asked_for = RequestSessions(
            store, local, commits, pools, beginnings, grace_ms=grace_ms, clock=clock
        )
        batches = Batches(store, publisher, pools, line, clock=clock)
        kinds: dict[str, SessionKind] = {
            name: asked_for if name in OF_REQUESTS else batches for name in PROTOCOLS
        }
        reports = ReportConsumer(
            store,
            local,
            commits,
            SessionKinds(kinds),
            parties=parties,
            liveness=liveness,
            grace_ms=grace_ms,
            clock=clock,
        )
        admission = Admission(store, per_client=limits.sessions_per_client, in_all=limits.sessions)
        answers = Answers(publisher, clock=clock)
        requests = RequestConsumer(
            parties=parties,
            clients=clients,
            store=store,
            publisher=publisher,
            liveness=liveness,
            beginnings=beginnings,
            signings=signings,
            admission=admission,
            answers=answers,
            refusals=Refusals(store, publisher, clock=clock),
            desks=(
                Questions(store, answers),
                Cancelling(clients, store, answers, local.scopes, reports),
                Joining(store, answers, commits, beginnings, clock=clock),
                Accounts(store, answers, clock=clock),
                ApiKeys(store, answers, clock=clock),
            ),
            clock=clock,
        )
        return cls(requests, reports, pools, liveness, admission)
