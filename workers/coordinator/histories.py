"""What owners ask about the epochs of their keys, and operators about those of anybody's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey, EpochBundle, KeyFacts
from contracts.primitives import DeleteAfter
from contracts.requests import QueryKeyHistoryRequest, ReshareRequest
from contracts.results import QueryKeyHistoryResult
from contracts.retirements import Retirement
from contracts.signing import SignedRequest
from contracts.views import EpochView

from ..session.coordinator import resharing
from ..store.interface import CoordinatorStore
from ..store.records import KeyEpoch, KeyRecord, RetirementRecord
from .answers import Answers, that_fit
from .desks import Service
from .operators import Operators

PAGE_BYTES = 4 * 1024 * 1024
"""Of epochs on one page, as of keys."""


class Histories:
    """Arguments: switch_ms: After an epoch is made, until requests go to its holders."""

    def __init__(
        self,
        operators: Operators,
        store: CoordinatorStore,
        answers: Answers,
        *,
        switch_ms: int,
    ) -> None:
        self._operators = operators
        self._store = store
        self._answers = answers
        self._switch_ms = switch_ms

    def services(self) -> tuple[Service, ...]:
        return (Service.of(QueryKeyHistoryRequest, self._history),)

    async def _history(self, signed: SignedRequest, request: QueryKeyHistoryRequest) -> None:
        record = await self._record(request)
        if record is None:
            name = repr(request.key_id) if request.key_session is None else "of that session"
            failure = Failure.of(FailureCode.UNKNOWN_KEY, f"you have no key {name}")
            return await self._answers.fail(signed, failure)
        key = CertifiedKey.model_validate_json(record.certified)
        views = _views(
            key.facts,
            await self._store.key_epochs(record.key_session),
            await self._store.retirements(record.key_session),
            self._switch_ms,
        )
        before = 2**32 if request.before is None else request.before
        wanted = [view for view in views if view.facts.epoch < before]
        page = that_fit(wanted, PAGE_BYTES)
        content = QueryKeyHistoryResult(
            **self._answers.head(signed),
            key=key,
            epochs=page,
            more=len(page) < len(wanted),
        )
        return await self._answers.give(request, content)

    async def _record(self, request: QueryKeyHistoryRequest) -> KeyRecord | None:
        if request.key_id is not None:
            return await self._store.key(request.owner, request.key_id)
        assert request.key_session is not None  # one of the two
        record = await self._store.key_of(request.key_session)
        if record is None or self._operators.include(request):
            return record
        return record if record.owner == request.owner else None


def _delete_after(bundle: EpochBundle) -> DeleteAfter:
    return ReshareRequest.model_validate_json(bundle.request).delete_after


def _views(
    newest: KeyFacts,
    epochs: Iterable[KeyEpoch],
    retirements: Iterable[RetirementRecord],
    switch_ms: int,
) -> Sequence[EpochView]:
    """From the newest on, each one that the one before it was made from: of others that were made
    meanwhile, the key knows nothing."""
    made = {each.epoch: each for each in epochs if each.bundle is not None}
    told: dict[int, list[Retirement]] = defaultdict(list)
    for each in retirements:
        if each.retirement is not None:
            told[each.epoch].append(Retirement.model_validate_json(each.retirement))
    views, facts = [], newest
    while (row := made.get(facts.epoch)) is not None:
        assert row.bundle is not None
        bundle = EpochBundle.model_validate_json(row.bundle)
        before = bundle.predecessor.facts
        former = {holder.party_id for holder in before.holders}
        views.append(
            EpochView(
                facts=facts,
                made_at=resharing.made_at(row, switch_ms),
                signs_from=row.signs_from,
                delete_after=_delete_after(bundle),
                retirements=[each for each in told[row.epoch] if each.party_id in former],
            )
        )
        facts = before
    return [*views, EpochView(facts=facts)]
