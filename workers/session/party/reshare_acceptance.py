"""What a party checks before it takes part in a reshare: the coordinator is believed in nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from contracts.errors import ContractError
from contracts.keys import KeyFacts
from contracts.requests import ReshareRequest
from contracts.sessions import ReshareCreated
from contracts.terms import ReshareTerms

from ...store.records import KeyShareRecord
from ..errors import NoShareError, RefusedError, StaleEpochError
from ..peers import Certifying
from .acceptance import Party, check_time, holds, key_facts, roster


@dataclass(frozen=True, slots=True)
class Held:
    """What this party knows of the key by itself.

    Attributes:
        active: Its share of the epoch that signs, if it has one.
        begun: The highest epoch of the key that was ever begun here, 0 if none was.
        proven: The highest whose bundle we have, likewise.
        banned: Parties that failed a check which may have cost us a bit of a secret.
    """

    active: KeyShareRecord | None
    begun: int
    proven: int
    banned: Collection[str] = ()


def accept_reshare(
    created: ReshareCreated, request: ReshareRequest, party: Party, held: Held, *, now: int
) -> None:
    """
    Arguments:
        request: What the session's request says, whose signer may ask for it.

    Raises RefusedError with what does not check out.
    """
    terms, known = created.terms, created.predecessor.facts
    if created.session_id != terms.session_id():
        raise RefusedError("the session id is not the one that its terms give")
    if hashlib.sha256(created.request).digest() != terms.request_digest:
        raise RefusedError("the terms name another request than the one sent along")
    check_time(request, party, now)
    roster(terms.members, party)
    if [member.index for member in terms.members] != list(range(1, len(terms.members) + 1)):
        raise RefusedError("the members' places are not 1 to how many they are")
    _predecessor(created, party, held)
    _asked(request, terms, known, held)
    _dealers(request, terms, known, party)
    _receivers(request, terms, party)
    if unwanted := [name for name in request.parties if name in held.banned]:
        raise RefusedError(
            f"we give no share of a key to {', '.join(unwanted)}, which failed a check that may "
            "have cost us a bit of a secret (see `warren party bans`)",
            because=unwanted,
        )
    if terms.epoch <= held.begun:
        raise RefusedError(
            f"epoch {terms.epoch} is not above {held.begun}, the highest of this key that was ever "
            "begun here: ask for a later one"
        )


def _predecessor(created: ReshareCreated, party: Party, held: Held) -> None:
    """What is dealt from was certified by its holders, and is what we hold ourselves."""
    known, terms = created.predecessor.facts, created.terms
    if (terms.predecessor, terms.key_session) != (known.digest(), known.session_id):
        raise RefusedError("the terms name another key or epoch than the one sent along")
    try:
        created.predecessor.verify(Certifying(party.peers))
    except ContractError as error:
        raise RefusedError(f"the epoch that is dealt from does not check out: {error}") from None
    if held.active is not None and held.active.epoch < known.epoch:
        raise StaleEpochError(known.epoch, held.active.epoch)
    if held.active is not None and key_facts(held.active) != known:
        raise RefusedError(
            f"epoch {known.epoch} of key {known.key_id} is not the one that signs here, which is "
            f"epoch {held.active.epoch}"
        )
    if known.epoch < held.proven:
        raise RefusedError(
            f"epoch {held.proven} of key {known.key_id} was made already: nothing more is dealt "
            f"from epoch {known.epoch}"
        )
    deals = any(
        member.deals_as is not None for member in terms.members if member.party_id == party.party_id
    )
    if deals and held.active is None:
        raise NoShareError


def _asked(request: ReshareRequest, terms: ReshareTerms, known: KeyFacts, held: Held) -> None:
    """The key's owner asks for this epoch of it."""
    # Facts of version 1 leave the tenant open: who has no share takes the client's word for it.
    owner = known.owner if known.version != 1 else request.owner
    if known.version == 1 and held.active is not None:
        owner = held.active.owner
    if (known.client_id, owner) != (request.client_id, request.owner):
        raise RefusedError(f"key {known.key_id}: another owner's key")
    said: Mapping[str, tuple[object, object]] = {
        "key": (request.key_id, known.key_id),
        "public key": (request.public_key, known.public_key),
        "epoch to deal from": (request.from_epoch, known.epoch),
        "threshold": (request.threshold, terms.threshold),
    }
    for name, (asked, told) in said.items():
        if asked != told:
            raise RefusedError(f"the session's {name} is not the one that was asked for")
    if terms.epoch not in request.epochs:
        raise RefusedError(f"epoch {terms.epoch} is none that was asked for")


def _dealers(request: ReshareRequest, terms: ReshareTerms, known: KeyFacts, party: Party) -> None:
    """As many holders as the key's threshold, each under its own index."""
    dealers = [(each, each.deals_as) for each in terms.members if each.deals_as is not None]
    if len(dealers) != known.threshold:
        raise RefusedError(f"{len(dealers)} dealers; this key takes exactly {known.threshold}")
    for dealer, index in dealers:
        if not holds(dealer, known, index, party):
            raise RefusedError(f"party {dealer.party_id} is not holder {index} of the key")
    names = {dealer.party_id for dealer, _ in dealers}
    if request.dealers is not None and set(request.dealers) != names:
        raise RefusedError("the dealers are not those that the client named")


def _receivers(request: ReshareRequest, terms: ReshareTerms, party: Party) -> None:
    """Those that the client named, in the configured order."""
    if any((member.deals_as, member.receives_as) == (None, None) for member in terms.members):
        raise RefusedError("a member neither deals nor receives")
    receivers = {
        member.receives_as: member.party_id
        for member in terms.members
        if member.receives_as is not None
    }
    names = [receivers[j] for j in sorted(receivers)]
    if set(names) != set(request.parties):
        raise RefusedError("the new holders are not those that the client named")
    if sorted(receivers) != list(range(1, len(request.parties) + 1)):
        raise RefusedError("the new holders' indices are not 1 to n")
    order = [party.peers[name].index for name in names]
    if order != sorted(order):
        raise RefusedError("the new holders are not in the configured order")
