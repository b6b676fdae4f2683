"""Requests that get no session: what they are told is told once and for all."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.failures import FailureCode
from contracts.requests import Request
from contracts.results import CancelResult, KeygenResult, SignResult, Status
from contracts.signing import SignedRequest, sign_request
from tests.workers.callers import announcements, answer, answered, ask, refusal, refused
from tests.workers.doubles import FakePublisher
from tests.workers.simulate import CLIENT, World, world
from workers.coordinator.admission import Admission
from workers.delivery.publisher import PublishError
from workers.store.records import Outgoing, RequestRecord


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


def full(world: World, limit: int = 0) -> None:
    world.requests._admission = Admission(world.coordinator_store, per_owner=limit, in_all=1_000)


def answers(world: World, request: Request) -> list[Outgoing]:
    return [each for each in world.network.sent if each.message_id == request.request_id]


def other_bytes(world: World, signed: SignedRequest) -> SignedRequest:
    """The same wish under the same id, made anew."""
    return sign_request(
        signed.request.model_copy(update={"salt": secrets.token_hex(4)}), world.client
    )


async def test_what_was_refused_stays_refused_when_there_is_room(shire: World) -> None:
    full(shire)
    signed = await shire.ask(shire.keygen_request(announce=True))
    full(shire, 100)
    await shire.submit(signed)
    await shire.run()
    first, again = answers(shire, signed.request)
    assert first == again
    result = answer(shire, signed.request, KeygenResult)
    assert result.failure is not None
    assert result.failure.code is FailureCode.OVERLOADED
    assert (result.status, result.session_id) == (Status.FAILED, None)
    assert result.request_digest == signed.digest
    assert announcements(shire, signed.request) == []
    assert await shire.coordinator_store.keys(CLIENT) == []


async def test_a_signature_that_was_refused_is_not_made_when_its_key_is_there(
    shire: World,
) -> None:
    signed = await shire.ask(shire.sign_request(key_id="treasury", announce=True))
    await shire.ask(shire.keygen_request(key_id="treasury"))
    await shire.run()
    sent = len(shire.network.sent)
    assert await refused(shire, signed) is FailureCode.UNKNOWN_KEY
    assert len(shire.network.sent) == sent + 1
    assert await shire.coordinator_store.unfinished() == {}


async def test_other_bytes_under_the_id_of_a_refused_request_are_a_new_one(shire: World) -> None:
    full(shire)
    signed = await shire.ask(shire.keygen_request())
    assert await refused(shire, other_bytes(shire, signed)) is FailureCode.OVERLOADED
    full(shire, 100)
    new = other_bytes(shire, signed)
    await shire.submit(new)
    await shire.run()
    assert answer(shire, new.request, KeygenResult).status is Status.COMPLETED
    # Late copies of what was refused begin nothing.
    assert await refused(shire, signed) is FailureCode.CONFLICT
    assert len(await shire.coordinator_store.keys(CLIENT)) == 1


async def test_a_signature_may_be_asked_for_again_under_the_id_of_a_refused_request(
    shire: World,
) -> None:
    signed = await shire.ask(shire.sign_request(key_id="treasury"))
    await shire.ask(shire.keygen_request(key_id="treasury"))
    await shire.run()
    new = other_bytes(shire, signed)
    await shire.submit(new)
    await shire.run()
    assert answer(shire, new.request, SignResult).status is Status.COMPLETED


async def test_a_refusal_that_could_not_be_sent_is_sent_when_the_request_comes_again(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(shire)
    signed = sign_request(shire.keygen_request(), shire.client)
    with monkeypatch.context() as broker:
        away = FakePublisher(trouble=[PublishError("broker away")])
        broker.setattr(shire.requests._refusals, "_publisher", away)
        with pytest.raises(PublishError):
            await shire.submit(signed)
    full(shire, 100)
    assert await refused(shire, signed) is FailureCode.OVERLOADED
    assert len(answers(shire, signed.request)) == 1


async def test_of_two_deliveries_at_once_the_one_that_was_first_decides(
    shire: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One coordinator has room and begins, another has none and comes second."""
    signed = await shire.ask(shire.keygen_request())
    begun = list(shire.network.sent)
    full(shire)
    store, looks = shire.coordinator_store, list[str]()
    look = store.request

    async def late(
        owner: str, request_id: str, digest: bytes | None = None
    ) -> RequestRecord | None:
        looks.append(request_id)
        return None if len(looks) == 1 else await look(owner, request_id, digest)

    monkeypatch.setattr(store, "request", late)
    await shire.submit(signed)
    assert len(looks) == 2
    assert shire.network.sent == begun * 2
    await shire.run()
    assert answer(shire, signed.request, KeygenResult).status is Status.COMPLETED


async def test_a_refused_request_has_no_session_to_look_at_or_to_end(shire: World) -> None:
    full(shire)
    signed = await shire.ask(shire.keygen_request())
    record = await shire.coordinator_store.request(CLIENT, signed.request.request_id)
    assert record is not None
    target = signed.request.request_id
    for operation, named in (
        ("query_session", {"target": target}),
        ("query_session", {"session_id": record.session_id}),
    ):
        unknown = await refusal(shire, operation, **named)
        assert unknown is FailureCode.UNKNOWN_REQUEST
    await answered(shire, other_bytes(shire, signed), KeygenResult)
    result = await ask(shire, CancelResult, "cancel", target=target)
    assert (result.session_id, result.target_status) == (None, Status.FAILED)
