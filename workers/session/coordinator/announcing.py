"""What callers are told of a session, and how they join parties to it.

A caller has no identity of its own here: it shows a token, which only whoever was told of the
session can know.
"""

from __future__ import annotations

import hashlib
import hmac

from contracts import addresses
from contracts.encoding import pack
from contracts.failures import Failure, FailureCode
from contracts.results import SessionAnnounced

from ...store.records import Outgoing
from ..sending import JSON
from .conduct import Conduct

ANNOUNCED = "session_announced"
_TAG = b"warren/caller/v1"


class JoinError(Exception):
    """Nobody is joined by this."""

    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(message)
        self.failure = Failure.of(code, message)


def caller_token(conduct: Conduct, party_id: str) -> bytes:
    """What lets one party be joined."""
    return _token(conduct, party_id.encode())


def session_token(conduct: Conduct) -> bytes:
    """What lets each party be joined."""
    return _token(conduct)


def announced(conduct: Conduct) -> SessionAnnounced:
    """The same for every session of a request."""
    request, first, terms = conduct.request, conduct.first, conduct.terms
    return SessionAnnounced(
        request_id=request.request_id,
        client_id=request.client_id,
        session_id=first.session_id,
        request_digest=terms.request_digest,
        terms=first.terms or terms,
        deadline=conduct.deadline,
        parties=first.parties,
        join_tokens={party_id: caller_token(conduct, party_id) for party_id in first.parties},
        session_token=session_token(conduct),
    )


def announcement(conduct: Conduct) -> Outgoing:
    content = announced(conduct)
    headers = {"request_id": content.request_id, "session_id": content.session_id.hex()}
    if content.client_id is not None:
        headers["client_id"] = content.client_id
    return Outgoing(
        exchange=addresses.RESULTS,
        routing_key=addresses.announcement_key(content.client_id, content.request_id),
        kind=ANNOUNCED,
        content_type=JSON,
        message_id=f"{ANNOUNCED}-{content.session_id.hex()}",
        body=content.model_dump_json().encode(),
        headers=headers,
    )


def join(conduct: Conduct, token: bytes, party_id: str | None) -> tuple[str, Conduct]:
    """The party that is joined by this token, and the session with it: as it was, if the party was
    joined before. Who did not hear the answer asks again.

    Arguments:
        party_id: May be None with a token that is one party's.

    Raises:
        JoinError: the token is not the session's or the party's.
    """
    if not conduct.announces:
        raise JoinError(
            FailureCode.TOKEN_REFUSED, "the session has no tokens: it was not announced"
        )
    parties = conduct.first.parties
    whole = hmac.compare_digest(token, session_token(conduct))
    # All of them, whichever it is: how long it takes shall say nothing.
    own = [each for each in parties if hmac.compare_digest(token, caller_token(conduct, each))]
    if whole and party_id is None:
        raise JoinError(FailureCode.INVALID_REQUEST, "party_id must say whom this token joins")
    fits = parties if whole else own
    joining = [each for each in fits if party_id in {None, each}]
    if not joining:
        raise JoinError(FailureCode.TOKEN_REFUSED, "not a token of this session and party")
    if joining[0] in conduct.joined:
        return joining[0], conduct
    return joining[0], conduct.model_copy(update={"joined": [*conduct.joined, joining[0]]})


def all_joined(conduct: Conduct) -> bool:
    return set(conduct.joined) >= set(conduct.first.parties)


def _token(conduct: Conduct, *whose: bytes) -> bytes:
    message = pack((_TAG, conduct.first.session_id, *whose))
    return hmac.digest(conduct.join_secret, message, hashlib.sha256)
