"""What reports of a new key come to: a key that all have certified, or somebody's fault."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.failures import FailureCode
from contracts.keys import Holder, Origin
from contracts.primitives import Scheme
from contracts.results import KeygenResult, Status
from contracts.sessions import KeyCertified, PartyJoined
from tests.protocols.simulate import coins
from tests.session.builders import IDENTITIES, NOW, PEERS, facts, received_report
from tests.session.conducts import certified, keygen_conduct, new_facts
from workers.session.coordinator import key_reports
from workers.session.coordinator.conduct import Conduct, Progress
from workers.store.records import Received


def key_certified(
    conduct: Conduct, i: int, report: KeyCertified, received: tuple[Received, ...] = ()
) -> Progress:
    return key_reports.key_certified(conduct, f"party-{i}", report, received, now=NOW)


def test_a_key_is_believed_when_every_party_has_certified_it() -> None:
    conduct = keygen_conduct()
    report = certified(new_facts(conduct))
    joined = tuple(received_report(i, PartyJoined()) for i in (1, 2, 3))
    rows = (*joined, *(received_report(i, report) for i in (1, 3)))
    for some in ((), joined, rows[:-1]):
        progress = key_certified(conduct, 2, report, some)
        assert (progress.status, progress.key) == (Status.IN_PROGRESS, None)
    progress = key_certified(conduct, 2, report, rows)
    assert progress.status is Status.COMPLETED
    assert isinstance(progress.result, KeygenResult)
    assert progress.result.key is not None
    progress.result.key.verify({name: peer.identity for name, peer in PEERS.items()})
    assert progress.key is not None
    assert (progress.key.owner, progress.key.key_id) == ("svcA", "key-1")
    assert progress.key.key_session == conduct.session_id


def test_a_key_of_a_client_without_an_id_has_no_owner() -> None:
    conduct = keygen_conduct(client_id=None)
    report = certified(new_facts(conduct, client_id=None))
    progress = key_certified(conduct, 3, report, tuple(received_report(i, report) for i in (1, 2)))
    assert progress.key is not None
    assert progress.key.owner == ""


def test_only_the_parties_certificates_are_handed_on() -> None:
    conduct = keygen_conduct()
    honest = certified(new_facts(conduct))
    padded = honest.model_copy(
        update={"certificates": {**honest.certificates, "party-4": bytes(9_000)}}
    )
    rows = tuple(received_report(i, honest) for i in (1, 2))
    progress = key_certified(conduct, 3, padded, rows)
    assert isinstance(progress.result, KeygenResult)
    assert progress.result.key is not None
    assert progress.result.key.certificates.keys() == {"party-1", "party-2", "party-3"}


def _holder(**changes: Any) -> list[Holder]:
    *others, third = facts().holders
    return [*others, third.model_copy(update=changes)]


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "svcB"},
        {"client_id": None},
        {"tenant": "alice"},
        {"request_digest": coins("another")},
        {"version": 1, "request_digest": None, "origin": None},
        {"schemes": [Scheme.ED25519]},
        {"origin": Origin.IMPORTED},
        {"key_id": "key-2"},
        {"session_id": coins("another")},
        {"epoch": 1},
        {"curve": facts("secp256k1").curve},
        {"threshold": 3},
        {"holders": facts().holders[:2]},
        {"holders": facts().holders[::-1]},
        {"holders": _holder(party_id="party-4")},
        {"holders": _holder(identity=IDENTITIES["party-4"].public.der)},
        {"holders": _holder(public_share=b"\xff" * 32)},
        {"holders": _holder(public_share=b"")},
        {"public_key": b"\xff" * 32},
        {"public_key": facts("secp256k1").public_key},
    ],
)
def test_other_facts_than_the_sessions_name_their_reporter(changes: dict[str, Any]) -> None:
    conduct = keygen_conduct()
    progress = key_certified(conduct, 2, certified(new_facts(conduct, **changes)))
    assert progress.status is Status.FAILED
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.PARTY_FAULT
    assert progress.failure.culprits == ["party-2"]


def _without(report: KeyCertified) -> dict[str, bytes]:
    return {name: each for name, each in report.certificates.items() if name != "party-3"}


def _swapped(report: KeyCertified) -> dict[str, bytes]:
    return report.certificates | {"party-3": report.certificates["party-1"]}


def _garbled(report: KeyCertified) -> dict[str, bytes]:
    return report.certificates | {"party-3": b"\x30"}


def _of_other_facts(report: KeyCertified) -> dict[str, bytes]:
    other = report.facts.model_copy(update={"chain_code": coins("other")})
    return report.certificates | {"party-3": other.certify(IDENTITIES["party-3"])}


@pytest.mark.parametrize("change", [_without, _swapped, _garbled, _of_other_facts])
def test_missing_and_wrong_certificates_name_their_reporter(change: Any) -> None:
    conduct = keygen_conduct()
    report = certified(new_facts(conduct))
    wrong = report.model_copy(update={"certificates": change(report)})
    progress = key_certified(conduct, 2, wrong)
    assert progress.failure is not None
    assert progress.failure.culprits == ["party-2"]


@pytest.mark.parametrize(
    "changes", [{"chain_code": coins("other")}, {"transcript_digest": coins("other")}]
)
def test_two_keys_certified_by_all_spoil_the_session(changes: dict[str, Any]) -> None:
    conduct = keygen_conduct()
    rows = (received_report(1, certified(new_facts(conduct))),)
    progress = key_certified(conduct, 2, certified(new_facts(conduct, **changes)), rows)
    assert progress.status is Status.FAILED
    assert progress.failure is not None
    assert progress.failure.code is FailureCode.SPOILT
    assert progress.failure.culprits == []
