"""`warren key reshare`, `refresh` and `repair`: the requests that they make, and what they show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contracts.client import Client, ClientSettings, RequestFailedError
from contracts.failures import Failure, FailureCode
from contracts.keys import EpochBundle, Holder, KeyFacts
from contracts.primitives import Curve, DeleteAfter, Status
from contracts.requests import QueryKeysRequest, ReshareRequest
from contracts.results import QueryKeysResult, ReshareResult
from tests.contracts.producers import Unconnected
from tests.ops.terminals import Run
from tests.session.epoch_bundles import (
    FROM_EPOCH,
    NEW_PARTIES,
    OLD_PARTIES,
    TO_EPOCH,
    Forger,
    certified,
    old_facts,
)

KNOWN = old_facts(Curve.SECP256K1)
BUNDLE = Forger().bundle()
DONE: dict[str, Any] = {
    "request_id": "r1",
    "client_id": "svcA",
    "request_digest": bytes(32),
    "status": Status.COMPLETED,
    "finished_at": 1_700_000_000_000,
}


class Scripted(Unconnected):
    """The real client up to the queue."""

    def __init__(self, settings: ClientSettings, script: Resharing) -> None:
        super().__init__(settings)
        self._script = script

    async def _ask(self, request: Any, kind: type[Any]) -> Any:
        if isinstance(request, QueryKeysRequest):
            return QueryKeysResult(**DONE, session_id=None, keys=[certified(self._script.known)])
        self._script.asked.append(request)
        if self._script.failures:
            failure = self._script.failures.pop(0)
            failed = {**DONE, "status": Status.FAILED, "failure": failure}
            raise RequestFailedError(
                failure, ReshareResult(**failed, session_id=bytes(32), key_id="treasury")
            )
        return ReshareResult(
            **DONE,
            session_id=bytes(32),
            key_id="treasury",
            bundle=BUNDLE,
            signs_from=1_700_000_030_000,
        )


@dataclass
class Resharing:
    """
    Attributes:
        failures: Of the first requests; the others succeed.
    """

    known: KeyFacts = KNOWN
    asked: list[ReshareRequest] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @asynccontextmanager
    async def connect(self, settings: ClientSettings) -> AsyncIterator[Client]:
        yield Scripted(settings, self)


@pytest.fixture
def fake() -> Resharing:
    return Resharing()


def test_a_key_goes_to_those_that_are_named(run: Run, fake: Resharing) -> None:
    parties = [word for name in NEW_PARTIES for word in ("--party", name)]
    told = run("key", "reshare", "treasury", *parties, "--threshold", "3", "--dealer", "p1")
    assert told.code == 2, "one cannot deal"
    told = run("key", "reshare", "treasury", *parties, "--threshold", "3", "--first-epoch", "5")
    assert told.code == 0, told.err
    (asked,) = fake.asked
    assert (asked.public_key, asked.from_epoch) == (KNOWN.public_key, FROM_EPOCH)
    assert (asked.threshold, asked.parties, asked.dealers) == (3, list(NEW_PARTIES), None)
    assert [*asked.epochs] == [5, 6, 7]
    assert f"{TO_EPOCH}, dealt from {FROM_EPOCH} by p2, p3" in told.out
    assert "any 3 of 4 parties sign" in told.out
    assert "2023-11-14 22:13:50 UTC; until then the holders of before" in told.out
    assert "shown out" in told.out
    assert "p1, p3" in told.out
    assert "2 of the 3 former holders have deleted theirs, backups included" in told.out


def test_a_refresh_asks_for_what_there_is(run: Run, fake: Resharing, tmp_path: Path) -> None:
    proof = tmp_path / "treasury.epoch.json"
    words = ("--dealer", "p1", "--dealer", "p3", "--tries", "1", "--out", str(proof))
    told = run("key", "refresh", "treasury", *words)
    assert told.code == 0, told.err
    (asked,) = fake.asked
    assert (asked.threshold, asked.parties) == (KNOWN.threshold, list(OLD_PARTIES))
    assert (asked.dealers, [*asked.epochs]) == (["p1", "p3"], [FROM_EPOCH + 1])
    assert EpochBundle.model_validate_json(proof.read_text()) == BUNDLE
    assert str(proof) in told.out


def test_programs_get_the_facts_and_the_proof(run: Run) -> None:
    told = run("key", "refresh", "treasury", "--json", "--request-id", "mine")
    assert told.code == 0, told.err
    shown = told.json
    assert (shown["epoch"], shown["from_epoch"], shown["request_id"]) == (
        TO_EPOCH,
        FROM_EPOCH,
        "mine",
    )
    assert shown["signs_from"] == 1_700_000_030_000
    assert EpochBundle.model_validate(shown["bundle"], strict=False) == BUNDLE


def test_when_the_old_shares_go_can_be_said(run: Run, fake: Resharing) -> None:
    for words in (
        ("reshare", "treasury"),
        ("refresh", "treasury"),
        ("repair", "treasury", "--party", "p2"),
    ):
        for more, after in (
            ((), DeleteAfter.BACKED_UP),
            (("--delete-after", "certified"), DeleteAfter.CERTIFIED),
        ):
            assert run("key", *words, *more).code == 0
            assert fake.asked[-1].delete_after is after
    assert run("key", "refresh", "treasury", "--delete-after", "never").code == 2


def test_a_proof_that_could_not_be_kept_is_not_asked_for(run: Run, fake: Resharing) -> None:
    told = run("key", "reshare", "treasury", "--out", "/no/such/folder/proof.json")
    assert told.code == 2
    assert "There is no folder /no/such/folder" in told.err
    assert fake.asked == []


def test_a_proof_that_cannot_be_written_is_not_lost(run: Run, tmp_path: Path) -> None:
    """The key has moved by then."""
    proof = str(tmp_path / ("x" * 300))
    told = run("key", "refresh", "treasury", "--out", proof)
    assert told.code == 1
    assert "File name too long" in told.err
    assert "dealt from" in told.out
    assert EpochBundle.model_validate_json(told.out.splitlines()[-1]) == BUNDLE
    told = run("key", "refresh", "treasury", "--out", proof, "--json")
    assert told.code == 1
    error = told.json["error"]
    assert (error["kind"], error["epoch"]) == ("not_written", TO_EPOCH)
    assert EpochBundle.model_validate(error["bundle"], strict=False) == BUNDLE


def test_where_nobody_is_shown_out_nothing_is_promised(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = Forger(asked={"parties": sorted(NEW_PARTIES)}).bundle()
    before = same.predecessor.facts.model_copy(
        update={"holders": same.key.facts.holders, "threshold": 3}
    )
    predecessor = same.predecessor.model_copy(update={"facts": before})
    monkeypatch.setattr(f"{__name__}.BUNDLE", same.model_copy(update={"predecessor": predecessor}))
    told = run("key", "refresh", "treasury")
    assert told.code == 0, told.err
    assert "shown out" not in told.out


def with_four_holders() -> KeyFacts:
    """p1 to p4, any two of which sign."""
    more = Holder(**{**KNOWN.holders[-1].model_dump(), "party_id": "p4"})
    return KNOWN.model_copy(update={"holders": [*KNOWN.holders, more], "party_count": 4})


def silent(*names: str) -> Failure:
    return Failure.of(FailureCode.EXPIRED, "nothing was heard of some", silent=[*names])


def test_a_repair_has_the_others_deal(run: Run, fake: Resharing, tmp_path: Path) -> None:
    proof = tmp_path / "epoch.json"
    words = ("--party", "p1", "--request-id", "mine", "--out", str(proof))
    told = run("key", "repair", "treasury", *words)
    assert told.code == 0, told.err
    (asked,) = fake.asked
    assert (asked.threshold, asked.parties) == (KNOWN.threshold, list(OLD_PARTIES))
    assert (asked.dealers, [*asked.epochs]) == (["p2", "p3"], [FROM_EPOCH + 1])
    assert asked.request_id == "mine"
    assert EpochBundle.model_validate_json(proof.read_text()) == BUNDLE


def test_a_repair_goes_on_without_a_dealer_that_is_away(run: Run, fake: Resharing) -> None:
    fake.known = with_four_holders()
    culprit = Failure.of(FailureCode.PARTY_FAULT, "a wrong share", culprits=["p1", "p2"])
    fake.failures = [culprit]
    told = run("key", "repair", "treasury", "--party", "p1", "--first-epoch", "7", "--json")
    assert told.code == 0, told.err
    assert [asked.dealers for asked in fake.asked] == [["p2", "p3"], ["p3", "p4"]]
    assert [[*asked.epochs] for asked in fake.asked] == [[7], [8]]
    assert len({asked.request_id for asked in fake.asked}) == 2
    assert told.json["request_id"] == fake.asked[-1].request_id


@pytest.mark.parametrize(
    ("failures", "asked"),
    [
        ([silent("p1")], 1),  # it has to receive, whoever deals
        ([silent("p1", "p2")], 1),
        ([silent("p4")], 1),
        ([Failure.of(FailureCode.INVALID_REQUEST, "first_epoch must be later")], 1),
        ([silent("p2"), silent("p3")], 2),  # nobody is left that could deal instead
        ([silent("p2"), silent("p1")], 2),
    ],
)
def test_a_repair_that_no_other_dealer_would_help_fails_at_once(
    run: Run, fake: Resharing, failures: list[Failure], asked: int
) -> None:
    fake.known, fake.failures = with_four_holders(), list(failures)
    told = run("key", "repair", "treasury", "--party", "p1")
    assert told.code == 1
    assert failures[-1].message in told.err
    assert len(fake.asked) == asked


def test_a_repair_is_tried_as_often_as_it_is_told(run: Run, fake: Resharing) -> None:
    fake.known, fake.failures = with_four_holders(), [silent("p2")] * 2
    told = run("key", "repair", "treasury", "--party", "p1", "--tries", "1")
    assert (told.code, len(fake.asked)) == (1, 1)


def test_only_a_holder_that_the_others_can_do_without_is_repaired(
    run: Run, fake: Resharing
) -> None:
    told = run("key", "repair", "treasury", "--party", "p9")
    assert (told.code, fake.asked) == (2, [])
    assert "p9 holds no share of key" in told.err
    fake.known = KNOWN.model_copy(update={"threshold": 3})
    told = run("key", "repair", "treasury", "--party", "p2")
    assert (told.code, fake.asked) == (2, [])
    assert "without p2 there are 2: its share can come from its backup only" in told.err
