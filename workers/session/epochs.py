"""Whether a bundle proves a new epoch: signatures, and that the shares are of the very key."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from contracts import epochs
from contracts.errors import ContractError
from contracts.identity import PublicIdentity
from contracts.keys import EpochBundle, KeyFacts
from contracts.peers import Pinned

from ..protocols.polynomial import are_shares_of
from ..protocols.proofs import Proof
from ..protocols.reshare import Possession, possession_holds
from ..protocols.rounds import PartyIndex
from .key_views import view_of

SWITCH_S = 30.0
"""After an epoch is made, requests go to its holders: by then they have made what signatures need.
Both sides count for themselves, so both epochs sign for a while before and after."""
SHORTEST_SWITCH_S = 5.0
"""Or nothing could be prepared for it."""
SIGNS_ON_S = 60.0
"""After an epoch is proven to a party, the one before signs there for so long."""
ENDS_S = 10.0
"""Then what was begun with it has so long to end, and all of it is deleted."""


def check_bundle(
    bundle: EpochBundle,
    known: KeyFacts,
    *,
    pinned: Mapping[str, Pinned],
    owners: Collection[PublicIdentity],
) -> None:
    """Raises ContractError unless it proves a new epoch of a known key. Arguments as of
    `contracts.epochs.check`."""
    epochs.check(bundle, known, pinned=pinned, owners=owners)
    facts = bundle.key.facts
    view = view_of(facts)
    if not are_shares_of(view.group, view.public_key, view.public_shares, view.threshold):
        raise ContractError("the new public shares are not of this key")
    statement = facts.statement()
    for j, holder in enumerate(facts.holders, start=1):
        proof = bundle.possessions[holder.party_id]
        try:
            possession = Possession(Proof.from_bytes(view.group, proof))
        except ValueError as error:
            raise ContractError(f"no proof of party {holder.party_id}: {error}") from None
        if not possession_holds(view, statement, PartyIndex(j), possession):
            raise ContractError(f"party {holder.party_id} has not proven that it has its share")
