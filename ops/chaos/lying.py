"""A party that says what is wrong, says two things, or says nothing, under its own true name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from contracts.envelope import CONTENT_TYPE, UnverifiedEnvelope
from contracts.identity import Identity
from workers.protocols.rounds import Outbox
from workers.session import sealed_shares
from workers.session.party.engine import Engine
from workers.session.protocols import PRESIGN
from workers.store.records import Outgoing

from .orders import Obedience, Orders

LIES_IN = frozenset({"keygen/2", "keygen/3"})
"""Presigning is for another liar: whoever cheats there is banned until somebody lifts the ban."""
SAYS_TWICE = "keygen/1"
GOES_ON = "keygen/2"
"""After it the others may be done, whatever is said again."""
ALIVE = "party_alive"


def wrap(obedience: Obedience) -> None:
    """What does not open proves nothing to its recipient; what opens and is wrong is a fault."""
    anything: Any = Engine
    send: Callable[..., Any] = anything.send
    dice = Random(obedience.worker)

    def send_as_told(engine: Engine, seat: Any, outbox: Outbox[bytes, bytes], *known: Any) -> Any:
        if engine.protocol == PRESIGN and obedience.orders.presigning_liar:
            direct = {}
            for index, content in outbox.direct.items():
                obedience.feel()
                direct[index] = spoilt(content, dice)
            outbox = replace(outbox, direct=direct)
        return send(engine, seat, outbox, *known)

    anything.send = send_as_told
    seal: Callable[..., bytes] = sealed_shares.seal

    def seal_as_told(shares: Sequence[bytes], **place: Any) -> bytes:
        if obedience.orders.liar:
            obedience.feel()
            shares = [spoilt(shares[0], dice), *shares[1:]]
        return seal(shares, **place)

    sealed_shares.seal = seal_as_told


def spoilt(content: bytes, random: Random) -> bytes:
    """With one bit flipped, anywhere."""
    wrong = bytearray(content)
    wrong[random.randrange(len(wrong))] ^= 1 << random.randrange(8)
    return bytes(wrong)


def said(message: Outgoing, orders: Orders, identity: Identity | None) -> Iterator[Outgoing]:
    """What goes out in place of a message."""
    if orders.silent and message.kind != ALIVE:
        return
    lies = identity is not None and message.content_type == CONTENT_TYPE
    if not (lies and orders.liar and message.kind in LIES_IN):
        yield message
    if identity is None or not lies:
        return
    if orders.liar and message.kind in LIES_IN:
        yield twisted(message, identity)
    if orders.equivocator and message.kind == SAYS_TWICE:
        yield twisted(message, identity)


def twisted(message: Outgoing, identity: Identity) -> Outgoing:
    """Another message in the same place, as truly signed."""
    true = UnverifiedEnvelope.from_bytes(message.body).claimed
    wrong = replace(true, payload=true.payload[:-1] + bytes([true.payload[-1] ^ 1]))
    return replace(message, body=wrong.seal(identity), message_id=wrong.digest().hex())
