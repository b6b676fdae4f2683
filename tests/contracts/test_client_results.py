"""Whose a result is, where several read one queue or nobody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

import pytest

from contracts import addresses, strict_json
from contracts.client import Client
from contracts.client import mailbox as mailbox_module
from contracts.client import trust as trust_module
from contracts.client.mailbox import Mailbox
from contracts.primitives import Curve, Scheme
from contracts.requests import QueryKeysRequest, Request
from contracts.results import Result
from tests.contracts.fakes import another_key
from tests.patience import until

from .fakes import KEYS, FakeCoordinator, honest
from .producers import settings, sign, signed_request

pytestmark = pytest.mark.system


###
### Several producers
###


async def test_clients_and_a_legacy_producer_get_exactly_their_own(vhost: str) -> None:
    names: list[str | None] = ["svcA", "svc-a", None]

    async def use(client_id: str | None) -> set[tuple[str | None, bytes | None]]:
        async with Client.connect(settings(vhost, client_id)) as client:
            key = await client.create_key(
                "complete", curve=Curve.ED25519, threshold=2, party_count=3
            )
            assert key.facts.client_id == client_id
            done = await asyncio.gather(
                *(
                    client.sign("complete", message=bytes([at]), scheme=Scheme.ED25519)
                    for at in range(20)
                )
            )
            return {(result.client_id, result.message) for result in done}

    async with FakeCoordinator.running(vhost, *names) as coordinator:
        found = await asyncio.gather(*map(use, names))
        left = [await coordinator.waiting(addresses.results_queue(name)) for name in names]
        dead = await coordinator.waiting(addresses.DEAD_QUEUE)
    for client_id, own in zip(names, found, strict=True):
        assert own == {(client_id, bytes([at])) for at in range(20)}
    assert (left, dead) == ([0, 0, 0], 0)


async def test_two_legacy_producers_on_one_queue_both_get_theirs(vhost: str) -> None:
    async with (
        FakeCoordinator.running(vhost, None) as coordinator,
        Client.connect(settings(vhost, None, ask_again_s=5)) as one,
        Client.connect(settings(vhost, None, ask_again_s=5)) as other,
    ):
        calls = [sign(client, bytes([at])) for at in range(10) for client in (one, other)]
        done = await asyncio.gather(*calls)
        assert [result.message for result in done] == [
            bytes([at]) for at in range(10) for _ in range(2)
        ]
        assert await coordinator.waiting(addresses.DEAD_QUEUE) == 0


async def test_a_producer_that_reads_does_not_keep_others_from_theirs(vhost: str) -> None:
    async with (
        FakeCoordinator.running(vhost, None) as coordinator,
        Client.connect(settings(vhost, None)) as reader,
        Client.connect(settings(vhost, None, ask_again_s=0.5)) as waiter,
    ):
        forgotten = signed_request(client_id=None)
        read = set()

        async def read_until_it_is_found() -> None:
            async for result in reader.results():
                read.add(result.request_id)
                if result.request_id == forgotten.request.request_id:
                    return

        reading = asyncio.create_task(read_until_it_is_found())
        (result,) = honest(forgotten.request)
        await coordinator.publish(result, forgotten.request.reply_to)
        done = await asyncio.gather(*(sign(waiter, bytes([at])) for at in range(10)))
        assert [result.message for result in done] == [bytes([at]) for at in range(10)]
        await reading


###
### Results that no call waits for
###


async def test_what_comes_again_and_again_is_parsed_once_and_again_for_who_reads_it(
    vhost: str, coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies, held = [], []
    validated, hold = strict_json.validated, Mailbox.hold

    def noted(adapter: Any, body: bytes) -> Any:
        bodies.append(body)
        return validated(adapter, body)

    def held_again(mailbox: Mailbox, letter: Any) -> None:
        held.append(letter.delivery.body)
        hold(mailbox, letter)

    monkeypatch.setattr(mailbox_module, "HELD_FOR_S", 0.1)
    monkeypatch.setattr(strict_json, "validated", noted)
    monkeypatch.setattr(Mailbox, "hold", held_again)
    forgotten = signed_request()
    coordinator.answer = lambda request: []
    async with Client.connect(settings(vhost)) as client:
        call = asyncio.create_task(sign(client, b"unanswered"))  # so the client goes on consuming
        (result,) = honest(forgotten.request)
        await coordinator.publish(result, forgotten.request.reply_to)
        await until(lambda: len(held) >= 4)
        (body,) = set(held)
        assert bodies.count(body) == 1
        call.cancel()
        coordinator.answer = honest
        async for found in client.results():
            assert found.request_id == forgotten.request.request_id
            break


async def test_a_result_that_comes_twice_is_handed_out_once(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    coordinator.answer = lambda request: [*honest(request), *honest(request)]
    async with Client.connect(settings(vhost)) as client:
        done = await sign(client)
        later = signed_request()
        (result,) = honest(later.request)
        await coordinator.publish(result, later.request.reply_to)
        async for unclaimed in client.results():
            assert unclaimed.request_id == later.request.request_id != done.request_id
            break


async def test_results_of_a_process_that_died_are_read_by_the_next(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    lost = [signed_request(message=bytes([at]), request_id=f"lost{at}") for at in range(3)]
    tweaked = signed_request(
        request_id="tweaked",
        key_id="secp256k1",
        scheme=Scheme.BIP340,
        message=bytes(32),
        taproot_merkle_root=b"",
    )
    await coordinator.publish(another_key(lost[0].request), lost[0].request.reply_to)
    for signed in (*lost, tweaked):
        (result,) = honest(signed.request)
        await coordinator.publish(result, signed.request.reply_to)
    async with Client.connect(settings(vhost)) as client:
        read = []
        async with contextlib.aclosing(client.results()) as found:
            async for result in found:
                read.append(result.request_id)
                if len(read) == 4:
                    break
        assert await coordinator.dead_letter()
    assert read == ["lost0", "lost1", "lost2", "tweaked"]
    # The last was not acked: its reader left the loop while it had it in hand.
    async with Client.connect(settings(vhost)) as client:
        async for result in client.results():
            assert result.request_id == "tweaked"
            break


async def test_results_that_nobody_reads_stay_in_the_queue(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    signed = signed_request()
    (result,) = honest(signed.request)
    await coordinator.publish(result, signed.request.reply_to)
    async with Client.connect(settings(vhost)) as client:
        await sign(client)
    async with Client.connect(settings(vhost)) as client:
        assert await anext(client.results()) == result


###
### Pages
###


async def test_keys_are_fetched_page_after_page(vhost: str, coordinator: FakeCoordinator) -> None:
    names = ["ed25519", "ed25519-b", "ed25519-c"]

    def answer(request: Request) -> Iterable[Result]:
        (found,) = honest(request)
        assert isinstance(request, QueryKeysRequest)
        place = 0 if request.after is None else names.index(request.after) + 1
        key = KEYS[Curve.ED25519].certified(key_id=names[place])
        yield found.model_copy(update={"keys": [key], "more": place < 2})

    coordinator.answer = answer
    async with Client.connect(settings(vhost)) as client:
        assert [key.facts.key_id for key in await client.keys()] == names


async def test_however_many_keys_do_not_check_out_none_of_them_is_handed_out(
    vhost: str, coordinator: FakeCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust_module, "KEPT", 2)
    made = KEYS[Curve.ED25519]
    bad = [
        made.certified(key_id=f"bad-{at}").model_copy(update={"certificates": {}})
        for at in range(4)
    ]
    good = made.certified(key_id="good")

    def answer(request: Request) -> Iterable[Result]:
        (found,) = honest(request)
        yield found.model_copy(update={"keys": [*bad, good], "more": False})

    coordinator.answer = answer
    async with Client.connect(settings(vhost)) as client:
        assert await client.keys() == [good]
        # What was proven before is not taken away by who shows something else under its name.
        bad.append(good.model_copy(update={"certificates": {}}))
        good = made.certified(key_id="z")
        assert [key.facts.key_id for key in await client.keys()] == ["good", "z"]
        assert "good" in client.doubted


async def test_a_coordinator_that_always_has_more_keys_is_not_asked_for_ever(
    vhost: str, coordinator: FakeCoordinator
) -> None:
    def answer(request: Request) -> Iterable[Result]:
        (found,) = honest(request)
        yield found.model_copy(update={"more": True})

    coordinator.answer = answer
    async with Client.connect(settings(vhost)) as client:
        assert [key.facts.key_id for key in await client.keys()] == ["ed25519"]
    assert len(coordinator.asked) == 2
