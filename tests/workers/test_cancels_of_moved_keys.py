"""Cancels of requests for keys whose shares were made anew: whom a lying coordinator could have
state something true that proves nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from contracts.client.settlement import Group, Settlement, settle
from contracts.failures import FailureCode
from contracts.keys import CertifiedKey, KeyFacts
from contracts.requests import MAX_LIFETIME_MS, SignRequest
from contracts.results import CancelResult
from contracts.statements import Statement
from tests.workers.callers import wish
from tests.workers.ecdsa import sender, sent
from tests.workers.reshares import (
    MESSAGE,
    NEW,
    OLD,
    ask,
    bundle_of,
    failed,
    make,
    of_round,
    pass_,
    reshared,
)
from tests.workers.simulate import World, world
from tests.workers.tries import everyone_is_alive
from workers.session.epochs import SWITCH_S
from workers.store.promise_marks import PromiseMarks
from workers.store.records import Outcome, Outgoing, PartyChange

CURVE, SCHEME = "ed25519", "ed25519"


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, party_count=5) as made:
        yield made


def a_request(shire: World, key: CertifiedKey, signers: list[str] | None = None) -> SignRequest:
    return shire.sign_request(
        key_id=key.facts.key_id, scheme=SCHEME, message=MESSAGE, signers=signers
    )


async def kept_back(shire: World, key: CertifiedKey, signers: list[str]) -> SignRequest:
    """One that is signed, by a coordinator that does not say so: it has all the shares."""
    request = a_request(shire, key, signers)
    await shire.ask(request)
    await shire.run(dropped=lambda message: message.kind == "share_signed")
    assert {sender(each) for each in sent(shire, "share_signed")} == set(signers)
    return request


async def cancelled(
    shire: World, key: CertifiedKey, request: SignRequest, **changes: Any
) -> CancelResult:
    """What the parties say of it."""
    cancel = wish(
        shire,
        "cancel",
        target=request.request_id,
        target_issued_at=request.issued_at,
        **({"key_session": key.facts.session_id} | changes),
    )
    await shire.submit(cancel)
    await shire.run()
    for result in shire.results():
        if result.request_id == cancel.request.request_id:
            assert isinstance(result, CancelResult)
            return result
    raise AssertionError("there is no result")


def shown(
    result: CancelResult,
    facts: KeyFacts,
    request: SignRequest,
    *,
    told: Iterable[KeyFacts] = (),
    liars: int | None = 0,
) -> Settlement:
    """What a client makes of it that is shown these facts."""
    group = Group.of_key(facts, told=told)
    return settle(result, group, request.owned_by, issued_at=request.issued_at, liars=liars)


def said(result: CancelResult, names: Collection[str] = OLD) -> dict[str, list[int] | None]:
    """The numbers of the epochs that each names."""
    return {
        each.party_id: None if each.epochs is None else [name.epoch for name in each.epochs]
        for each in result.statements
        if each.party_id in names
    }


###
### Attacks
###


async def test_former_holders_state_truly_that_they_signed_nothing_and_it_is_not_final(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinator shows the first epoch to a client that has not seen the second, whose holders
    sign. Where nobody asks the former ones for epochs, the client is deceived."""
    key = await make(shire, CURVE)
    await reshared(shire, key, parties=NEW, threshold=2)
    await pass_(shire, SWITCH_S)
    await everyone_is_alive(shire)
    request = await kept_back(shire, key, ["party-4", "party-5"])
    result = await cancelled(shire, key, request)
    assert said(result) == {name: [1] for name in OLD}
    told = shown(result, key.facts, request)
    assert (told.liars_tolerated, told.final) == (-2, False)
    monkeypatch.setattr(Group, "knows", lambda group, statement: True)
    assert shown(result, key.facts, request, liars=None).final


