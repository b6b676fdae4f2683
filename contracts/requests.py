"""What producers ask for.

A request's body is JSON and holds everything; its signature stands beside it in the header
``signature`` and covers the body bytes as sent (see `signing`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from .api_keys import Action, SignedApiKeyEntry
from .keys import check_schemes
from .primitives import (
    MAX_ITEMS,
    MAX_MESSAGE_BYTES,
    MAX_PARTIES,
    Base64,
    Contract,
    Curve,
    DeleteAfter,
    DerivationPath,
    Hex,
    Hex32,
    Id,
    Owner,
    Scheme,
    SessionId,
    UnixMillis,
    Version,
    Versioned,
    Words,
)

MAX_LIFETIME_MS = 600_000
"""From issued_at to expires_at. A party remembers sessions for longer than any request lives, so
that none can be begun a second time."""

MAX_TRIES = 3
"""Sessions for one request. Each may use up presignatures; no party answers it in more."""

MAX_RESHARE_TRIES = 8
MAX_EPOCHS_AHEAD = 64

MAX_JOIN_WINDOW_MS = 10_000


class RequestBase(Versioned):
    """What all requests have."""

    version: Version = 1
    request_id: Id
    """Idempotency key: the same id with the same bytes is the same request."""
    client_id: Id | None
    """None for producers of the old kind, which share one result queue."""
    signer: Base64
    """The client's public key, DER SubjectPublicKeyInfo."""
    issued_at: UnixMillis
    expires_at: UnixMillis
    """Also the session's deadline, unless a party's own limit is nearer."""
    reply_to: str
    """Routing key of the result; must be the one that `addresses.result_key` gives."""
    tenant: Id | None = None
    """Whom a client that serves many asks for. Each tenant's keys, accounts, sessions and request
    ids are a world of their own."""
    reference: Words | None = None
    """The client's own words; shown with the session."""
    salt: Id | None = None
    """Anything new: it makes the same wish, asked twice in one millisecond, two requests, of which
    the second is refused as a conflict."""

    @property
    def owner(self) -> str:
        """Whose keys and sessions these are, as `Owner.name`."""
        return self.owned_by.name

    @property
    def owned_by(self) -> Owner:
        return Owner(client_id=self.client_id, tenant=self.tenant)

    @model_validator(mode="after")
    def _lifetime(self) -> RequestBase:
        if not 0 < self.expires_at - self.issued_at <= MAX_LIFETIME_MS:
            raise ValueError(
                f"expires_at must be later than issued_at by at most {MAX_LIFETIME_MS} ms"
            )
        return self


class KeygenRequest(RequestBase):
    """Make a key of which any `threshold` of `party_count` parties sign."""

    operation: Literal["keygen"] = "keygen"
    key_id: Id
    """New among this client's keys."""
    curve: Curve
    threshold: int = Field(ge=2, le=MAX_PARTIES)
    party_count: int = Field(ge=2, le=MAX_PARTIES)
    parties: list[Id] | None = None
    """Who shall hold the shares; None lets the coordinator choose."""
    schemes: list[Scheme] | None = None
    """What the key may serve, in alphabetical order, and nothing else for ever. None: all that its
    curve has."""
    user_id: Words | None = None
    """Makes an account of the key: whose it is, in the client's words."""
    announce: bool = False
    """Tell of the session as soon as it exists, by a `SessionAnnounced` before the result."""
    join_window_ms: int | None = Field(default=None, ge=1, le=MAX_JOIN_WINDOW_MS)
    """Begin when every party was joined (see `JoinSessionRequest`), or else after so long. None:
    at once."""

    @model_validator(mode="after")
    def _parties(self) -> KeygenRequest:
        if self.threshold > self.party_count:
            raise ValueError(
                f"threshold {self.threshold} is more than party_count {self.party_count}"
            )
        if self.parties is not None:
            if len(set(self.parties)) != len(self.parties):
                raise ValueError("parties names a party twice")
            if len(self.parties) != self.party_count:
                raise ValueError(
                    f"parties names {len(self.parties)} of party_count {self.party_count}"
                )
        check_schemes(self.curve, self.schemes)
        return self


