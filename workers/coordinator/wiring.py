"""The coordinator's handlers, wired to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from contracts.admission import ClientPolicy
from contracts.coordinators import Coordinators
from contracts.envelope import EVERYONE
from contracts.identity import Identity

from ..delivery.clock import now_ms
from ..delivery.publisher import Publisher
from ..session.envelopes import Instructions
from ..session.peers import Peer
from ..session.protocols import CANCEL, OF_REQUESTS, PRESIGN, PROTOCOLS, complete
from ..settings import CoordinatorLimits, PoolLimits
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
from .joining import Joining
from .liveness import Liveness
from .local_sessions import LocalSessions
from .operators import Operators
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
        identities: Sequence[Identity],
        parties: Mapping[str, Peer],
        clients: Sequence[ClientPolicy],
        limits: CoordinatorLimits,
        pool_limits: PoolLimits,
        clock: Callable[[], int] = now_ms,
    ) -> Coordinator:
        """Each room is given those below it. What goes upwards goes by the event.

        Arguments:
            publisher: Of one that signs, see `signature`.
            identities: The coordinator's own: parties seal what they tell it alone for one of them.
        """
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
            store,
            local,
            commits,
            pools,
            beginnings,
            identities=identities,
            grace_ms=grace_ms,
            clock=clock,
        )
        batches = Batches(store, publisher, pools, line, clock=clock)
        cancellations = Cancellations(
            store, publisher, local, commits, parties=parties, clock=clock
        )
        kinds: dict[str, SessionKind] = {
            **dict.fromkeys(OF_REQUESTS, asked_for),
            PRESIGN.name: batches,
            CANCEL.name: cancellations,
        }
        complete("what a coordinator conducts", kinds, PROTOCOLS.values())
        reports = ReportConsumer(
            store,
            local,
            SessionKinds(kinds),
            parties=parties,
            liveness=liveness,
            siblings=Instructions(
                Coordinators.of(*(each.public for each in identities)),
                EVERYONE,
                tolerance_ms=int(limits.clock_tolerance_seconds * 1000),
                clock=clock,
            ),
            grace_ms=grace_ms,
            clock=clock,
        )
        admission = Admission(store, per_client=limits.sessions_per_client, in_all=limits.sessions)
        answers, operators = Answers(publisher, clock=clock), Operators(clients)
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
            tolerance_ms=int(limits.clock_tolerance_seconds * 1000),
            desks=(
                Questions(operators, store, answers),
                Cancelling(
                    operators,
                    store,
                    answers,
                    cancellations,
                    parties=parties,
                    grace_ms=grace_ms,
                    clock=clock,
                ),
                Joining(store, answers, commits, beginnings),
                Accounts(store, answers),
                ApiKeys(store, answers, clock=clock),
            ),
            clock=clock,
        )
        return cls(requests, reports, pools, liveness, admission)
