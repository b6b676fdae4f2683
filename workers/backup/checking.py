"""What has to be true of a key share before anybody relies on its backup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from contracts.errors import ContractError
from contracts.keys import CertifiedKey, KeyFacts
from contracts.peers import Pinned

from ..protocols.key_share import KeyShare
from ..protocols.rounds import PartyIndex
from ..store.records import KeyShareRecord
from ..store.rows.party import PartyRows
from ..store.sealing import SealError
from .errors import BackupError


def check_shares(
    sealed: Iterable[KeyShareRecord],
    rows: PartyRows,
    party_id: str,
    identities: Mapping[str, Pinned],
) -> None:
    """Open every share and check it. Raises BackupError for the first that is not in order.

    Arguments:
        identities: Of all parties, as the configuration knows them.
    """
    epochs: dict[bytes, int] = {}
    for share in sealed:
        if share.key_session in epochs:
            raise BackupError(
                f"{name(share)}: epochs {epochs[share.key_session]} and {share.epoch} of one key "
                "are mixed in this backup, and only one of them can be the others'"
            )
        epochs[share.key_session] = share.epoch
        try:
            opened = rows.opened(share)
        except SealError as error:
            raise BackupError(f"{name(share)}: {error}; is this the right master key?") from None
        try:
            _check(opened, party_id, identities)
        except (ContractError, ValidationError, ValueError) as error:
            # A validation error quotes what it does not like; facts are public, but be brief.
            text = "facts that make no sense" if isinstance(error, ValidationError) else error
            raise BackupError(f"{name(share)}: {text}") from None


def latest(shares: Iterable[KeyShareRecord]) -> KeyShareRecord:
    """The one that counts among a key's: of the highest epoch that signs. One above it is of a
    reshare that may never come to its end."""
    return max(shares, key=lambda share: (share.active, share.epoch))


def name(share: KeyShareRecord) -> str:
    """For people."""
    client = f" of {share.owner}" if share.owner else ""
    return f"key {share.key_id}{client} (session {share.key_session.hex()[:16]})"


def _check(share: KeyShareRecord, party_id: str, identities: Mapping[str, Pinned]) -> None:
    facts = KeyFacts.model_validate_json(share.facts)
    outside = (share.key_session, share.epoch, share.key_id)
    if outside != (facts.session_id, facts.epoch, facts.key_id) or not _owned(share, facts):
        raise ValueError("its facts are about another key or epoch")
    holders = [holder.party_id for holder in facts.holders]
    if party_id not in holders:
        raise ValueError(f"a share of {', '.join(holders)}, and not of {party_id}")
    _check_secret(share.secret, facts, PartyIndex(holders.index(party_id) + 1))
    if share.active:
        CertifiedKey(facts=facts, certificates=dict(share.certificates)).verify(identities)
    else:
        # Its key generation had not ended. What certificates there are must be good.
        for certifier, certificate in share.certificates.items():
            facts.verify(certifier, certificate)


def _owned(share: KeyShareRecord, facts: KeyFacts) -> bool:
    """Facts of version 1 leave the tenant open: an operators' list may have said it since."""
    if share.owner == facts.owner:
        return True
    return facts.version == 1 and share.owner.startswith(f"{facts.owner}/")


def _check_secret(secret: bytes, facts: KeyFacts, index: PartyIndex) -> None:
    try:
        share = KeyShare.from_bytes(secret)
    except ValueError:
        raise ValueError("what was sealed is no key share") from None
    # share * G == public_share, and this is the public share that everybody has certified.
    public_share = share.secret_share * share.group.generator
    certified = facts.holders[index - 1].public_share
    if share.index != index or public_share.to_bytes() != certified:
        raise ValueError("the secret share does not belong to the public share that was certified")
    public_shares = [share.public_shares[PartyIndex(i)].to_bytes() for i in share.public_shares]
    inside = (share.group.name, share.threshold, share.public_key.to_bytes(), share.chain_code)
    if (
        inside != (facts.curve.value, facts.threshold, facts.public_key, facts.chain_code)
        or list(share.public_shares) != list(range(1, facts.party_count + 1))
        or public_shares != [holder.public_share for holder in facts.holders]
    ):
        raise ValueError("the share and its facts do not agree about the key")
