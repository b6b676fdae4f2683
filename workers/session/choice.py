"""Which parties make a key, and which sign: pure functions of request and liveness."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from random import Random

from contracts.failures import Failure, FailureCode
from contracts.keys import KeyFacts
from contracts.requests import KeygenRequest, SignRequest
from contracts.sessions import Member

from .acceptance import Peer


class ChoiceError(Exception):
    """No parties fit the request."""

    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(message)
        self.failure = Failure.of(code, message[:2000])  # it may list forty names of any length


def holders(
    request: KeygenRequest, parties: Mapping[str, Peer], alive: Collection[str], random: Random
) -> list[Member]:
    """The parties of a new key, in the configured order. Those named, or else the living first.

    Raises ChoiceError.
    """
    if request.parties is not None:
        unknown = [party_id for party_id in request.parties if party_id not in parties]
        if unknown:
            raise ChoiceError(
                FailureCode.UNKNOWN_PARTY,
                f"there is no party {', '.join(unknown)}; there are {', '.join(parties)}",
            )
        chosen = list(request.parties)
    else:
        if len(parties) < request.party_count:
            raise ChoiceError(
                FailureCode.TOO_FEW_PARTIES,
                f"{request.party_count} parties wanted, {len(parties)} exist",
            )
        chosen = _living_first(list(parties), alive, random)[: request.party_count]
    chosen.sort(key=lambda party_id: parties[party_id].index)
    return [
        Member(party_id=party_id, index=i, identity=parties[party_id].identity.der)
        for i, party_id in enumerate(chosen, start=1)
    ]


def signers(
    request: SignRequest, facts: KeyFacts, alive: Collection[str], random: Random
) -> list[Member]:
    """Exactly `threshold` holders of the key. Raises ChoiceError."""
    all_holders = {
        holder.party_id: Member(party_id=holder.party_id, index=i, identity=holder.identity)
        for i, holder in enumerate(facts.holders, start=1)
    }
    if request.signers is not None:
        strangers = [party_id for party_id in request.signers if party_id not in all_holders]
        if strangers:
            raise ChoiceError(
                FailureCode.UNKNOWN_PARTY,
                f"{', '.join(strangers)} holds no share of key {facts.key_id}; "
                f"{', '.join(all_holders)} do",
            )
        if len(request.signers) != facts.threshold:
            raise ChoiceError(
                FailureCode.INVALID_REQUEST,
                f"signers names {len(request.signers)} parties; "
                f"exactly {facts.threshold} sign with key {facts.key_id}",
            )
        chosen = list(request.signers)
    else:
        chosen = _living_first(list(all_holders), alive, random)[: facts.threshold]
    return sorted((all_holders[party_id] for party_id in chosen), key=lambda member: member.index)


def _living_first(party_ids: list[str], alive: Collection[str], random: Random) -> list[str]:
    """Shuffled, to spread the load; the silent last, since they may be back before the deadline."""
    random.shuffle(party_ids)
    return sorted(party_ids, key=lambda party_id: party_id not in alive)
