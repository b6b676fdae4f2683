"""After a session there is nothing of it: no task, timer, lock, parked message, row of round state.

Each operation ends in each way that it can, in both databases, and everything is counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.coordinators import Coordinators
from contracts.keys import CertifiedKey
from contracts.requests import KeygenRequest, SignRequest
from contracts.results import Status
from tests.workers.crew import peers
from tests.workers.ecdsa import (
    AHEAD,
    ecdsa_request,
    make_key,
    only_result,
    stocked,
)
from tests.workers.leftovers import (
    NO_WORK,
    Auditor,
    Work,
    all_time_passes,
    audited,
)
from tests.workers.simulate import NOTHING_AHEAD, World
from tests.workers.store.conftest import RawDatabase
from tests.workers.tries import (
    FROST,
    cancel,
    deaf,
    flipped_bits,
    wrong_share,
)
from workers.party.consumer import PartyConsumer
from workers.session.party.acceptance import Party
from workers.settings import PartyLimits
from workers.store.records import Outgoing

# Each has a loop of its own, in which nobody else has left anything.
pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="function")]

TROUBLE = "party-2"
SIGNERS = ["party-1", TROUBLE]
BEGINS = {"session_created", "presign_batch", "nonces_wanted"}


###
### Operations: what is asked for, with the key it takes made before
###


@dataclass(frozen=True)
class Operation:
    """
    Attributes:
        prepare: Whatever has to be there; it is no part of what is counted.
        ask: The request, whose first messages are under way then.
        lie: For `World.run`: one party says something else than it should.
    """

    prepare: Callable[[World], Awaitable[CertifiedKey | None]]
    ask: Callable[[World, CertifiedKey | None], Awaitable[KeygenRequest | SignRequest]]
    lie: Callable[[World], Callable[[Outgoing], bool]]
    ahead: bool = False
    half_way: int = 9
    """Deliveries, of those that lead to a result."""


async def nothing(_: World) -> None:
    return None


async def warm(shire: World) -> CertifiedKey:
    """A key with nonces in stock."""
    key = await make_key(shire)
    await shire.ask(ecdsa_request(shire, key, scheme=FROST, signers=SIGNERS))
    await shire.run()
    return key


async def full(shire: World) -> CertifiedKey:
    return await stocked(shire, signers=SIGNERS)


async def ask_for_key(shire: World, _: CertifiedKey | None) -> KeygenRequest:
    request = shire.keygen_request(curve="secp256k1")
    await shire.ask(request)
    return request


def ask_to_sign(scheme: str) -> Callable[[World, CertifiedKey | None], Awaitable[SignRequest]]:
    async def ask(shire: World, key: CertifiedKey | None) -> SignRequest:
        assert key is not None
        request = ecdsa_request(shire, key, scheme=scheme, signers=SIGNERS)
        await shire.ask(request)
        return request

    return ask


def flipped(kind: str) -> Callable[[World], Callable[[Outgoing], bool]]:
    return lambda shire: flipped_bits(shire, kind, TROUBLE)


def lying_share(shire: World) -> Callable[[Outgoing], bool]:
    return wrong_share(shire, TROUBLE)


OPERATIONS = {
    "keygen": Operation(nothing, ask_for_key, flipped("keygen/2")),
    "frost, nonces in stock": Operation(warm, ask_to_sign(FROST), lying_share, half_way=3),
    "frost, cold": Operation(make_key, ask_to_sign(FROST), lying_share, half_way=5),
    "ecdsa, presignatures in stock": Operation(
        full, ask_to_sign("ecdsa"), lying_share, ahead=True, half_way=3
    ),
    "ecdsa, with its batch": Operation(make_key, ask_to_sign("ecdsa"), lying_share),
    "ecdsa, a batch that fails": Operation(make_key, ask_to_sign("ecdsa"), flipped("presign/1")),
}


###
### Ends
###


@dataclass(frozen=True)
class Case:
    audit: Auditor
    operation: Operation
    key: CertifiedKey | None

    @property
    def shire(self) -> World:
        return self.audit.world

    async def ask(self) -> KeygenRequest | SignRequest:
        return await self.operation.ask(self.shire, self.key)


async def completed(case: Case) -> None:
    request = await case.ask()
    await case.shire.run()
    assert only_result(case.shire, request).status is Status.COMPLETED


async def everything_comes_twice(case: Case) -> None:
    case.shire.network.copies = 2
    request = await case.ask()
    await case.shire.run()
    case.shire.network.copies = 1
    assert only_result(case.shire, request).status is Status.COMPLETED


async def overtaken(case: Case) -> None:
    """One party hears last of all that there is a session; what the others say in it is parked."""
    request = await case.ask()
    await case.shire.run(late=lambda m: m.kind in BEGINS and m.routing_key == TROUBLE)
    assert only_result(case.shire, request).status is Status.COMPLETED


async def refused(case: Case) -> None:
    """One of the parties does not know the client; nor, then, would it presign."""
    shire = case.shire
    shire.parties[TROUBLE] = PartyConsumer(
        Party(
            party_id=TROUBLE,
            identity=shire.identities[TROUBLE],
            peers={name: peer for name, peer in peers(shire).items() if name != "party-1"},
            coordinators=Coordinators.of(shire.coordinator.public),
            clients=(),
            clock_tolerance_ms=0,
        ),
        shire.party_stores[TROUBLE],
        shire.network,  # type: ignore[arg-type]
        PartyLimits(),
        clock=shire.clock,
    )
    request = await case.ask()
    await shire.run()
    await all_time_passes(shire)
    assert only_result(shire, request).status in {Status.FAILED, Status.EXPIRED}


async def lied_to(case: Case) -> None:
    request = await case.ask()
    await case.shire.run(dropped=case.operation.lie(case.shire))
    await all_time_passes(case.shire)
    assert only_result(case.shire, request).status is not Status.COMPLETED


async def cancelled_at_once(case: Case) -> None:
    """The broadcast is heard before anything else."""
    request = await case.ask()
    await case.shire.submit(cancel(case.shire, request))
    await case.shire.run(late=lambda message: message.exchange != "warren.cancel")
    assert only_result(case.shire, request).status is Status.CANCELLED


async def cancelled_half_way(case: Case) -> None:
    """What was under way comes after the cancellation."""
    request = await case.ask()
    shire = case.shire
    for _ in range(case.operation.half_way):
        under_way = (m for m in shire.network.waiting if m.exchange != "warren.results")
        message = next(under_way)
        shire.network.waiting.remove(message)
        await shire.deliver(message)
    assert results_of(shire, request) == []
    await shire.submit(cancel(shire, request))
    farewells = {"session_cancelled"}
    await shire.run(late=lambda message: message.kind not in farewells)
    assert only_result(shire, request).status is Status.CANCELLED


async def expired(case: Case) -> None:
    """One party never hears that there is a session, only what the others say in it."""
    request = await case.ask()
    await case.shire.run(dropped=lambda m: m.kind in BEGINS and m.routing_key == TROUBLE)
    assert results_of(case.shire, request) == []
    await all_time_passes(case.shire)
    assert only_result(case.shire, request).status is Status.EXPIRED


async def silent(case: Case) -> None:
    request = await case.ask()
    await case.shire.run(dropped=deaf(TROUBLE))
    await all_time_passes(case.shire)
    assert only_result(case.shire, request).status is Status.EXPIRED


ENDS = [
    completed,
    everything_comes_twice,
    overtaken,
    refused,
    lied_to,
    cancelled_at_once,
    cancelled_half_way,
    expired,
    silent,
]


def results_of(shire: World, request: KeygenRequest | SignRequest) -> list[Outgoing]:
    return [
        message
        for message in shire.network.sent
        if message.exchange == "warren.results" and message.message_id == request.request_id
    ]


ON_POSTGRES = [completed, cancelled_half_way, expired]
"""Between them they run every statement; the others differ in what the parties do."""

PLACES = [
    *(pytest.param("sqlite", end, id=f"{end.__name__}-sqlite") for end in ENDS),
    *(
        pytest.param("postgres", end, id=f"{end.__name__}-postgres", marks=pytest.mark.system)
        for end in ON_POSTGRES
    ),
]


@pytest.mark.parametrize(("used_places", "end"), PLACES, indirect=["used_places"])
@pytest.mark.parametrize("name", OPERATIONS)
async def test_of_a_session_that_is_over_nothing_is_left(
    tmp_path: Path,
    places: Mapping[str, RawDatabase],
    name: str,
    end: Callable[[Case], Awaitable[None]],
) -> None:
    operation = OPERATIONS[name]
    limits = AHEAD if operation.ahead else NOTHING_AHEAD
    async with audited(tmp_path, places, pool_limits=limits) as audit:
        key = await operation.prepare(audit.world)
        assert await audit.alive() == {}
        before = Work.now()
        once = await audit.once_usable()
        assert set(once.values()) == {(0, 0)}
        await end(Case(audit, operation, key))
        assert await audit.alive() == {}
        assert Work.now().more_since(before) == NO_WORK
        if end in (completed, everything_comes_twice, overtaken):
            assert await audit.once_usable() == once
        assert await audit.remembered() != {}
        await audit.purge()
        assert await audit.remembered() == {}
