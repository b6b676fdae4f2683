"""Why a session failed: a closed list, so that nobody guesses from an error's text."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from .primitives import Contract, Id


class FailureCode(StrEnum):
    """Why a request failed. The list is closed; GLOSSARY.md tells which are worth another try."""

    INVALID_REQUEST = "invalid_request"
    """The request's fields do not fit; nothing was changed. Correct it, use a new request id."""
    CONFLICT = "conflict"
    """The request id was used before with other bytes."""
    KEY_EXISTS = "key_exists"
    """A key of this id exists, or is being made by another request."""
    UNKNOWN_KEY = "unknown_key"
    UNKNOWN_REQUEST = "unknown_request"
    """The session or request that was asked for is not one of this client's."""
    UNKNOWN_PARTY = "unknown_party"
    """The request names a party that does not exist, or does not hold the key."""
    TOO_FEW_PARTIES = "too_few_parties"
    """Not enough parties are alive; `silent` names those that are not."""
    EXPIRED = "expired"
    """The deadline passed; `silent` names who was waited for."""
    CANCELLED = "cancelled"
    PARTY_FAULT = "party_fault"
    """`culprits` broke the protocol. In signing the coordinator has checked it; for a key it
    is the word of the party that `message` names, which alone can prove what was sealed for it."""
    PARTY_REFUSED = "party_refused"
    """A party did not accept the session, for a reason in `message`."""
    STALE_EPOCH = "stale_epoch"
    """A party knows the key by another epoch than the session's: its shares were made anew, and
    not everybody has heard of it. Or another reshare came before this one."""
    KEY_BUSY = "key_busy"
    """Another reshare of the key is under way, and may still be done. Nothing was changed: ask
    again when it is over."""
    SPOILT = "spoilt"
    """The parties did not see the same messages; nobody's guilt is proven."""
    UNKNOWN_ACCOUNT = "unknown_account"
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - a word for it, not a token
    """The join token is not this session's or party's."""
    SESSION_OVER = "session_over"
    """Nobody can join any more: from former coordinators. Now a late join is answered with the
    session as it is."""
    OVERLOADED = "overloaded"
    """It would not be done before its deadline, or its owner has too much unfinished. Nothing was
    begun; `retry_after_ms` says when to ask again."""
    INTERNAL = "internal"

    @property
    def retryable(self) -> bool:
        """Whether the same wish, in a new request, may well succeed."""
        return self in _RETRYABLE


_RETRYABLE = {
    FailureCode.TOO_FEW_PARTIES,
    FailureCode.EXPIRED,
    FailureCode.PARTY_FAULT,
    FailureCode.PARTY_REFUSED,
    FailureCode.STALE_EPOCH,
    FailureCode.KEY_BUSY,
    FailureCode.SPOILT,
    FailureCode.OVERLOADED,
    FailureCode.INTERNAL,
}


class Failure(Contract):
    """Why a session ended without what was asked for, and who is to blame, if anybody is."""

    code: FailureCode
    message: str = Field(max_length=2000)
    """Tells people what happened, to whom, what to do."""
    round: int | None = None
    culprits: list[Id] = Field(default_factory=list)
    silent: list[Id] = Field(default_factory=list)
    retryable: bool
    retry_after_ms: int | None = Field(default=None, ge=0)
    """With `overloaded`: how long to wait before the same wish may be heard, in milliseconds."""

    @classmethod
    def of(
        cls,
        code: FailureCode,
        message: str,
        *,
        round: int | None = None,  # noqa: A002 - the contract's word
        culprits: list[str] | None = None,
        silent: list[str] | None = None,
        retry_after_ms: int | None = None,
    ) -> Failure:
        """A failure that is retryable if its code is."""
        return cls(
            code=code,
            message=message,
            round=round,
            culprits=sorted(culprits or []),
            silent=sorted(silent or []),
            retryable=code.retryable,
            retry_after_ms=retry_after_ms,
        )
