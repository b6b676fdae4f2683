"""Sessions through the real handlers and stores, with the order of messages in a test's hands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from contracts import addresses, envelope, results, sessions
from contracts.envelope import EVERYONE, Envelope, UnverifiedEnvelope
from contracts.failures import FailureCode
from contracts.primitives import Curve
from contracts.requests import Request
from contracts.results import Status
from tests.workers.callers import answered, wish
from tests.workers.ecdsa import sender
from tests.workers.simulate import CLIENT, World, respoken, world
from workers.protocols import frost
from workers.protocols.groups import group_by_name
from workers.store.records import Outgoing

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """For sessions that end well and so leave nothing behind that could matter to the next."""
    async with world(tmp_path_factory.mktemp("shared")) as made:
        yield made


async def result_of(world: World, request: Request) -> results.Result:
    """The one result of a request; the same bytes, if it was sent more than once."""
    found = [each for each in world.results() if each.request_id == request.request_id]
    assert found, "no result"
    assert all(each == found[0] for each in found), "two different results"
    return found[0]


async def make_key(world: World, random: Random | None = None, **how: Any) -> results.KeygenResult:
    request = world.keygen_request(**how.pop("fields", {}))
    await world.ask(request)
    await world.run(random, **how)
    made = await result_of(world, request)
    assert isinstance(made, results.KeygenResult)
    return made


def is_creation(message: Outgoing) -> bool:
    return message.kind == "session_created"


def check_signature(made: results.KeygenResult, signed: results.Result) -> None:
    assert isinstance(signed, results.SignResult)
    assert signed.failure is None
    assert signed.scheme is not None
    assert signed.message is not None
    assert signed.signature is not None
    assert signed.public_key is not None
    assert made.key is not None
    suite = frost.ciphersuite(signed.scheme.value)
    group = group_by_name(made.key.facts.curve.value)
    key = group.point_from_bytes_checked(made.key.facts.public_key)
    assert frost.verify(
        suite,
        frost.output_key(suite, key, signed.taproot_merkle_root),
        signed.message,
        signed.signature,
    )


@pytest.mark.parametrize("curve", list(Curve))
@pytest.mark.parametrize("seed", range(6))
async def test_a_key_is_made_whatever_the_order(shared: World, seed: int, curve: Curve) -> None:
    made = await make_key(shared, Random(seed), doubled=0.3, fields={"curve": curve})
    assert made.status is Status.COMPLETED
    assert made.key is not None
    made.key.verify({name: each.public for name, each in shared.identities.items()})
    assert not shared.dead


async def test_a_key_is_made_when_sessions_start_after_their_messages(shared: World) -> None:
    # One party starts last; all that the others send it comes before its session does.
    def late(message: Outgoing) -> bool:
        return is_creation(message) and message.routing_key == "party-3"

    made = await make_key(shared, Random(1), doubled=0.3, late=late)
    assert made.status is Status.COMPLETED
    for store in shared.party_stores.values():
        assert made.session_id is not None
        assert await store.parked(made.session_id) == []


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("curve", "fields"),
    [
        ("ed25519", {"scheme": "ed25519"}),
        ("secp256k1", {"scheme": "bip340", "message": bytes(31) + b"\x07"}),
        (
            "secp256k1",
            {"scheme": "bip340", "message": b"\x01" * 32, "taproot_merkle_root": b""},
        ),
        ("secp256k1", {"scheme": "secp256k1", "message": b"\0"}),
    ],
)
async def test_one_signature_whatever_the_order(
    shared: World, seed: int, curve: str, fields: dict[str, Any]
) -> None:
    made = await make_key(shared, fields={"curve": curve})
    for _ in range(3):  # the first asks for nonces, the next find them
        request = shared.sign_request(key_id=made.key_id, **fields)
        await shared.ask(request)
        await shared.run(Random(seed), doubled=0.3)
        check_signature(made, await result_of(shared, request))
    assert not shared.dead


async def test_a_warm_signature_takes_six_messages(shared: World) -> None:
    made = await make_key(shared)
    for expected in (10, 6):
        signers = ["party-1", "party-2"]
        request = shared.sign_request(key_id=made.key_id, signers=signers)
        before = len(shared.network.sent)
        await shared.ask(request)
        await shared.run()
        assert 1 + len(shared.network.sent) - before == expected


async def test_a_party_that_lost_its_nonces_costs_one_request(shire: World) -> None:
    made = await make_key(shire)
    signers = ["party-1", "party-2"]
    for _ in range(3):  # so that commitments for several more signatures are waiting
        await shire.ask(shire.sign_request(key_id=made.key_id, signers=signers))
    await shire.run()
    assert made.session_id is not None
    lost = await shire.party_stores["party-1"].trim_nonces(made.session_id, 0, "ed25519", keep=0)
    assert lost > 2

    outcomes = []
    for _ in range(3):
        request = shire.sign_request(key_id=made.key_id, signers=signers)
        await shire.ask(request)
        await shire.run()
        outcomes.append(await result_of(shire, request))
    refused, *signed = outcomes
    assert refused.failure is not None
    assert refused.failure.code is FailureCode.PARTY_REFUSED
    assert refused.failure.retryable
    for each in signed:
        check_signature(made, each)


async def test_the_same_request_again_is_the_same_session_and_the_same_result(
    shared: World,
) -> None:
    request = shared.keygen_request()
    signed = await shared.ask(request)
    await shared.submit(signed)
    await shared.run(Random(3))
    await shared.submit(signed)
    made = await result_of(shared, request)
    assert made.status is Status.COMPLETED
    assert len(await shared.coordinator_store.keys(CLIENT)) == len(
        {each.key_id for each in await shared.coordinator_store.keys(CLIENT)}
    )


async def test_the_same_request_id_with_other_bytes_is_a_conflict(shared: World) -> None:
    request = shared.keygen_request()
    await shared.ask(request)
    await shared.ask(request.model_copy(update={"threshold": 3}))
    conflict = shared.results()[-1]
    assert conflict.failure is not None
    assert conflict.failure.code is FailureCode.CONFLICT
    await shared.run()
    made = shared.results()[-1]
    assert isinstance(made, results.KeygenResult)
    assert made.key is not None
    assert made.key.facts.threshold == 2


async def test_a_key_id_is_given_once(shared: World) -> None:
    made = await make_key(shared)
    again = await make_key(shared, fields={"key_id": made.key_id})
    assert again.failure is not None
    assert again.failure.code is FailureCode.KEY_EXISTS
    assert not again.failure.retryable


async def test_a_party_that_is_away_is_named_and_its_key_id_is_free_again(shire: World) -> None:
    away = shire.parties.pop("party-2")
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run()
    (session_id,) = await shire.coordinator_store.overdue(request.expires_at + 1, 10)
    await shire.outlive(session_id)
    await shire.reports.expire(session_id)
    gone = await result_of(shire, request)
    assert gone.status is Status.EXPIRED
    assert gone.failure is not None
    assert gone.failure.code is FailureCode.EXPIRED
    assert gone.failure.silent == ["party-2"]
    await shire.run()

    shire.parties["party-2"] = away
    made = await make_key(shire, fields={"key_id": request.key_id})
    assert made.status is Status.COMPLETED


async def test_a_party_that_falls_silent_in_the_middle_is_named_by_the_others(
    shire: World,
) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run(
        dropped=lambda message: message.kind == "keygen/2" and sender(message) == "party-3"
    )
    (session_id,) = await shire.coordinator_store.overdue(request.expires_at + 1, 10)
    for party_id in ("party-1", "party-2"):
        shire.clock.offset_ms = 120_000
        assert await shire.party_stores[party_id].overdue(shire.clock(), 10) == [session_id]
        await shire.parties[party_id].expire(session_id)
    await shire.run()
    await shire.outlive(session_id)
    await shire.reports.expire(session_id)
    gone = await result_of(shire, request)
    assert gone.failure is not None
    assert gone.failure.silent == ["party-3"]


def forge(world: World, message: Outgoing, **changes: Any) -> Outgoing:
    """The same message with other content, properly signed by its sender."""
    claimed = UnverifiedEnvelope.from_bytes(message.body).claimed
    fields = {name: getattr(claimed, name) for name in Envelope.__slots__} | changes
    altered = Envelope(**fields)
    return Outgoing(
        exchange=message.exchange,
        routing_key=message.routing_key,
        kind=message.kind,
        content_type=envelope.CONTENT_TYPE,
        message_id="forged",
        body=altered.seal(world.identities[claimed.sender]),
    )


@pytest.mark.parametrize("round_", [1, 2, 3, 4])
async def test_a_party_that_sends_rubbish_in_any_round_fails_the_session(
    shire: World, round_: int
) -> None:
    request = shire.keygen_request()
    await shire.ask(request)

    def spoil(message: Outgoing) -> bool:
        if message.kind == f"keygen/{round_}" and sender(message) == "party-3":
            claimed = UnverifiedEnvelope.from_bytes(message.body).claimed
            altered = bytes([claimed.payload[0] ^ 1]) + claimed.payload[1:]
            spoilt = forge(shire, message, payload=altered)
            if spoilt.body != message.body and message.message_id != "forged":
                shire.network.waiting.append(spoilt)
                return True
        return False

    await shire.run(dropped=spoil)
    failed = await result_of(shire, request)
    assert failed.failure is not None
    # What a sealed payload should have been cannot be shown to others, so nobody is accused.
    expected = FailureCode.SPOILT if round_ == 3 else FailureCode.PARTY_FAULT
    assert failed.failure.code is expected
    assert failed.failure.culprits == ([] if round_ == 3 else ["party-3"])
    assert await shire.coordinator_store.keys(CLIENT) == []


async def test_two_different_messages_in_one_place_name_their_sender(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    twice: list[Outgoing] = []

    def remember(message: Outgoing) -> bool:
        if message.kind == "keygen/1" and sender(message) == "party-3" and not twice:
            twice.append(forge(shire, message, payload=b"something else"))
            shire.network.waiting.append(twice[0])
        return False

    await shire.run(dropped=remember)
    failed = await result_of(shire, request)
    assert failed.failure is not None
    assert failed.failure.code is FailureCode.PARTY_FAULT
    assert failed.failure.culprits == ["party-3"]


async def test_a_wrong_signature_share_names_its_sender(shire: World) -> None:
    made = await make_key(shire)
    request = shire.sign_request(key_id=made.key_id, signers=["party-1", "party-3"])
    await shire.ask(request)

    def lie(message: Outgoing) -> bool:
        if message.kind == "share_signed" and sender(message) == "party-3":
            claimed = UnverifiedEnvelope.from_bytes(message.body).claimed
            report = sessions.ShareSigned.model_validate_json(claimed.payload)
            if message.message_id == "forged":
                return False
            wrong = respoken(
                shire, claimed, report, lambda share: bytes([share[0] ^ 1]) + share[1:]
            )
            payload = wrong.model_dump_json().encode()
            shire.network.waiting.append(forge(shire, message, payload=payload))
            return True
        return False

    await shire.run(dropped=lie)
    failed = await result_of(shire, request)
    assert failed.failure is not None
    assert failed.failure.code is FailureCode.PARTY_FAULT
    assert failed.failure.culprits == ["party-3"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"epoch": 7}, "epoch"),
        ({"round": 9}, "no protocol has"),
        ({"kind": "dance"}, "no protocol has"),
        ({"recipient": "party-1"}, "not meant for"),
    ],
)
async def test_a_message_out_of_place_is_refused_and_harms_nobody(
    shire: World, changes: dict[str, Any], reason: str
) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    extra: list[Outgoing] = []

    def add(message: Outgoing) -> bool:
        if message.kind == "keygen/2" and not extra:
            extra.append(forge(shire, message, **changes))
            shire.network.waiting.append(extra[0])
        return False

    await shire.run(dropped=add)
    assert (await result_of(shire, request)).status is Status.COMPLETED
    (refused,) = shire.dead
    assert reason in refused[1]


async def test_a_stranger_is_not_heard(shire: World) -> None:
    stranger = Envelope(
        session_id=bytes(32),
        epoch=0,
        kind="keygen",
        round=1,
        sender="party-9",
        recipient=EVERYONE,
        payload=b"",
    )
    imposter = Envelope(
        session_id=bytes(32),
        epoch=0,
        kind="keygen",
        round=1,
        sender="party-2",
        recipient=EVERYONE,
        payload=b"",
    )
    for claimed in (stranger, imposter):
        await shire.deliver(
            Outgoing(
                exchange=addresses.KEYGEN,
                routing_key="party-1",
                kind="keygen/1",
                content_type=envelope.CONTENT_TYPE,
                message_id="m",
                body=claimed.seal(shire.identities["party-3"]),
            )
        )
    reasons = [reason for _, reason in shire.dead]
    assert reasons == ["the sender is not one of our parties", "wrong signature"]
    assert await shire.party_stores["party-1"].parked(bytes(32)) == []


async def test_a_cancelled_session_ends_everywhere_and_answers_once(shire: World) -> None:
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run(dropped=lambda message: message.kind == "keygen/1")
    for _ in range(2):
        cancel = wish(shire, "cancel", target=request.request_id)
        await answered(shire, cancel, results.CancelResult)
        await shire.run()
        answer = await result_of(shire, cancel.request)
        assert isinstance(answer, results.CancelResult)
        assert answer.target_status is Status.CANCELLED
    cancelled = await result_of(shire, request)
    assert cancelled.status is Status.CANCELLED
    for store in shire.party_stores.values():
        assert cancelled.session_id is not None
        session = await store.session(cancelled.session_id)
        assert session is not None
        assert session.status == "cancelled"
        assert session.state == b""


async def test_a_session_tells_its_history(shared: World) -> None:
    made = await make_key(shared)
    query = wish(shared, "query_session", session_id=made.session_id)
    await shared.submit(query)
    answer = await result_of(shared, query.request)
    assert isinstance(answer, results.QuerySessionResult)
    assert answer.session is not None
    events = [event.event for event in answer.session.events]
    assert events[0] == "session_created"
    assert events[-1] == "completed"
    assert sorted(events[1:-1]) == sorted(["party_joined", "key_certified"] * 3)
    assert [event.sequence for event in answer.session.events] == list(range(1, len(events) + 1))
