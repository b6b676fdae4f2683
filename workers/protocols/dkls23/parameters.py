"""What all signers of one batch of presignatures agree on before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from .. import tags
from ..encoding import digest, index_from_bytes, index_to_bytes, pack, unpack_tagged
from ..groups import SECP256K1, Point
from ..key_share import KeyShare
from ..ot.arithmetic import ROWS
from ..ot.extension import Shape
from ..ot.multiplication import Chunk
from ..rounds import MAX_PARTIES, MisuseError, PartyIndex

SESSION_ID_SIZE = 32

MAX_COUNT = 64
"""Presignatures of one batch: they share the base transfers and die together."""

CHUNK = 16
"""Presignatures of one multiplier answer: 640 kB, and still one message of a broker's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The session as one signer sees it: only ``index`` differs between signers.

    Attributes:
        session_id: 32 bytes, never used before.
        index: This party, one of ``signers``.
        signers: Exactly threshold parties, ascending.
        count: Presignatures to make, 1..64.
        context: Whatever else the session binds: key id, epoch, roster, request digest.

    Raises:
        MisuseError: Signers that are not 2..20 distinct indices in ascending order with ours
            among them, or a count or session id that does not fit.
    """

    session_id: bytes
    index: PartyIndex
    signers: tuple[PartyIndex, ...]
    count: int
    public_key: Point
    context: bytes

    def __post_init__(self) -> None:
        # Check 1: ids distinct and non-zero. Step 4 of the paper's Protocol 3.6 is require_share.
        if list(self.signers) != sorted(set(self.signers)) or len(self.signers) < 2:
            raise MisuseError("signers are two or more distinct indices, ascending")
        if not all(1 <= i <= MAX_PARTIES for i in self.signers):
            raise MisuseError(f"a signer's index is 1..{MAX_PARTIES}")
        if self.index not in self.signers:
            raise MisuseError(f"party {self.index} is not among the signers")
        if not 1 <= self.count <= MAX_COUNT:
            raise MisuseError(f"a batch is 1..{MAX_COUNT} presignatures, not {self.count}")
        if len(self.session_id) != SESSION_ID_SIZE:
            raise MisuseError(f"a session id is {SESSION_ID_SIZE} bytes")

    @property
    def others(self) -> tuple[PartyIndex, ...]:
        """The parties a round waits for."""
        return tuple(i for i in self.signers if i != self.index)

    @property
    def shape(self) -> Shape:
        """k = 2 for a single presignature, where time counts, 4 for a batch, where size does.

        Never 8: the trees' 2^k leaves then cost more than the columns they save.
        """
        return Shape(k=2 if self.count == 1 else 4, length=ROWS * self.count)

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """The presignatures in groups that are multiplied together."""
        starts = range(0, self.count, CHUNK)
        return tuple(Chunk(start, min(CHUNK, self.count - start)) for start in starts)

    @property
    def binding(self) -> bytes:
        """32 bytes in every hash: all that distinguishes this session, the same at every party."""
        return digest(tags.PROTOCOL_PRESIGN, *self._shared())

    def require_share(self, share: KeyShare) -> None:
        """MisuseError unless ``share`` is ours, of this key, and the signers are exactly t."""
        if share.group is not SECP256K1 or share.public_key != self.public_key:
            raise MisuseError("the share is of another key")
        if share.index != self.index or not set(self.signers) <= share.public_shares.keys():
            raise MisuseError("the share is another party's, or a signer has none")
        if len(self.signers) != share.threshold:
            raise MisuseError(f"{len(self.signers)} signers, exactly {share.threshold} needed")

    def to_bytes(self) -> bytes:
        """For the state: not a message."""
        return pack(tags.STATE_PRESIGN_PARAMETERS, index_to_bytes(self.index), *self._shared())

    @classmethod
    def from_bytes(cls, data: bytes) -> Parameters:
        """From our own store: points are not checked again."""
        index, session_id, signers, count, public_key, context = unpack_tagged(
            tags.STATE_PRESIGN_PARAMETERS, 6, data
        )
        return cls(
            session_id=session_id,
            index=index_from_bytes(index),
            signers=tuple(PartyIndex(i) for i in signers),
            count=int.from_bytes(count, "big"),
            public_key=SECP256K1.point_from_bytes_stored(public_key),
            context=context,
        )

    def _shared(self) -> tuple[bytes, ...]:
        return (
            self.session_id,
            bytes(self.signers),
            bytes([self.count]),
            self.public_key.to_bytes(),
            self.context,
        )
