"""Two different messages in one place: both are kept, whatever else becomes of the session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts import sessions
from contracts.envelope import UnverifiedEnvelope
from contracts.failures import FailureCode
from contracts.results import Status
from tests.workers.crew import Together, party_worker, peers
from tests.workers.ecdsa import ecdsa_request, forged, make_key, only_result, sender, sent
from tests.workers.simulate import World, respoken
from tests.workers.tries import FROST, held_back, results_sent
from workers.evidence import proven
from workers.party import rounds
from workers.store.interface import StoreUnavailableError
from workers.store.records import EvidenceRecord, Outgoing

LIAR = "party-3"
HONEST = ("party-1", "party-2")


def other_version(world: World, message: Outgoing) -> Outgoing:
    """Signed by the same sender, for the same place."""
    payload = UnverifiedEnvelope.from_bytes(message.body).claimed.payload
    return forged(world, message, payload=payload[:-1] + bytes([payload[-1] ^ 1]))


async def until_sent(world: World, kind: str, recipient: str = "") -> Outgoing:
    """Deliver all but the liar's messages of this kind; one of those, for this recipient."""
    held = await held_back(world, kind, lambda message: sender(message) == LIAR)
    return next(each for each in held if each.routing_key == recipient)


async def evidence_of(world: World) -> dict[str, list[EvidenceRecord]]:
    return {name: await store.evidence() for name, store in world.party_stores.items()}


async def begin(world: World) -> tuple[Any, bytes]:
    request = world.keygen_request()
    await world.ask(request)
    (session_id,) = {bytes.fromhex(m.headers["session_id"]) for m in sent(world, "session_created")}
    return request, session_id


async def test_a_party_keeps_both_versions_of_a_message_and_answers_nothing(shire: World) -> None:
    request, session_id = await begin(shire)
    first = await until_sent(shire, "keygen/1", HONEST[0])
    second = other_version(shire, first)
    await shire.deliver(first)
    before = len(shire.network.sent)
    await shire.deliver(second)
    assert [each.kind for each in shire.network.sent[before:]] == ["session_failed"]

    kept = await evidence_of(shire)
    (proof,) = kept[HONEST[0]]
    assert (proof.sender, proof.slot, proof.session_id) == (LIAR, "keygen/1", session_id)
    assert (proof.first, proof.second) == (first.body, second.body)
    assert proven(proof, peers(shire))
    assert kept[HONEST[1]] == kept[LIAR] == []
    await shire.run()
    failure = only_result(shire, request).failure
    assert failure is not None
    assert (failure.code, failure.culprits) == (FailureCode.PARTY_FAULT, [LIAR])
    assert await shire.party_stores[HONEST[0]].purge(ended_before=10**15) == 1
    assert await shire.party_stores[HONEST[0]].evidence() == [proof]


async def test_the_same_message_with_another_signature_is_no_evidence(shire: World) -> None:
    request, _ = await begin(shire)
    first = await until_sent(shire, "keygen/1", HONEST[0])
    again = forged(shire, first)
    assert again.body != first.body
    for message in (first, again):
        await shire.deliver(message)
    for message in sent(shire, "keygen/1"):
        if sender(message) == LIAR:
            await shire.deliver(message)
    await shire.run()
    assert only_result(shire, request).status is Status.COMPLETED
    assert not any((await evidence_of(shire)).values())


