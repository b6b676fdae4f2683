"""What producers get back: one result for each request, under its `reply_to`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from .ecdsa import EcdsaSignature
from .failures import Failure
from .keys import CertifiedKey
from .primitives import (
    MAX_ITEMS,
    Contract,
    Curve,
    DerivationPath,
    Hex,
    Hex32,
    Id,
    Scheme,
    SessionId,
    UnixMillis,
)


class Status(StrEnum):
    """Of a session; the last four are final."""

    WAITING = "waiting"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self not in {Status.WAITING, Status.IN_PROGRESS}


class SessionEvent(Contract):
    """One line of a session's append-only history."""

    sequence: int
    at: UnixMillis
    event: str
    party_id: Id | None
    details: dict[str, Any]


class SessionView(Contract):
    session_id: SessionId
    request_id: Id
    operation: str
    key_id: Id
    status: Status
    deadline: UnixMillis
    parties: list[Id]
    events: list[SessionEvent]


class ResultBase(Contract):
    version: Literal[1] = 1
    request_id: Id
    client_id: Id | None
    session_id: SessionId | None
    """None where the request began no session."""
    status: Status
    failure: Failure | None = None
    """Set unless the status is completed."""
    finished_at: UnixMillis

    @model_validator(mode="after")
    def _failure(self) -> ResultBase:
        if not self.status.final:
            raise ValueError(f"a result cannot be {self.status}")
        if (self.failure is None) != (self.status is Status.COMPLETED):
            raise ValueError("a result has a failure unless it is completed")
        return self


class KeygenResult(ResultBase):
    result: Literal["keygen"] = "keygen"
    key_id: Id | None
    """None where the request's own was unusable."""
    curve: Curve | None = None
    key: CertifiedKey | None = None


class EcdsaForms(Contract):
    """One ECDSA signature in the forms that its users know; low s always."""

    r: Hex32
    s: Hex32
    recovery_id: int = Field(ge=0, le=3)
    """Bit 0: R has an odd y. Bit 1: R's x is not below the group's order."""
    compact: Hex
    """r || s, 64 bytes."""
    der: Hex
    """As Bitcoin's scripts have it, without the byte for the hash type."""
    ethereum: Hex | None
    """r || s || 27 + recovery_id, 65 bytes; None for the recovery ids that Ethereum lacks."""

    @classmethod
    def of(cls, signature: bytes) -> EcdsaForms:
        """Arguments: signature: 65 bytes, r || s || recovery_id. Raises ContractError."""
        parsed = EcdsaSignature.from_bytes(signature)
        return cls(
            r=signature[:32],
            s=signature[32:64],
            recovery_id=parsed.recovery_id,
            compact=parsed.compact,
            der=parsed.der,
            ethereum=parsed.ethereum if parsed.recovery_id < 2 else None,
        )


class SignedItem(Contract):
    message: Hex
    derivation_path: DerivationPath | None = None
    public_key: Hex
    """What verifies the signature: 32 bytes for ed25519 and bip340, 33 for the others. Of the
    child key where there is a path."""
    signature: Hex
    """For ecdsa 65 bytes: r || s || recovery id."""
    ecdsa: EcdsaForms | None = None


class SignResult(ResultBase):
    """A single message's signature stands in the result itself, those of a list in `items`."""

    result: Literal["sign"] = "sign"
    key_id: Id | None
    scheme: Scheme | None = None
    message: Hex | None = None
    derivation_path: DerivationPath | None = None
    public_key: Hex | None = None
    """As in `SignedItem`."""
    taproot_merkle_root: Hex | None = None
    """As in the request: without it nobody can tell whose output key `public_key` is."""
    signature: Hex | None = None
    """As in `SignedItem`."""
    ecdsa: EcdsaForms | None = None
    items: list[SignedItem] | None = Field(default=None, max_length=MAX_ITEMS)
    """One for each of the request's items, in their order."""
    signers: list[Id] = Field(default_factory=list)

    @property
    def signed(self) -> tuple[SignedItem, ...]:
        """All signatures, in whichever form they were asked for; none unless completed."""
        if self.items is not None:
            return tuple(self.items)
        if self.message is None or self.public_key is None or self.signature is None:
            return ()
        return (
            SignedItem(
                message=self.message,
                derivation_path=self.derivation_path,
                public_key=self.public_key,
                signature=self.signature,
                ecdsa=self.ecdsa,
            ),
        )


class CancelResult(ResultBase):
    """Completed when the target is over; `target_status` says how it ended."""

    result: Literal["cancel"] = "cancel"
    target: Id | None
    target_status: Status | None = None


class QueryKeysResult(ResultBase):
    result: Literal["query_keys"] = "query_keys"
    keys: list[CertifiedKey] = Field(default_factory=list)


class QuerySessionResult(ResultBase):
    result: Literal["query_session"] = "query_session"
    session: SessionView | None = None


Result = Annotated[
    KeygenResult | SignResult | CancelResult | QueryKeysResult | QuerySessionResult,
    Field(discriminator="result"),
]
ADAPTER: TypeAdapter[Result] = TypeAdapter(Result)


def failed_result(
    operation: str,
    failure: Failure,
    *,
    request_id: str,
    client_id: str | None,
    finished_at: int,
    status: Status = Status.FAILED,
    session_id: bytes | None = None,
    key_id: str | None = None,
    target: str | None = None,
) -> Result:
    """The result that tells of a failure, in the shape that the operation's results have."""
    base: dict[str, Any] = {
        "request_id": request_id,
        "client_id": client_id,
        "session_id": session_id,
        "status": status,
        "failure": failure,
        "finished_at": finished_at,
    }
    match operation:
        case "keygen":
            return KeygenResult(**base, key_id=key_id)
        case "sign":
            return SignResult(**base, key_id=key_id)
        case "cancel":
            return CancelResult(**base, target=target)
        case "query_keys":
            return QueryKeysResult(**base)
        case "query_session":
            return QuerySessionResult(**base)
    raise ValueError(f"no such operation: {operation}")
