"""What a party checks before it takes part: the coordinator is believed in nothing.

That it is the coordinator who speaks was checked before, see `envelopes`.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from contracts.admission import ClientPolicy, open_request
from contracts.coordinators import Coordinators
from contracts.errors import ContractError
from contracts.identity import Identity, PublicIdentity
from contracts.keys import KeyFacts
from contracts.primitives import Scheme
from contracts.requests import (
    MAX_LIFETIME_MS,
    KeygenRequest,
    RequestBase,
    ReshareRequest,
    SignRequest,
)
from contracts.sessions import NonceCommitment, PresignBatch, ReshareCreated, SessionCreated
from contracts.terms import Member

from ...store.records import AnswerRecord, KeyShareRecord
from .. import sealed_shares
from ..errors import NoShareError, RefusedError
from ..peers import Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who we are and whom we trust.

    Attributes:
        identity: The key that we act by.
        others: Further keys of ours, while one takes the place of another.
        peers: All parties by id, ourselves included.
        coordinators: Whose instructions we take.
        clock_tolerance_ms: How far a client's clock, or the coordinator's, may be off.
    """

    party_id: str
    identity: Identity
    peers: Mapping[str, Peer]
    coordinators: Coordinators
    clients: Iterable[ClientPolicy]
    clock_tolerance_ms: int
    others: tuple[Identity, ...] = ()

    @property
    def speaker(self) -> Identity:
        """The key of ours that others know us by at this moment; the configured one, if they know
        us by none that we have."""
        peer = self.peers.get(self.party_id)
        return (None if peer is None else self._own(peer.identity.der)) or self.identity

    def named_by(self, members: Iterable[Member]) -> Party:
        """Ourselves, as a session's members name us, whom `roster` has accepted."""
        own = next((each for each in members if each.party_id == self.party_id), None)
        identity = None if own is None else self._own(own.identity)
        if identity in (None, self.identity):
            return self
        assert identity is not None
        left = tuple(each for each in (self.identity, *self.others) if each != identity)
        return replace(self, identity=identity, others=left)

    def _own(self, public_key: bytes) -> Identity | None:
        own = (self.identity, *self.others)
        return next((each for each in own if each.public.der == public_key), None)

    def has(self, public_key: bytes) -> bool:
        """Whether we have the private half of it."""
        return self._own(public_key) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A session that checked out as far as it can be checked without the store.

    Attributes:
        coordinator: Who told us of it, and is to have what only the coordinator may read.
    """

    coordinator: PublicIdentity
    created: SessionCreated
    request: KeygenRequest | SignRequest
    own_index: int

    @property
    def session_id(self) -> bytes:
        return self.created.session_id

    @property
    def members(self) -> list[Member]:
        return self.created.terms.members

    def others(self) -> list[Member]:
        return [member for member in self.members if member.index != self.own_index]


def accept(
    created: SessionCreated, party: Party, *, coordinator: PublicIdentity, now: int
) -> Accepted:
    """Raises RefusedError with what does not check out."""
    terms = created.terms
    if created.session_id != terms.session_id():
        raise RefusedError("the session id is not the one that its terms give")
    request = _request(created, party, now)
    own_index = roster(terms.members, party)
    if isinstance(request, KeygenRequest):
        _keygen(created, request, party)
    else:
        _signing(created, request)
    return Accepted(coordinator=coordinator, created=created, request=request, own_index=own_index)


def check_signing_key(accepted: Accepted, key_share: KeyShareRecord, party: Party) -> None:
    """The key that the coordinator pointed to is the one that its owner asked for, may serve the
    scheme, and the signers hold shares of it under the indices they are given. Raises
    RefusedError."""
    request, terms, facts = accepted.request, accepted.created.terms, key_facts(key_share)
    assert isinstance(request, SignRequest)
    if facts.key_id != request.key_id:
        raise RefusedError(f"the session's key is not the client's {request.key_id!r}")
    _owner(request, facts, key_share)
    check_serves(facts, request.scheme)
    if terms.threshold != facts.threshold:
        raise RefusedError(f"the terms say threshold {terms.threshold}, the key {facts.threshold}")
    _holders(terms.members, facts, party)


def accept_batch(
    batch: PresignBatch,
    party: Party,
    key_share: KeyShareRecord | None,
    banned: Collection[str],
    *,
    now: int,
) -> KeyShareRecord:
    """The key share to make a batch of presignatures with. Raises RefusedError.

    No request is asked for: a presignature signs nothing before its signers have seen one, and how
    many are kept is each party's own limit.
    """
    terms = batch.terms
    if batch.session_id != terms.session_id():
        raise RefusedError("the session id is not the one that its terms give")
    # As old as a request may get: for so long its session is remembered, and not begun again.
    age_ms, tolerance_ms = now - terms.issued_at, party.clock_tolerance_ms
    if not -tolerance_ms <= age_ms <= MAX_LIFETIME_MS + tolerance_ms:
        raise RefusedError("the batch is of another time; is a clock wrong?")
    roster(terms.members, party)
    share = usable(key_share)
    facts = key_facts(share)
    check_serves(facts, Scheme.ECDSA)
    _holders(terms.members, facts, party)
    if unwanted := [member.party_id for member in terms.members if member.party_id in banned]:
        raise RefusedError(
            f"we make no presignatures with {', '.join(unwanted)}, which failed a check that may "
            "have cost us a bit of a secret (see `warren party bans`)",
            because=unwanted,
        )
    return share


def seal_shares(accepted: Accepted, party: Party, shares: Sequence[bytes]) -> bytes:
    """Our signature shares, for whoever told us of the session."""
    return sealed_shares.seal(
        shares,
        party_id=party.party_id,
        identity=party.named_by(accepted.members).identity,
        coordinator=accepted.coordinator,
        session_id=accepted.session_id,
    )


@functools.lru_cache(maxsize=1_000)
def _facts(text: str) -> KeyFacts:
    """Public, and the same at every session with a key."""
    return KeyFacts.model_validate_json(text)


def key_facts(key_share: KeyShareRecord) -> KeyFacts:
    return _facts(key_share.facts)


def usable(key_share: KeyShareRecord | None) -> KeyShareRecord:
    """Raises NoShareError."""
    if key_share is None or not key_share.active:
        raise NoShareError
    return key_share


def check_serves(facts: KeyFacts, scheme: Scheme) -> None:
    """Raises RefusedError unless the key may serve the scheme."""
    try:
        facts.check_scheme(scheme)
    except ContractError as error:
        raise RefusedError(str(error)) from None


def roster(members: Sequence[Member], party: Party) -> int:
    """Known parties under their pinned identities, each once, ascending; returns our own index."""
    wrong = {
        member.party_id: reason
        for member in members
        if (reason := _unacceptable(member, party)) is not None
    }
    if wrong:
        # If it is ourselves who are called otherwise, the others are no reason.
        because = () if party.party_id in wrong else wrong
        raise RefusedError("; ".join(wrong.values()), because=because)
    own_index = next(
        (member.index for member in members if member.party_id == party.party_id), None
    )
    if own_index is None:
        raise RefusedError("we are not among the session's parties")
    if len({member.party_id for member in members}) != len(members):
        raise RefusedError("a party stands twice among the session's parties")
    indices = [member.index for member in members]
    if indices != sorted(set(indices)):
        raise RefusedError("the parties are not in ascending order of distinct indices")
    return own_index


def check_time(request: RequestBase, party: Party, now: int) -> None:
    """Raises RefusedError unless the request is of now."""
    if now > request.expires_at + party.clock_tolerance_ms:
        raise RefusedError("the request expired; is a clock wrong?")
    # Or the limit to its lifetime would be none: it could lie around until its time comes.
    if request.issued_at > now + party.clock_tolerance_ms:
        raise RefusedError("the request was issued in the future; is a clock wrong?")


def holds(member: Member, facts: KeyFacts, index: int, party: Party) -> bool:
    """Whether it holds the share of this index: under the identity that it has here, or one that it
    had when it got the share."""
    if index > facts.party_count:
        return False
    holder = facts.holders[index - 1]
    if holder.party_id != member.party_id:
        return False
    peer = party.peers.get(member.party_id)
    known = () if peer is None else peer.ever
    return PublicIdentity(holder.identity) in known


def own_commitment(accepted: Accepted) -> NonceCommitment:
    """The nonce commitment that this party is asked to use up."""
    place = [member.index for member in accepted.members].index(accepted.own_index)
    return accepted.created.commitments[place]


def answer_of(
    request: KeygenRequest | SignRequest | ReshareRequest,
    created: SessionCreated | ReshareCreated,
    party: Party,
    *,
    commits: bool,
) -> AnswerRecord:
    """What is remembered of the request with a step of its session, and asked of it once more."""
    return AnswerRecord(
        owner=request.owner,
        request_id=request.request_id,
        digest=created.terms.request_digest,
        commits=commits,
        counts_until=request.expires_at + party.clock_tolerance_ms,
    )


def presignatures_used(created: SessionCreated) -> tuple[tuple[bytes, int], ...]:
    """Batch and position of each presignature that a session uses up, in order."""
    return tuple(
        (used.batch, position) for used in created.presignatures for position in used.positions
    )


def _owner(request: SignRequest, facts: KeyFacts, key_share: KeyShareRecord) -> None:
    """Facts of version 1 leave the tenant open: there an operators' list decides (see `tenants`),
    and until it has come, only requests without a tenant are served."""
    owner = key_share.owner if facts.version == 1 else facts.owner
    if facts.client_id == request.client_id and owner == request.owner:
        return
    if facts.version == 1 and owner == facts.owner:
        raise RefusedError(
            f"key {facts.key_id} is from before tenants were certified, and no list of operators "
            "has said whose it is: see `warren upgrade check`"
        )
    raise RefusedError(f"key {facts.key_id}: another owner's key")


def _request(created: SessionCreated, party: Party, now: int) -> KeygenRequest | SignRequest:
    try:
        signed = open_request(created.request, created.request_signature, party.clients)
    except ContractError as error:
        raise RefusedError(f"the request does not check out here: {error}") from None
    request = signed.request
    if signed.digest != created.terms.request_digest:
        raise RefusedError("the terms name another request than the one sent along")
    if not isinstance(request, KeygenRequest | SignRequest):
        raise RefusedError(f"operation {request.operation!r} makes no session")
    if request.operation != created.terms.protocol:
        raise RefusedError(
            f"the request asks to {request.operation}, the terms to {created.terms.protocol}"
        )
    check_time(request, party, now)
    return request


def _unacceptable(member: Member, party: Party) -> str | None:
    peer = party.peers.get(member.party_id)
    if peer is None:
        return f"party {member.party_id} is not in our configuration"
    if member.identity not in {each.der for each in peer.current}:
        return f"party {member.party_id} has another identity than we know"
    if member.party_id == party.party_id and not party.has(member.identity):
        return (
            f"party {member.party_id} is named by a key whose private half it does not have: see "
            "other_private_key_files"
        )
    return None


def _holders(members: Sequence[Member], facts: KeyFacts, party: Party) -> None:
    """Exactly threshold signers, under the indices that they have in the key."""
    if len(members) != facts.threshold:
        raise RefusedError(f"{len(members)} signers; this key takes exactly {facts.threshold}")
    for member in members:
        if not holds(member, facts, member.index, party):
            raise RefusedError(f"party {member.party_id} is not holder {member.index} of the key")


def _keygen(created: SessionCreated, request: KeygenRequest, party: Party) -> None:
    terms = created.terms
    if terms.key_session is not None or terms.epoch != 0:
        raise RefusedError("a new key has no earlier key or epoch")
    if created.commitments or created.presignatures:
        raise RefusedError("a new key has no commitments or presignatures")
    if terms.threshold != request.threshold or len(terms.members) != request.party_count:
        raise RefusedError(
            f"the client asked for {request.threshold} of {request.party_count}, "
            f"the terms say {terms.threshold} of {len(terms.members)}"
        )
    if [member.index for member in terms.members] != list(range(1, request.party_count + 1)):
        raise RefusedError("a new key's indices are 1 to n")
    order = [party.peers[member.party_id].index for member in terms.members]
    if order != sorted(order):
        raise RefusedError("a new key's parties are not in the configured order")
    names = {member.party_id for member in terms.members}
    if request.parties is not None and set(request.parties) != names:
        raise RefusedError("the parties are not those that the client named")


def _signing(created: SessionCreated, request: SignRequest) -> None:
    terms = created.terms
    if terms.key_session is None:
        raise RefusedError("the terms name no key")
    uses_presignatures = request.scheme is Scheme.ECDSA
    if len(created.commitments) != (0 if uses_presignatures else len(terms.members)):
        raise RefusedError("not one nonce commitment for each signer")
    if len({each.nonce_id for each in created.commitments}) != len(created.commitments):
        raise RefusedError("two signers are given one nonce id: nonces are one signer's")
    asked = presignatures_used(created)
    if len(asked) != (len(request.tasks) if uses_presignatures else 0):
        raise RefusedError("not one presignature for each message")
    if len(set(asked)) != len(asked):
        raise RefusedError("a presignature signs once")
    names = {member.party_id for member in terms.members}
    if request.signers is not None and set(request.signers) != names:
        raise RefusedError("the signers are not those that the client named")
