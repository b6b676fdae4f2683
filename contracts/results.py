"""What producers get back: one result for each request, under its `reply_to`."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter, model_validator

from .api_keys import SignedApiKeyEntry
from .ecdsa import EcdsaSignature
from .failures import Failure
from .keys import CertifiedKey, EpochBundle, KeyFacts
from .primitives import (
    MAX_ITEMS,
    MAX_PARTIES,
    Base64,
    Contract,
    Curve,
    DerivationPath,
    Hex,
    Hex32,
    Id,
    Scheme,
    SessionId,
    Status,
    UnixMillis,
    Version,
    Versioned,
)
from .readiness import Readiness
from .statements import Statement
from .terms import ReshareTerms, SessionTerms
from .views import AccountView, ApiKeyView, EpochView, SessionEvent, SessionView

__all__ = [
    "ADAPTER",
    "DELIVERED",
    "AccountView",
    "ApiKeyView",
    "CancelResult",
    "ConfigureAccountResult",
    "Delivered",
    "EcdsaForms",
    "EpochView",
    "JoinSessionResult",
    "KeygenResult",
    "PutApiKeyResult",
    "QueryAccountsResult",
    "QueryApiKeysResult",
    "QueryKeyHistoryResult",
    "QueryKeysResult",
    "QuerySessionResult",
    "RehearseResult",
    "ReshareResult",
    "Result",
    "ResultBase",
    "RevokeApiKeyResult",
    "SessionAnnounced",
    "SessionEvent",
    "SessionResult",
    "SessionView",
    "SignResult",
    "SignedItem",
    "Status",
]


class ResultBase(Versioned):
    """What all results have."""

    version: Version = 1
    request_id: Id
    client_id: Id | None
    session_id: SessionId | None
    """None where the request began no session."""
    request_digest: Hex32
    """SHA-256 of the request's bytes as they were sent: two requests may have come under one id,
    and this answers one of them. A client believes only what answers its own."""
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
    """The key that was made, with the certificates that prove it."""

    result: Literal["keygen"] = "keygen"
    key_id: Id | None
    """None where the request's own was unusable."""
    curve: Curve | None = None
    key: CertifiedKey | None = None


class ReshareResult(ResultBase):
    """The new epoch, with all that proves it. The public key is the one that it was."""

    result: Literal["reshare"] = "reshare"
    key_id: Id | None
    """None where the request's own was unusable."""
    bundle: EpochBundle | None = None
    signs_from: UnixMillis | None = None
    """From when on the new holders are asked for signatures; before, the former ones are, so that
    none has to wait. A little later those delete their shares."""


class EcdsaForms(Contract):
    """One ECDSA signature in the forms that its users know; low s always."""

    r: Hex32
    s: Hex32
    recovery_id: int = Field(ge=0, le=3)
    """Bit 0: R has an odd y. Bit 1: R's x is not below the group's order."""
    compact: Hex
    """r || s, 64 bytes."""
    der: Hex
    """The form that Bitcoin's scripts have, without the byte for the hash type."""
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
    """One signature, and all that it takes to verify it."""

    message: Hex
    derivation_path: DerivationPath | None = None
    public_key: Hex
    """What verifies the signature: 32 bytes for ed25519 and bip340, 33 for the others. Of the
    child key where there is a path."""
    signature: Hex
    """For ecdsa it is 65 bytes, r || s || recovery id."""
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


SessionResult: TypeAlias = KeygenResult | ReshareResult | SignResult
"""What a session ends with."""


MAX_EPOCHS_SHOWN = 1_000


class CancelResult(ResultBase):
    """What became of the target here, and what its parties state of it, which alone proves that
    nothing comes of it. Of a party that is in none of the lists, the answer was another."""

    result: Literal["cancel"] = "cancel"
    target: Id | None
    target_status: Status | None = None
    """None where the coordinator has not seen the request: it will refuse it."""
    statements: list[Statement] = Field(default_factory=list, max_length=MAX_PARTIES)
    already_signed: list[Id] = Field(default_factory=list, max_length=MAX_PARTIES)
    """Parties that have committed a share or a certificate, sent or not."""
    silent: list[Id] = Field(default_factory=list, max_length=MAX_PARTIES)
    """Parties that did not answer in time."""
    epochs: list[KeyFacts] = Field(
        default_factory=list, max_length=MAX_EPOCHS_SHOWN, exclude_if=lambda epochs: not epochs
    )
    """Of the key that the cancel names, if its shares were made anew: all epochs that led to the
    newest, the first one in front. Each is named by the next one's digest of it. None where they
    are too many for one message."""