async def test_statements_of_a_refreshed_key_are_of_its_new_epoch_and_not_of_the_old(
    shire: World,
) -> None:
    key = await make(shire, CURVE)
    bundle = await reshared(shire, key)
    request = a_request(shire, key)
    result = await cancelled(shire, key, request)
    assert said(result) == {name: [1] for name in OLD}
    assert said(result, NEW[2:]) == {"party-4": [], "party-5": []}
    assert not shown(result, key.facts, request).final
    assert result.epochs == [key.facts, bundle.key.facts]
    assert shown(result, bundle.key.facts, request, told=result.epochs, liars=None).final
    assert not shown(result, bundle.key.facts, request).final


async def test_the_new_holders_alone_prove_nothing_of_those_who_have_not_heard(
    shire: World,
) -> None:
    """Who is not shown the proof goes on with the first epoch."""
    key = await make(shire, CURVE)
    await everyone_is_alive(shire)
    asked = await ask(shire, key, parties=NEW, threshold=2)
    await shire.run(dropped=lambda m: m.kind == "epoch_proven" and m.routing_key in OLD)
    request = await kept_back(shire, key, ["party-1", "party-3"])
    result = await cancelled(shire, key, request)
    first, second = result.epochs
    assert (second.epoch, second.threshold) == (asked.first_epoch, 2)
    assert sorted(said(result, {*OLD, *NEW})) == ["party-2", "party-4", "party-5"]
    told = shown(result, second, request, told=[first])
    assert (told.liars_tolerated, told.final) == (-1, False)


async def forgets_the_reshare(shire: World, key: CertifiedKey) -> None:
    """So that it can have another one made from the same epoch, with the same number."""
    database = cast("Any", shire.coordinator_store)._database
    await database.execute("DELETE FROM epochs")
    await database.execute("DELETE FROM retirements")
    await database.execute("UPDATE keys SET epoch = 0, certified = $1", key.model_dump_json())


def knows_the_number(group: Group, statement: Statement) -> bool:
    numbers = {each.epoch for each in group.epochs}
    return all(each.epoch in numbers for each in statement.epochs or ())


@pytest.mark.parametrize("by_number", [False, True])
async def test_of_two_reshares_with_the_same_numbers_one_does_not_count_for_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_number: bool
) -> None:
    """The owner asks for two, from one epoch; the coordinator has both made, by dealers of whom
    none is in both, shows the client the one and has signatures made by the other. Were epochs told
    by their number alone, it would be deceived."""
    old, others = ["party-1", "party-2", "party-3", "party-4"], ["party-5", "party-6"]
    async with world(tmp_path, party_count=6) as shire:
        key = await make(shire, CURVE, parties=old)
        asked = await ask(shire, key, parties=old[:2], dealers=old[:2])
        await shire.run(dropped=lambda m: m.kind == "epoch_proven" and m.routing_key in old[2:])
        first = bundle_of(shire, asked)
        await forgets_the_reshare(shire, key)
        second = await reshared(shire, key, parties=others, dealers=old[2:])
        assert first.key.facts.epoch == second.key.facts.epoch == 1
        await pass_(shire, SWITCH_S)
        await everyone_is_alive(shire)
        request = await kept_back(shire, second.key, others)
        result = await cancelled(shire, key, request)
    # The former holders have signed nothing, truly, and each tells of an epoch 1.
    assert said(result, old) == {name: [1] for name in old}
    if by_number:
        monkeypatch.setattr(Group, "knows", knows_the_number)
    told = shown(result, first.key.facts, request, told=[key.facts], liars=None)
    assert told.final is by_number
    assert shown(result, first.key.facts, request, told=[key.facts]).final is by_number


###
### Reshares that come to nothing
###


@pytest.mark.parametrize(("lost", "epochs"), [(4, []), (5, [1])])
async def test_a_try_is_told_of_once_a_word_for_it_may_be_out(
    shire: World, lost: int, epochs: list[int]
) -> None:
    key = await make(shire, CURVE)
    await ask(shire, key)
    await shire.run(dropped=of_round(lost))
    request = a_request(shire, key)
    result = await cancelled(shire, key, request)
    assert said(result) == dict.fromkeys(OLD, epochs)
    assert shown(result, key.facts, request, liars=None).final is (lost == 4)


