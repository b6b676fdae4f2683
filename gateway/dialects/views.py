"""A session as callers see it, whichever dialect began it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field

from contracts.client import Settlement
from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey, EpochBundle
from contracts.primitives import Curve, Scheme
from contracts.results import (
    EcdsaForms,
    KeygenResult,
    QuerySessionResult,
    ReshareResult,
    SessionResult,
    SignResult,
    Status,
)
from contracts.views import SessionView

from .names import PartyNames

SessionType = Literal["keygen", "reshare", "sign"]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC."""
HexDigits = Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$")]


class Answer(BaseModel):
    """What a gateway answers with."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class ParticipantStatus(StrEnum):
    """How far a party is in a session."""

    WAITING = "waiting"
    JOINED = "joined"
    COMPLETED = "completed"
    """Its part is done."""
    FAILED = "failed"
    """It gave up, broke the protocol, or was waited for in vain."""


class ParticipantView(Answer):
    """A party of the session, by the caller's name for it."""

    party_id: str
    status: ParticipantStatus


class RoundProgress(Answer):
    """How many parties are through with one step of the session."""

    round: int
    name: Literal["joined", "certified", "signed"]
    done: int
    """Parties that have done it."""
    total: int
    """Parties that are to do it."""


class KeyMade(Answer):
    """The key that a session made."""

    key_id: str
    curve: Curve
    public_key: HexDigits
    """Compressed: 33 bytes on secp256k1, 32 on ed25519."""
    certified_key: CertifiedKey
    """What all its parties signed; in it the parties have the service's own names for them."""


class EpochMade(KeyMade):
    """The other shares that a key has since a session, and what proves them."""

    from_epoch: int
    epoch: int
    """How often the key's shares were made anew, gaps of tries that failed included."""
    threshold_n: int
    """How many parties hold a share now."""
    threshold_t: int
    """How many of them sign."""
    parties: list[str]
    """Who holds a share now."""
    dealers: list[str]
    """Who shared out."""
    shown_out: list[str]
    """Who held a share before and holds none now."""
    deletions_needed: int
    """Until so many of those who held a share before have deleted it, they can still sign. Each
    does so a minute and a half after it has heard of the new epoch."""
    signs_from: Moment
    """From then on the parties named here sign; before, those do who held a share before."""
    bundle: EpochBundle
    """What proves the epoch to anybody who knows the one before: keep it."""


class SignatureMade(Answer):
    """The signature that a session made, verified by the gateway before it says so."""

    key_id: str
    scheme: Scheme
    message_hash: HexDigits
    """What was signed: the digest, or the message itself where the scheme signs that."""
    derivation_path: str | None = None
    public_key: HexDigits
    """What verifies it; of the child key where there is a path. 32 bytes for ed25519 and bip340,
    33 for the others."""
    signature: HexDigits
    """For ecdsa it is 65 bytes, r || s || recovery_id, with a low s."""
    r: HexDigits | None = None
    """This and the next four for ecdsa only."""
    s: HexDigits | None = None
    recovery_id: int | None = None
    der: HexDigits | None = None
    ethereum: HexDigits | None = None
    """r || s || 27 + recovery_id."""
    signers: list[str]


Made = EpochMade | KeyMade | SignatureMade


class FailureView(Answer):
    """Why a session failed, and who is to blame or was waited for."""

    code: FailureCode
    message: str
    retryable: bool
    """Whether the same wish, in a new request, may well succeed."""
    round: int | None = None
    culprits: list[str]
    silent: list[str]


class ReshareView(Answer):
    """How far a reshare is."""

    from_epoch: int
    """The one whose shares are dealt."""
    to_epoch: int
    """The one that this try is to make."""
    tries: int
    """This one and those before it, each for an epoch of its own."""
    after: str | None = None
    """Why the try before this one came to nothing."""
    missing: list[str]
    """Of whom nothing was heard in this try so far; at its end, who was waited for in vain."""


