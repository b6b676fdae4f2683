"""The coordinator's part of signing: shares together, verified, liars named. No secrets here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from contracts.keys import KeyFacts
from contracts.primitives import Scheme
from contracts.requests import SignRequest
from contracts.results import EcdsaForms, SignedItem
from contracts.sessions import NonceCommitment

from ...protocols import dkls23, frost
from ...protocols.groups import SECP256K1, group_by_name
from ...protocols.rounds import Blame, PartyIndex
from ..key_views import view_of
from ..tasks import ecdsa_tasks, tweak

T = TypeVar("T")

Shares = Mapping[PartyIndex, Sequence[bytes]]
"""Of each signer, one share for each message."""


class PublicHalf(Protocol):
    """Of a presignature."""

    @property
    def batch(self) -> bytes: ...
    @property
    def position(self) -> int: ...
    @property
    def point(self) -> bytes: ...


def well_formed(scheme: Scheme, commitments: Collection[NonceCommitment]) -> bool:
    """Whether commitments that a party announces can be used, each of them as one; checked once,
    when they come."""
    group = frost.ciphersuite(scheme.value).group
    if len({each.nonce_id for each in commitments}) != len(commitments):
        return False
    try:
        for each in commitments:
            frost.Commitment.from_bytes(group, each.commitment)
    except ValueError:
        return False
    return True


def combine_frost(
    facts: KeyFacts,
    request: SignRequest,
    commitments: Mapping[PartyIndex, bytes],
    shares: Shares,
) -> list[SignedItem]:
    """
    Arguments:
        commitments: `well_formed` when they came.

    Raises:
        PartyFaultError: a share is not what it should be; names its senders.
    """
    suite = frost.ciphersuite(request.scheme.value)
    group = group_by_name(facts.curve.value)
    (item,) = request.tasks
    parsed = _parse(shares, 1, lambda data: frost.SignatureShare.from_bytes(group, data))
    view = view_of(facts)
    offset = tweak(facts, item)
    signature = frost.aggregate(
        suite,
        view,
        item.message,
        {
            i: frost.Commitment.from_bytes_stored(group, commitment)
            for i, commitment in commitments.items()
        },
        {i: own[0] for i, own in parsed.items()},
        merkle_root=request.taproot_merkle_root,
        tweak=offset,
    )
    key = frost.output_key(suite, view.public_key, request.taproot_merkle_root, tweak=offset)
    return [
        SignedItem(
            message=item.message,
            derivation_path=item.derivation_path,
            public_key=suite.encode_point(key),
            signature=signature,
        )
    ]


def combine_ecdsa(
    facts: KeyFacts,
    request: SignRequest,
    presignatures: Sequence[PublicHalf],
    shares: Shares,
    *,
    session_id: bytes,
    request_digest: bytes,
) -> list[SignedItem]:
    """
    Arguments:
        presignatures: One for each message, in order.

    Raises:
        PartyFaultError: a share is none at all; names its senders.
        SpoiltSessionError: the shares of a message make no signature, which names nobody.
    """
    parsed = _parse(shares, len(presignatures), dkls23.SignatureShare.from_bytes)
    tasks = ecdsa_tasks(facts, request, session_id=session_id, request_digest=request_digest)
    public_key = SECP256K1.point_from_bytes_stored(facts.public_key)
    signed = []
    for place, (item, task, used) in enumerate(
        zip(request.tasks, tasks, presignatures, strict=True)
    ):
        view = dkls23.PresignatureView(
            session_id=used.batch,
            position=used.position,
            signers=tuple(sorted(parsed)),
            public_key=public_key,
            r=SECP256K1.point_from_bytes_stored(used.point),
        )
        signature = dkls23.combine(view, task, {i: own[place] for i, own in parsed.items()})
        encoded = signature.to_bytes()
        signed.append(
            SignedItem(
                message=item.message,
                derivation_path=item.derivation_path,
                public_key=task.public_key(view).to_bytes(),
                signature=encoded,
                ecdsa=EcdsaForms.of(encoded),
            )
        )
    return signed


def _parse(shares: Shares, count: int, parse: Callable[[bytes], T]) -> dict[PartyIndex, list[T]]:
    """Raises PartyFaultError naming everyone whose shares are not `count` well-formed ones."""
    blame = Blame()
    parsed: dict[PartyIndex, list[T]] = {}
    for i, own in shares.items():
        try:
            parsed[i] = [parse(share) for share in own]
        except ValueError:
            blame.add(i, "encoding")
            continue
        if len(own) != count:
            blame.add(i, "number of shares")
    blame.raise_if_any()
    return parsed