class RehearseResult(ResultBase):
    """What the parties have said: who would take part, and who would not, with the reason. Nothing
    was begun. A client verifies each answer under its party's identity."""

    result: Literal["rehearse"] = "rehearse"
    key_id: Id | None
    """None where the request's own was unusable."""
    answers: list[Readiness] = Field(default_factory=list, max_length=2 * MAX_PARTIES)
    """By party id."""
    silent: list[Id] = Field(default_factory=list, max_length=2 * MAX_PARTIES)
    """Parties that did not answer in time, in their order."""


class QueryKeysResult(ResultBase):
    """A page of keys; `more` if it is not the last one."""

    result: Literal["query_keys"] = "query_keys"
    keys: list[CertifiedKey] = Field(default_factory=list)
    more: bool = False


class QuerySessionResult(ResultBase):
    """The session as the coordinator sees it, with its result once there is one."""

    result: Literal["query_session"] = "query_session"
    session: SessionView | None = None
    outcome: Annotated[SessionResult, Field(discriminator="result")] | None = None
    """The session's own result, once it has one. None for an operator who asks for somebody
    else's session."""
    request: Base64 | None = None
    """The bytes of the request that began it."""
    request_signature: Base64 | None = None
    """By which its client knows them for its own."""
    terms: SessionTerms | ReshareTerms | None = None
    """Of the session by the id that it was asked for: they give that id, and name the request."""


class QueryKeyHistoryResult(ResultBase):
    """A page of a key's epochs, the newest first; `more` if epoch 0 is not on it."""

    result: Literal["query_key_history"] = "query_key_history"
    key: CertifiedKey | None = None
    """The newest epoch, on whichever page: each epoch's facts name those of the one before."""
    epochs: list[EpochView] = Field(default_factory=list)
    more: bool = False


class JoinSessionResult(ResultBase):
    """The session after a party was joined to it."""

    result: Literal["join_session"] = "join_session"
    party_id: Id | None = None
    """Who has joined by it."""
    session: SessionView | None = None


class QueryAccountsResult(ResultBase):
    """A page of accounts; `more` if it is not the last one."""

    result: Literal["query_accounts"] = "query_accounts"
    accounts: list[AccountView] = Field(default_factory=list)
    more: bool = False


class ConfigureAccountResult(ResultBase):
    """The account as it is configured now."""

    result: Literal["configure_account"] = "configure_account"
    account: AccountView | None = None


class PutApiKeyResult(ResultBase):
    """The entry stands in the chain."""

    result: Literal["put_api_key"] = "put_api_key"
    number: int | None = None
    """Of the entry."""


class RevokeApiKeyResult(ResultBase):
    """The entry that revokes stands in the chain."""

    result: Literal["revoke_api_key"] = "revoke_api_key"
    number: int | None = None
    """Of the entry."""


class QueryApiKeysResult(ResultBase):
    """A page of the chain; `more` if it is not the last one."""

    result: Literal["query_api_keys"] = "query_api_keys"
    entries: list[SignedApiKeyEntry] = Field(default_factory=list)
    after: int = 0
    """The request's own."""
    highest: int = 0
    """The number of the chain's last entry, as far as the coordinator knows."""
    more: bool = False
    unsigned: list[ApiKeyView] = Field(default_factory=list)
    """API keys from before there was an authority, if they were asked for: at most 500, those for
    which no authority has signed an entry since."""


Result = Annotated[
    KeygenResult
    | ReshareResult
    | SignResult
    | CancelResult
    | RehearseResult
    | QueryKeysResult
    | QuerySessionResult
    | QueryKeyHistoryResult
    | JoinSessionResult
    | QueryAccountsResult
    | ConfigureAccountResult
    | PutApiKeyResult
    | RevokeApiKeyResult
    | QueryApiKeysResult,
    Field(discriminator="result"),
]
ADAPTER: TypeAdapter[Result] = TypeAdapter(Result)


class SessionAnnounced(Versioned):
    """That a request with `announce` has a session. Not its result, which is still to come; comes
    again, the same, when the request does."""

    result: Literal["session_announced"] = "session_announced"
    version: Version = 1
    request_id: Id
    client_id: Id | None
    session_id: SessionId
    request_digest: Hex32
    """As in `ResultBase`."""
    terms: SessionTerms | ReshareTerms
    """They give the session's id, and name the request: no other one has this id."""
    deadline: UnixMillis
    parties: list[Id]
    join_tokens: dict[Id, Hex32] = Field(repr=False)
    """Party -> what lets it be joined once, by whoever shows it."""
    session_token: Hex32 = Field(repr=False)
    """What lets each party be joined once."""


Delivered = Annotated[
    Result | SessionAnnounced,
    Field(discriminator="result"),
]
DELIVERED: TypeAdapter[Delivered] = TypeAdapter(Delivered)
"""Whatever comes to a client's queue."""
