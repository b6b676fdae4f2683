"""A whole Warren in one process: real handlers and stores, and a broker that a test conducts.

Messages wait in a bag until `deliver` takes one out; the test decides which, how often, and
whether at all. Errors that would send a message to the dead letters are collected instead.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from contracts import addresses, results, sessions
from contracts.admission import ClientPolicy
from contracts.coordinators import Coordinators
from contracts.envelope import Envelope
from contracts.errors import ContractError
from contracts.identity import Identity
from contracts.keys import KeyFacts
from contracts.operations import OPERATIONS
from contracts.requests import KeygenRequest, Request, ReshareRequest, SignRequest
from contracts.signing import SignedRequest, sign_request
from tests.workers.migrated import migrate
from workers.coordinator.liveness import Liveness
from workers.coordinator.pools import Pools
from workers.coordinator.reports import ReportConsumer
from workers.coordinator.requests import RequestConsumer
from workers.coordinator.reshares import Reshares
from workers.coordinator.retirements import Retirements
from workers.coordinator.signature import Signature
from workers.coordinator.wiring import Coordinator
from workers.delivery.clock import now_ms
from workers.delivery.deliveries import Delivery
from workers.delivery.scopes import SessionOverError
from workers.party.consumer import PartyConsumer
from workers.pool_limits import PoolLimits
from workers.session import sealed_shares
from workers.session.coordinator.announcing import ANNOUNCED
from workers.session.party.acceptance import Party
from workers.session.peers import Peer
from workers.session.sending import JSON
from workers.settings import CoordinatorLimits, PartyLimits
from workers.store.interface import CoordinatorStore, PartyStore
from workers.store.opening import open_coordinator_store, open_party_store
from workers.store.records import Outgoing
from workers.store.sealing import MasterKeys, Sealer
from workers.store.share_keys import ShareKeys

CLIENT = "svcA"
LIMITS = CoordinatorLimits(
    nonce_batch=2, signatures_at_once=1000, keys_at_once=1000, cancels_at_once=1000
)
"""Nobody waits for a turn: a test delivers what ends a session after what began it."""
NOTHING_AHEAD = PoolLimits(low=0, high=0)
_ids = itertools.count(1)


@dataclass
class Network:
    """Takes the place of `Publisher`; every message published waits here, so many times."""

    copies: int = 1
    waiting: list[Outgoing] = field(default_factory=list)
    sent: list[Outgoing] = field(default_factory=list)

    async def publish(self, message: Outgoing) -> None:
        self.waiting += [message] * self.copies
        self.sent.append(message)

    async def publish_all(self, messages: Any) -> None:
        for message in messages:
            await self.publish(message)


@dataclass
class Clock:
    """Stands still until a test sets it on: a slow machine makes nobody late."""

    offset_ms: int = 0
    began_ms: int = field(default_factory=now_ms)

    def __call__(self) -> int:
        return self.began_ms + self.offset_ms


@dataclass
class World:
    """What the coordinator publishes is signed on its way: in the bag it is as it was stored."""

    network: Network
    client: Identity
    coordinator: Identity
    identities: dict[str, Identity]
    parties: dict[str, PartyConsumer]
    party_stores: dict[str, PartyStore]
    requests: RequestConsumer
    reports: ReportConsumer
    pools: Pools
    reshares: Reshares
    retirements: Retirements
    liveness: Liveness
    coordinator_store: CoordinatorStore
    clock: Clock
    pool_limits: PoolLimits
    dead: list[tuple[Outgoing, str]] = field(default_factory=list)

    @property
    def signature(self) -> Signature:
        return Signature(self.coordinator)

    ###
    ### Requests
    ###

    def keygen_request(self, **changes: Any) -> KeygenRequest:
        fields: dict[str, Any] = {
            "curve": "ed25519",
            "threshold": 2,
            "party_count": len(self.identities),
        }
        return KeygenRequest.model_validate(self._request("keygen", fields | changes), strict=False)

    def sign_request(self, **changes: Any) -> SignRequest:
        fields: dict[str, Any] = {"scheme": "ed25519", "message": b"\0\0 lead with zeros"}
        return SignRequest.model_validate(self._request("sign", fields | changes), strict=False)

    def reshare_request(self, facts: KeyFacts, **changes: Any) -> ReshareRequest:
        """The same parties and threshold, unless something else is wished for."""
        fields: dict[str, Any] = {
            "key_id": facts.key_id,
            "public_key": facts.public_key,
            "from_epoch": facts.epoch,
            "first_epoch": facts.epoch + 1,
            "threshold": facts.threshold,
            "parties": [holder.party_id for holder in facts.holders],
        }
        made = self._request("reshare", fields | changes)
        return ReshareRequest.model_validate(made, strict=False)

    def _request(self, operation: str, fields: dict[str, Any]) -> dict[str, Any]:
        number = next(_ids)
        now = self.clock()
        request: dict[str, Any] = {
            "operation": operation,
            "request_id": f"request-{number}",
            "client_id": CLIENT,
            "signer": self.client.public.der,
            "issued_at": now,
            "expires_at": now + 60_000,
            "key_id": f"key-{number}",
        } | fields
        request["reply_to"] = addresses.result_key(
            operation,
            client_id=request["client_id"],
            request_id=request["request_id"],
            key_id=request["key_id"],
        )
        return request

    async def ask(self, request: Request) -> SignedRequest:
        signed = sign_request(request, self.client)
        await self.submit(signed)
        return signed

    async def submit(self, signed: SignedRequest, **changes: Any) -> None:
        delivery: dict[str, Any] = {
            "queue": addresses.request_queue(signed.request.operation),
            "kind": signed.request.operation,
            "body": signed.body,
            "headers": signed.headers(),
            "routing_key": addresses.request_key(signed.request.operation),
            "message_id": signed.request.request_id,
            "attempts": 0,
        } | changes
        await self.requests.handle(Delivery(**delivery))

    ###
    ### Deliveries
    ###

    async def deliver(self, message: Outgoing) -> None:
        if message.content_type == JSON:
            message = self.signature.under(message)
        delivery = Delivery(
            queue=message.exchange,
            kind=message.kind,
            body=message.body,
            headers=message.headers,
            routing_key=message.routing_key,
            message_id=message.message_id,
            attempts=0,
        )
        try:
            if message.exchange == addresses.REPORTS:
                await self.reports.handle(delivery)
            elif message.exchange in {addresses.SESSIONS, addresses.ROUNDS}:
                party = self.parties.get(message.routing_key)
                if party is not None:
                    await party.handle(delivery)
            elif message.exchange == addresses.KEYGEN:
                party = self.parties.get(message.routing_key)
                if party is not None:
                    await party.handle_keygen(delivery)
            elif message.exchange == addresses.PRESIGNING:
                party = self.parties.get(message.routing_key)
                if party is not None:
                    await party.handle_presigning(delivery)
            elif message.exchange == addresses.CANCEL:
                self.reports.broadcast(message.body)
                for party in self.parties.values():
                    party.broadcast(message.body)
        except SessionOverError:
            pass
        except ContractError as error:
            self.dead.append((message, str(error)))

    async def run(
        self,
        random: Random | None = None,
        *,
        doubled: float = 0.0,
        late: Callable[[Outgoing], bool] = lambda _: False,
        dropped: Callable[[Outgoing], bool] = lambda _: False,
    ) -> None:
        """Deliver until nothing is left to deliver.

        Arguments:
            random: Chooses the order; None keeps the order of publishing.
            doubled: How often a delivery comes a second time.
            late: Messages that come only when nothing else is left.
        """
        budget = 5_000
        while ready := [m for m in self.network.waiting if m.exchange != addresses.RESULTS]:
            budget -= 1
            assert budget, "the messages never come to an end"
            first = [message for message in ready if not late(message)] or ready
            message = first[0] if random is None else random.choice(first)
            again = random is not None and random.random() < doubled
            if not again:
                self.network.waiting.remove(message)
            if not dropped(message):
                await self.deliver(message)

    async def outlive(self, session_id: bytes) -> None:
        """Let the time pass until the coordinator gives a session up; that it does so is another
        matter."""
        session = await self.coordinator_store.session(session_id)
        assert session is not None
        over = session.deadline + int(LIMITS.grace_seconds * 1000) + 1
        self.clock.offset_ms += max(0, over - self.clock())

    def results(self) -> list[results.Result]:
        return [
            results.ADAPTER.validate_json(message.body)
            for message in self.network.sent
            if message.exchange == addresses.RESULTS and message.kind != ANNOUNCED
        ]


def respoken(
    world: World,
    claimed: Envelope,
    report: sessions.ShareSigned,
    change: Callable[[bytes], bytes],
) -> sessions.ShareSigned:
    """A report of one signature share with another in its place, as its sender could seal it."""
    sender, session_id = claimed.sender, claimed.session_id
    identity = world.identities[sender]
    (share,) = sealed_shares.unseal(
        report.sealed,
        party_id=sender,
        party=identity.public,
        identities=[world.coordinator],
        session_id=session_id,
    )
    sealed = sealed_shares.seal(
        [change(share)],
        party_id=sender,
        identity=identity,
        coordinator=world.coordinator.public,
        session_id=session_id,
    )
    return report.model_copy(update={"sealed": sealed})


@contextlib.asynccontextmanager
async def world(
    directory: Path,
    *,
    party_count: int = 3,
    pool_limits: PoolLimits = NOTHING_AHEAD,
    databases: Mapping[str, str] | None = None,
) -> AsyncIterator[World]:
    """
    Arguments:
        directory: Of the parties' witnesses, and the databases if there are no others.
        databases: URLs by party id, and of "coordinator".
    """
    client, coordinator_identity = Identity.generate(), Identity.generate()
    identities = {f"party-{i}": Identity.generate() for i in range(1, party_count + 1)}
    peers = {
        party_id: Peer(i, identity.public)
        for i, (party_id, identity) in enumerate(identities.items(), start=1)
    }
    clients = (
        ClientPolicy(identity=client.public, client_id=CLIENT, operations=frozenset(OPERATIONS)),
    )
    network: Any = Network()
    clock = Clock()
    async with contextlib.AsyncExitStack() as stack:
        party_stores, parties = {}, {}
        for party_id, identity in identities.items():
            url = (databases or {}).get(party_id, f"sqlite:///{directory / party_id}.sqlite")
            await migrate("party", url)
            halves = ShareKeys(directory / f"{party_id}.share-keys", party_id)
            store = await stack.enter_async_context(
                open_party_store(
                    url,
                    party_id=party_id,
                    sealer=Sealer(MasterKeys.from_hex("11" * 32), erasable=halves),
                    witness=directory / f"{party_id}.incarnation",
                )
            )
            party_stores[party_id] = store
            parties[party_id] = PartyConsumer(
                Party(
                    party_id=party_id,
                    identity=identity,
                    peers=peers,
                    coordinators=Coordinators.of(coordinator_identity.public),
                    clients=clients,
                    clock_tolerance_ms=0,
                ),
                store,
                network,
                PartyLimits(backup_wait_seconds=0),
                clock=clock,
            )
        url = (databases or {}).get("coordinator", f"sqlite:///{directory / 'coordinator.sqlite'}")
        await migrate("coordinator", url)
        coordinator_store = await stack.enter_async_context(open_coordinator_store(url))
        coordinator = Coordinator.over(
            coordinator_store,
            network,
            identities=[coordinator_identity],
            parties=peers,
            clients=clients,
            limits=LIMITS,
            pool_limits=pool_limits,
            clock=clock,
        )
        yield World(
            network=network,
            client=client,
            coordinator=coordinator_identity,
            identities=identities,
            parties=parties,
            party_stores=party_stores,
            requests=coordinator.requests,
            reports=coordinator.reports,
            pools=coordinator.pools,
            reshares=coordinator.reshares,
            retirements=coordinator.retirements,
            liveness=coordinator.liveness,
            coordinator_store=coordinator_store,
            clock=clock,
            pool_limits=pool_limits,
        )
