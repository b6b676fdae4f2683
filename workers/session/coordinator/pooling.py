"""The coordinator's side of a batch of presignatures: what it remembers, what each report comes to.

A batch is a session without a request. Its presignatures count when every signer has reported the
same public nonces; if anything fails anywhere, all of the batch dies everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from contracts import sessions
from contracts.envelope import Envelope
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.primitives import Contract, Curve
from contracts.results import Status
from contracts.terms import PresignTerms
from contracts.verification import check_point

from ...store.records import Outgoing, PooledPresignature, PoolName, QuarrelRecord, Received
from ..sending import instruction
from .choice import set_name
from .instructions import over
from .refusing import Refusal, refusal_of
from .reported_failures import passed_on, payload, said_to_be_silent

BatchReport: TypeAlias = sessions.PresignaturesMade | sessions.SessionFailed
"""What signers say of a batch."""


class Batch(Contract):
    """The coordinator's state of a batch. Nothing in it is secret."""

    terms: PresignTerms

    @property
    def session_id(self) -> bytes:
        return self.terms.session_id()

    @property
    def pool(self) -> PoolName:
        return PoolName(
            key_session=self.terms.key_session,
            epoch=self.terms.epoch,
            signers=set_name(self.terms.members),
        )

    @property
    def party_ids(self) -> list[str]:
        return [member.party_id for member in self.terms.members]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """What a report comes to.

    Attributes:
        presignatures: Set when the batch is complete.
        failure: Set when it failed.
        quarrels: Who accuses whom, without the time. They had better not meet again soon.
        refusal: Set when it failed because a signer refused.
    """

    status: Status
    presignatures: tuple[PooledPresignature, ...] = ()
    failure: Failure | None = None
    quarrels: tuple[tuple[str, str], ...] = ()
    refusal: Refusal | None = None


def instructions(batch: Batch, *, time_left_ms: int) -> tuple[Outgoing, ...]:
    """`presign_batch` for every signer."""
    session_id = batch.session_id
    content = sessions.PresignBatch(
        session_id=session_id,
        issued_at=batch.terms.issued_at,
        terms=batch.terms,
        time_left_ms=time_left_ms,
    )
    return tuple(instruction(content, party_id, session_id) for party_id in batch.party_ids)


def farewells(batch: Batch, *, now: int) -> tuple[Outgoing, ...]:
    """Have every signer forget the batch, whatever it has of it."""
    return over(batch.session_id, batch.party_ids, now=now)


def check_report(batch: Batch, envelope: Envelope, report: sessions.Report) -> BatchReport:
    """The report, as one that a batch has.

    Raises:
        ContractError: its sender may not say this of this batch.
    """
    if envelope.sender not in batch.party_ids:
        raise ContractError(f"{envelope.sender} takes no part in this session")
    if not isinstance(report, sessions.PresignaturesMade | sessions.SessionFailed):
        raise ContractError(f"{report.report} in a session to presign")
    if isinstance(report, sessions.PresignaturesMade):
        if envelope.epoch != batch.terms.epoch:
            raise ContractError(f"epoch {envelope.epoch} in a session of {batch.terms.epoch}")
        if len(report.points) != batch.terms.count:
            raise ContractError(f"{len(report.points)} presignatures, not {batch.terms.count}")
        for point in report.points:
            check_point(Curve.SECP256K1, point)
    return report


def presignatures_made(
    batch: Batch,
    sender: str,
    report: sessions.PresignaturesMade,
    received: Iterable[Received],
) -> BatchProgress:
    """Count them in, if this was the last signer's word."""
    points = {
        row.sender: sessions.PresignaturesMade.model_validate_json(payload(row)).points
        for row in received
        if row.slot == report.report
    }
    points[sender] = report.points
    if any(each != report.points for each in points.values()):
        return BatchProgress(
            status=Status.FAILED,
            failure=Failure.of(FailureCode.SPOILT, "the signers made different presignatures"),
        )
    if len(points) < len(batch.party_ids):
        return BatchProgress(status=Status.IN_PROGRESS)
    pool, session_id = batch.pool, batch.session_id
    return BatchProgress(
        status=Status.COMPLETED,
        presignatures=tuple(
            PooledPresignature(
                batch=session_id,
                position=position,
                key_session=pool.key_session,
                epoch=pool.epoch,
                signers=pool.signers,
                point=point,
            )
            for position, point in enumerate(report.points)
        ),
    )


def batch_failed(batch: Batch, sender: str, report: sessions.SessionFailed) -> BatchProgress:
    """A signer gives up. What it says of others is its word, and only about other signers."""
    failure = passed_on(
        report.failure, sender, batch.party_ids, f"{sender} reports of the presignatures"
    )
    return BatchProgress(
        status=Status.FAILED,
        failure=failure,
        quarrels=tuple((sender, culprit) for culprit in failure.culprits),
        refusal=refusal_of(failure, sender, batch.party_ids),
    )


def expired(batch: Batch, received: Iterable[Received]) -> BatchProgress:
    """The deadline has passed: whoever said nothing was silent, or whom the others name."""
    rows = tuple(received)
    heard = {row.sender for row in rows}
    silent = [party_id for party_id in batch.party_ids if party_id not in heard]
    if not silent:
        silent = said_to_be_silent(rows, batch.party_ids)
    return BatchProgress(
        status=Status.EXPIRED,
        failure=Failure.of(
            FailureCode.EXPIRED,
            f"no presignatures in time; nothing was heard of {', '.join(silent)}"
            if silent
            else "no presignatures in time",
            silent=silent,
        ),
    )


def quarrel_records(progress: BatchProgress, now: int) -> tuple[QuarrelRecord, ...]:
    return tuple(
        QuarrelRecord(accuser=accuser, accused=accused, at=now)
        for accuser, accused in progress.quarrels
    )
