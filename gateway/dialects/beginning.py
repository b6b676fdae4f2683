"""How every dialect begins a session, and what it then has to tell of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from starlette.types import Scope

from contracts.keys import KeyFacts
from contracts.results import SessionAnnounced, SessionResult, Status
from contracts.views import SessionView

from .. import audit
from ..entry.api_keys import Caller
from ..entry.waits import BEGINS
from ..problems import Problem, problem_responses
from ..sessions import Desk, Opened, ReferenceConflictError
from . import views
from .attempts import Attempt, IdempotencyKey, attempt
from .fields import names_of
from .names import PartyNames
from .refusals import invalid
from .reshares import Reshare
from .service import desk_at_hand, party_names
from .wishes import NewKey, Signature

SESSIONS = "/api/v1/sessions"

CREATED: dict[int | str, Any] = {
    **problem_responses(404, 409),
    201: {
        "description": "It is begun; with `wait`, it may be over. Also where the same was asked "
        "for before under the same Idempotency-Key.",
        "headers": {
            "Location": {
                "description": "Where to look for what becomes of it.",
                "schema": {"type": "string"},
            },
            "Idempotent-Replayed": {
                "description": "`true` if this answers a repetition.",
                "schema": {"type": "string", "enum": ["true"]},
            },
        },
    },
}


class Created(views.Answer):
    """What all dialects tell of a session that they have begun."""

    session_id: views.HexDigits
    session_type: views.SessionType
    threshold_n: int
    """How many parties hold a share of the key; of a reshare, how many shall."""
    threshold_t: int
    """How many of them sign; of a reshare, how many shall."""
    status: Status
    result: views.Made | None = None
    """What came of the session, with `wait` or in a repetition, if it has completed by then."""
    failure: views.FailureView | None = None
    """Why it failed, with `wait` or in a repetition, if it has by then."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """A session that was just begun, or found again.

    Attributes:
        session_token: Joins every party once.
        join_tokens: Party, by the name that the caller has for it -> what joins it once.
    """

    session_id: str
    session_type: views.SessionType
    threshold_n: int
    threshold_t: int
    status: Status
    outcome: SessionResult | None
    join_tokens: dict[str, str] = field(repr=False)
    session_token: str = field(repr=False)
    names: PartyNames

    def told(self) -> dict[str, Any]:
        """The fields of `Created`."""
        failure = None if self.outcome is None else self.outcome.failure
        return {
            "session_id": self.session_id,
            "session_type": self.session_type,
            "threshold_n": self.threshold_n,
            "threshold_t": self.threshold_t,
            "status": self.status,
            "result": views.result(self.outcome, self.names),
            "failure": None if failure is None else views.failed(failure, self.names),
        }


@dataclass(frozen=True, slots=True)
class Beginner:
    """Begins what one HTTP request asks for."""

    desk: Desk
    attempt: Attempt
    names: PartyNames
    response: Response
    scope: Scope

    async def key(
        self,
        caller: Caller,
        wish: NewKey,
        *,
        threshold_n: int,
        threshold_t: int,
        wait: float,
        user_id: str | None = None,
        join_window_ms: int | None = None,
    ) -> Beginning:
        """Begin a key generation, or find what the same wish began before."""
        named = names_of(wish.participants)
        parties = None if named is None else self.names.party_ids(named, "participants")
        with _one_wish_per_key():
            opened = await self.desk.begin_key(
                caller.tenant,
                key_id=self.attempt.key_id(caller.tenant),
                curve=wish.curve,
                threshold=threshold_t,
                party_count=threshold_n,
                parties=parties,
                schemes=None if wish.schemes is None else set(wish.schemes),
                user_id=user_id,
                reference=self.attempt.reference,
                join_window_ms=join_window_ms,
                request_id=self.attempt.request_id,
                fresh=self.attempt.fresh,
            )
        names = self.names.spoken(named)
        numbers = threshold_n, threshold_t
        return await self._told(caller, opened, "keygen", numbers, names, wait)

    async def reshare(
        self,
        caller: Caller,
        wish: Reshare,
        *,
        key_id: str,
        wait: float,
        join_window_ms: int | None = None,
    ) -> Beginning:
        """Begin to give a key other shares, or find what the same wish began before."""
        with _one_wish_per_key():
            opened = await self.desk.begin_reshare(
                caller.tenant,
                key_id=key_id,
                shares=lambda facts: wish.of(facts, self.names),
                reference=self.attempt.reference,
                join_window_ms=join_window_ms,
                request_id=self.attempt.request_id,
                fresh=self.attempt.fresh,
            )
        names = self.names.spoken(wish.spoken())
        return await self._told(caller, opened, "reshare", None, names, wait)

    async def signature(
        self,
        caller: Caller,
        wish: Signature,
        *,
        key_id: str,
        parties: tuple[str, list[str]] | None,
        wait: float,
        thresholds: tuple[int | None, int | None] = (None, None),
        join_window_ms: int | None = None,
    ) -> Beginning:
        """
        Arguments:
            parties: Who shall sign, behind the field that says so.
            thresholds: n and t of the key, if the caller says what they take them for.
        """
        facts = await self._facts(caller, key_id, parties, thresholds)
        scheme, message = wish.by(facts)
        _check_thresholds(facts, *thresholds)
        signers = None if parties is None else self._signers(facts, *parties)
        with _one_wish_per_key():
            opened = await self.desk.begin_signature(
                caller.tenant,
                key_id=key_id,
                message=message,
                scheme=scheme,
                derivation_path=wish.derivation_path,
                taproot_merkle_root=None,
                signers=signers,
                reference=self.attempt.reference,
                join_window_ms=join_window_ms,
                request_id=self.attempt.request_id,
                fresh=self.attempt.fresh,
            )
        names = self.names.spoken(None if parties is None else parties[1])
        numbers = facts.party_count, facts.threshold
        return await self._told(caller, opened, "sign", numbers, names, wait)

    async def _facts(
        self,
        caller: Caller,
        key_id: str,
        parties: tuple[str, list[str]] | None,
        thresholds: tuple[int | None, int | None],
    ) -> KeyFacts:
        """Of the key that is to sign: as it is now, where what we know does not fit the caller's
        words. Its shares may have been made anew at another gateway."""
        facts = (await self.desk.key(caller.tenant, key_id)).facts
        said = (*thresholds, None if parties is None else len(parties[1]))
        known = (facts.party_count, facts.threshold, facts.threshold)
        if any(each not in {None, true} for each, true in zip(said, known, strict=True)):
            facts = (await self.desk.key(caller.tenant, key_id, anew=True)).facts
        return facts

    def _signers(self, facts: KeyFacts, field: str, named: list[str]) -> list[str]:
        # Of a key whose shares were made anew, the epoch before signs for a little longer; which
        # one it is, the coordinator knows.
        if len(named) != facts.threshold and facts.reshared is None:
            raise invalid(
                field,
                f"names {len(named)} parties, and exactly {facts.threshold} sign with this key; "
                "or leave it out",
            )
        return self.names.party_ids(named, field)

    async def _told(
        self,
        caller: Caller,
        opened: Opened,
        session_type: views.SessionType,
        numbers: tuple[int, int] | None,
        names: PartyNames,
        wait: float,
    ) -> Beginning:
        """
        Arguments:
            numbers: n and t; None: what the session says of itself.
        """
        audit.note(self.scope, session=opened.session_id.hex(), request_id=opened.request_id)
        outcome, view = opened.outcome, opened.view
        if outcome is None and wait:
            outcome = await self.desk.outcome(caller.tenant, opened.session_id, wait)
        # Without a result, there is a status to tell; and where a result was faster than the
        # announcement, there are tokens.
        if (outcome is None and wait) or (opened.announced is None and view is None):
            view = (await self.desk.latest(caller.tenant, opened.session_id)).session
        tokens = opened.announced or view
        assert tokens is not None
        threshold_n, threshold_t = numbers or _numbers_of(tokens)
        status = Status.WAITING if view is None else view.status
        if opened.replayed:
            self.response.headers["Idempotent-Replayed"] = "true"
        self.response.headers["Location"] = f"{SESSIONS}/{opened.session_id.hex()}"
        return Beginning(
            session_id=opened.session_id.hex(),
            session_type=session_type,
            threshold_n=threshold_n,
            threshold_t=threshold_t,
            status=status if outcome is None else outcome.status,
            outcome=outcome,
            join_tokens={
                names.name(party_id): token.hex() for party_id, token in tokens.join_tokens.items()
            },
            session_token=(tokens.session_token or b"").hex(),
            names=names,
        )


def _numbers_of(told: SessionAnnounced | SessionView) -> tuple[int, int]:
    """How many shall hold the new shares, and how many of them sign."""
    if isinstance(told, SessionView):
        return told.party_count, told.threshold
    terms = told.terms
    receiving = [each for each in terms.members if getattr(each, "receives_as", None) is not None]
    return len(receiving), terms.threshold


@contextlib.contextmanager
def _one_wish_per_key() -> Iterator[None]:
    try:
        yield
    except ReferenceConflictError:
        raise Problem(
            "idempotency_conflict", "Another path or body came with this Idempotency-Key before."
        ) from None


def _check_thresholds(facts: KeyFacts, threshold_n: int | None, threshold_t: int | None) -> None:
    """Who believes something else of the key would learn it too late."""
    for name, said, true in (
        ("threshold_n", threshold_n, facts.party_count),
        ("threshold_t", threshold_t, facts.threshold),
    ):
        if said not in {None, true}:
            raise invalid(name, f"is {true} for this key, and you say {said}; or leave it out")


async def beginner(
    request: Request, response: Response, idempotency_key: IdempotencyKey = None
) -> Beginner:
    """A dependency: what begins the sessions of this HTTP request."""
    request.scope[BEGINS] = True
    return Beginner(
        desk=await desk_at_hand(request),
        attempt=await attempt(request, idempotency_key),
        names=await party_names(request),
        response=response,
        scope=request.scope,
    )


ABeginner = Annotated[Beginner, Depends(beginner)]
