"""`warren key reshare` and `refresh`, down to the requests that they make, and what they show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contracts.client import Client, ClientSettings
from contracts.client.correspondence import Correspondence
from contracts.keys import EpochBundle
from contracts.primitives import Curve, Status
from contracts.requests import QueryKeysRequest, ReshareRequest
from contracts.results import QueryKeysResult, ReshareResult
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


async def _nothing_comes(*_: object) -> None:
    raise AssertionError("nobody asked over the queue")


class Scripted(Client):
    """The real client up to the queue."""

    def __init__(self, settings: ClientSettings, asked: list[ReshareRequest]) -> None:
        super().__init__(settings, Correspondence(settings, _nothing_comes), tenant=None)
        self._asked = asked

    async def _ask(self, request: Any, kind: type[Any]) -> Any:
        if isinstance(request, QueryKeysRequest):
            return QueryKeysResult(**DONE, session_id=None, keys=[certified(KNOWN)])
        self._asked.append(request)
        return ReshareResult(
            **DONE,
            session_id=bytes(32),
            key_id="treasury",
            bundle=BUNDLE,
            signs_from=1_700_000_030_000,
        )


@dataclass
class Resharing:
    asked: list[ReshareRequest] = field(default_factory=list)

    @asynccontextmanager
    async def connect(self, settings: ClientSettings) -> AsyncIterator[Client]:
        yield Scripted(settings, self.asked)


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