class ReshareRequest(RequestBase):
    """Give a key other shares: the same parties, or others, or another threshold. The public key
    stays. At most one epoch of those that it allows ever becomes active.
    """

    operation: Literal["reshare"] = "reshare"
    key_id: Id
    public_key: Hex
    """The key's, compressed: an id alone could come to mean another key."""
    from_epoch: int = Field(ge=0, lt=2**32)
    """The one that is active, whose shares are dealt."""
    first_epoch: int = Field(ge=1, lt=2**32)
    """Of the first try; each further one has the next. Above every epoch that was begun before."""
    tries: int = Field(default=1, ge=1, le=MAX_RESHARE_TRIES)
    threshold: int = Field(ge=2, le=MAX_PARTIES)
    parties: list[Id] = Field(min_length=2, max_length=MAX_PARTIES)
    """Who shall hold the new shares."""
    dealers: list[Id] | None = Field(default=None, min_length=2, max_length=MAX_PARTIES)
    """Who shall deal, as many as the old threshold. None lets the coordinator choose."""
    delete_after: DeleteAfter = Field(
        default=DeleteAfter.BACKED_UP, exclude_if=lambda after: after is DeleteAfter.BACKED_UP
    )
    """Left out for `backed_up`: so those read it who do not know the field."""
    announce: bool = False
    """As in `KeygenRequest`. All tries go by the session that is announced."""
    join_window_ms: int | None = Field(default=None, ge=1, le=MAX_JOIN_WINDOW_MS)
    """As in `KeygenRequest`, of the first try; dealers and receivers are joined."""

    @property
    def party_count(self) -> int:
        """How many shall hold the new shares."""
        return len(self.parties)

    @property
    def epochs(self) -> range:
        """Those that may be made."""
        return range(self.first_epoch, self.first_epoch + self.tries)

    @model_validator(mode="after")
    def _form(self) -> ReshareRequest:
        _check_new_shares(self)
        return self


class RehearseRequest(RequestBase):
    """Ask the parties whether they would take part in a reshare, without beginning one: nothing of
    the key changes, and no number of an epoch is used up. What is asked for has fields as in
    `ReshareRequest`; whoever may ask for that may ask for this. It is no such request, and nobody
    can make one of it.
    """

    operation: Literal["rehearse"] = "rehearse"
    key_id: Id
    public_key: Hex
    from_epoch: int = Field(ge=0, lt=2**32)
    first_epoch: int = Field(ge=1, lt=2**32)
    tries: int = Field(default=1, ge=1, le=MAX_RESHARE_TRIES)
    threshold: int = Field(ge=2, le=MAX_PARTIES)
    parties: list[Id] = Field(min_length=2, max_length=MAX_PARTIES)
    dealers: list[Id] | None = Field(default=None, min_length=2, max_length=MAX_PARTIES)
    """None: each holder is asked whether it would deal."""

    @property
    def asks_for(self) -> ReshareRequest:
        """The request that this one rehearses. It is nobody's until its owner signs it."""
        fields = {name: getattr(self, name) for name in RehearseRequest.model_fields}
        return ReshareRequest(**{**fields, "operation": "reshare"})

    @model_validator(mode="after")
    def _form(self) -> RehearseRequest:
        _check_new_shares(self)
        return self


def _check_new_shares(request: ReshareRequest | RehearseRequest) -> None:
    parties, dealers = request.parties, request.dealers or []
    if request.threshold > len(parties):
        raise ValueError(f"threshold {request.threshold} is more than {len(parties)} parties")
    for name, ids in (("parties", parties), ("dealers", dealers)):
        if len(set(ids)) != len(ids):
            raise ValueError(f"{name} names a party twice")
    if not request.from_epoch < request.first_epoch:
        raise ValueError("first_epoch must be later than from_epoch")
    # One request must not use up the numbers that all later ones need.
    if request.first_epoch + request.tries - 1 - request.from_epoch > MAX_EPOCHS_AHEAD:
        raise ValueError(f"epochs may be at most {MAX_EPOCHS_AHEAD} later than from_epoch")


def _not_too_long(message: bytes) -> bytes:
    if not 1 <= len(message) <= MAX_MESSAGE_BYTES:
        raise ValueError(f"a message has 1 to {MAX_MESSAGE_BYTES} bytes, this one {len(message)}")
    return message


Message = Annotated[
    Hex,
    AfterValidator(_not_too_long),
    Field(json_schema_extra={"minLength": 2, "maxLength": 2 * MAX_MESSAGE_BYTES}),  # hex digits
]
"""The bytes that are signed, leading zeros and all. For bip340 and ecdsa a 32-byte digest."""


class SignItem(Contract):
    """One of several messages that one request has signed."""

    message: Message
    derivation_path: DerivationPath | None = None


