"""A party's side of FROST signing: one message in, one signature share out.

The nonce pair was made and published ahead. It is deleted in the transaction that stores the
answer; the same transaction puts a fresh pair in its place, and the report announces it.
"""

from __future__ import annotations

import hashlib

from contracts.errors import ContractError
from contracts.primitives import Scheme
from contracts.requests import SignRequest
from contracts.results import Status
from contracts.sessions import NonceCommitment, NoncesMade, NoncesWanted, ShareSigned

from ...protocols import frost
from ...protocols.key_share import KeyShare
from ...protocols.rounds import PartyIndex
from ...store.records import KeyShareRecord, NonceRecord
from ..errors import RefusedError
from ..nonce_batches import batch_id
from ..sending import report
from ..tasks import tweak
from .acceptance import (
    Accepted,
    Party,
    answer_of,
    check_serves,
    check_signing_key,
    key_facts,
    own_commitment,
    seal_shares,
    usable,
)
from .step import Step

NONCE_RANDOMNESS_BYTES = 64
"""FRESH for each nonce pair."""


def answer(
    accepted: Accepted,
    party: Party,
    key_share: KeyShareRecord | None,
    nonce: NonceRecord | None,
    *,
    randomness: bytes,
) -> Step:
    """Sign with the nonce that the session names, and make the next one.

    Arguments:
        randomness: FRESH, 64 bytes, for the next nonce.

    Raises:
        RefusedError: key, signers, scheme or nonce are not what the request needs.
        ProtocolError: the commitments do not fit.
    """
    request = accepted.request
    assert isinstance(request, SignRequest)
    key_share = usable(key_share)
    facts, (item,) = key_facts(key_share), request.tasks
    check_signing_key(accepted, key_share, party)
    asked = own_commitment(accepted)
    if nonce is None or nonce.scheme != request.scheme.value:
        raise RefusedError("the nonce was used before, or was never ours")
    if (nonce.key_session, nonce.epoch) != (key_share.key_session, key_share.epoch):
        raise RefusedError("the nonce was made for another key")
    nonces = frost.Nonces.from_bytes(nonce.secret)
    if nonces.commitment.to_bytes() != asked.commitment:
        raise RefusedError("the commitment is not the one that we made under its id")

    share = KeyShare.from_bytes(key_share.secret)
    signature_share = frost.sign(
        nonces,
        share,
        item.message,
        _commitments(accepted, share, nonces.commitment),
        merkle_root=request.taproot_merkle_root,
        tweak=tweak(facts, item),
    )

    place = accepted.session_id, 0
    fresh, commitment = _make_nonce(key_share, share, nonce.scheme, place, randomness)
    answered = report(
        ShareSigned(
            sealed=seal_shares(accepted, party, [signature_share.to_bytes()]), fresh=[commitment]
        ),
        identity=party.speaker,
        party_id=party.party_id,
        session_id=accepted.session_id,
        epoch=accepted.created.terms.epoch,
    )
    return Step(
        status=Status.COMPLETED,
        outgoing=(answered,),
        take_nonce=nonce.nonce_id,
        nonces=(fresh,),
        answers=answer_of(request, accepted.created, party, commits=True),
    )


def _commitments(
    accepted: Accepted, share: KeyShare, own: frost.Commitment
) -> dict[PartyIndex, frost.Commitment]:
    """Everybody's. Raises RefusedError if another's is none."""
    commitments = {}
    for member, each in zip(accepted.members, accepted.created.commitments, strict=True):
        index = PartyIndex(member.index)
        if member.index == accepted.own_index:
            commitments[index] = own
            continue
        try:
            commitments[index] = frost.Commitment.from_bytes(share.group, each.commitment)
        except ValueError:
            raise RefusedError(f"{member.party_id}'s nonce commitment is malformed") from None
    return commitments


def make_nonces(
    wanted: NoncesWanted, party: Party, key_share: KeyShareRecord | None, *, randomness: bytes
) -> Step:
    """Answer a coordinator that has no commitment of ours left.

    Arguments:
        randomness: FRESH, 64 bytes for each nonce wanted.

    Raises:
        NoShareError.
        ContractError: the batch is not the session's: no coordinator asks so.
    """
    if wanted.batch_id != batch_id(wanted.session_id, party.party_id):
        raise ContractError("the batch id is not the one that session and party give")
    key_share = usable(key_share)
    if wanted.scheme is Scheme.ECDSA:
        raise RefusedError("ecdsa signs with presignatures, and not with nonces")
    check_serves(key_facts(key_share), wanted.scheme)
    share = KeyShare.from_bytes(key_share.secret)
    made = [
        _make_nonce(
            key_share,
            share,
            wanted.scheme.value,
            (wanted.batch_id, position),
            randomness[position * NONCE_RANDOMNESS_BYTES :][:NONCE_RANDOMNESS_BYTES],
        )
        for position in range(wanted.count)
    ]
    answered = report(
        NoncesMade(
            key_session=wanted.key_session,
            scheme=wanted.scheme,
            fresh=[commitment for _, commitment in made],
        ),
        identity=party.speaker,
        party_id=party.party_id,
        session_id=wanted.session_id,
        epoch=wanted.epoch,
    )
    return Step(
        status=Status.COMPLETED,
        outgoing=(answered,),
        nonces=tuple(record for record, _ in made),
    )


def _make_nonce(
    key_share: KeyShareRecord,
    share: KeyShare,
    scheme: str,
    place: tuple[bytes, int],
    randomness: bytes,
) -> tuple[NonceRecord, NonceCommitment]:
    nonces, commitment = frost.commit(
        frost.ciphersuite(scheme),
        share,
        place=place,
        hiding_randomness=randomness[:32],
        binding_randomness=randomness[32:],
    )
    public = commitment.to_bytes()
    nonce_id = hashlib.sha256(public).digest()
    record = NonceRecord(
        nonce_id=nonce_id,
        key_session=key_share.key_session,
        epoch=key_share.epoch,
        scheme=scheme,
        secret=nonces.to_bytes(),
    )
    return record, NonceCommitment(nonce_id=nonce_id, commitment=public)
