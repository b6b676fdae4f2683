"""What members send each other while they make an epoch. All sizes follow from the parameters.

A ``ValueError`` from ``from_bytes`` on authenticated bytes is a fault of their sender. Of a
``Share``, which only its receiver can read, it is a dispute between the two.
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
    """Round 1, broadcast by all. 64 bytes of a dealer, 32 of anybody else.

    Attributes:
        view: The sender's ``Parameters.binding``: everything that the members agree on.
        digest: Hash of the opening that follows. Empty if none does.
    """

    view: bytes
    digest: bytes

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> Commitment:
        if len(data) != DIGEST_SIZE:
            require_size(data, 2 * DIGEST_SIZE, "a dealer's commitment")
        return cls(data[:DIGEST_SIZE], data[DIGEST_SIZE:])

    def to_bytes(self) -> bytes:
        return self.view + self.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Round 2, broadcast by dealers. t points, t proofs and 32 bytes, t of the new epoch.

    Attributes:
        vector: Feldman commitments A_0 .. A_(t-1), A_0 to the weighted old share.
        proofs: One proof of knowledge for every coefficient.
        salt: Keeps the commitment hiding, whatever can be guessed about the rest.
    """

    vector: Vector
    proofs: tuple[Proof, ...]
    salt: bytes = field(repr=False)

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> Opening:
        group, t = parameters.group, parameters.threshold
        widths = [group.point_size] * t + [proof_size(group)] * t + [DIGEST_SIZE]
        require_size(data, sum(widths), "an opening")
        parts = cut(data, widths)
        return cls(
            vector=tuple(group.point_from_bytes_checked(part) for part in parts[:t]),
            proofs=tuple(Proof.from_bytes(group, part) for part in parts[t : 2 * t]),
            salt=parts[2 * t],
        )

    def to_bytes(self) -> bytes:
        points = [a_k.to_bytes() for a_k in self.vector]
        proofs = [proof.to_bytes() for proof in self.proofs]
        return b"".join([*points, *proofs, self.salt])

    def commitment(self, parameters: Parameters, dealer: PartyIndex) -> Commitment:
        """The round-1 message that the dealer with old index ``dealer`` must have sent."""
        binding = parameters.binding
        committed = digest(
            tags.RESHARE_COMMITMENT, binding, index_to_bytes(dealer), self.to_bytes()
        )
        return Commitment(binding, committed)


@dataclass(frozen=True, slots=True)
class Echo:
    """Round 3, broadcast by all. 32 bytes.

    Attributes:
        digest: Of all that was broadcast in rounds 1 and 2, as the sender saw it.
    """

    digest: bytes

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> Echo:
        return cls(require_size(data, DIGEST_SIZE, "an echo"))

    def to_bytes(self) -> bytes:
        return self.digest


@dataclass(frozen=True, slots=True)
class Share:
    """Round 4, direct and sealed, from each dealer to each receiver. A scalar.

    Attributes:
        value: f_i(j), secret.
    """

    value: Scalar

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> Share:
        return cls(parameters.group.scalar_from_bytes_checked(data))

    def to_bytes(self) -> bytes:
        return self.value.to_bytes()


@dataclass(frozen=True, slots=True)
class Possession:
    """Round 5, broadcast by receivers beside their certificates. A proof.

    Attributes:
        proof: Of knowledge of the sender's new share, for the facts that it certifies.
    """

    proof: Proof

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> Possession:
        return cls(Proof.from_bytes(parameters.group, data))

    def to_bytes(self) -> bytes:
        return self.proof.to_bytes()
