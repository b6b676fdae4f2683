"""`warren key reshare --dry-run` and its siblings: what they ask, what they show, how they end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from contracts.client import Client, ClientSettings
from contracts.failures import FailureCode
from contracts.keys import KeyFacts
from contracts.primitives import Curve
from contracts.readiness import Readiness, RoleAnswer
from contracts.requests import QueryKeysRequest, RehearseRequest
from contracts.results import QueryKeysResult, RehearseResult
from contracts.signing import SignedRequest
from tests.contracts.producers import Unconnected
from tests.contracts.samples import PARTIES, PINNED, digest_of
from tests.ops.terminals import Run
from tests.ops.test_cli_key_epochs import DONE
from tests.session.epoch_bundles import certified, old_facts

KNOWN = old_facts(Curve.SECP256K1)
"""2 of p1, p2, p3."""
BOTH = [RoleAnswer(deals=True, receives=True), RoleAnswer(deals=False, receives=True)]
LOST = [
    RoleAnswer(
        deals=True,
        receives=True,
        refused=FailureCode.PARTY_REFUSED,
        message="we hold no usable share of the key",
    ),
    RoleAnswer(deals=False, receives=True),
]


class Scripted(Unconnected):
    """The real client up to the queue."""

    def __init__(self, settings: ClientSettings, script: Rehearsing) -> None:
        super().__init__(settings)
        self._script = script

    async def _answered(self, request: Any, kind: type[Any]) -> tuple[SignedRequest, Any]:
        return await self._sign(request), self._answer(request)

    def _answer(self, request: Any) -> Any:
        if isinstance(request, QueryKeysRequest):
            return QueryKeysResult(**DONE, session_id=None, keys=[certified(self._script.known)])
        assert isinstance(request, RehearseRequest)  # and nothing is begun
        self._script.asked.append(request)
        digest = digest_of(request)
        return RehearseResult(
            **{**DONE, "request_digest": digest},
            session_id=None,
            key_id="treasury",
            answers=[
                Readiness.signed(PARTIES[name], name, request_digest=digest, roles=roles, at=1)
                for name, roles in self._script.says.items()
            ],
        )


@dataclass
class Rehearsing:
    known: KeyFacts = KNOWN
    asked: list[RehearseRequest] = field(default_factory=list)
    says: Mapping[str, list[RoleAnswer]] = field(
        default_factory=lambda: dict.fromkeys(("p1", "p2", "p3"), BOTH)
    )

    @asynccontextmanager
    async def connect(self, settings: ClientSettings) -> AsyncIterator[Client]:
        assert settings.parties == PINNED
        yield Scripted(settings, self)


@pytest.fixture
def fake() -> Rehearsing:
    return Rehearsing()


def row(out: str, name: str) -> list[str]:
    (line,) = [line for line in out.splitlines() if line.startswith(name)]
    return line.split(maxsplit=3)


def test_it_asks_what_the_reshare_would_ask(run: Run, fake: Rehearsing) -> None:
    words = ("--party", "p1", "--party", "p2", "--dealer", "p1", "--dealer", "p3")
    told = run("key", "reshare", "treasury", *words, "--first-epoch", "5", "--dry-run")
    assert told.code == 0, told.err
    (asked,) = fake.asked
    assert (asked.parties, asked.dealers, asked.first_epoch) == (["p1", "p2"], ["p1", "p3"], 5)
    assert row(told.out, "p1") == ["p1", "yes", "yes"]
    assert row(told.out, "p2") == ["p2", "-", "yes"]
    assert row(told.out, "p3") == ["p3", "yes", "-"]
    assert "a reshare would find its parties" in told.out
    assert "Nothing was begun" in told.out


def test_a_refresh_that_would_do_without_one(run: Run, fake: Rehearsing) -> None:
    fake.says = {"p1": BOTH, "p2": LOST, "p3": BOTH}
    told = run("key", "refresh", "treasury", "--dry-run")
    assert told.code == 0, told.err
    assert row(told.out, "p2") == [
        "p2",
        "no",
        "yes",
        "party_refused: we hold no usable share of the key",
    ]


def test_whoever_is_missing_is_named_and_the_command_fails(run: Run, fake: Rehearsing) -> None:
    fake.says = {"p1": BOTH}
    told = run("key", "refresh", "treasury", "--dry-run")
    assert told.code == 1
    assert row(told.out, "p2") == ["p2", "?", "?", "no answer"]
    assert "p2, p3 would not take a share; 1 would deal, and it takes 2" in told.err
    assert "Nothing was begun" in told.err


def test_programs_get_the_answers_with_their_signatures(run: Run, fake: Rehearsing) -> None:
    told = run("key", "refresh", "treasury", "--dry-run", "--json")
    assert told.code == 0, told.err
    assert told.json["ready"] is True
    assert told.json["dealers"] == ["p1", "p2", "p3"]
    answers = [Readiness.model_validate(each, strict=False) for each in told.json["answers"]]
    for each in answers:
        each.verify(PINNED[each.party_id], request_digest=digest_of(fake.asked[0]))
    fake.says = {"p1": BOTH, "p2": LOST}
    failed = run("key", "refresh", "treasury", "--dry-run", "--json")
    assert failed.code == 1
    error = failed.json["error"]
    assert (error["kind"], error["silent"]) == ("not_ready", ["p3"])
    assert error["refusals"] == [
        {
            "party_id": "p2",
            "code": "party_refused",
            "message": "we hold no usable share of the key",
        }
    ]


def test_a_repair_does_without_the_party_that_lost_its_share(run: Run, fake: Rehearsing) -> None:
    words = ("key", "repair", "treasury", "--party", "p2", "--dry-run")
    fake.says = {"p1": BOTH, "p2": LOST, "p3": BOTH}
    told = run(*words)
    assert told.code == 0, told.err
    assert row(told.out, "p2")[:3] == ["p2", "-", "yes"]
    fake.says = {"p1": BOTH, "p2": BOTH, "p3": LOST}
    told = run(*words)
    assert told.code == 1
    assert "1 would deal, and it takes 2" in told.err
    told = run("key", "repair", "treasury", "--party", "p9", "--dry-run")
    assert told.code == 2
    assert "p9 holds no share of key treasury" in told.err
