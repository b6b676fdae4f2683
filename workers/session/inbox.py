"""What may enter a running session: from whom, for which round, and in which form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from contracts.envelope import EVERYONE, Envelope, UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.terms import Member

from ..protocols.rounds import PartyIndex
from ..store.records import Received
from .errors import EquivocationError
from .protocols import PROTOCOLS, Way


def slot_of(envelope: Envelope) -> str:
    """Where a message belongs in its session: one for each sender."""
    return f"{envelope.kind}/{envelope.round}"


def cause_of(envelope: Envelope) -> str:
    """Names this very message, as the cause of what is sent in answer to it."""
    return f"{slot_of(envelope)}:{envelope.sender}:{envelope.digest().hex()[:16]}"


def check_place(envelope: Envelope, party_id: str) -> None:
    """Raises ContractError unless such a message may come to us in some session."""
    protocol = PROTOCOLS.get(envelope.kind)
    round_ = None if protocol is None else protocol.round(envelope.round)
    if round_ is None:
        raise ContractError(f"no protocol has a message {slot_of(envelope)!r}")
    recipient = EVERYONE if round_.way is Way.BROADCAST else party_id
    if envelope.recipient != recipient:
        raise ContractError(f"{slot_of(envelope)} is not meant for {envelope.recipient!r}")
    if envelope.sender == party_id:
        raise ContractError("a message of our own came back")


def check_member(envelope: Envelope, members: Iterable[Member], *, epoch: int) -> None:
    """Raises ContractError unless the sender takes part in this session and epoch."""
    if envelope.epoch != epoch:
        raise ContractError(f"epoch {envelope.epoch} in a session of epoch {epoch}")
    if envelope.sender not in {member.party_id for member in members}:
        raise ContractError(f"{envelope.sender} takes no part in this session")


def repeats(received: Iterable[Received], slot: str, sender: str, digest: bytes) -> bool:
    """Whether this very message came before.

    Raises:
        EquivocationError: another one came before in its place.
    """
    for row in received:
        if row.slot == slot and row.sender == sender:
            if row.digest != digest:
                raise EquivocationError(sender, slot)
            return True
    return False


def evidence(row: Received) -> Received:
    """A second, different message for a place that is taken: kept beside the first."""
    return replace(row, slot=beside(row.slot))


def beside(slot: str) -> str:
    """Where a second, different message for a slot is kept."""
    return f"{slot}/second"


def first_of(received: Iterable[Received], row: Received) -> Received:
    """What came before in a row's place."""
    return next(each for each in received if (each.slot, each.sender) == (row.slot, row.sender))


def payloads(
    received: Iterable[Received], slot: str, others: Iterable[Member]
) -> dict[PartyIndex, bytes] | None:
    """What every other member sent for the slot, or None while some are missing."""
    bodies = {row.sender: row.body for row in received if row.slot == slot}
    inbox = {}
    for member in others:
        if member.party_id not in bodies:
            return None
        envelope = UnverifiedEnvelope.from_bytes(bodies[member.party_id])
        inbox[PartyIndex(member.index)] = envelope.claimed.payload
    return inbox


def missing(received: Iterable[Received], slot: str, others: Iterable[Member]) -> list[str]:
    """The members whose message for the slot is not in."""
    senders = {row.sender for row in received if row.slot == slot}
    return [member.party_id for member in others if member.party_id not in senders]