class Session(Answer):
    """A session as both dialects show it."""

    session_id: HexDigits
    session_type: SessionType
    status: Status
    """The last four are final."""
    threshold_n: int | None = None
    """How many parties hold a share of the key; of a reshare, how many shall."""
    threshold_t: int | None = None
    """How many of them sign; of a reshare, how many shall."""
    participants: list[ParticipantView]
    """Of a reshare: who deals, and who is to hold a share."""
    progress: list[RoundProgress]
    reshare: ReshareView | None = None
    """Of a reshare only."""
    key_id: str
    created_at: Moment | None = None
    deadline: Moment
    result: Made | None = None
    """Once the status is completed."""
    failure: FailureView | None = None
    """Once it is failed, expired or cancelled."""
    signature_may_exist: bool
    """False only in the answer to a cancel that is final. Until then ask again for the same
    `message_hash`, or make the first signature worthless, before you pay in another way. Of a
    reshare it says so of the key's new epoch."""


class CancelledSession(Session):
    """A session after a cancel, with what its parties have stated of it."""

    final: bool
    """So many parties have stated that they never signed, and never will, that nothing can come of
    this session any more. The same message in another session is another matter."""
    liars_tolerated: int | None = None
    """So many of them may have lied, and it is true all the same."""


def moment(at_ms: int) -> str:
    """Unix milliseconds as RFC 3339 has it, UTC."""
    at = dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def settled(
    looked: QuerySessionResult, settlement: Settlement, names: PartyNames
) -> CancelledSession:
    """The session that was looked up after a cancel."""
    seen = looked_at(looked, names).model_copy(
        update={"signature_may_exist": settlement.signature_may_exist}
    )
    return CancelledSession(
        **dict(seen), final=settlement.final, liars_tolerated=settlement.liars_tolerated
    )


def looked_at(looked: QuerySessionResult, names: PartyNames) -> Session:
    """The session that was looked up, in the caller's words."""
    assert looked.session is not None  # `check_answer` has made sure
    return session(looked.session, looked.outcome, names)


def session(view: SessionView, outcome: SessionResult | None, names: PartyNames) -> Session:
    """A session in the caller's words. Its result knows more of the status than the view does."""
    failure = None if outcome is None else outcome.failure
    return Session(
        session_id=view.session_id.hex(),
        session_type=_TYPES.get(view.operation, "sign"),
        status=view.status if outcome is None else outcome.status,
        threshold_n=view.party_count or None,
        threshold_t=view.threshold or None,
        participants=_participants(view, failure, names),
        progress=_progress(view),
        reshare=_reshare(view, failure, names),
        key_id=view.key_id,
        created_at=moment(view.events[0].at) if view.events else None,
        deadline=moment(view.deadline),
        result=result(outcome, names),
        failure=None if failure is None else failed(failure, names),
        signature_may_exist=True,
    )


def result(outcome: SessionResult | None, names: PartyNames) -> Made | None:
    """What the session made; None as long as it has made nothing."""
    if outcome is None or outcome.status is not Status.COMPLETED:
        return None
    match outcome:
        case KeygenResult(key=key):
            assert key is not None  # `check_answer` has made sure
            return KeyMade(**_lasting(key))
        case ReshareResult():
            return _epoch_made(outcome, names)
        case SignResult():
            return _signature_made(outcome, names)
        case _:
            assert_never(outcome)


def _lasting(key: CertifiedKey) -> dict[str, Any]:
    """The fields of `KeyMade`."""
    facts = key.facts
    return {
        "key_id": facts.key_id,
        "curve": facts.curve,
        "public_key": facts.public_key.hex(),
        "certified_key": key,
    }


def _epoch_made(outcome: ReshareResult, names: PartyNames) -> EpochMade:
    bundle, signs_from = outcome.bundle, outcome.signs_from
    assert bundle is not None  # `check_answer` has made sure of both
    assert signs_from is not None
    before, facts = bundle.predecessor.facts, bundle.key.facts
    assert facts.reshared is not None  # or it would prove no epoch
    holders = [holder.party_id for holder in facts.holders]
    return EpochMade(
        **_lasting(bundle.key),
        from_epoch=before.epoch,
        epoch=facts.epoch,
        threshold_n=facts.party_count,
        threshold_t=facts.threshold,
        parties=names.names(holders),
        dealers=names.names(facts.reshared.dealers),
        shown_out=names.names(
            each.party_id for each in before.holders if each.party_id not in holders
        ),
        deletions_needed=before.party_count - before.threshold + 1,
        signs_from=moment(signs_from),
        bundle=bundle,
    )


