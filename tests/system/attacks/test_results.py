"""Results that lead people astray: addresses, sessions, keys of yesterday, answers to others."""

from __future__ import annotations

import asyncio
import functools
import secrets
from dataclasses import replace
from typing import Any

import pytest

from contracts.client import Client, ClientError, RequestFailedError
from contracts.coordinators import Coordinators, Pin
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Scheme
from contracts.results import SignResult
from contracts.signing import SignedRequest
from tests.patience import until

from . import asking
from .adversary import Adversary, is_request, is_result
from .forms import Wire, now_ms
from .in_its_place import base, failed, told, told_before
from .under_way import outcome

FOREIGN_KEY = "02" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"


async def account_of(client: Client, name: str) -> None:
    begun = await client.begin_key(
        name, curve=Curve.SECP256K1, threshold=2, party_count=3, user_id="Ada"
    )
    await begun.result()


FORGED_VIEWS: dict[str, tuple[dict[str, Any], str]] = {
    "as it is": ({}, ""),
    "another public key": ({"public_key": FOREIGN_KEY}, "its public_key is not its key's"),
    "no proof": ({"public_key": FOREIGN_KEY, "key": None}, "without what proves its key"),
    "another threshold": ({"threshold": 3}, "its threshold is not its key's"),
    "another account's": ({"account_id": "another"}, "its account_id is not its key's"),
}


@pytest.mark.parametrize("change", FORGED_VIEWS)
async def test_an_account_is_shown_with_its_own_public_key(
    victim: Client, adversary: Adversary, change: str
) -> None:
    """Whoever derives an address from another one pays to a stranger."""
    shop, name = victim.acting_for("shop"), f"paid-{secrets.token_hex(4)}"
    await account_of(shop, name)
    true = await shop.account(name)
    changes, because = FORGED_VIEWS[change]
    view = true.model_dump(mode="json") | changes
    heard = await told(
        adversary,
        victim,
        shop.account(name),
        "query_accounts",
        lambda signed: base(signed, accounts=[view], more=False),
    )
    assert heard.outcome == true
    if because or not adversary.is_coordinator:
        # That it is another account than was asked for is seen first.
        first = "something else than" if change == "another account's" else because
        assert heard.is_refused(adversary, first), heard
    else:
        assert (heard.refused, heard.disbelieved) == ([], 0)


async def test_an_account_of_another_tenant_is_not_shown_as_ones_own(
    victim: Client, adversary: Adversary
) -> None:
    shop, name = victim.acting_for("shop"), f"shops-{secrets.token_hex(4)}"
    await account_of(shop, name)
    view = (await shop.account(name)).model_dump(mode="json")
    heard = await told(
        adversary,
        victim,
        victim.acting_for("bank").account(name),
        "query_accounts",
        lambda signed: base(signed, accounts=[view], more=False),
    )
    assert heard.is_refused(adversary, "belongs to another tenant"), heard
    assert isinstance(heard.outcome, RequestFailedError)
    assert heard.outcome.failure.code == "unknown_account"


