"""What the parties' reports of a new key come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from contracts import sessions
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey, KeyFacts, Origin
from contracts.requests import KeygenRequest
from contracts.results import KeygenResult, Status
from contracts.verification import check_point

from ...store.records import KeyRecord, Received
from .conduct import Conduct, Progress
from .reported_failures import payload


def key_certified(
    conduct: Conduct,
    sender: str,
    report: sessions.KeyCertified,
    received: Iterable[Received],
    *,
    now: int,
) -> Progress:
    """Believe the key when every party has reported the same facts with all certificates."""
    try:
        _check_facts(conduct, report.facts)
        for member in conduct.terms.members:
            report.facts.verify(member.party_id, report.certificates.get(member.party_id, b""))
    except ContractError as error:
        return Progress(
            conduct=conduct,
            status=Status.FAILED,
            failure=Failure.of(
                FailureCode.PARTY_FAULT,
                f"{sender} reported a key that does not check out: {error}",
                culprits=[sender],
            ),
        )
    reports = {
        row.sender: sessions.KeyCertified.model_validate_json(payload(row))
        for row in received
        if row.slot == report.report
    }
    reports[sender] = report
    if any(each.facts != report.facts for each in reports.values()):
        return Progress(
            conduct=conduct,
            status=Status.FAILED,
            failure=Failure.of(FailureCode.SPOILT, "the parties certified different keys"),
        )
    if len(reports) < len(conduct.terms.members):
        return Progress(conduct=conduct, status=Status.IN_PROGRESS)

    request, facts = conduct.request, report.facts
    assert isinstance(request, KeygenRequest)
    names = [member.party_id for member in conduct.terms.members]
    certified = CertifiedKey(
        facts=facts, certificates={name: report.certificates[name] for name in names}
    )
    return Progress(
        conduct=conduct,
        status=Status.COMPLETED,
        key=KeyRecord(
            owner=request.owner,
            key_id=request.key_id,
            key_session=facts.session_id,
            epoch=facts.epoch,
            curve=facts.curve.value,
            certified=certified.model_dump_json(),
        ),
        result=KeygenResult(
            request_id=request.request_id,
            client_id=request.client_id,
            session_id=facts.session_id,
            request_digest=conduct.terms.request_digest,
            status=Status.COMPLETED,
            finished_at=now,
            key_id=request.key_id,
            curve=request.curve,
            key=certified,
        ),
    )


def _check_facts(conduct: Conduct, facts: KeyFacts) -> None:
    request, terms = conduct.request, conduct.terms
    assert isinstance(request, KeygenRequest)
    wanted: Mapping[str, tuple[object, object]] = {
        "client id": (facts.client_id, request.client_id),
        "tenant": (facts.tenant, request.tenant),
        # None in facts of version 1, which are certified no more.
        "request": (facts.request_digest, terms.request_digest),
        "list of schemes": (facts.schemes, request.schemes),
        "origin": (facts.origin, Origin.GENERATED),
        "key id": (facts.key_id, request.key_id),
        "session": (facts.session_id, conduct.session_id),
        "epoch": (facts.epoch, terms.epoch),
        "curve": (facts.curve, request.curve),
        "threshold": (facts.threshold, request.threshold),
        "holders": (
            [(holder.party_id, holder.identity) for holder in facts.holders],
            [(member.party_id, member.identity) for member in terms.members],
        ),
    }
    for name, (found, expected) in wanted.items():
        if found != expected:
            raise ContractError(f"another {name} than the session's")
    # Combining takes them for points, unchecked.
    for point in (facts.public_key, *(holder.public_share for holder in facts.holders)):
        check_point(facts.curve, point)