async def test_a_party_that_dies_over_it_keeps_the_evidence_once(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin(shire)
    first = await until_sent(shire, "keygen/1", HONEST[0])
    second = other_version(shire, first)
    await shire.deliver(first)
    store: Any = shire.party_stores[HONEST[0]]

    async def away(_: object) -> None:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", away)
        with pytest.raises(StoreUnavailableError):
            await shire.deliver(second)
    assert len(await store.evidence()) == 1
    await shire.deliver(second)
    assert len(await store.evidence()) == 1
    (failed,) = [m for m in sent(shire, "session_failed") if sender(m) == HONEST[0]]
    assert UnverifiedEnvelope.from_bytes(failed.body).claimed.sender == HONEST[0]


async def test_two_versions_that_come_before_their_session_are_both_kept(shire: World) -> None:
    request, _ = await begin(shire)
    late = [m for m in shire.network.waiting if m.routing_key == HONEST[0]]
    for message in late:
        shire.network.waiting.remove(message)
    first = await until_sent(shire, "keygen/1", HONEST[0])
    second = other_version(shire, first)
    for message in (first, second, second, first):
        await shire.deliver(message)
    assert len(await shire.party_stores[HONEST[0]].evidence()) == 0
    for message in late:
        await shire.deliver(message)
    (proof,) = await shire.party_stores[HONEST[0]].evidence()
    assert (proof.first, proof.second) == (first.body, second.body)
    assert proven(proof, peers(shire))
    await shire.run()
    failure = only_result(shire, request).failure
    assert failure is not None
    assert failure.culprits == [LIAR]
    assert await shire.party_stores[HONEST[0]].parked(proof.session_id) == []


@pytest.mark.parametrize("begun", [True, False])
async def test_two_versions_at_two_workers_at_once_are_both_kept(shire: World, begun: bool) -> None:
    await begin(shire)
    early = [m for m in shire.network.waiting if m.routing_key == HONEST[0]]
    if not begun:
        for message in early:
            shire.network.waiting.remove(message)
    first = await until_sent(shire, "keygen/1", HONEST[0])
    second = other_version(shire, first)
    workers = [party_worker(shire, HONEST[0]) for _ in range(2)]
    await asyncio.gather(
        *(worker.round_message(m.body) for worker, m in zip(workers, (first, second), strict=True))
    )
    if not begun:
        shire.parties[HONEST[0]] = Together(workers)  # type: ignore[assignment]
        for message in early:
            await shire.deliver(message)
    (proof,) = await shire.party_stores[HONEST[0]].evidence()
    assert {proof.first, proof.second} == {first.body, second.body}


async def test_a_liar_cannot_fill_the_database(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "EVIDENCE_OF_ONE_SENDER", 2)
    for _ in range(3):
        request, _ = await begin_another(shire)
        first = await until_sent(shire, "keygen/1", HONEST[0])
        await shire.deliver(first)
        await shire.deliver(other_version(shire, first))
        await shire.run()
        assert only_result(shire, request).status is Status.FAILED
    assert len(await shire.party_stores[HONEST[0]].evidence()) == 2


async def begin_another(world: World) -> tuple[Any, bytes]:
    world.network.sent.clear()
    return await begin(world)


###
### The coordinator's
###


@pytest.mark.parametrize("scheme", [FROST, "ecdsa"])
async def test_the_coordinator_keeps_both_versions_of_a_report(shire: World, scheme: str) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, scheme=scheme, signers=["party-2", LIAR])
    await shire.ask(request)
    held = await held_back(shire, "share_signed")
    (first,) = [message for message in held if sender(message) == LIAR]
    claimed = UnverifiedEnvelope.from_bytes(first.body).claimed
    report = sessions.ShareSigned.model_validate_json(claimed.payload)
    lie = respoken(shire, claimed, report, lambda share: share[:-1] + bytes([share[-1] ^ 1]))
    second = forged(shire, first, payload=lie.model_dump_json().encode())
    for message in (first, second):
        await shire.deliver(message)
    await shire.run()
    assert results_sent(shire, request) != []
    session = await shire.coordinator_store.session(claimed.session_id)
    assert session is not None
    bodies = {row.slot: row.body for row in session.received if row.sender == LIAR}
    assert bodies["share_signed"] == first.body
    assert bodies["share_signed/second"] == second.body


async def test_the_coordinator_keeps_both_versions_of_what_a_signer_says_it_made(
    shire: World,
) -> None:
    key = await make_key(shire)
    await shire.ask(ecdsa_request(shire, key, signers=["party-2", LIAR]))
    held = await held_back(shire, "presignatures_made")
    (first,) = [message for message in held if sender(message) == LIAR]
    claimed = UnverifiedEnvelope.from_bytes(first.body).claimed
    report = sessions.PresignaturesMade.model_validate_json(claimed.payload)
    points = [bytes([each[0] ^ 1]) + each[1:] for each in report.points]
    lie = report.model_copy(update={"points": points}).model_dump_json().encode()
    second = forged(shire, first, payload=lie)
    for message in (first, second):
        await shire.deliver(message)
    await shire.run(dropped=lambda m: m.kind == "presignatures_made")
    session = await shire.coordinator_store.session(claimed.session_id)
    assert session is not None
    assert session.status == Status.FAILED
    bodies = {row.slot: row.body for row in session.received}
    assert bodies == {
        "presignatures_made": first.body,
        "presignatures_made/second": second.body,
    }