async def test_a_strangers_announcement_is_not_believed(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    """It would have its client show tokens of another session."""
    false = secrets.token_bytes(32).hex()
    heard = await told(
        stranger,
        victim,
        victim.begin_signature(key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519),
        "sign",
        lambda signed: {
            "result": "session_announced",
            "version": 1,
            "request_id": signed.request.request_id,
            "client_id": "svcA",
            "session_id": false,
            "deadline": now_ms() + 60_000,
            "parties": ["party-1", "party-2"],
            "join_tokens": {},
            "session_token": false,
        },
    )
    assert heard.disbelieved == 1
    assert not isinstance(heard.outcome, ClientError)
    announced = heard.outcome.announced
    assert announced is None or announced.session_id.hex() != false
    await heard.outcome.result()


async def test_yesterdays_page_of_keys_hides_no_key(victim: Client, stranger: Adversary) -> None:
    """Recorded before the key was made: as it was said, under the id of a later query, and signed
    anew by somebody."""
    shop = victim.acting_for(f"shop-{secrets.token_hex(4)}")
    await shop.keys()
    page = await stranger.recording.first(is_result("query_keys"))
    made = await shop.create_key("new", curve=Curve.ED25519, threshold=2, party_count=3)

    def again(signed: SignedRequest) -> dict[str, Any]:
        return page.json() | {"request_id": signed.request.request_id}

    heard = await told(stranger, victim, shop.keys(), "query_keys", again)
    assert heard.disbelieved == 1
    assert heard.outcome == [made]
    async with told_before(stranger, victim, shop.keys(), "query_keys", None) as (task, _):
        later = (await stranger.recording.count(is_request("query_keys"), 3, 20))[-1]
        await stranger.publish(page, moved(page, later.json()["request_id"]))
        await asyncio.sleep(0.5)
        assert not task.done()
    assert await task == [made]
    # The first of the two answers no query that is still open, and so nobody looks at it.
    assert victim.disbelieved == {"wrong_signature": 2}


def moved(page: Wire, request_id: str) -> Wire:
    """With its true signature, and in its body another request id."""
    body = page.body.replace(page.message_id.encode(), request_id.encode())
    return Wire(
        exchange=page.exchange,
        routing_key=page.routing_key,
        kind=page.kind,
        message_id=request_id,
        headers=page.headers,
        body=body,
    )


async def test_a_tenants_failure_does_not_answer_anothers_request_of_the_same_id(
    victim: Client, stranger: Adversary
) -> None:
    """Said by the coordinator itself, about other bytes of the same client: heard again."""
    shop, bank = victim.acting_for("shop"), victim.acting_for("bank")
    key_id, request_id = f"same-{secrets.token_hex(4)}", f"same-{secrets.token_hex(4)}"
    await bank.create_key(key_id, curve=Curve.ED25519, threshold=2, party_count=3)
    call = shop.sign(key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id)
    error = await outcome(asyncio.ensure_future(call))
    assert isinstance(error, RequestFailedError)
    assert error.failure.code == "unknown_key"
    old = await stranger.recording.first(is_result("sign", request_id))
    async with told_before(
        stranger,
        victim,
        bank.sign(key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id),
        "sign",
        None,
    ) as (task, _):
        await stranger.publish(old)
        await asyncio.sleep(0.5)
        assert not task.done()
    assert isinstance(await task, SignResult)
    assert victim.disbelieved == {}


async def test_a_signature_for_another_request_is_not_ones_own(
    victim: Client, key: CertifiedKey, adversary: Adversary
) -> None:
    """A true signature over another message; and over the right one, by another key."""
    other = await victim.sign(key.facts.key_id, message=b"another", scheme=Scheme.ED25519)
    said = other.model_dump(mode="json")
    answers = {
        "messages is not what was asked for": {},
        "does not verify": {"message": asking.MESSAGE.hex()},
    }
    for because, change in answers.items():
        heard = await told(
            adversary,
            victim,
            victim.sign(key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519),
            "sign",
            functools.partial(_under_its_id, said | change),
        )
        assert heard.is_refused(adversary, because), heard
        assert isinstance(heard.outcome, SignResult)
        assert heard.outcome.message == asking.MESSAGE


def _under_its_id(said: dict[str, Any], signed: SignedRequest) -> dict[str, Any]:
    return said | {"request_id": signed.request.request_id}


async def test_a_session_is_not_shown_with_what_came_of_another(
    victim: Client, key: CertifiedKey, adversary: Adversary
) -> None:
    """A true signature, over another message, for whoever looks what came of this one."""
    one, other = [
        await victim.sign(key.facts.key_id, message=message, scheme=Scheme.ED25519)
        for message in (b"one", b"other")
    ]
    assert one.session_id is not None
    looked = await victim.look(session_id=one.session_id)
    assert looked.outcome == one
    false = other.model_dump(mode="json") | {"request_id": one.request_id}
    answers = {
        "outcome's request_digest is not": false,
        "messages is not": false | {"request_digest": one.request_digest.hex()},
    }
    for because, outcome_of in answers.items():
        said = looked.model_dump(mode="json") | {"outcome": outcome_of}
        heard = await told(
            adversary,
            victim,
            victim.look(session_id=one.session_id),
            "query_session",
            functools.partial(_under_its_id, said),
        )
        assert heard.is_refused(adversary, because), heard
        assert not isinstance(heard.outcome, ClientError)
        assert heard.outcome.outcome == one


async def test_a_strangers_unknown_request_does_not_hide_a_session(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    result = await victim.sign(key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519)
    heard = await told(
        stranger,
        victim,
        victim.look(request_id=result.request_id),
        "query_session",
        lambda signed: failed(signed, "failed", "unknown_request"),
    )
    assert heard.disbelieved == 1
    assert not isinstance(heard.outcome, ClientError), heard
    assert heard.outcome.outcome == result


async def test_a_strangers_wish_is_not_believed_where_a_key_was_cancelled(
    victim: Client, stranger: Adversary
) -> None:
    """Whoever makes another key instead has two."""
    name = f"doubted-{secrets.token_hex(4)}"
    heard = await told(
        stranger,
        victim,
        victim.create_key(name, curve=Curve.ED25519, threshold=2, party_count=3),
        "keygen",
        lambda signed: failed(signed, "failed", "overloaded", key_id=name),
    )
    assert heard.disbelieved == 1
    assert isinstance(heard.outcome, CertifiedKey)


async def test_a_former_coordinators_result_is_not_believed(
    key: CertifiedKey, stranger: Adversary
) -> None:
    """By an identity whose pin has ended, as it is after a rotation."""
    true = stranger.client_settings("svcB")
    ended = Pin(stranger.coordinator, valid_until=now_ms())
    async with Client.connect(replace(true, coordinators=Coordinators([ended]))) as client:
        keys = asyncio.ensure_future(client.keys())
        await until(lambda: bool(client.disbelieved))
        assert set(client.disbelieved) == {"other_time"}
        assert not keys.done()
        keys.cancel()
        await asyncio.gather(keys, return_exceptions=True)
    async with Client.connect(true) as client:
        assert await client.keys() == []
        assert client.disbelieved == {}
