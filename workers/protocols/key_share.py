"""What key generation leaves behind: a party's share, and what the world may know of the key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import tags
from .encoding import (
    index_from_bytes,
    index_to_bytes,
    pack,
    points_to_bytes,
    stored_points_from_bytes,
    unpack_tagged,
)
from .groups import Group, Point, Scalar, group_by_name
from .rounds import PartyIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """The public half of a key, enough to combine and check signatures.

    Attributes:
        threshold: Signers needed, t of n; the polynomial has degree t - 1.
        public_shares: secret_share * G of all n parties.
    """

    group: Group
    threshold: int
    public_shares: Mapping[PartyIndex, Point]
    public_key: Point

    def to_bytes(self) -> bytes:
        return pack(
            tags.STATE_KEY_VIEW,
            self.group.name.encode(),
            index_to_bytes(self.threshold),
            points_to_bytes(self.public_shares),
            self.public_key.to_bytes(),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> KeyView:
        """Read back what ``to_bytes`` stored; points are not checked again."""
        name, threshold, points, public_key = unpack_tagged(tags.STATE_KEY_VIEW, 4, data)
        group = group_by_name(name.decode())
        return cls(
            group=group,
            threshold=index_from_bytes(threshold),
            public_shares=stored_points_from_bytes(group, points),
            public_key=group.point_from_bytes_stored(public_key),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyShare:
    """All that one party keeps of a key. Serves Schnorr and ECDSA alike.

    Attributes:
        index: This party, 1..n.
        secret_share: f(index). Secret.
        chain_code: 32 bytes, for derivation; the same at all parties.
    """

    group: Group
    index: PartyIndex
    threshold: int
    secret_share: Scalar
    public_shares: Mapping[PartyIndex, Point]
    public_key: Point
    chain_code: bytes = field(repr=False)

    @property
    def view(self) -> KeyView:
        """The share without its secret."""
        return KeyView(
            group=self.group,
            threshold=self.threshold,
            public_shares=self.public_shares,
            public_key=self.public_key,
        )

    def to_bytes(self) -> bytes:
        """Everything, the secret included: seal it."""
        return pack(
            tags.STATE_KEY_SHARE,
            self.view.to_bytes(),
            index_to_bytes(self.index),
            self.secret_share.to_bytes(),
            self.chain_code,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> KeyShare:
        """Read back what ``to_bytes`` stored; points are not checked again."""
        packed, index, secret_share, chain_code = unpack_tagged(tags.STATE_KEY_SHARE, 4, data)
        view = KeyView.from_bytes(packed)
        return cls(
            group=view.group,
            index=index_from_bytes(index),
            threshold=view.threshold,
            secret_share=view.group.scalar_from_bytes_checked(secret_share),
            public_shares=view.public_shares,
            public_key=view.public_key,
            chain_code=chain_code,
        )
