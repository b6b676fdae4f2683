"""The coordinator's part of signing: shares together, verified, liars named. No secrets here."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.keys import KeyFacts
from contracts.requests import SignRequest

from ..protocols import frost
from ..protocols.groups import group_by_name
from ..protocols.key_share import KeyView
from ..protocols.rounds import Blame, PartyIndex


def combine(
    facts: KeyFacts,
    request: SignRequest,
    commitments: Mapping[PartyIndex, bytes],
    shares: Mapping[PartyIndex, bytes],
) -> tuple[bytes, bytes]:
    """The public key that verifies, as the scheme's users write it, and the signature.

    Raises:
        PartyFaultError: a share or commitment is not what it should be; names its senders.
    """
    suite = frost.ciphersuite(request.scheme.value)
    group = group_by_name(facts.curve.value)
    blame = Blame()
    parsed_commitments: dict[PartyIndex, frost.Commitment] = {}
    parsed_shares: dict[PartyIndex, frost.SignatureShare] = {}
    for i in shares:
        try:
            parsed_commitments[i] = frost.Commitment.from_bytes(group, commitments[i])
            parsed_shares[i] = frost.SignatureShare.from_bytes(group, shares[i])
        except ValueError:
            blame.add(i, "encoding")
    blame.raise_if_any()

    view = KeyView(
        group=group,
        threshold=facts.threshold,
        public_shares={
            PartyIndex(i): group.point_from_bytes_stored(holder.public_share)
            for i, holder in enumerate(facts.holders, start=1)
        },
        public_key=group.point_from_bytes_stored(facts.public_key),
    )
    signature = frost.aggregate(
        suite,
        view,
        request.message,
        parsed_commitments,
        parsed_shares,
        merkle_root=request.taproot_merkle_root,
    )
    key = frost.output_key(suite, view.public_key, request.taproot_merkle_root)
    return suite.encode_point(key), signature