class SignRequest(RequestBase):
    """One signature, or as many as it has `items`: all of them, or none and one failure."""

    operation: Literal["sign"] = "sign"
    key_id: Id
    scheme: Scheme
    message: Message | None = None
    derivation_path: DerivationPath | None = None
    """Sign with the BIP-32 child of the key at this path; None signs with the key itself."""
    items: list[SignItem] | None = Field(default=None, min_length=1, max_length=MAX_ITEMS)
    """Several messages, in place of `message` and `derivation_path`; ecdsa only."""
    taproot_merkle_root: Hex | None = None
    """bip340 only: sign for the BIP-341 output key. Empty for an output without scripts,
    else 32 bytes; None signs for the key itself."""
    signers: list[Id] | None = Field(default=None, min_length=2, max_length=MAX_PARTIES)
    """Exactly `threshold` parties of the key; None lets the coordinator choose, among those that
    the account is configured with."""
    announce: bool = False
    """As in `KeygenRequest`."""
    join_window_ms: int | None = Field(default=None, ge=1, le=MAX_JOIN_WINDOW_MS)
    """As in `KeygenRequest`."""

    @property
    def tasks(self) -> tuple[SignItem, ...]:
        """What is to be signed, in order, in whichever form it was asked for."""
        if self.items is not None:
            return tuple(self.items)
        assert self.message is not None  # by `_form`
        return (SignItem(message=self.message, derivation_path=self.derivation_path),)

    @model_validator(mode="after")
    def _form(self) -> SignRequest:
        if (self.message is None) == (self.items is None):
            raise ValueError("give either message or items")
        if self.items is not None:
            if self.scheme is not Scheme.ECDSA:
                raise ValueError(f"items go with ecdsa only; {self.scheme} signs one message")
            if self.derivation_path is not None:
                raise ValueError("each of the items has a derivation_path of its own")
        return self

    @model_validator(mode="after")
    def _messages(self) -> SignRequest:
        size = self.scheme.message_size
        for place, task in enumerate(self.tasks):
            name = "message" if self.items is None else f"items.{place}.message"
            if size is not None and len(task.message) != size:
                raise ValueError(
                    f"{self.scheme} signs exactly {size} bytes, {name} has {len(task.message)}"
                )
        return self

    @model_validator(mode="after")
    def _key(self) -> SignRequest:
        if self.scheme.curve is not Curve.SECP256K1 and self.derivation_path is not None:
            raise ValueError(f"{self.scheme} keys have no standard derivation without hardening")
        if self.taproot_merkle_root is not None:
            if self.scheme is not Scheme.BIP340:
                raise ValueError("taproot_merkle_root goes with bip340 only")
            if len(self.taproot_merkle_root) not in {0, 32}:
                raise ValueError("taproot_merkle_root must be empty or 32 bytes")
        return self

    @model_validator(mode="after")
    def _signers(self) -> SignRequest:
        if self.signers is not None and len(set(self.signers)) != len(self.signers):
            raise ValueError("signers names a party twice")
        return self


class CancelRequest(RequestBase):
    """Let nothing come of a request any more, whether it has arrived or not: every party that holds
    its key is asked to refuse it from now on, and to say so in a `Statement`."""

    operation: Literal["cancel"] = "cancel"
    target: Id
    """The request id of the request to cancel."""
    target_issued_at: UnixMillis | None = None
    """When that was issued, if the canceller knows. Without it, a party that has lost its memory
    once cannot tell whether it answered before."""
    key_session: SessionId | None = None
    """`KeyFacts.session_id` of the key that it was to sign with, if the canceller knows: then the
    statements tell of its epochs, too, without which they prove nothing of a signature."""
    of: Owner | None = None
    """Whose request it is, if another's: operators may cancel anybody's. None: the canceller's."""

    @property
    def target_owner(self) -> Owner:
        return self.owned_by if self.of is None else self.of

    @model_validator(mode="after")
    def _target(self) -> CancelRequest:
        if self.target_issued_at is not None and self.target_issued_at > self.issued_at:
            raise ValueError("target_issued_at is later than issued_at: statements do not cover it")
        return self


class QueryKeysRequest(RequestBase):
    """This client's keys with their certificates in the order of their ids, one or a page of them.
    A page ends early when a message has room for no more."""

    operation: Literal["query_keys"] = "query_keys"
    only: Id | None = None
    """The id of the one key that is wanted."""
    after: Id | None = None
    """The last key id of the page before."""
    limit: int = Field(default=1000, ge=1, le=1000)


