"""Results that lead people astray: addresses, sessions, keys of yesterday, answers to others."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

from contracts import addresses
from contracts.client import Client, ClientError
from contracts.keys import CertifiedKey
from contracts.primitives import Curve, Scheme
from contracts.results import SignResult

from . import asking
from .adversary import Adversary, is_request, is_result
from .forms import now_ms
from .in_its_place import base, failed, told, told_before
from .under_way import outcome

FOREIGN_KEY = "02" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"


async def account_of(client: Client, name: str) -> None:
    begun = await client.begin_key(
        name, curve=Curve.SECP256K1, threshold=2, party_count=3, user_id="Ada"
    )
    await begun.result()


async def test_an_account_is_not_shown_with_somebody_elses_public_key(
    victim: Client, adversary: Adversary
) -> None:
    """Whoever derives an address from it pays to a stranger."""
    shop, name = victim.acting_for("shop"), f"paid-{secrets.token_hex(4)}"
    await account_of(shop, name)
    true = await shop.account(name)
    view = true.model_dump(mode="json") | {"public_key": FOREIGN_KEY}
    believed = await told(
        adversary,
        shop.account(name),
        "query_accounts",
        lambda signed: base(signed, accounts=[view], more=False),
    )
    assert isinstance(believed, ClientError) or believed.public_key == true.public_key


async def test_an_account_of_another_tenant_is_not_shown_as_ones_own(
    victim: Client, adversary: Adversary
) -> None:
    shop, name = victim.acting_for("shop"), f"shops-{secrets.token_hex(4)}"
    await account_of(shop, name)
    view = (await shop.account(name)).model_dump(mode="json")
    believed = await told(
        adversary,
        victim.acting_for("bank").account(name),
        "query_accounts",
        lambda signed: base(signed, accounts=[view], more=False),
    )
    assert isinstance(believed, ClientError), believed


async def test_a_strangers_announcement_is_not_believed(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    """It would have its client show tokens of another session."""
    false = secrets.token_bytes(32).hex()

    def announced(signed: Any) -> dict[str, Any]:
        return {
            "result": "session_announced",
            "version": 1,
            "request_id": signed.request.request_id,
            "client_id": "svcA",
            "session_id": false,
            "deadline": now_ms() + 60_000,
            "parties": ["party-1", "party-2"],
            "join_tokens": {},
            "session_token": false,
        }

    begun = await told(
        stranger,
        victim.begin_signature(key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519),
        "sign",
        announced,
        queue=addresses.SIGNING_QUEUE,
    )
    assert not isinstance(begun, ClientError)
    assert begun.announced is None or begun.announced.session_id.hex() != false
    await begun.result()


async def test_yesterdays_page_of_keys_hides_no_key(victim: Client, stranger: Adversary) -> None:
    """Recorded before the key was made, and said again to a client that asks after it."""
    shop = victim.acting_for(f"shop-{secrets.token_hex(4)}")
    await shop.keys()
    page = json.loads((await stranger.recording.first(is_result("query_keys"))).body)
    made = await shop.create_key("new", curve=Curve.ED25519, threshold=2, party_count=3)

    def again(signed: Any) -> dict[str, Any]:
        fields = {name: page[name] for name in page if name != "request_digest"}
        return fields | {"request_id": signed.request.request_id}

    believed = await told(stranger, shop.keys(), "query_keys", again)
    assert isinstance(believed, list)
    assert [key.facts.key_id for key in believed] == [made.facts.key_id]


async def test_a_recorded_page_as_it_was_said_answers_no_later_query(
    victim: Client, stranger: Adversary
) -> None:
    """Signature, digest and all; but the ids are those of before."""
    shop = victim.acting_for(f"shop-{secrets.token_hex(4)}")
    await shop.keys()
    page = await stranger.recording.first(is_result("query_keys"))
    await shop.create_key("new", curve=Curve.ED25519, threshold=2, party_count=3)
    async with told_before(stranger, shop.keys(), "query_keys", None) as task:
        await stranger.publish(page)
        await asyncio.sleep(1)
    assert [key.facts.key_id for key in await task] == ["new"]


async def test_a_tenants_failure_does_not_answer_anothers_request_of_the_same_id(
    victim: Client, adversary: Adversary
) -> None:
    """Said by the coordinator itself, about other bytes of the same client."""
    shop, bank = victim.acting_for("shop"), victim.acting_for("bank")
    key_id, request_id = f"same-{secrets.token_hex(4)}", f"same-{secrets.token_hex(4)}"
    await bank.create_key(key_id, curve=Curve.ED25519, threshold=2, party_count=3)
    call = shop.sign(key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id)
    assert isinstance(await outcome(asyncio.ensure_future(call)), ClientError)
    old = await adversary.recording.first(is_result("sign", request_id))
    async with told_before(
        adversary,
        bank.sign(key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id),
        "sign",
        None,
        queue=addresses.SIGNING_QUEUE,
    ) as task:
        said = {name: value for name, value in old.json().items() if name != "request_digest"}
        bare = adversary.forms.result(said, old.routing_key, request=None)
        await adversary.publish(old, bare)
        await asyncio.sleep(1)
    assert isinstance(await outcome(task), SignResult)


async def test_a_strangers_unknown_request_does_not_hide_a_session(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    result = await victim.sign(key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519)
    believed = await told(
        stranger,
        victim.look(request_id=result.request_id),
        "query_session",
        lambda signed: failed(signed, "failed", "unknown_request"),
    )
    assert not isinstance(believed, ClientError), believed
    assert believed.outcome == result


async def test_a_strangers_wish_is_not_believed_where_a_key_was_cancelled(
    victim: Client, stranger: Adversary
) -> None:
    """Whoever makes another key instead has two."""
    name = f"doubted-{secrets.token_hex(4)}"
    believed = await told(
        stranger,
        victim.create_key(name, curve=Curve.ED25519, threshold=2, party_count=3),
        "keygen",
        lambda signed: failed(signed, "failed", "overloaded", key_id=name),
        queue=addresses.KEYGEN_QUEUE,
    )
    assert not isinstance(believed, ClientError), believed
    assert stranger.recording.all(is_request("keygen"))
