"""What convinces anyone that a key has a new epoch: enough to activate it, and to delete the old.

Certificates alone would not do. Two parties that are pinned could name themselves the new committee
of somebody else's key and certify it, and every honest holder would delete its share. Hence what is
shown: that the owner asked for this committee, that the key's holders dealt, that all new ones
certified, and proofs that they hold shares of this very key. The last is mathematics, which is
checked where there are groups: `workers.session.epochs`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from . import strict_json
from .errors import ContractError
from .identity import Identity, PublicIdentity
from .keys import EpochBundle, Holder, KeyFacts, Resharing
from .peers import Pinned, by_any, identities
from .requests import RehearseRequest, ReshareRequest
from .signing import REQUEST_TAG, explain
from .verification import check_key

DEALT_TAG = b"warren/epoch-dealt/v1"
_REQUEST: TypeAdapter[ReshareRequest] = TypeAdapter(ReshareRequest)
_REHEARSAL: TypeAdapter[RehearseRequest] = TypeAdapter(RehearseRequest)

WishT = TypeVar("WishT", ReshareRequest, RehearseRequest)


def sign_dealt(facts: KeyFacts, dealer: Identity) -> bytes:
    """A dealer's word that it dealt towards these facts, and saw what all others saw."""
    return dealer.sign(DEALT_TAG, facts.statement())


def open_reshare(
    body: bytes, signature: bytes, owners: Collection[PublicIdentity]
) -> ReshareRequest:
    """The request for a new epoch that one of the key's owners has signed. Raises ContractError."""
    return _opened(_REQUEST, body, signature, owners)


def open_rehearsal(
    body: bytes, signature: bytes, owners: Collection[PublicIdentity]
) -> RehearseRequest:
    """The same of a request that only asks whether the parties would. Raises ContractError."""
    return _opened(_REHEARSAL, body, signature, owners)


def _opened(
    adapter: TypeAdapter[WishT],
    body: bytes,
    signature: bytes,
    owners: Collection[PublicIdentity],
) -> WishT:
    try:
        request = strict_json.validated(adapter, body)
    except ValidationError as error:
        raise ContractError(f"not a reshare request: {explain(error)}") from None
    signer = PublicIdentity(request.signer)
    if signer not in owners:
        raise ContractError("somebody else than the key's owner asked for the epoch")
    signer.verify(REQUEST_TAG, body, signature)
    return request


def check(
    bundle: EpochBundle,
    known: KeyFacts,
    *,
    pinned: Mapping[str, Pinned],
    owners: Collection[PublicIdentity],
) -> None:
    """Raises ContractError unless this shows a new epoch of a known key, but for the proofs that
    its holders have their shares.

    Arguments:
        known: An epoch that the caller believes in, which has to be the predecessor. Of several
            bundles each is the next one's.
        pinned: The parties' identities that the caller trusts.
        owners: Whose requests the caller takes for the key's owner's.
    """
    if bundle.predecessor.facts != known:
        raise ContractError("the epoch comes from another one than we know")
    for holder in known.holders:
        certificate = bundle.predecessor.certificates.get(holder.party_id, b"")
        known.verify(holder.party_id, certificate)
    request = open_reshare(bundle.request, bundle.request_signature, owners)
    facts = bundle.key.facts
    if facts.request_digest != hashlib.sha256(bundle.request).digest():
        raise ContractError("the epoch was made for another request")
    # Facts of version 1 do not say whose tenant's key it is: then the client's word counts.
    tenant = request.tenant if known.version == 1 else known.tenant
    check_key(bundle.key, pinned=pinned, client_id=known.client_id, tenant=tenant)
    _check_same_key(known, facts)
    _check_asked(request, known, facts)
    _check_dealers(bundle, _resharing(facts), known, pinned)
    holders = {holder.party_id for holder in facts.holders}
    if bundle.possessions.keys() != holders or bundle.key.certificates.keys() != holders:
        raise ContractError("there is not one certificate and one proof of each new holder")


def _check_dealers(
    bundle: EpochBundle, reshared: Resharing, known: KeyFacts, pinned: Mapping[str, Pinned]
) -> None:
    """A holder may have dealt by another key than it had when it got its share."""
    if reshared.predecessor != known.digest():
        raise ContractError("the epoch's facts name another predecessor")
    dealers = [each for each in known.holders if each.party_id in reshared.dealers]
    if [each.party_id for each in dealers] != reshared.dealers:
        raise ContractError("the dealers are not holders of the predecessor, in their order")
    if len(dealers) != known.threshold or bundle.dealt.keys() != set(reshared.dealers):
        raise ContractError(f"{known.threshold} dealers have to deal, and each to sign")
    statement = bundle.key.facts.statement()
    for dealer in dealers:
        _check_dealt(_keys_of(dealer, pinned), statement, bundle.dealt[dealer.party_id])


def _check_dealt(pinned: Pinned, statement: bytes, signature: bytes) -> None:
    by_any(pinned, lambda key: key.verify(DEALT_TAG, statement, signature))


def _keys_of(dealer: Holder, pinned: Mapping[str, Pinned]) -> Pinned:
    """All that we know of it, if the one in the facts is among them."""
    known = pinned.get(dealer.party_id)
    own = PublicIdentity(dealer.identity)
    return own if known is None or own not in identities(known) else known


def _resharing(facts: KeyFacts) -> Resharing:
    if facts.reshared is None:
        raise ContractError("facts of before there were reshares are no new epoch")
    return facts.reshared


_LASTING = ("key_id", "session_id", "curve", "public_key", "chain_code", "schemes")
"""Owner and tenant, too, which `check_key` compares."""


def _check_same_key(known: KeyFacts, facts: KeyFacts) -> None:
    for name in _LASTING:
        if getattr(facts, name) != getattr(known, name):
            raise ContractError(f"the epoch is another key's: its {name} differs")
    if known.origin not in (None, facts.origin):
        raise ContractError("the epoch is another key's: its origin differs")


def _check_asked(asked: ReshareRequest, known: KeyFacts, facts: KeyFacts) -> None:
    """The request is for this key, and these are the epoch, threshold and parties it asks for."""
    said = {
        "client_id": (asked.client_id, facts.client_id),
        "tenant": (asked.tenant, facts.tenant),
        "key_id": (asked.key_id, facts.key_id),
        "public_key": (asked.public_key, facts.public_key),
        "from_epoch": (asked.from_epoch, known.epoch),
        "threshold": (asked.threshold, facts.threshold),
        "parties": (sorted(asked.parties), sorted(each.party_id for each in facts.holders)),
    }
    for name, (wanted, certified) in said.items():
        if wanted != certified:
            raise ContractError(f"the epoch's {name} is not what its owner asked for")
    if facts.epoch not in asked.epochs:
        raise ContractError(f"its owner did not ask for epoch {facts.epoch}")
    reshared = _resharing(facts)
    if asked.dealers is not None and sorted(asked.dealers) != sorted(reshared.dealers):
        raise ContractError("the epoch's dealers are not those that its owner asked for")
