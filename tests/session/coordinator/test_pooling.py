"""What the coordinator makes of the reports about a batch of presignatures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts import addresses, sessions
from contracts.errors import ContractError
from contracts.failures import Failure, FailureCode
from contracts.results import Status
from contracts.sessions import INSTRUCTION, PresignaturesMade, PresignBatch, SessionFailed
from tests.protocols.simulate import coins
from tests.session.builders import (
    KEY_SESSION,
    NOW,
    facts,
    nonces_made,
    received_report,
    report_envelope,
    signing_session,
)
from tests.session.presigners import presign_batch, sent, world
from workers.session.coordinator import pooling
from workers.session.coordinator.pooling import Batch, BatchProgress
from workers.store.records import PoolName, Received

THREE = (1, 2, 3)
POINTS = [holder.public_share for holder in facts("secp256k1").holders[:2]]
OTHER = facts("secp256k1").public_key


def batch(signers: tuple[int, ...] = THREE, **changes: Any) -> Batch:
    return Batch(terms=presign_batch(world(), signers, **({"count": 2} | changes)).terms)


def made(points: list[bytes] | None = None) -> PresignaturesMade:
    return PresignaturesMade(points=POINTS if points is None else points)


def failed(code: FailureCode = FailureCode.PARTY_FAULT, **fields: Any) -> SessionFailed:
    return SessionFailed(failure=Failure.of(code, "because", **fields))


def rows(*reports: tuple[int, sessions.Report]) -> list[Received]:
    return [received_report(i, report) for i, report in reports]


###
### Instructions
###


def test_every_signer_is_told_of_the_batch_by_the_presigning_lane() -> None:
    of = batch((1, 3))
    told = pooling.instructions(of, time_left_ms=5_000)
    assert [(each.exchange, each.routing_key) for each in told] == [
        (addresses.PRESIGNING, "party-1"),
        (addresses.PRESIGNING, "party-3"),
    ]
    for each in told:
        content = INSTRUCTION.validate_json(each.body)
        assert isinstance(content, PresignBatch)
        assert (content.terms, content.time_left_ms) == (of.terms, 5_000)
        assert content.session_id == of.terms.session_id() == of.session_id


def test_farewells_go_to_every_signer_and_to_all_who_listen() -> None:
    of = batch((1, 3))
    first, *others = pooling.farewells(of, now=NOW)
    assert (first.exchange, first.routing_key) == (addresses.CANCEL, "")
    assert [(each.exchange, each.routing_key) for each in others] == [
        (addresses.SESSIONS, "party-1"),
        (addresses.SESSIONS, "party-3"),
    ]
    for each in (first, *others):
        over = sessions.SessionCancelled.model_validate_json(each.body)
        assert over.session_id == of.session_id


def test_a_batch_is_stored_and_read_back() -> None:
    assert Batch.model_validate_json(batch().model_dump_json()) == batch()


def test_a_pool_is_a_keys_in_one_epoch_for_one_signer_set() -> None:
    pool = PoolName(key_session=KEY_SESSION, epoch=0, signers="1,3")
    assert batch((1, 3)).pool == pool
    assert batch((1, 2)).pool == replace(pool, signers="1,2")
    assert batch((1, 3), epoch=1).pool == replace(pool, epoch=1)
    assert batch((1, 3), key_session=coins("k")).pool == replace(pool, key_session=coins("k"))


###
### Who may say what
###


def check(of: Batch, sender: str, report: sessions.Report, **changes: Any) -> None:
    envelope = report_envelope(sender, report, session_id=of.session_id)
    pooling.check_report(of, replace(envelope, **changes), report)


def test_reports_that_fit_the_batch_are_heard() -> None:
    check(batch(), "party-2", made())
    check(batch(), "party-2", failed())
    check(batch(), "party-2", failed(), epoch=9)
    check(batch(epoch=9), "party-2", made(), epoch=9)


@pytest.mark.parametrize("report", [made(), failed()])
def test_a_party_that_takes_no_part_is_not_heard(report: sessions.Report) -> None:
    with pytest.raises(ContractError, match="party-2 takes no part"):
        check(batch((1, 3)), "party-2", report)


def test_reports_of_other_sessions_are_not_heard() -> None:
    signing = signing_session()
    reports: list[sessions.Report] = [
        sessions.PartyJoined(),
        signing.share(3),
        nonces_made([signing.commitments[3]]),
    ]
    for report in reports:
        with pytest.raises(ContractError, match=f"{report.report} in a session to presign"):
            check(batch(), "party-3", report)


def test_presignatures_of_another_epoch_are_not_heard() -> None:
    with pytest.raises(ContractError, match="epoch 1 in a session of 0"):
        check(batch(), "party-2", made(), epoch=1)


@pytest.mark.parametrize("points", [POINTS[:1], [*POINTS, OTHER]])
def test_another_number_of_presignatures_is_not_heard(points: list[bytes]) -> None:
    with pytest.raises(ContractError, match=f"{len(points)} presignatures, not 2"):
        check(batch(), "party-2", made(points))


@pytest.mark.parametrize(
    "wrong", [b"", bytes(33), b"\x05" + OTHER[1:], OTHER[:-1], b"\x02" + b"\xff" * 32]
)
@pytest.mark.parametrize("place", [0, 1])
def test_points_that_are_none_are_not_heard(place: int, wrong: bytes) -> None:
    points = list(POINTS)
    points[place] = wrong
    with pytest.raises(ContractError, match="secp256k1"):
        check(batch(), "party-2", made(points))


###
### Counting in
###


@pytest.mark.parametrize("epoch", [0, 9])
def test_presignatures_count_when_all_signers_have_reported_the_same(epoch: int) -> None:
    of = batch(epoch=epoch)
    for some in ([], rows((1, made())), rows((3, made()))):
        progress = pooling.presignatures_made(of, "party-2", made(), some)
        assert progress == BatchProgress(status=Status.IN_PROGRESS)
    progress = pooling.presignatures_made(of, "party-2", made(), rows((1, made()), (3, made())))
    assert (progress.status, progress.failure) == (Status.COMPLETED, None)
    assert [(each.position, each.point) for each in progress.presignatures] == [
        (0, POINTS[0]),
        (1, POINTS[1]),
    ]
    for each in progress.presignatures:
        name = PoolName(key_session=each.key_session, epoch=each.epoch, signers=each.signers)
        assert (each.batch, name) == (of.session_id, of.pool)


def test_what_the_signers_report_is_counted_in() -> None:
    run = sent(4)
    of = Batch(terms=run.batch.terms)
    reports = {name: made(points) for name, points in run.points().items()}
    for name, report in reports.items():
        check(of, name, report)
    progress = pooling.presignatures_made(
        of, "party-1", reports["party-1"], rows((3, reports["party-3"]))
    )
    (one,) = progress.presignatures
    assert (one.signers, one.epoch) == ("1,3", 0)
    assert [one.point] == run.points()["party-3"]


def test_a_report_counts_once_for_each_signer() -> None:
    twice = rows((2, made()), (2, made()))
    progress = pooling.presignatures_made(batch(), "party-2", made(), twice)
    assert progress.status is Status.IN_PROGRESS


def test_other_reports_of_a_signer_do_not_count() -> None:
    second = replace(received_report(3, made([OTHER, OTHER])), slot="presignatures_made/second")
    some = [*rows((1, failed(FailureCode.EXPIRED)), (1, made())), second]
    progress = pooling.presignatures_made(batch(), "party-2", made(), some)
    assert progress.status is Status.IN_PROGRESS


@pytest.mark.parametrize("points", [POINTS[::-1], [POINTS[0], OTHER]])
@pytest.mark.parametrize("i", [1, 3])
def test_different_presignatures_spoil_the_batch_and_name_nobody(
    i: int, points: list[bytes]
) -> None:
    progress = pooling.presignatures_made(batch(), "party-2", made(), rows((i, made(points))))
    assert (progress.status, progress.presignatures) == (Status.FAILED, ())
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.SPOILT
    assert (progress.failure.culprits, progress.quarrels) == ([], ())


###
### Failures
###


def test_a_signer_that_gives_up_speaks_of_the_other_signers_alone() -> None:
    report = failed(
        culprits=["party-1", "party-2", "party-4", "ghost"],
        silent=["party-3", "party-2", "ghost"],
        round=2,
    )
    progress = pooling.batch_failed(batch(), "party-2", report)
    assert (progress.status, progress.presignatures) == (Status.FAILED, ())
    assert progress.failure is not None
    assert (progress.failure.culprits, progress.failure.silent) == (["party-1"], ["party-3"])
    assert (progress.failure.code, progress.failure.round) == (FailureCode.PARTY_FAULT, 2)
    assert progress.failure.message == "party-2 reports of the presignatures: because"


@pytest.mark.parametrize("code", [FailureCode.KEY_EXISTS, FailureCode.CANCELLED])
def test_a_signer_cannot_say_what_it_cannot_know(code: FailureCode) -> None:
    """Whoever waits for the batch is told so."""
    progress = pooling.batch_failed(batch(), "party-2", failed(code))
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.INTERNAL
    assert progress.failure.retryable


def test_an_accusation_makes_a_quarrel_with_each_culprit() -> None:
    report = failed(culprits=["party-3", "party-1", "party-2", "ghost"])
    progress = pooling.batch_failed(batch(), "party-2", report)
    assert progress.quarrels == (("party-2", "party-1"), ("party-2", "party-3"))
    records = pooling.quarrel_records(progress, NOW)
    assert [(each.accuser, each.accused, each.at) for each in records] == [
        ("party-2", "party-1", NOW),
        ("party-2", "party-3", NOW),
    ]


def test_the_longest_word_still_fits() -> None:
    report = SessionFailed(failure=Failure.of(FailureCode.SPOILT, "x" * 2000))
    progress = pooling.batch_failed(batch(), "party-2", report)
    assert progress.failure is not None
    assert len(progress.failure.message) == 2000


###
### Endings
###


def silent(progress: BatchProgress) -> list[str]:
    assert (progress.status, progress.presignatures) == (Status.EXPIRED, ())
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.EXPIRED
    assert all(name in progress.failure.message for name in progress.failure.silent)
    return progress.failure.silent


def waited(*names: str) -> SessionFailed:
    return failed(FailureCode.EXPIRED, silent=list(names))


def test_silent_is_first_of_all_who_was_never_heard_of() -> None:
    assert silent(pooling.expired(batch(), [])) == ["party-1", "party-2", "party-3"]
    some = rows((1, made()), (2, waited("party-1")))
    assert silent(pooling.expired(batch(), some)) == ["party-3"]


def test_silent_is_then_whom_the_others_name() -> None:
    some = rows((1, waited("party-3")), (2, waited("party-3")), (3, made()))
    assert silent(pooling.expired(batch(), some)) == ["party-3"]


@pytest.mark.parametrize("named", ["party-2", "party-4", "ghost"])
def test_nobody_names_itself_or_a_stranger_silent(named: str) -> None:
    some = rows((1, made()), (2, waited(named)), (3, made()))
    progress = pooling.expired(batch(), some)
    assert silent(progress) == []
    assert progress.failure is not None
    assert progress.failure.message == "no presignatures in time"
