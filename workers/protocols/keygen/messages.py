"""What parties send each other while they make a key. All sizes are fixed by the parameters.

A ``ValueError`` from ``from_bytes`` on authenticated bytes is a fault of their sender.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .. import tags
from ..encoding import cut, digest, index_to_bytes, require_size
from ..groups import Scalar
from ..polynomial import Vector
from ..proofs import Proof, proof_size
from ..rounds import PartyIndex
from .parameters import Parameters

DIGEST_SIZE = 32


@dataclass(frozen=True, slots=True)
class Commitment:
    """Round 1, broadcast. 64 bytes.

    Attributes:
        view: The sender's ``Parameters.view``: group, session, sizes, context.
        digest: Hash of the opening that follows.
    """

    view: bytes
    digest: bytes

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> Commitment:
        require_size(data, 2 * DIGEST_SIZE, "a commitment")
        return cls(data[:DIGEST_SIZE], data[DIGEST_SIZE:])

    def to_bytes(self) -> bytes:
        return self.view + self.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Round 2, broadcast. t points, t proofs, chain-code share and salt of 32 bytes each.

    Attributes:
        vector: Feldman commitments A_0 .. A_(t-1).
        proofs: One proof of knowledge for every coefficient, not only for A_0.
        chain_share: This party's part of the chain code.
        salt: Keeps the commitment hiding, whatever can be guessed about the rest.
    """

    vector: Vector
    proofs: tuple[Proof, ...]
    chain_share: bytes = field(repr=False)
    salt: bytes = field(repr=False)

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> Opening:
        group, t = parameters.group, parameters.threshold
        widths = [group.point_size] * t + [proof_size(group)] * t + [DIGEST_SIZE] * 2
        require_size(data, sum(widths), "an opening")
        parts = cut(data, widths)
        return cls(
            vector=tuple(group.point_from_bytes_checked(part) for part in parts[:t]),
            proofs=tuple(Proof.from_bytes(group, part) for part in parts[t : 2 * t]),
            chain_share=parts[2 * t],
            salt=parts[2 * t + 1],
        )

    def to_bytes(self) -> bytes:
        points = [a_k.to_bytes() for a_k in self.vector]
        proofs = [proof.to_bytes() for proof in self.proofs]
        return b"".join([*points, *proofs, self.chain_share, self.salt])

    def commitment(self, parameters: Parameters, dealer: PartyIndex) -> Commitment:
        """The round-1 message that ``dealer`` must have sent to open it like this."""
        return Commitment(
            parameters.view,
            digest(
                tags.KEYGEN_COMMITMENT,
                parameters.binding,
                index_to_bytes(dealer),
                self.to_bytes(),
            ),
        )


@dataclass(frozen=True, slots=True)
class Share:
    """Round 3, direct and sealed. A scalar and 32 bytes.

    Attributes:
        value: f_i(j), secret.
        echo: Digest of all round-1 and round-2 broadcasts as the sender saw them.
    """

    value: Scalar
    echo: bytes

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> Share:
        width = parameters.group.scalar_size
        require_size(data, width + DIGEST_SIZE, "a share")
        return cls(parameters.group.scalar_from_bytes_checked(data[:width]), data[width:])

    def to_bytes(self) -> bytes:
        return self.value.to_bytes() + self.echo
