"""What a client believes of a key's history: epochs that lead to the one it knows, and of former
holders what they signed. A coordinator can keep a report back; it cannot make one up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from contracts.client import ClientSettings
from contracts.client.histories import KeyHistory
from contracts.coordinators import Coordinators
from contracts.errors import ContractError
from contracts.identity import Identity
from contracts.primitives import Curve, DeleteAfter, Status
from contracts.requests import QueryKeyHistoryRequest
from contracts.results import QueryKeyHistoryResult
from contracts.retirements import Retirement
from contracts.signing import sign_request
from contracts.views import EpochView
from tests.session.epoch_bundles import IDENTITIES, PINNED, Forger, certified, old_facts

from .producers import Unconnected
from .samples import CLIENT, COORDINATOR, STRANGER, digest_of

FIRST = old_facts(Curve.ED25519, version=2, epoch=0, reshared=None)
SECOND = Forger(curve=Curve.ED25519, known=FIRST).saying(epoch=1).bundle().key.facts
THIRD = Forger(curve=Curve.ED25519, known=SECOND).saying(epoch=4).bundle().key.facts
"""2 of p1, p2, p3; then 3 of p4, p5, p2, p6, twice."""
AT = 1_700_000_000_000


def said(name: str, below: int, by: Identity | None = None, **changes: Any) -> Retirement:
    key_session = changes.get("key_session", FIRST.session_id)
    signer = IDENTITIES[name] if by is None else by
    return Retirement.signed(signer, name, key_session, below, retired_at=AT, backed_up_at=None)


def views(*second: Retirement) -> list[EpochView]:
    return [
        EpochView(facts=THIRD, made_at=AT, signs_from=AT, retirements=[said("p5", 4)]),
        EpochView(facts=SECOND, made_at=AT, signs_from=AT, retirements=list(second)),
        EpochView(facts=FIRST),
    ]


def settings(known: Mapping[str, Identity], without: str | None = None) -> ClientSettings:
    pinned = PINNED | {name: identity.public for name, identity in known.items()}
    pinned = {name: identity for name, identity in pinned.items() if name != without}
    return ClientSettings(
        client_id="svcA",
        identity=CLIENT,
        amqp_url="amqp://nowhere",
        parties=pinned,
        coordinators=Coordinators.of(COORDINATOR.public),
    )


Answer = Callable[[QueryKeyHistoryRequest], dict[str, Any]]


class Scripted(Unconnected):
    """The real client up to the queue: what a coordinator answers goes through its own checks."""

    answer: Answer

    async def _ask(self, request: Any, kind: type[Any]) -> Any:
        signed = sign_request(request, CLIENT)
        result = QueryKeyHistoryResult(
            **{
                "request_id": request.request_id,
                "client_id": "svcA",
                "session_id": None,
                "request_digest": digest_of(request),
                "status": Status.COMPLETED,
                "finished_at": AT,
                **self.answer(request),
            }
        )
        await self._trust.check(result, signed)
        return result


def client(
    answer: Answer,
    tenant: str | None = "alice",
    known: Mapping[str, Identity] | None = None,
    without: str | None = None,
) -> Scripted:
    made = Scripted(settings(known or {}, without), tenant)
    made.answer = answer
    return made


def told(epochs: list[EpochView], **changes: Any) -> Answer:
    return lambda _: {"key": certified(THIRD), "epochs": epochs} | changes


async def believed(*second: Retirement, known: Mapping[str, Identity] | None = None) -> KeyHistory:
    return await client(told(views(*second)), known=known).history("treasury")


async def test_a_key_has_its_epochs_and_who_has_told_what() -> None:
    history = await believed(said("p1", 1), said("p2", 4))
    assert history.facts == THIRD
    newest, older = history.successions
    assert (newest.before, newest.facts) == (SECOND, THIRD)
    assert (older.before, older.facts) == (FIRST, SECOND)
    assert [*older.retired] == ["p1", "p2"]
    assert older.still_to_delete == ["p3"]
    assert older.deleters == 2
    assert newest.still_to_delete == ["p4", "p2", "p6"]
    assert newest.deleters == 2


async def test_a_key_with_its_first_shares_has_had_no_others() -> None:
    asked = client(told([EpochView(facts=FIRST)], key=certified(FIRST)))
    history = await asked.history("treasury")
    assert (history.facts, history.successions) == (FIRST, [])


@pytest.mark.parametrize(
    "forged",
    [
        said("p1", 1, by=STRANGER),
        said("p1", 1, by=IDENTITIES["p2"]),
        said("p1", 1).model_copy(update={"below": 2}),
        said("p1", 1).model_copy(update={"party_id": "p2"}),
        said("p1", 1, key_session=bytes(32)),
        said("p4", 1),
        said("p9", 1, by=STRANGER),
    ],
    ids=[
        "invented",
        "by another party",
        "changed",
        "under another's name",
        "of another key",
        "of one who held no share",
        "of nobody",
    ],
)
async def test_what_is_not_a_former_holders_word_counts_as_not_told(forged: Retirement) -> None:
    history = await believed(forged, said("p3", 1))
    assert [*history.successions[1].retired] == ["p3"]
    assert history.successions[1].still_to_delete == ["p1", "p2"]


async def test_a_word_on_an_earlier_epoch_is_none_on_a_later_one() -> None:
    epochs = views()
    epochs[0] = epochs[0].model_copy(update={"retirements": [said("p2", 3), said("p4", 4)]})
    history = await client(told(epochs)).history("treasury")
    assert [*history.successions[0].retired] == ["p4"]


async def test_a_word_that_is_kept_back_is_not_told() -> None:
    history = await believed()
    assert history.successions[1].still_to_delete == ["p1", "p2", "p3"]


async def test_a_former_holder_under_another_identity_than_we_know_is_not_believed() -> None:
    history = await believed(said("p1", 1), said("p3", 1), known={"p1": STRANGER})
    assert history.successions[1].still_to_delete == ["p1", "p2"]


async def test_one_who_has_left_and_is_not_known_here_any_more_is() -> None:
    asked = client(told(views(said("p1", 1))), without="p1")
    history = await asked.history("treasury")
    assert [*history.successions[1].retired] == ["p1"]


async def test_it_comes_in_pages() -> None:
    every = views(said("p1", 1))

    def paged(request: QueryKeyHistoryRequest) -> dict[str, Any]:
        before = 2**32 if request.before is None else request.before
        left = [view for view in every if view.facts.epoch < before]
        return {"key": certified(THIRD), "epochs": left[:1], "more": len(left) > 1}

    at_once = await client(told(every)).history("treasury")
    assert await client(paged).history("treasury") == at_once


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (told(views(), key=None), "has no key"),
        (told(views()[1:]), "newest epoch is not"),
        (told(views()[:1] + views()[2:]), "epoch 4 was not made from what is told of 0"),
        (told(views()[:2]), "ends before the first epoch"),
        (told(views(), more=True), "goes on behind it"),
        (told([], more=True), "an empty page"),
        (told([]), "newest epoch is not"),
        (
            told(
                [EpochView(facts=FIRST.model_copy(update={"key_id": "other"}))],
                key=certified(FIRST.model_copy(update={"key_id": "other"})),
            ),
            "key_id is not what was asked for",
        ),
        (
            told(views(), key=certified(THIRD).model_copy(update={"certificates": {}})),
            "no certificate of party p4",
        ),
        (
            told(
                [EpochView(facts=FIRST.model_copy(update={"tenant": "bob"}))],
                key=certified(FIRST.model_copy(update={"tenant": "bob"})),
            ),
            "belongs to another tenant",
        ),
    ],
)
async def test_a_history_that_does_not_lead_to_the_key_is_refused(
    answer: Answer, reason: str
) -> None:
    with pytest.raises(ContractError, match=reason):
        await client(answer).history("treasury")


async def test_pages_that_do_not_fit_together_are_refused() -> None:
    def answer(second: dict[str, Any]) -> Answer:
        first = {"key": certified(THIRD), "epochs": views()[:1], "more": True}
        return lambda request: first if request.before is None else {**first, **second}

    for second, reason in (
        ({"epochs": views()[2:], "more": False}, "epoch 4 was not made from what is told of 0"),
        ({"epochs": [], "more": False}, "the history ends behind epoch 4"),
        ({"epochs": views()[:1], "more": True}, "was on the one before"),
    ):
        with pytest.raises(ContractError, match=reason):
            await client(answer(second)).history("treasury")


async def test_an_operator_names_anybodys_key_by_its_session() -> None:
    answer = told(views(said("p1", 1)))
    found = await client(answer, tenant=None).history(key_session=FIRST.session_id)
    assert [*found.successions[1].retired] == ["p1"]
    with pytest.raises(ContractError, match="key_session is not what was asked for"):
        await client(answer, tenant=None).history(key_session=bytes(32))
    bare = certified(THIRD).model_copy(update={"certificates": {}})
    forged = told(views(), key=bare)
    with pytest.raises(ContractError, match="no certificate"):
        await client(forged, tenant=None).history(key_session=FIRST.session_id)


async def test_a_key_is_named_in_one_way() -> None:
    for name, key_session in ((None, None), ("treasury", bytes(32))):
        with pytest.raises(ValueError, match="give either key_id or key_session"):
            await client(told(views())).history(name, key_session=key_session)


async def test_who_stays_may_wait_for_a_backup_unless_the_owner_wished_otherwise() -> None:
    for after, waiting in (
        (DeleteAfter.BACKED_UP, ["p2"]),
        (DeleteAfter.CERTIFIED, []),
        (None, []),
    ):
        told_of = views(said("p1", 1))
        told_of[1] = told_of[1].model_copy(update={"delete_after": after})
        history = await client(told(told_of)).history("treasury")
        older = history.successions[1]
        assert older.still_to_delete == ["p2", "p3"]
        assert older.may_wait == waiting, "p3 holds no share of the next epoch"
