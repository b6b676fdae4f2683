"""A party that has lost its memory does not begin again what it may have begun before."""

from __future__ import annotations

from contracts.failures import FailureCode
from contracts.requests import KeygenRequest
from contracts.results import SignResult, Status
from workers.delivery.clock import now_ms
from workers.store.records import Outgoing

from .ecdsa import check_failure, check_success, ecdsa_request, make_key
from .simulate import World
from .tries import everyone_is_alive


async def made_key(shire: World) -> KeygenRequest:
    request = shire.keygen_request()
    await shire.ask(request)
    await shire.run()
    return request


async def lose_memory(shire: World, party_id: str) -> None:
    await shire.party_stores[party_id].begin_incarnation("crashed")
    # The store has noted the real time; what is asked for next is asked for later than that.
    shire.clock.offset_ms += now_ms() - shire.clock() + 1


async def test_a_key_that_was_asked_for_before_the_loss_is_not_begun_after_it(
    shire: World,
) -> None:
    await shire.ask(shire.keygen_request())
    await lose_memory(shire, "party-2")
    await shire.run()
    (result,) = shire.results()
    assert result.status is Status.FAILED
    assert result.failure is not None
    assert result.failure.code is FailureCode.PARTY_REFUSED
    assert "party-2 reports: our database lost its memory" in result.failure.message
    assert result.failure.culprits == []
    assert result.failure.retryable


async def test_what_is_asked_for_after_the_loss_is_begun(shire: World) -> None:
    await lose_memory(shire, "party-2")
    key = await make_key(shire)
    await lose_memory(shire, "party-1")
    request = ecdsa_request(shire, key)
    await shire.ask(request)
    await shire.run()
    check_success(shire, request, key)


async def test_a_batch_of_before_the_loss_is_not_begun_after_it(shire: World) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, signers=["party-1", "party-2"])
    await shire.ask(request)
    await lose_memory(shire, "party-2")
    await shire.run()
    failure = check_failure(shire, request)
    assert failure.code is FailureCode.PARTY_REFUSED
    assert "lost its memory" in failure.message


async def test_nonces_wanted_before_the_loss_are_not_made_after_it(shire: World) -> None:
    key = await made_key(shire)
    request = shire.sign_request(key_id=key.key_id, signers=["party-1", "party-2"])
    await shire.ask(request)
    await lose_memory(shire, "party-2")
    await shire.run()
    failure = check_failure(shire, request)
    assert failure.code is FailureCode.PARTY_REFUSED
    assert "party-2 reports: our database lost its memory" in failure.message


async def test_others_sign_when_one_has_forgotten_whether_it_made_nonces(shire: World) -> None:
    key = await made_key(shire)
    await everyone_is_alive(shire)
    await shire.ask(shire.sign_request(key_id=key.key_id))
    (asked, _) = [each for each in shire.network.waiting if each.kind == "nonces_wanted"]
    await lose_memory(shire, asked.routing_key)
    await shire.run()
    result = shire.results()[-1]
    assert isinstance(result, SignResult)
    assert result.status is Status.COMPLETED
    assert asked.routing_key not in result.signers


async def test_a_session_that_is_given_up_for_its_nonces_is_not_given_up_again_when_it_begins(
    shire: World,
) -> None:
    key = await made_key(shire)
    await shire.ask(shire.sign_request(key_id=key.key_id, signers=["party-1", "party-2"]))
    await shire.run(dropped=begins_at_party_2)
    asked, begun = (
        [each for each in shire.network.sent if (each.kind, each.routing_key) == (kind, "party-2")]
        for kind in ("nonces_wanted", "session_created")
    )
    shire.network.sent.clear()
    await lose_memory(shire, "party-2")
    for message in (asked[-1], begun[-1], asked[-1]):
        await shire.deliver(message)
    told = [each for each in shire.network.sent if each.kind == "session_failed"]
    assert len(told) == 2
    assert len({each.body for each in told}) == 1


def begins_at_party_2(message: Outgoing) -> bool:
    return (message.kind, message.routing_key) == ("session_created", "party-2")