class QuerySessionRequest(RequestBase):
    """One of this client's sessions with its events, by session id or request id."""

    operation: Literal["query_session"] = "query_session"
    session_id: SessionId | None = None
    target: Id | None = None
    """The request id of the request that began the session."""

    @model_validator(mode="after")
    def _one(self) -> QuerySessionRequest:
        if (self.session_id is None) == (self.target is None):
            raise ValueError("give either session_id or target")
        return self


class QueryKeyHistoryRequest(RequestBase):
    """A key's epochs, the newest first, with what former holders have said of their shares: one of
    this client's keys, or for an operator anybody's. A page ends early when a message has room for
    no more."""

    operation: Literal["query_key_history"] = "query_key_history"
    key_id: Id | None = None
    key_session: SessionId | None = None
    """The session that made the key, in place of its id."""
    before: int | None = Field(default=None, ge=1, lt=2**32)
    """The last epoch of the page before."""

    @model_validator(mode="after")
    def _one(self) -> QueryKeyHistoryRequest:
        if (self.key_id is None) == (self.key_session is None):
            raise ValueError("give either key_id or key_session")
        return self


class JoinSessionRequest(RequestBase):
    """Show one of the tokens that a session was announced with, in the name of a party."""

    operation: Literal["join_session"] = "join_session"
    session_id: SessionId
    join_token: Hex32 = Field(repr=False)
    party_id: Id | None = None
    """May be left out with a token that is one party's; not with the session's."""


class QueryAccountsRequest(RequestBase):
    """This owner's accounts in the order of their ids, one or a page of them."""

    operation: Literal["query_accounts"] = "query_accounts"
    only: Id | None = None
    after: Id | None = None
    """The last account id of the page before."""
    limit: int = Field(default=100, ge=1, le=200)


class ConfigureAccountRequest(RequestBase):
    """Which parties sign for an account where a request names none."""

    operation: Literal["configure_account"] = "configure_account"
    account_id: Id
    signers: list[Id] | None = Field(default=None, min_length=2, max_length=MAX_PARTIES)
    """At least `threshold` of the key's parties; None lets the coordinator choose again."""

    @model_validator(mode="after")
    def _signers(self) -> ConfigureAccountRequest:
        if self.signers is not None and len(set(self.signers)) != len(self.signers):
            raise ValueError("signers names a party twice")
        return self


class ApiKeyRequest(RequestBase):
    """What goes on with the chain of API keys, see `api_keys`."""

    entry: SignedApiKeyEntry
    """By the authority, whom the gateways believe; the client only hands it on."""

    @model_validator(mode="after")
    def _own(self) -> ApiKeyRequest:
        if self.entry.claimed().client_id != self.client_id:
            raise ValueError("the entry is for another client's gateways")
        return self


class PutApiKeyRequest(ApiKeyRequest):
    """Add an entry that lets somebody in, or says that nothing came after it."""

    operation: Literal["put_api_key"] = "put_api_key"

    @model_validator(mode="after")
    def _action(self) -> PutApiKeyRequest:
        if self.entry.claimed().action is Action.REVOKE:
            raise ValueError("the entry revokes: that is another operation")
        return self


class RevokeApiKeyRequest(ApiKeyRequest):
    """Add an entry that ends an API key for good. What was revoked does not come back."""

    operation: Literal["revoke_api_key"] = "revoke_api_key"

    @model_validator(mode="after")
    def _action(self) -> RevokeApiKeyRequest:
        if self.entry.claimed().action is not Action.REVOKE:
            raise ValueError("the entry does not revoke: that is another operation")
        return self


class QueryApiKeysRequest(RequestBase):
    """A page of the entries of an authority for this client's gateways, in their order."""

    operation: Literal["query_api_keys"] = "query_api_keys"
    authority: Base64
    """Whose chain: a public key, DER SubjectPublicKeyInfo."""
    after: int = Field(default=0, ge=0, lt=2**53)
    """The number of the last entry that is known."""
    limit: int = Field(default=200, ge=1, le=500)
    unsigned: bool = False
    """Tell also of API keys from before there was an authority, which open nothing any more."""


Request = Annotated[
    KeygenRequest
    | ReshareRequest
    | SignRequest
    | CancelRequest
    | RehearseRequest
    | QueryKeysRequest
    | QuerySessionRequest
    | QueryKeyHistoryRequest
    | JoinSessionRequest
    | QueryAccountsRequest
    | ConfigureAccountRequest
    | PutApiKeyRequest
    | RevokeApiKeyRequest
    | QueryApiKeysRequest,
    Field(discriminator="operation"),
]
ADAPTER: TypeAdapter[Request] = TypeAdapter(Request)
