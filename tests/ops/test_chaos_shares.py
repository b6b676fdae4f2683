"""What the harness knows of keys that get other shares, and how it judges these."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.keys import EpochBundle
from contracts.primitives import Curve
from contracts.requests import ReshareRequest
from contracts.results import KeygenResult, ReshareResult, Status
from ops.chaos.experiment import Settings
from ops.chaos.facts import Facts
from ops.chaos.faults import DISASTERS, LIARS, WORKERS, Kind, claims
from ops.chaos.schedule import Injection
from ops.chaos.shares import highest_asked, newest
from ops.chaos.verifying import Verifier
from tests.contracts import samples
from tests.ops.chaos_samples import answer, ask
from tests.session.epoch_bundles import PINNED, Forger, certified, old_facts

KNOWN = old_facts(Curve.ED25519, version=2, tenant=None, reshared=None, epoch=0)
MADE = Forger(
    Curve.ED25519, KNOWN, asked={"tenant": None, "tries": 3}, facts={"tenant": None, "epoch": 1}
)
REQUEST = ReshareRequest.model_validate_json(MADE.bundle().request)


def result(bundle: EpochBundle) -> ReshareResult:
    return ReshareResult(
        request_id=REQUEST.request_id,
        client_id="svcA",
        session_id=bytes(32),
        request_digest=bytes(32),
        status=Status.COMPLETED,
        finished_at=1,
        key_id=KNOWN.key_id,
        bundle=bundle,
        signs_from=1,
    )


def verifier() -> Verifier:
    found = Verifier(PINNED)
    found.learn(certified(KNOWN), "svcA")
    return found


def test_a_key_is_known_by_the_newest_epoch_that_its_owner_was_told_of() -> None:
    facts, name = Facts(), ("svcA", KNOWN.key_id)
    asked = samples.keygen_request(request_id="k", key_id=KNOWN.key_id, curve=KNOWN.curve)
    ask(facts, asked)
    made: Any = samples.keygen_result(asked, certified(KNOWN))
    assert isinstance(made, KeygenResult)
    answer(facts, made)
    assert newest(facts) == {name: KNOWN}
    ask(facts, REQUEST)
    assert newest(facts) == {name: KNOWN}
    assert highest_asked(facts, name) == 3
    answer(facts, result(MADE.bundle()))
    assert newest(facts)[name].epoch == 1


@pytest.mark.parametrize(
    ("changed", "doubt"),
    [
        ({}, None),
        ({"epoch": 4}, "epoch 4 was not asked for"),
        ({"chain_code": bytes(32)}, "of another key"),
        ({"public_key": KNOWN.holders[0].public_share}, "of another key"),
    ],
)
def test_other_shares_are_judged(changed: dict[str, Any], doubt: str | None) -> None:
    found = verifier().doubts(REQUEST, result(MADE.saying(**changed).bundle()))
    assert found == doubt or (doubt is not None and found is not None and doubt in found)


def test_other_holders_than_were_asked_for_are_wrong() -> None:
    asked = REQUEST.model_copy(update={"parties": ["p1", "p2", "p4"]})
    assert verifier().doubts(asked, result(MADE.bundle())) == (
        "other parties hold the new shares than was asked for"
    )


def test_what_is_certified_by_others_is_wrong() -> None:
    bundle = MADE.bundle()
    rest = dict(list(bundle.key.certificates.items())[1:])
    key = bundle.key.model_copy(update={"certificates": rest})
    found = verifier().doubts(REQUEST, result(bundle.model_copy(update={"key": key})))
    assert found is not None
    assert found.startswith("the new epoch is not certified")
    assert Verifier(PINNED).doubts(REQUEST, result(bundle)) == (
        "other shares of a key that nobody certified"
    )


def test_a_disaster_strikes_alone_among_what_could_keep_the_others_from_dealing() -> None:
    for kind in DISASTERS:
        for other in (*LIARS, Kind.RESHARE, Kind.DATABASE_KILL, Kind.BROKER_KILL, Kind.SILENT):
            assert claims(kind, "party-1") & claims(other, "party-2")
        for worker in WORKERS:
            hers = worker.startswith("party-1.")
            assert bool(claims(kind, "party-1") & claims(Kind.KILL, worker)) is hers


@pytest.mark.parametrize(("kind", "parties"), [(Kind.KILL, 3), (Kind.RESHARE, 4)])
def test_there_is_a_spare_party_where_shares_move(kind: Kind, parties: int, tmp_path: Any) -> None:
    injection = Injection(at_s=1, kind=kind, target="", lasts_s=0, seed=1)
    plan = Settings(seed=1, seconds=10, injections=(injection,)).plan(tmp_path)
    assert plan.party_count == parties
    assert plan.party_ids[-plan.sqlite_parties] == "party-3"