def _signature_made(outcome: SignResult, names: PartyNames) -> SignatureMade:
    (signed,) = outcome.signed  # the gateway asks for one at a time
    assert outcome.key_id is not None
    assert outcome.scheme is not None
    return SignatureMade(
        key_id=outcome.key_id,
        scheme=outcome.scheme,
        message_hash=signed.message.hex(),
        derivation_path=signed.derivation_path,
        public_key=signed.public_key.hex(),
        signature=signed.signature.hex(),
        signers=names.names(outcome.signers),
        **_forms(signed.ecdsa),
    )


def failed(failure: Failure, names: PartyNames) -> FailureView:
    """A failure in the caller's words."""
    return FailureView(
        code=failure.code,
        message=failure.message,
        retryable=failure.retryable,
        round=failure.round,
        culprits=names.names(failure.culprits),
        silent=names.names(failure.silent),
    )


def _forms(ecdsa: EcdsaForms | None) -> dict[str, str | int | None]:
    if ecdsa is None:
        return {}
    return {
        "r": ecdsa.r.hex(),
        "s": ecdsa.s.hex(),
        "recovery_id": ecdsa.recovery_id,
        "der": ecdsa.der.hex(),
        "ethereum": None if ecdsa.ethereum is None else ecdsa.ethereum.hex(),
    }


_TYPES: Mapping[str, SessionType] = {"keygen": "keygen", "reshare": "reshare"}
_DONE = {"key_certified", "epoch_certified", "share_signed"}
_CAME = {"party_joined", "caller_joined", "nonces_made", *_DONE}
"""Events of a party which show that it takes part."""


def _those(view: SessionView, events: Iterable[str]) -> set[str]:
    return {each.party_id for each in view.events if each.event in events and each.party_id}


def _joined(view: SessionView) -> set[str]:
    return _those(view, _CAME).union(view.joined)


def _participants(
    view: SessionView, failure: Failure | None, names: PartyNames
) -> list[ParticipantView]:
    failing = _those(view, {"session_failed"})
    if failure is not None:
        failing |= {*failure.culprits, *failure.silent}
    joined, done = _joined(view), _those(view, _DONE)

    def status(party_id: str) -> ParticipantStatus:
        if party_id in failing:
            return ParticipantStatus.FAILED
        if party_id in done or view.status is Status.COMPLETED:
            return ParticipantStatus.COMPLETED
        return ParticipantStatus.JOINED if party_id in joined else ParticipantStatus.WAITING

    return [
        ParticipantView(party_id=names.name(each), status=status(each)) for each in view.parties
    ]


def _reshare(view: SessionView, failure: Failure | None, names: PartyNames) -> ReshareView | None:
    """As the coordinator tells of the session's beginning; one of before told of no epochs."""
    told = [each.details for each in view.events if each.event == "session_created"]
    epochs = [[each.get("from_epoch"), each.get("epoch"), each.get("try", 1)] for each in told]
    if not told or not all(isinstance(number, int) for number in epochs[0]):
        return None
    (from_epoch, to_epoch, tries), after = epochs[0], told[0].get("after")
    if view.status is Status.COMPLETED:
        missing = []
    elif failure is not None:
        missing = failure.silent
    else:
        joined = _those(view, _CAME - {"caller_joined"})
        missing = [party_id for party_id in view.parties if party_id not in joined]
    return ReshareView(
        from_epoch=from_epoch,
        to_epoch=to_epoch,
        tries=tries,
        after=None if after is None else str(after),
        missing=names.names(missing),
    )


def _progress(view: SessionView) -> list[RoundProgress]:
    """As far as the coordinator is told: what parties say to each other it does not hear of."""
    members, over = set(view.parties), view.status is Status.COMPLETED
    joined, done = (
        len(members if over else members & those) for those in (_joined(view), _those(view, _DONE))
    )
    makes_key = view.operation in _TYPES
    last: Literal["certified", "signed"] = "certified" if makes_key else "signed"
    return [
        RoundProgress(round=1, name="joined", done=joined, total=len(members)),
        RoundProgress(round=2, name=last, done=done, total=len(members)),
    ]
