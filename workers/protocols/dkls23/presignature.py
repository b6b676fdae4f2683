"""What a batch leaves behind: all but the message. A presignature signs once, whatever happens."""

from __future__ import annotations

from dataclasses import dataclass

from .. import tags
from ..encoding import index_from_bytes, index_to_bytes, pack, unpack_tagged
from ..groups import SECP256K1, Point, Scalar
from ..rounds import PartyIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignatureView:
    """The public half, the same at all signers and enough to combine.

    Attributes:
        session_id: Of the batch.
        position: Place in the batch, from 0.
        signers: Exactly these sign with it, ascending.
        r: R, before it is re-randomised.
    """

    session_id: bytes
    position: int
    signers: tuple[PartyIndex, ...]
    public_key: Point
    r: Point

    def to_bytes(self) -> bytes:
        """Public."""
        return pack(
            tags.STATE_PRESIGNATURE_VIEW,
            self.session_id,
            bytes([self.position]),
            bytes(self.signers),
            self.public_key.to_bytes(),
            self.r.to_bytes(),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> PresignatureView:
        """Read back what ``to_bytes`` stored; points are not checked again."""
        session_id, position, signers, public_key, r = unpack_tagged(
            tags.STATE_PRESIGNATURE_VIEW, 5, data
        )
        return cls(
            session_id=session_id,
            position=int.from_bytes(position, "big"),
            signers=tuple(PartyIndex(i) for i in signers),
            public_key=SECP256K1.point_from_bytes_stored(public_key),
            r=SECP256K1.point_from_bytes_stored(r),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Presignature:
    """One signer's part. Two answers from it reveal the key: taking deletes.

    Attributes:
        index: Whose it is.
        phi: phi_i. Secret.
        u: u_i, a share of phi * r. Secret.
        v: v_i, a share of phi * sk. Secret.
    """

    view: PresignatureView
    index: PartyIndex
    phi: Scalar
    u: Scalar
    v: Scalar

    def to_bytes(self) -> bytes:
        """Holds secrets: seal it."""
        return pack(
            tags.STATE_PRESIGNATURE,
            self.view.to_bytes(),
            index_to_bytes(self.index),
            self.phi.to_bytes(),
            self.u.to_bytes(),
            self.v.to_bytes(),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Presignature:
        """From our own store, once opened."""
        view, index, *scalars = unpack_tagged(tags.STATE_PRESIGNATURE, 5, data)
        phi, u, v = map(SECP256K1.scalar_from_bytes_checked, scalars)
        return cls(
            view=PresignatureView.from_bytes(view),
            index=index_from_bytes(index),
            phi=phi,
            u=u,
            v=v,
        )
