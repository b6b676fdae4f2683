"""A party's store of what was answered and cancelled does, step by step, what the model does.

The model is proved in `tests.model`; here random walks hold both databases against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from contracts.coordinators import Coordinators
from contracts.identity import Identity
from contracts.requests import MAX_LIFETIME_MS, CancelRequest
from contracts.statements import Statement
from tests.model import party as model
from tests.model.conformance import Answer, Step, disagreement, walk
from tests.model.party import LIFETIME, MEMORY, TOLERANCE, Body, Cancel, Verdict
from workers.session.party import stating
from workers.session.party.acceptance import Party
from workers.store.interface import PartyStore
from workers.store.records import AnswerRecord, IncarnationRecord, Outcome

from .conftest import RawDatabase
from .examples import FAR_FUTURE, party_change, session_id

ROLE = "party"
UNIT_MS = MAX_LIFETIME_MS // LIFETIME
KEPT_MS = (MEMORY + TOLERANCE) * UNIT_MS + 1
"""What the model calls memory is how far statements look back."""
LATER = 3 * MEMORY
"""Walks begin with the model's first days; the store's times begin in 1970."""
OWNER, REQUEST = "svcA", "request-1"
VERDICTS = {
    Outcome.COMMITTED: Verdict.COMMITTED,
    Outcome.CANCELLED: Verdict.CANCELLED,
    Outcome.OTHER_REQUEST: Verdict.OTHER_REQUEST,
    Outcome.TOO_MANY_TRIES: Verdict.TOO_MANY_TRIES,
    Outcome.ALREADY_SIGNED: Verdict.ALREADY_SIGNED,
}
PARTY = Party(
    party_id="party-1",
    identity=Identity.generate(),
    peers={},
    coordinators=Coordinators.of(),
    clients=(),
    clock_tolerance_ms=TOLERANCE * UNIT_MS,
)


class HeldStore:
    """Implements `tests.model.conformance.Held`. What a handler asks about time is asked here, with
    the handler's own functions where it has them."""

    def __init__(self, store: PartyStore, raw: RawDatabase) -> None:
        self._store = store
        self._raw = raw
        self._copied: list[tuple[Any, ...]] = []
        self._cancels = 0

    async def commit_share(self, body: Body, session: int, now: int) -> Answer:
        for rule in (model.expired, model.from_the_future):
            if (verdict := rule(model.Kept(), (body, session), now)) is not None:
                return Answer(verdict)
        memory = await self._store.memory()
        if not memory.remembers(body.issued_at * UNIT_MS, tolerance_ms=PARTY.clock_tolerance_ms):
            return Answer(Verdict.FORGOTTEN)
        answers = AnswerRecord(
            owner=OWNER,
            request_id=REQUEST,
            digest=session_id(body.digest),
            commits=True,
            counts_until=FAR_FUTURE,
        )
        change = party_change(
            f"session {session}", status="completed", answers=answers, at=now * UNIT_MS
        )
        return Answer(VERDICTS[await self._store.commit(change)])

    async def cancel(self, cancel: Cancel, now: int) -> Answer:
        if (verdict := model.cancel_from_the_future(model.Kept(), cancel, now)) is not None:
            return Answer(verdict)
        request, memory = _request(cancel), await self._store.memory()
        since = stating.remembered_from(memory, PARTY, now=now * UNIT_MS, kept_ms=KEPT_MS)
        if stating.forgotten(request, memory, since):
            answered = await self._store.sessions_of(OWNER, REQUEST)
            return Answer(Verdict.ALREADY_SIGNED if answered else Verdict.FORGOTTEN)
        statement = stating.state(request, PARTY, since)
        self._cancels += 1
        change = party_change(
            f"cancel {self._cancels}",
            status="completed",
            forbids=stating.cancellation(request, PARTY, memory, statement, limit=1),
            at=now * UNIT_MS,
        )
        outcome = await self._store.commit(change)
        if outcome is not Outcome.COMMITTED:
            return Answer(VERDICTS[outcome])
        ((until,),) = await self._raw.query("SELECT issued_until FROM cancellations")
        kept = await self._store.statement(OWNER, REQUEST)
        assert kept is not None
        assert Statement.model_validate_json(kept).issued_until == until
        return Answer(
            Verdict.STATED,
            model.Statement((statement.issued_from - 1) // UNIT_MS, until // UNIT_MS),
        )

    async def purge(self, now: int) -> None:
        await self._store.purge_answers(before=now * UNIT_MS - KEPT_MS)
        await self._store.purge_cancellations(before=now * UNIT_MS)

    async def copy(self) -> None:
        self._copied = await self._raw.query(
            "SELECT issued_until, forbidden_until, statement FROM cancellations"
        )

    async def restore(self, now: int) -> None:
        """As far as the fence lets what was restored be used at all: see `test_fence`."""
        await self._raw.query("DELETE FROM cancellations", "SELECT 1")
        for until, forbidden, statement in self._copied:
            values = f"'{OWNER}', '{REQUEST}', {until}, {forbidden}, '{statement}'"
            await self._raw.query(f"INSERT INTO cancellations VALUES ({values})", "SELECT 1")
        await self.crash(now)

    async def crash(self, now: int) -> None:
        await self._store.begin_incarnation("crashed")
        await self.begun("crashed", now)

    async def begun(self, reason: str, now: int) -> None:
        """As if that had been at a time of the model's."""
        at = now * UNIT_MS
        await self._raw.query(
            f"UPDATE incarnation SET reason = '{reason}', begun_at = {at}", "SELECT 1"
        )


def _request(cancel: Cancel) -> CancelRequest:
    """Whose fields are not checked: in the model a cancel may name a later target."""
    target = cancel.target_issued_at
    fields: dict[str, Any] = {
        "client_id": OWNER,
        "tenant": None,
        "target": REQUEST,
        "issued_at": cancel.issued_at * UNIT_MS,
        "target_issued_at": None if target is None else target * UNIT_MS,
    }
    return CancelRequest.model_construct(**fields)


def later(steps: Iterator[Step]) -> Iterator[Step]:
    for step in steps:
        what = step.what
        if isinstance(what, Cancel):
            target = what.target_issued_at
            what = Cancel(what.issued_at + LATER, None if target is None else target + LATER)
        elif not isinstance(what, str):
            body, session = what
            what = (body._replace(issued_at=body.issued_at + LATER), session)
        yield replace(step, now=step.now + LATER, what=what)


@pytest.mark.parametrize("seed", range(10))
async def test_a_store_does_what_the_model_does(
    party: PartyStore, raw: RawDatabase, seed: int
) -> None:
    held = HeldStore(party, raw)
    await held.begun(IncarnationRecord.FIRST, 0)
    told = await disagreement(held, later(walk(seed, 200)))
    assert told is None, told
