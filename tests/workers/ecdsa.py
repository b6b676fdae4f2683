"""What tests of ECDSA ask a simulated Warren for, and look at afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from contracts import addresses, envelope
from contracts.answers import check_answer
from contracts.envelope import Envelope, UnverifiedEnvelope
from contracts.failures import Failure
from contracts.keys import CertifiedKey
from contracts.requests import Request, SignRequest
from contracts.results import KeygenResult, Result, SignResult, Status
from contracts.verification import check_signed
from tests.workers.crew import coordinator
from tests.workers.simulate import World
from workers.pool_limits import PoolLimits
from workers.store.records import Outcome, Outgoing, PartyChange, PoolRecord

DIGEST = bytes(range(32))
AHEAD = PoolLimits(low=2, high=4)
LONG_AGO = 0


async def make_key(world: World, **fields: Any) -> CertifiedKey:
    request = world.keygen_request(curve="secp256k1", **fields)
    await world.ask(request)
    await world.run()
    result = only_result(world, request)
    assert isinstance(result, KeygenResult)
    assert result.key is not None
    return result.key


def ecdsa_request(world: World, key: CertifiedKey, **fields: Any) -> SignRequest:
    named = {"message", "items"} & fields.keys()
    defaults: dict[str, Any] = {"scheme": "ecdsa", "key_id": key.facts.key_id}
    return world.sign_request(**(defaults | {"message": DIGEST if not named else None} | fields))


def only_result(world: World, request: Request) -> Result:
    """The one result of a request; the same bytes, if it was sent more than once."""
    bodies = {
        message.body
        for message in world.network.sent
        if message.exchange == addresses.RESULTS and message.message_id == request.request_id
    }
    assert len(bodies) == 1, f"{len(bodies)} different results"
    return next(each for each in world.results() if each.request_id == request.request_id)


def check_success(world: World, request: SignRequest, key: CertifiedKey) -> SignResult:
    result = only_result(world, request)
    assert isinstance(result, SignResult)
    assert result.status is Status.COMPLETED, result.failure
    check_answer(request, result)
    check_signed(result, key, None)
    return result


async def sign(world: World, key: CertifiedKey, **fields: Any) -> SignResult:
    request = ecdsa_request(world, key, **fields)
    await world.ask(request)
    await world.run()
    return check_success(world, request, key)


async def look(world: World, *, alive: bool = True) -> None:
    """A coordinator's look at its pools, and all that comes of it."""
    if alive:
        for party_id in world.identities:
            await world.liveness.seen(party_id)
    await world.pools.tend()
    await world.run()


async def stocked(world: World, **fields: Any) -> CertifiedKey:
    """A key whose pool for these signers has been filled ahead."""
    key = await make_key(world)
    await sign(world, key, **fields)
    await look(world)
    (pool,) = await pools_of(world, key)
    assert pool.stock == world.pool_limits.high
    return key


async def pools_of(world: World, key: CertifiedKey) -> list[PoolRecord]:
    pools = await world.coordinator_store.pools(LONG_AGO)
    return [pool for pool in pools if pool.name.key_session == key.facts.session_id]


async def stock(world: World, key: CertifiedKey) -> int:
    return sum(pool.stock for pool in await pools_of(world, key))


def limited(world: World, **changes: Any) -> None:
    """Other limits from now on, below what a configuration may say, so that little is made."""
    limits = world.pool_limits.model_copy(update=changes)
    world.pool_limits = limits
    made = coordinator(world)
    world.requests, world.reports, world.pools = made.requests, made.reports, made.pools
    world.liveness = made.liveness


async def presignatures_left(world: World, key: CertifiedKey) -> dict[str, int]:
    """How many each party has of a key; then they are gone."""
    return {
        party_id: await store.trim_presignatures(
            key.facts.session_id, key.facts.epoch, keep=0, keep_in_all=1_000_000
        )
        for party_id, store in world.party_stores.items()
    }


def check_failure(world: World, request: SignRequest) -> Failure:
    result = only_result(world, request)
    assert result.status is Status.FAILED
    assert result.failure is not None
    return result.failure


async def nobody_has_any(world: World, key: CertifiedKey) -> bool:
    stock = [pool.stock for pool in await pools_of(world, key)]
    return not any([*stock, *(await presignatures_left(world, key)).values()])


async def check_nothing_is_left(world: World) -> None:
    """Nobody waits, nothing is in the making, no round state, no inbox."""
    for pool in await world.coordinator_store.pools(LONG_AGO):
        assert (pool.waiting, pool.making) == (0, 0)
        assert await world.coordinator_store.waiters(pool.name, 10) == []
    for store in (world.coordinator_store, *world.party_stores.values()):
        assert await store.overdue(10**15, 10) == []
        assert await store.owing(10**15, 10) == []
    batches = {bytes.fromhex(each.headers["session_id"]) for each in sent(world, "presign_batch")}
    for store in world.party_stores.values():
        for batch in batches:
            assert await store.parked(batch) == []
            session = await store.session(batch)
            assert session is None or (session.state, session.received) == (b"", ())


def sent(world: World, *kinds: str) -> list[Outgoing]:
    return [message for message in world.network.sent if message.kind in kinds]


def sender(message: Outgoing) -> str:
    return UnverifiedEnvelope.from_bytes(message.body).claimed.sender


def forged(world: World, message: Outgoing, **changes: Any) -> Outgoing:
    """The same message with other content, properly signed by whom it names."""
    claimed = UnverifiedEnvelope.from_bytes(message.body).claimed
    altered = Envelope(**{name: getattr(claimed, name) for name in Envelope.__slots__} | changes)
    return replace(
        message,
        kind=changes.get("kind", message.kind),
        content_type=envelope.CONTENT_TYPE,
        message_id="forged",
        body=altered.seal(world.identities[altered.sender]),
    )


def swapped(
    world: World, wanted: Callable[[Outgoing], bool], made: Callable[[Outgoing], Outgoing]
) -> Callable[[Outgoing], bool]:
    """For `World.run`: in place of each message that is wanted, another one comes."""

    def swap(message: Outgoing) -> bool:
        if message.message_id == "forged" or not wanted(message):
            return False
        world.network.waiting.append(made(message))
        return True

    return swap


class WatchedStore:
    """A party's store that remembers what each presignature was used for."""

    def __init__(self, store: Any) -> None:
        self.answers: list[tuple[tuple[bytes, int], bytes]] = []
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, change: PartyChange) -> Outcome:
        outcome: Outcome = await self._store.commit(change)
        if outcome is Outcome.COMMITTED:
            for place in change.take_presignatures:
                (answer,) = change.outgoing
                self.answers.append((place, answer.body))
        return outcome
