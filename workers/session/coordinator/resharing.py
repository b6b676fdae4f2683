"""The coordinator's side of a reshare: who deals and who receives, and what proves the epoch.

Pure. Nobody has to believe what is chosen here: each party checks it against the owner's request,
and what is proven in the end is proven to anyone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from random import Random

from contracts import sessions
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.identity import PublicIdentity
from contracts.keys import EpochBundle, KeyFacts
from contracts.peers import Pinned
from contracts.requests import ReshareRequest
from contracts.results import ReshareResult, Status
from contracts.terms import Member, ReshareMember, ReshareTerms

from ...store.records import KeyEpoch, Outgoing, Received, RequestRecord, RetirementRecord
from ..epochs import ENDS_S, SIGNS_ON_S, check_bundle
from ..peers import Peer
from ..sending import instruction
from .choice import ChoiceError, dealers, require_known, sparing
from .conduct import Conduct, Progress

PREPARES_S = 3.0
"""After an epoch is made, its presignatures are: its holders have heard of it by then."""
RETIRED_S = SIGNS_ON_S + ENDS_S + 10.0
"""After an epoch is made, whoever heard of it at once has told that the lower ones are deleted."""
_PAUSES_S = (10, 60, 600, 3600)


def unfit(request: ReshareRequest, facts: KeyFacts) -> Failure | None:
    """Why the request is not for the key as it is, if it is not."""
    if request.public_key != facts.public_key:
        text = f"key {facts.key_id} has another public key than the request's"
    elif request.from_epoch != facts.epoch:
        text = f"epoch {facts.epoch} of key {facts.key_id} signs, and not {request.from_epoch}"
        if request.from_epoch < facts.epoch:
            # Another reshare came first.
            return Failure.of(FailureCode.STALE_EPOCH, text)
    else:
        return None
    return Failure.of(FailureCode.INVALID_REQUEST, text)


def busy(facts: KeyFacts) -> Failure:
    """Of two that are made at once both could be done."""
    text = f"another reshare of key {facts.key_id} is under way: ask again when it is over"
    return Failure.of(FailureCode.KEY_BUSY, text)


def next_epoch(request: ReshareRequest, begun: Iterable[int]) -> int:
    """The first that was asked for and is above all that were begun. Raises ChoiceError."""
    lowest = max([request.first_epoch, *(epoch + 1 for epoch in begun)])
    if lowest not in request.epochs:
        raise ChoiceError(
            FailureCode.INVALID_REQUEST,
            f"epochs of key {request.key_id} were begun up to {lowest - 1}: first_epoch must be "
            "later",
        )
    return lowest


def members(
    request: ReshareRequest,
    facts: KeyFacts,
    parties: Mapping[str, Peer],
    alive: Collection[str],
    random: Random,
    avoided: Collection[str] = (),
) -> list[ReshareMember]:
    """Dealers and receivers in the configured order, under the identities that are configured.

    Arguments:
        avoided: Who should not deal, if there are others.

    Raises:
        ChoiceError.
    """
    require_known(request.parties, parties)
    old = {holder.party_id: i for i, holder in enumerate(facts.holders, start=1)}
    alive = sparing(alive, parties, facts)
    dealing = dealers(request, facts, alive, random, avoided)
    if strangers := [name for name in dealing if name not in parties]:
        raise ChoiceError(
            FailureCode.UNKNOWN_PARTY,
            f"{', '.join(strangers)} would have to deal, and is not among the parties here",
        )
    receiving = sorted(request.parties, key=lambda name: parties[name].index)
    new = {name: j for j, name in enumerate(receiving, start=1)}
    names = sorted({*dealing, *receiving}, key=lambda name: parties[name].index)
    return [
        ReshareMember(
            party_id=name,
            index=place,
            identity=parties[name].identity.der,
            deals_as=old[name] if name in dealing else None,
            receives_as=new.get(name),
        )
        for place, name in enumerate(names, start=1)
    ]


def invitations(
    conduct: Conduct, *, request: bytes, signature: bytes, time_left_ms: int, now: int
) -> tuple[Outgoing, ...]:
    """`reshare_created` for every member."""
    assert isinstance(conduct.terms, ReshareTerms)
    assert conduct.predecessor is not None
    created = sessions.ReshareCreated(
        session_id=conduct.session_id,
        issued_at=now,
        terms=conduct.terms,
        predecessor=conduct.predecessor,
        request=request,
        request_signature=signature,
        time_left_ms=max(1, time_left_ms),
    )
    return tuple(
        instruction(created, member.party_id, conduct.session_id) for member in _members(conduct)
    )


def proof(
    bundle: EpochBundle,
    party_ids: Iterable[str],
    before: Iterable[EpochBundle] = (),
    *,
    now: int,
) -> tuple[Outgoing, ...]:
    """`epoch_proven` for each of the parties.

    Arguments:
        before: Those that lead to it, for who may not know the one that it comes from.
    """
    reshared = bundle.key.facts.reshared
    assert reshared is not None  # by whoever checked it
    told = sessions.EpochProven(
        session_id=reshared.session_id, issued_at=now, bundle=bundle, before=list(before)
    )
    return tuple(instruction(told, party_id, reshared.session_id) for party_id in party_ids)


def pause_ms(shown: int) -> int:
    """Until a party that has not told is shown the proof again, which it was so often."""
    return 1000 * _PAUSES_S[min(shown, len(_PAUSES_S) - 1)]


def made_at(epoch: KeyEpoch, switch_ms: int) -> int | None:
    return None if epoch.signs_from is None else epoch.signs_from - switch_ms


def epoch_certified(
    conduct: Conduct,
    sender: str,
    report: sessions.EpochCertified,
    received: Iterable[Received],
    *,
    record: RequestRecord,
    pinned: Mapping[str, Pinned],
    switch_ms: int,
    now: int,
) -> Progress:
    """The first report that proves the epoch is as good as all of them. One that does not is its
    sender's lie: it ends the session only where nobody has told the truth.

    Arguments:
        switch_ms: Until requests go to the new holders.
    """
    request, facts, predecessor = conduct.request, conduct.facts, conduct.predecessor
    assert isinstance(request, ReshareRequest)
    assert facts is not None
    assert predecessor is not None
    bundle = EpochBundle(
        request=record.body,
        request_signature=record.signature,
        predecessor=predecessor,
        key=report.key,
        possessions=report.possessions,
        dealt=report.dealt,
    )
    try:
        check_bundle(bundle, facts, pinned=pinned, owners=[PublicIdentity(request.signer)])
        _check_session(conduct, report.key.facts)
    except ContractError as error:
        return _disbelieved(conduct, sender, received, str(error))
    signs_from = now + switch_ms
    return Progress(
        conduct=conduct,
        status=Status.COMPLETED,
        outgoing=proof(bundle, concerned(bundle), now=now),
        epoch=KeyEpoch(
            key_session=facts.session_id,
            epoch=report.key.facts.epoch,
            session_id=conduct.session_id,
            bundle=bundle.model_dump_json(),
            signs_from=signs_from,
            due_at=now + int(PREPARES_S * 1000),
        ),
        made=report.key.model_dump_json(),
        retirements=tuple(
            RetirementRecord(
                key_session=facts.session_id,
                epoch=report.key.facts.epoch,
                party_id=party_id,
                due_at=now + int(RETIRED_S * 1000),
            )
            for party_id in concerned(bundle)
        ),
        result=ReshareResult(
            request_id=request.request_id,
            client_id=request.client_id,
            session_id=conduct.public_id,
            request_digest=conduct.terms.request_digest,
            status=Status.COMPLETED,
            finished_at=now,
            key_id=request.key_id,
            bundle=bundle,
            signs_from=signs_from,
        ),
    )


def concerned(bundle: EpochBundle) -> list[str]:
    """The former holders and the new ones: who has to delete, and who has to begin."""
    holders = [*bundle.predecessor.facts.holders, *bundle.key.facts.holders]
    return list(dict.fromkeys(holder.party_id for holder in holders))


def _members(conduct: Conduct) -> Iterable[Member]:
    return conduct.terms.members


def _check_session(conduct: Conduct, made: KeyFacts) -> None:
    """That it is this session's, and no other one's of the request. Raises ContractError."""
    assert made.reshared is not None  # or it would have been refused
    found = made.reshared.session_id, made.epoch
    if found != (conduct.session_id, conduct.terms.epoch):
        raise ContractError("the epoch was made in another session")


def _disbelieved(
    conduct: Conduct, sender: str, received: Iterable[Received], reason: str
) -> Progress:
    """Of the others somebody may still tell the truth, and reports of lies stay where they are."""
    slot = sessions.EpochCertified.model_fields["report"].default
    liars = {sender, *(row.sender for row in received if row.slot == slot)}
    if liars < {member.party_id for member in conduct.terms.members}:
        return Progress(conduct=conduct, status=Status.IN_PROGRESS)
    text = f"what {', '.join(sorted(liars))} reported proves no epoch; {sender}'s: {reason}"
    failure = Failure.of(FailureCode.PARTY_FAULT, text[:2000], culprits=sorted(liars))
    return Progress(conduct=conduct, status=Status.FAILED, failure=failure)
