"""A steady mixed load: so many requests a second, whatever becomes of them."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from contracts.addresses import result_key
from contracts.keys import KeyFacts
from contracts.primitives import Curve, Scheme
from contracts.requests import (
    CancelRequest,
    KeygenRequest,
    QueryKeysRequest,
    QuerySessionRequest,
    Request,
    RequestBase,
    ReshareRequest,
    SignItem,
    SignRequest,
)
from contracts.results import Result, Status
from contracts.signing import SignedRequest

from .faults import PARTIES
from .producer import Producer

R = TypeVar("R", bound=RequestBase)

MIX = {
    "keygen": 1,
    "ed25519": 5,
    "bip340": 3,
    "ecdsa": 5,
    "list": 1,
    "query_keys": 1,
    "query_session": 1,
}
"""Of so many requests together."""
REPEATED = 0.1
USED = 4
"""Of a producer's keys of one curve so many are signed with."""
FIRST_KEYS_S = 60.0
RESHARED_WITHIN_S = 60.0
RESHARE_TRIES = 3
LIFETIME_S = {"query_keys": 15.0, "query_session": 15.0, "cancel": 15.0}


@dataclass(slots=True, kw_only=True)
class Load:
    """
    Attributes:
        lifetime_s: Of requests that begin a session.
        mix: As `MIX`.
        cancelled: Share of the requests that are, after a moment.
        cancelled_after_s: Shortest and longest.
        in_flight: More are not begun: a load without bounds would outlast any outage.
    """

    producers: Sequence[Producer]
    rate_per_s: float
    seed: int
    lifetime_s: float = 30.0
    mix: Mapping[str, float] = field(default_factory=lambda: MIX)
    cancelled: float = 0.05
    cancelled_after_s: tuple[float, float] = (0.0, 0.2)
    in_flight: int = 400
    held_back: int = 0
    _keys: dict[tuple[str, Curve], list[str]] = field(default_factory=dict)
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def make_first_keys(self) -> None:
        """One of each curve for each producer, and one signature of each scheme that will be asked
        for: pools fill."""
        await asyncio.gather(
            *(
                self._first(producer, curve)
                for producer in self.producers
                for curve in (Curve.ED25519, Curve.SECP256K1)
            )
        )

    def in_use(self) -> list[tuple[Producer, str]]:
        """Those that are signed with, each with its owner."""
        owners = {producer.name: producer for producer in self.producers}
        return [
            (owners[name], key_id)
            for (name, _), key_ids in self._keys.items()
            for key_id in key_ids[:USED]
        ]

    async def reshare(
        self,
        producer: Producer,
        facts: KeyFacts,
        first_epoch: int,
        parties: Sequence[str],
        dealers: Sequence[str] | None = None,
    ) -> Result | None:
        """Give a key, as it is by these facts, other shares."""
        return await self._asked(
            producer,
            self._make(
                producer,
                ReshareRequest,
                "reshare",
                RESHARED_WITHIN_S,
                key_id=facts.key_id,
                public_key=facts.public_key,
                from_epoch=facts.epoch,
                first_epoch=first_epoch,
                tries=RESHARE_TRIES,
                threshold=facts.threshold,
                parties=list(parties),
                dealers=None if dealers is None else list(dealers),
            ),
        )

    async def sign_by(
        self, producer: Producer, facts: KeyFacts, signers: Sequence[str]
    ) -> tuple[str, Result | None]:
        """Have these very parties sign. Returns the request's id with the result."""
        scheme = Scheme.ED25519 if facts.curve is Curve.ED25519 else Scheme.ECDSA
        request = self._make(
            producer,
            SignRequest,
            "sign",
            self.lifetime_s,
            key_id=facts.key_id,
            scheme=scheme,
            message=_digest(Random(self.seed)),
            signers=list(signers),
        )
        return request.request_id, await self._asked(producer, request)

    async def _asked(self, producer: Producer, request: Request) -> Result | None:
        await producer.ask(request)
        left_s = request.expires_at / 1000 - time.time()
        return await producer.answer(request.request_id, left_s + producer.waits_s)

    async def run(self, seconds: float) -> None:
        """Begin requests for so long; they end when they do."""
        random = Random(self.seed)
        began = time.monotonic()
        for number in itertools.count():
            due = began + number / self.rate_per_s
            if due > began + seconds:
                return
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            choice = random.choices(list(self.mix), list(self.mix.values()))[0]
            producer = random.choice(self.producers)
            one = Random(random.getrandbits(64))
            if len(self._running) >= self.in_flight:
                self.held_back += 1
                continue
            task = asyncio.create_task(self._one(producer, choice, one))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def finish(self) -> None:
        """Wait until every request has its answer, or will not get one."""
        while self._running:
            await asyncio.wait(tuple(self._running))

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _first(self, producer: Producer, curve: Curve) -> None:
        request = self._keygen(producer, curve, FIRST_KEYS_S)
        await producer.ask(request)
        result = await producer.answer(request.request_id, FIRST_KEYS_S)
        if result is None or result.status is not Status.COMPLETED:
            raise FirstKeyError(f"{producer.name} got no {curve} key: {result!r:.300}")
        self._keys.setdefault((producer.name, curve), []).append(request.key_id)
        for scheme in (each for each in _SCHEMES if each.curve is curve and each in self.mix):
            signing = self._sign(producer, scheme, Random(0), FIRST_KEYS_S)
            await producer.ask(signing)
            await producer.answer(signing.request_id, FIRST_KEYS_S)

    async def _one(self, producer: Producer, choice: str, random: Random) -> None:
        request = self._request(producer, choice, random)
        patience_s = LIFETIME_S.get(choice, self.lifetime_s) + producer.waits_s
        signed = await producer.ask(request)
        begins = isinstance(request, KeygenRequest | SignRequest)
        async with asyncio.TaskGroup() as together:
            if begins and random.random() < REPEATED:
                together.create_task(_repeat(producer, signed, random.uniform(0, 3)))
            if begins and random.random() < self.cancelled:
                cancel = self._make(producer, CancelRequest, "cancel", target=request.request_id)
                together.create_task(
                    self._cancel(producer, cancel, random.uniform(*self.cancelled_after_s))
                )
            result = await producer.answer(request.request_id, patience_s)
        if (
            isinstance(request, KeygenRequest)
            and result is not None
            and result.status is Status.COMPLETED
            and random.random() < 0.3
        ):
            self._keys[producer.name, request.curve].append(request.key_id)

    async def _cancel(self, producer: Producer, cancel: Request, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await producer.ask(cancel)
        await producer.answer(cancel.request_id, LIFETIME_S["cancel"] + producer.waits_s)

    ###
    ### Requests
    ###

    def _request(self, producer: Producer, choice: str, random: Random) -> Request:
        match choice:
            case "keygen":
                curve = random.choice((Curve.ED25519, Curve.SECP256K1))
                return self._keygen(producer, curve, self.lifetime_s)
            case "query_keys":
                return self._make(producer, QueryKeysRequest, choice)
            case "query_session":
                return self._make(producer, QuerySessionRequest, choice, target=producer.latest)
            case "list":
                return self._sign(producer, Scheme.ECDSA, random, self.lifetime_s, count=4)
        return self._sign(producer, Scheme(choice), random, self.lifetime_s)

    def _keygen(self, producer: Producer, curve: Curve, lifetime_s: float) -> KeygenRequest:
        return self._make(
            producer,
            KeygenRequest,
            "keygen",
            lifetime_s,
            key_id=f"key-{next(self._numbers)}",
            curve=curve,
            threshold=2,
            party_count=3,
            parties=list(PARTIES),
        )

    def _sign(
        self,
        producer: Producer,
        scheme: Scheme,
        random: Random,
        lifetime_s: float,
        count: int | None = None,
    ) -> SignRequest:
        key_id = random.choice(self._keys[producer.name, scheme.curve][:USED])
        path = f"m/0/{random.randrange(9)}"
        derive = scheme is not Scheme.ED25519 and random.random() < 0.5
        if count is not None:
            items = [SignItem(message=_digest(random), derivation_path=path) for _ in range(count)]
            content: dict[str, object] = {"items": items}
        else:
            content = {"message": _digest(random), "derivation_path": path if derive else None}
        return self._make(
            producer, SignRequest, "sign", lifetime_s, key_id=key_id, scheme=scheme, **content
        )

    def _make(
        self,
        producer: Producer,
        kind: type[R],
        operation: str,
        lifetime_s: float | None = None,
        **fields: Any,
    ) -> R:
        request_id = f"{producer.name}-{next(self._numbers)}"
        now = time.time_ns() // 1_000_000
        client_id = producer.settings.client_id
        return kind(
            request_id=request_id,
            client_id=client_id,
            signer=producer.settings.identity.public.der,
            issued_at=now,
            expires_at=now + round(1000 * (lifetime_s or LIFETIME_S[operation])),
            reply_to=result_key(
                operation,
                client_id=client_id,
                request_id=request_id,
                key_id=fields.get("key_id"),
            ),
            **fields,
        )


_SCHEMES = (Scheme.ED25519, Scheme.BIP340, Scheme.ECDSA)


class FirstKeyError(Exception):
    """Not even the keys to begin with were made."""


async def _repeat(producer: Producer, signed: SignedRequest, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await producer.repeat(signed)


def _digest(random: Random) -> bytes:
    return hashlib.sha256(random.randbytes(16)).digest()
