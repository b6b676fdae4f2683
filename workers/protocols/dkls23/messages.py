"""What signers send each other while they make presignatures. Sizes are fixed by the parameters.

A ``ValueError`` from ``from_bytes`` on authenticated bytes is a fault of their sender. All direct
messages are sealed: each holds what only its two parties may know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .. import tags
from ..encoding import digest, index_to_bytes, require_size
from ..groups import SECP256K1, Point, Scalar
from ..ot import multiplication
from ..ot.base import PAIRS_SIZE, Pairs
from ..ot.pprf import correction_size
from ..rounds import PartyIndex
from ..zero_shares import CONTRIBUTION_SIZE
from .parameters import Parameters

DIGEST_SIZE = 32
SCALAR_SIZE = SECP256K1.scalar_size
POINT_SIZE = SECP256K1.point_size


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """Round 0, direct. 8,545 bytes.

    Attributes:
        view: The sender's ``Parameters.binding``: session, signers, count, key, context.
        contribution: To the seed of the pair's shares of zero. Secret, 32 bytes.
        sender_point: Of the base transfers that the message's sender sends.
        receiver_points: Of those that it receives.
    """

    view: bytes
    contribution: bytes = field(repr=False)
    sender_point: Point = field(repr=False)
    receiver_points: Pairs = field(repr=False)

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> SetUp:
        """Raises ValueError unless sizes fit and points are of the curve."""
        widths = [DIGEST_SIZE, CONTRIBUTION_SIZE, POINT_SIZE, PAIRS_SIZE]
        view, contribution, sent, received = _cut(data, widths, "a set-up")
        return cls(
            view=view,
            contribution=contribution,
            sender_point=SECP256K1.point_from_bytes_checked(sent),
            receiver_points=Pairs.from_bytes(received),
        )

    def to_bytes(self) -> bytes:
        sent, received = self.sender_point.to_bytes(), self.receiver_points.to_bytes()
        return self.view + self.contribution + sent + received

    def digest(self) -> bytes:
        """What the echo of later rounds compares."""
        return digest(tags.PRESIGN_MESSAGE, self.to_bytes())


@dataclass(frozen=True, slots=True)
class Commitment:
    """Round 1, broadcast. 32 bytes: the hash of the points R_i that round 2 opens."""

    digest: bytes

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> Commitment:
        """Raises ValueError unless it is 32 bytes."""
        return cls(require_size(data, DIGEST_SIZE, "a commitment"))

    @classmethod
    def to_points(
        cls, parameters: Parameters, party: PartyIndex, points: Iterable[Point], salt: bytes
    ) -> Commitment:
        """What ``party`` must have sent to open it like this."""
        enc = b"".join(point.to_bytes() for point in points)
        where = parameters.binding, index_to_bytes(party)
        return cls(digest(tags.PRESIGN_COMMITMENT, *where, enc, salt))

    def to_bytes(self) -> bytes:
        return self.digest


@dataclass(frozen=True, slots=True)
class Extension:
    """Round 1, direct. 16.7 kB for one presignature, 37.5 kB for 16: trees, then the matrix.

    Attributes:
        echo: Digest of what the pair said in round 0, as the sender saw it.
        correction: Lets the other side follow our trees.
        matrix: The OT extension's message, our fresh nonce first.
    """

    echo: bytes
    correction: bytes = field(repr=False)
    matrix: bytes = field(repr=False)

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> Extension:
        """Raises ValueError unless it has the one size that the parameters allow."""
        shape = parameters.shape
        widths = [DIGEST_SIZE, correction_size(shape.k), shape.message_size]
        return cls(*_cut(data, widths, "an extension"))

    def to_bytes(self) -> bytes:
        return self.echo + self.correction + self.matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Round 2, direct. 40 kB for each presignature.

    Attributes:
        echo: Digest of all round-1 broadcasts, and of the pair's direct messages in round 1.
        salt: Of the sender's commitment.
        points: R_i of each presignature, committed to in round 1.
        public_shares: pk_i of each presignature.
        gammas: Gamma^u and Gamma^v of each presignature, the images of our shares c.
        psis: psi_ij = phi_i - chi_ij of each presignature. Secret to the pair.
        products: The multiplier's answers, one for each chunk.
    """

    echo: bytes
    salt: bytes = field(repr=False)
    points: tuple[Point, ...]
    public_shares: tuple[Point, ...]
    gammas: tuple[tuple[Point, Point], ...]
    psis: tuple[Scalar, ...]
    products: tuple[multiplication.Answer, ...] = field(repr=False)

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> Answer:
        """Raises ValueError unless sizes fit, points are of the curve and scalars reduced."""
        n, chunks = parameters.count, parameters.chunks
        widths = [DIGEST_SIZE, DIGEST_SIZE, n * POINT_SIZE, n * POINT_SIZE]
        widths += [2 * n * POINT_SIZE, n * SCALAR_SIZE]
        widths += [chunk.message_size for chunk in chunks]
        echo, salt, points, shares, gammas, psis, *products = _cut(data, widths, "an answer")
        pairs = _points(gammas)
        return cls(
            echo=echo,
            salt=salt,
            points=_points(points),
            public_shares=_points(shares),
            gammas=tuple(zip(pairs[0::2], pairs[1::2], strict=True)),
            psis=tuple(
                SECP256K1.scalar_from_bytes_checked(psis[at : at + SCALAR_SIZE])
                for at in range(0, len(psis), SCALAR_SIZE)
            ),
            products=tuple(
                multiplication.Answer.from_bytes(chunk, part)
                for chunk, part in zip(chunks, products, strict=True)
            ),
        )

    @classmethod
    def from_parts(cls, parameters: Parameters, parts: Iterable[bytes]) -> Answer:
        """Undo ``to_parts``. ValueError as ``from_bytes``."""
        return cls.from_bytes(parameters, b"".join(parts))

    def to_bytes(self) -> bytes:
        """All parts in one."""
        return b"".join(self.to_parts())

    def to_parts(self) -> tuple[bytes, ...]:
        """The same bytes in pieces of at most 651 kB, one for each chunk."""
        points = (*self.points, *self.public_shares, *(g for pair in self.gammas for g in pair))
        enc = b"".join(point.to_bytes() for point in points)
        head = self.echo + self.salt + enc + b"".join(psi.to_bytes() for psi in self.psis)
        first, *rest = (part.to_bytes() for part in self.products)
        return head + first, *rest


def _points(data: bytes) -> tuple[Point, ...]:
    places = range(0, len(data), POINT_SIZE)
    return tuple(SECP256K1.point_from_bytes_checked(data[at : at + POINT_SIZE]) for at in places)


def _cut(data: bytes, widths: list[int], what: str) -> list[bytes]:
    """Check 1: the length equals the expected one before any loop."""
    require_size(data, sum(widths), what)
    parts = []
    at = 0
    for width in widths:
        parts.append(data[at : at + width])
        at += width
    return parts