###
### What a statement promises
###


async def test_nothing_is_dealt_of_a_key_as_long_as_what_was_cancelled_could_be_answered(
    shire: World,
) -> None:
    """Or others would hold shares by then who have heard of no cancel, and sign."""
    key = await make(shire, CURVE)
    request = a_request(shire, key)
    result = await cancelled(shire, key, request)
    assert shown(result, key.facts, request, liars=None).final
    refused = await ask(shire, key, parties=NEW, threshold=2)
    await shire.run()
    code, message = failed(shire, refused)
    assert code is FailureCode.PARTY_REFUSED
    assert "ask again in eleven minutes" in message
    await pass_(shire, MAX_LIFETIME_MS / 1000 + 31)
    for store in shire.party_stores.values():
        await store.purge_cancellations(before=shire.clock())
    bundle = await reshared(shire, key, parties=NEW, threshold=2, first_epoch=2)
    assert bundle.key.facts.epoch == 2


async def test_a_promise_has_its_mark_before_it_is_kept_or_given(
    shire: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a crash in between leaves one that nobody remembers."""
    key = await make(shire, CURVE)
    marks = PromiseMarks(tmp_path)
    marks.begin(shire.clock())
    party = shire.parties["party-1"]
    party._cancelling._marks = marks
    store, marked = shire.party_stores["party-1"], []
    commit = store.commit

    async def watched(change: PartyChange) -> Outcome:
        if change.forbids is not None and change.forbids.promise is not None:
            marked.append(marks.until(key.facts.session_id) == change.forbids.forbidden_until)
        return await commit(change)

    monkeypatch.setattr(store, "commit", watched)
    await cancelled(shire, key, a_request(shire, key))
    assert marked == [True]


async def test_a_cancel_between_a_dealers_first_round_and_its_word_ends_the_try(
    shire: World,
) -> None:
    key = await make(shire, CURVE)
    asked = await ask(shire, key)
    held: list[Outgoing] = []

    def hold(message: Outgoing) -> bool:
        if of_round(4)(message):
            held.append(message)
            return True
        return False

    await shire.run(dropped=hold)
    request = a_request(shire, key)
    result = await cancelled(shire, key, request)
    assert shown(result, key.facts, request, liars=None).final
    shire.network.waiting.extend(held)
    await shire.run()
    code, message = failed(shire, asked)
    assert code is FailureCode.PARTY_REFUSED
    assert "nothing is dealt of the key" in message
    for name in OLD:
        assert await shire.party_stores[name].signing_epochs(key.facts.session_id) == []


async def test_of_another_owners_key_nothing_is_promised_and_nothing_told(shire: World) -> None:
    key = await make(shire, CURVE)
    bundle = await reshared(shire, key)
    request = a_request(shire, key).model_copy(update={"tenant": "mallory"})
    result = await cancelled(shire, key, request, tenant="mallory")
    assert result.epochs == []
    told = {each.party_id: each for each in result.statements}
    assert [told[name].key_session for name in OLD] == [None] * 3
    again = await reshared(shire, bundle.key, parties=NEW, threshold=2)
    assert again.key.facts.epoch == 2


async def test_who_names_no_key_is_told_nothing_of_one(shire: World) -> None:
    key = await make(shire, CURVE)
    request = a_request(shire, key)
    plain = await cancelled(shire, key, request, key_session=None)
    assert {(each.key_session, each.epochs) for each in plain.statements} == {(None, None)}
    named = await cancelled(shire, key, request)
    assert said(named) == {name: [] for name in OLD}
    assert isinstance(named.statements[0], Statement)
    back = await cancelled(shire, key, request, key_session=None)
    assert {each.key_session for each in back.statements} == {None}
    refused = await ask(shire, key)
    await shire.run()
    assert failed(shire, refused)[0] is FailureCode.PARTY_REFUSED
