"""What the coordinator remembers, as its owner sees it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from .keys import CertifiedKey, KeyFacts
from .primitives import (
    MAX_PARTIES,
    Contract,
    Curve,
    DeleteAfter,
    Hex,
    Hex32,
    Id,
    Scope,
    SessionId,
    Status,
    UnixMillis,
    Words,
)
from .retirements import Retirement


class SessionEvent(Contract):
    """One line of a session's append-only history."""

    sequence: int
    at: UnixMillis
    event: str
    party_id: Id | None
    details: dict[str, Any]


class SessionView(Contract):
    """What the owner of a session is told of it."""

    session_id: SessionId
    request_id: Id
    operation: str
    key_id: Id
    status: Status
    deadline: UnixMillis
    parties: list[Id]
    events: list[SessionEvent]
    threshold: int = 0
    """How many sign; 0 from a coordinator that does not say, as is None in what follows."""
    party_count: int = 0
    curve: Curve | None = None
    reference: Words | None = None
    """The request's own."""
    joined: list[Id] = Field(default_factory=list)
    """Parties whose token was shown, see `JoinSessionRequest`."""
    join_tokens: dict[Id, Hex32] = Field(default_factory=dict, repr=False)
    session_token: Hex32 | None = Field(default=None, repr=False)
    client_id: Id | None = None
    """Whose it is, with `tenant`."""
    tenant: Id | None = None
    signature_may_exist: bool = True
    """Whether something may have come of the request, or still come. The coordinator cannot prove
    the contrary; who has counted the parties' statements can say so."""


class EpochView(Contract):
    """One epoch of a key. Its facts are proven by those of the one after it; when it was made, and
    who has told what, are as the coordinator tells them."""

    facts: KeyFacts
    made_at: UnixMillis | None = None
    """None of the first one, which was made with the key."""
    signs_from: UnixMillis | None = None
    """When requests went over to its holders; None of the first one."""
    delete_after: DeleteAfter | None = Field(default=None, exclude_if=lambda after: after is None)
    """As its request says; None of the first one."""
    retirements: list[Retirement] = Field(default_factory=list, max_length=MAX_PARTIES)
    """What former holders said of the epochs below it; each one's signature tells. Of those who are
    not here, nothing is known."""


class AccountView(Contract):
    """A key that was made for a user."""

    account_id: Id
    """Also the key's id."""
    user_id: Words
    status: Status
    """How far the making of its key is; when completed, it can sign."""
    session_id: SessionId
    """The session that makes the key."""
    created_at: UnixMillis
    curve: Curve
    threshold: int
    parties: list[Id]
    signers: list[Id] | None
    """Who signs where a request names nobody; None: whom the coordinator chooses."""
    public_key: Hex | None
    """None until it is made."""
    key: CertifiedKey | None = None
    """What proves it, and `threshold`, `curve` and `parties` with it; None until it is made."""


class ApiKeyView(Contract):
    """What the coordinator knows of an API key: never its secret."""

    api_key_id: Id
    holder: Id
    key_digest: Hex32
    scopes: list[Scope]
    created_at: UnixMillis
    valid_until: UnixMillis | None
    revoked_at: UnixMillis | None
