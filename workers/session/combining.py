"""The coordinator's part of signing: shares together, verified, liars named. No secrets here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from contracts.keys import KeyFacts
from contracts.primitives import Scheme
from contracts.requests import SignRequest
from contracts.sessions import NonceCommitment

from ..protocols import frost
from ..protocols.groups import group_by_name
from ..protocols.key_share import KeyView
from ..protocols.rounds import Blame, PartyIndex


def well_formed(scheme: Scheme, commitments: Iterable[NonceCommitment]) -> bool:
    """Whether commitments that a party announces can be used; checked once, when they come."""
    group = frost.ciphersuite(scheme.value).group
    try:
        for each in commitments:
            frost.Commitment.from_bytes(group, each.commitment)
    except ValueError:
        return False
    return True


def combine(
    facts: KeyFacts,
    request: SignRequest,
    commitments: Mapping[PartyIndex, bytes],
    shares: Mapping[PartyIndex, bytes],
) -> tuple[bytes, bytes]:
    """The public key that verifies, as the scheme's users write it, and the signature.

    Arguments:
        commitments: `well_formed` when they came.

    Raises:
        PartyFaultError: a share is not what it should be; names its senders.
    """
    suite = frost.ciphersuite(request.scheme.value)
    group = group_by_name(facts.curve.value)
    blame = Blame()
    parsed_shares: dict[PartyIndex, frost.SignatureShare] = {}
    for i, share in shares.items():
        try:
            parsed_shares[i] = frost.SignatureShare.from_bytes(group, share)
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
        {
            i: frost.Commitment.from_bytes_stored(group, commitment)
            for i, commitment in commitments.items()
        },
        parsed_shares,
        merkle_root=request.taproot_merkle_root,
    )
    key = frost.output_key(suite, view.public_key, request.taproot_merkle_root)
    return suite.encode_point(key), signature
