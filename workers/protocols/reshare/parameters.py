"""What all members of one reshare agree on before it starts.

Three numbers could be a party's, so each has a name of its own: its *place* among the members of
this session, by which inboxes and culprits go, and its indices in the old and in the new epoch,
which are x-coordinates. Places reach 40, indices ``MAX_PARTIES``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import tags
from ..encoding import digest, index_to_bytes, pack, require_size, unpack_tagged
from ..groups import Group, Scalar
from ..key_share import KeyShare, KeyView
from ..polynomial import interpolating_value
from ..proofs import ProofContext
from ..rounds import MAX_PARTIES, MisuseError, PartyIndex

SESSION_ID_SIZE = 32
EPOCH_SIZE = 4


@dataclass(frozen=True, slots=True)
class Member:
    """A party of the session. It deals, receives, or both.

    Attributes:
        deals_as: Its index in the old epoch if it is a dealer. An old holder need not be one.
        receives_as: Its index in the new epoch, None if it has no part in that.
    """

    deals_as: PartyIndex | None
    receives_as: PartyIndex | None

    def to_bytes(self) -> bytes:
        """Two bytes, zero for None."""
        return bytes((self.deals_as or 0, self.receives_as or 0))

    @classmethod
    def from_bytes(cls, data: bytes) -> Member:
        old, new = require_size(data, 2, "a member")
        return cls(PartyIndex(old) if old else None, PartyIndex(new) if new else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The session as one member sees it: only ``place`` differs between members.

    Attributes:
        session_id: 32 bytes, never used before.
        place: This party among the members, from 1.
        members: Dealers are exactly ``key.threshold`` old holders, receivers have 1..n.
        key: The public half of the key in the epoch that is dealt from.
        chain_code: The key's, 32 bytes. It stays, as the public key does.
        predecessor: What the holders of that epoch certified of it, or a digest of that.
        to_epoch: The epoch that is made.
        threshold: Signers that the new epoch needs.
        context: Whatever else the session binds: request digest, roster. Any length.

    Raises:
        MisuseError: Any of these is not so.
    """

    session_id: bytes
    place: PartyIndex
    members: tuple[Member, ...]
    key: KeyView
    chain_code: bytes = field(repr=False)
    predecessor: bytes
    to_epoch: int
    threshold: int
    context: bytes

    def __post_init__(self) -> None:
        if len(self.session_id) != SESSION_ID_SIZE:
            raise MisuseError(f"a session id is {SESSION_ID_SIZE} bytes")
        if not 1 <= self.place <= len(self.members):
            raise MisuseError(f"place {self.place} is not among 1..{len(self.members)}")
        if Member(None, None) in self.members:
            raise MisuseError("a member neither deals nor receives")
        n = len(self.receivers)
        if sorted(self.receivers.values()) != list(range(1, n + 1)):
            raise MisuseError(f"{n} receivers have the indices 1..{n}, each one once")
        if not 2 <= self.threshold <= n <= MAX_PARTIES:
            raise MisuseError(
                f"need 2 <= threshold <= receivers <= {MAX_PARTIES}, not {self.threshold} of {n}"
            )
        old = set(self.dealers.values())
        if not len(self.dealers) == len(old) == self.key.threshold:
            raise MisuseError(f"exactly {self.key.threshold} old holders deal, each one once")
        if not old <= self.key.public_shares.keys():
            raise MisuseError("a dealer holds no share of the key")
        if not 1 <= self.to_epoch < 2 ** (8 * EPOCH_SIZE):
            raise MisuseError(f"no reshare makes epoch {self.to_epoch}")

    ###
    ### Who is who
    ###

    @property
    def group(self) -> Group:
        return self.key.group

    @property
    def own(self) -> Member:
        return self.members[self.place - 1]

    @property
    def others(self) -> tuple[PartyIndex, ...]:
        """Places of the members that a round of all waits for."""
        places = range(1, len(self.members) + 1)
        return tuple(PartyIndex(m) for m in places if m != self.place)

    @property
    def dealers(self) -> Mapping[PartyIndex, PartyIndex]:
        """Place -> index in the old epoch, by ascending place."""
        return {
            PartyIndex(m): member.deals_as
            for m, member in enumerate(self.members, start=1)
            if member.deals_as is not None
        }

    @property
    def receivers(self) -> Mapping[PartyIndex, PartyIndex]:
        """Place -> index in the new epoch, by ascending place."""
        return {
            PartyIndex(m): member.receives_as
            for m, member in enumerate(self.members, start=1)
            if member.receives_as is not None
        }

    @property
    def other_dealers(self) -> tuple[PartyIndex, ...]:
        """Places of the dealers whose round this party waits for."""
        return tuple(m for m in self.dealers if m != self.place)

    @property
    def other_receivers(self) -> tuple[PartyIndex, ...]:
        """Places of the receivers whose round this party waits for."""
        return tuple(m for m in self.receivers if m != self.place)

    def weight(self, dealer: PartyIndex) -> Scalar:
        """lambda_i of the dealer with old index ``dealer``, among all dealers."""
        return interpolating_value(self.group, self.dealers.values(), dealer)

    def require_share(self, share: KeyShare | None) -> None:
        """MisuseError unless a dealer comes with its share of this key, and others with none."""
        if share is None or self.own.deals_as is None:
            if share is not None or self.own.deals_as is not None:
                raise MisuseError("a dealer brings its share, and nobody else brings any")
        elif share.index != self.own.deals_as or share.view != self.key:
            raise MisuseError("the share is another party's, or of another key or epoch")

    ###
    ### What is hashed and stored
    ###

    @property
    def binding(self) -> bytes:
        """32 bytes in every hash: all that distinguishes this session, the same at every member.

        Told to the others as the view, because all must have the same.
        """
        return digest(tags.RESHARE_VIEW, *self._shared())

    def proof_contexts(self, dealer: PartyIndex) -> tuple[ProofContext, ...]:
        """The places of all proofs of the dealer with old index ``dealer``, by coefficient."""
        binding = self.binding
        return tuple(
            ProofContext(
                protocol=tags.PROTOCOL_RESHARE,
                session=binding,
                party=dealer,
                role=tags.ROLE_COEFFICIENT,
                index=k,
            )
            for k in range(self.threshold)
        )

    def to_bytes(self) -> bytes:
        """For the state: not a message."""
        return pack(tags.STATE_RESHARE_PARAMETERS, index_to_bytes(self.place), *self._shared())

    @classmethod
    def from_bytes(cls, data: bytes) -> Parameters:
        """From our own store: points are not checked again."""
        (
            place,
            session_id,
            members,
            key,
            chain_code,
            predecessor,
            to_epoch,
            threshold,
            context,
        ) = unpack_tagged(tags.STATE_RESHARE_PARAMETERS, 9, data)
        return cls(
            session_id=session_id,
            place=PartyIndex(*require_size(place, 1, "a place")),
            members=tuple(
                Member.from_bytes(members[at : at + 2]) for at in range(0, len(members), 2)
            ),
            key=KeyView.from_bytes(key),
            chain_code=chain_code,
            predecessor=predecessor,
            to_epoch=int.from_bytes(require_size(to_epoch, EPOCH_SIZE, "an epoch"), "big"),
            threshold=int(*require_size(threshold, 1, "a threshold")),
            context=context,
        )

    def _shared(self) -> tuple[bytes, ...]:
        return (
            self.session_id,
            b"".join(member.to_bytes() for member in self.members),
            self.key.to_bytes(),
            self.chain_code,
            self.predecessor,
            self.to_epoch.to_bytes(EPOCH_SIZE, "big"),
            index_to_bytes(self.threshold),
            self.context,
        )
