"""What all parties of one key generation agree on before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from .. import tags
from ..encoding import digest, index_from_bytes, index_to_bytes, pack, unpack_tagged
from ..groups import Group, group_by_name
from ..proofs import ProofContext
from ..rounds import MAX_PARTIES, MisuseError, PartyIndex

SESSION_ID_SIZE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The session as one party sees it: only ``index`` differs between parties.

    Attributes:
        session_id: 32 bytes, never used before.
        index: This party, 1..party_count.
        threshold: Signers needed, t of n.
        context: Whatever else the session binds: roster, request digest, key id. Any length.

    Raises:
        MisuseError: Not 2 <= threshold <= party_count <= 20, or an index or session id that
            does not fit.
    """

    group: Group
    session_id: bytes
    index: PartyIndex
    threshold: int
    party_count: int
    context: bytes

    def __post_init__(self) -> None:
        if not 2 <= self.threshold <= self.party_count <= MAX_PARTIES:
            raise MisuseError(
                f"need 2 <= threshold <= party_count <= {MAX_PARTIES}, "
                f"not {self.threshold} of {self.party_count}"
            )
        if not 1 <= self.index <= self.party_count:
            raise MisuseError(f"party {self.index} is not among 1..{self.party_count}")
        if len(self.session_id) != SESSION_ID_SIZE:
            raise MisuseError(f"a session id is {SESSION_ID_SIZE} bytes")

    @property
    def parties(self) -> tuple[PartyIndex, ...]:
        """All parties, ascending."""
        return tuple(PartyIndex(i) for i in range(1, self.party_count + 1))

    @property
    def others(self) -> tuple[PartyIndex, ...]:
        """The parties a round waits for."""
        return tuple(i for i in self.parties if i != self.index)

    @property
    def binding(self) -> bytes:
        """Goes into every hash: all that distinguishes this session, the same at every party."""
        return pack(
            tags.PROTOCOL_KEYGEN,
            self.group.name.encode(),
            self.session_id,
            index_to_bytes(self.threshold),
            index_to_bytes(self.party_count),
            self.context,
        )

    @property
    def view(self) -> bytes:
        """32 bytes that tell ``binding`` to the other parties, who must have the same."""
        return digest(tags.KEYGEN_VIEW, self.binding)

    def proof_context(self, dealer: PartyIndex, k: int) -> ProofContext:
        """The place of ``dealer``'s proof for coefficient k."""
        return ProofContext(
            protocol=tags.PROTOCOL_KEYGEN,
            session=self.binding,
            party=dealer,
            role=tags.ROLE_COEFFICIENT,
            index=k,
        )

    def proof_contexts(self, dealer: PartyIndex) -> tuple[ProofContext, ...]:
        """The places of all ``dealer``'s proofs, in the order of the coefficients."""
        return tuple(self.proof_context(dealer, k) for k in range(self.threshold))

    def to_bytes(self) -> bytes:
        return pack(
            tags.STATE_KEYGEN_PARAMETERS,
            self.group.name.encode(),
            self.session_id,
            index_to_bytes(self.index),
            index_to_bytes(self.threshold),
            index_to_bytes(self.party_count),
            self.context,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Parameters:
        name, session_id, index, threshold, party_count, context = unpack_tagged(
            tags.STATE_KEYGEN_PARAMETERS, 6, data
        )
        return cls(
            group=group_by_name(name.decode()),
            session_id=session_id,
            index=index_from_bytes(index),
            threshold=index_from_bytes(threshold),
            party_count=index_from_bytes(party_count),
            context=context,
        )
