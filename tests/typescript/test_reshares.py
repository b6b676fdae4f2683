"""The TypeScript client has shares made anew, over both transports, and sees the old ones go."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from typing import Any

import pytest

from contracts import epochs
from contracts.client import Client, ClientSettings
from contracts.keys import EpochBundle
from contracts.retirements import Retirement
from gateway.settings import GatewaySettings
from ops.stack.deployment import Deployment
from tests.patience import until
from workers.session.epochs import ENDS_S, SIGNS_ON_S

from .driver import Driver, ToldError
from .test_stack import DIGEST, KEY, NEW, OLD, PATH, connect, over_http, verified

pytestmark = pytest.mark.xdist_group("typescript")

GONE = "ts-gone"
ALL = ["party-1", "party-2", "party-3"]
HELD = {**KEY, "partyCount": 2, "parties": OLD}


def proven(made: dict[str, Any], owner: ClientSettings) -> EpochBundle:
    """By Python's own checks, for whoever was not there."""
    bundle = EpochBundle.model_validate_json(json.dumps(made["bundle"]))
    owners = (owner.identity.public,)
    epochs.check(bundle, bundle.predecessor.facts, pinned=owner.parties, owners=owners)
    return bundle


def ours(stack: Deployment) -> ClientSettings:
    return ClientSettings.load(stack.clients["svcA"])


def gateways(stack: Deployment) -> ClientSettings:
    """Of the client that asks for whoever speaks HTTP."""
    assert stack.gateways is not None
    return GatewaySettings.load(stack.gateways.config).client


async def test_over_amqp_it_is_there_with_its_session(driver: Driver, stack: Deployment) -> None:
    """The last test of this file sees the former holders delete their shares."""
    client = await connect(driver, stack, "svcA")
    key = await driver("createKey", client=client, keyId=GONE, **HELD)
    assert (await driver("history", client=client, key=GONE))["successions"] == []
    wish = {"keyId": GONE, "parties": NEW, "requestId": "ts-gone-1"}
    begun = await driver("beginReshare", client=client, **wish)
    assert begun["parties"] == ALL
    seen, made = await asyncio.gather(
        driver("events", client=client, sessionId=begun["sessionId"]),
        driver("epoch", requestId="ts-gone-1"),
    )
    assert (seen[-1]["status"], seen[-1]["key"]) == ("completed", GONE)
    assert (made["number"], made["from"], made["dealers"]) == (1, 0, OLD)
    assert (made["key"]["publicKey"], made["key"]["parties"]) == (key["publicKey"], NEW)
    facts = proven(made, ours(stack)).key.facts
    history = await driver("history", client=client, key=GONE)
    (succession,) = history["successions"]
    assert (succession["number"], succession["from"]) == (1, 0)
    assert (succession["retired"], succession["stillToDelete"]) == ([], OLD)
    assert (succession["deleters"], history["keyId"]) == (1, GONE)
    assert history["facts"]["session_id"] == facts.session_id.hex()
    with pytest.raises(ToldError) as caught:
        await driver("history", client=client, key="ts-nobodys")
    assert caught.value.told["code"] == "unknown_key"


async def test_over_amqp_one_that_is_begun_and_cancelled_makes_none(
    driver: Driver, stack: Deployment
) -> None:
    client = await connect(driver, stack, "svcA")
    await driver("createKey", client=client, keyId="ts-called-off", **HELD)
    stopped = stack.supervisor.pids["party-3.1"]
    os.kill(stopped, signal.SIGSTOP)
    try:
        wish = {"keyId": "ts-called-off", "parties": NEW, "requestId": "ts-called-off"}
        begun = await driver("beginReshare", client=client, **wish)
        assert begun["sessionId"] is not None
        await driver("cancel", client=client, requestId="ts-called-off")
        with pytest.raises(ToldError) as caught:
            await driver("epoch", requestId="ts-called-off")
        assert caught.value.told["code"] == "cancelled"
    finally:
        os.kill(stopped, signal.SIGCONT)

    async def final() -> bool:
        return bool((await driver("cancel", client=client, requestId="ts-called-off"))["final"])

    await until(final)
    assert (await driver("history", client=client, key="ts-called-off"))["successions"] == []


async def test_over_both_transports_the_parties_say_whether_they_would(
    driver: Driver, stack: Deployment
) -> None:
    """A reshare is asked for afterwards, of which nothing was used up."""
    amqp, http = await connect(driver, stack, "svcA"), await over_http(driver, stack)
    for client, names in ((amqp, {"keyId": "ts-rehearsed"}), (http, {})):
        key_id = (await driver("createKey", client=client, **names, **HELD))["keyId"]
        wish = {"client": client, "keyId": key_id, "parties": NEW}
        found = await driver("rehearse", **wish)
        assert (found["ready"], found["silent"], found["refusals"]) == (True, [], [])
        assert (found["dealers"], found["receivers"]) == (OLD, NEW)
        assert {each["party_id"] for each in found["signed"]} == {*OLD, *NEW}
        stopped = stack.supervisor.pids["party-3.1"]
        os.kill(stopped, signal.SIGSTOP)
        try:
            found = await driver("rehearse", **wish)
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert (found["ready"], found["silent"]) == (False, ["party-3"])
        assert found["lacking"] == "party-3 would not take a share"
        made = await driver("reshare", **wish, deleteAfter="certified", tries=1)
        assert (made["number"], made["key"]["parties"]) == (1, NEW)
        asked = json.loads(base64.b64decode(made["bundle"]["request"]))
        assert asked["delete_after"] == "certified"


async def test_over_http_a_key_is_refreshed_and_given_to_others_while_it_signs(
    driver: Driver, stack: Deployment
) -> None:
    client = await over_http(driver, stack)
    key = await driver("createKey", client=client, **HELD)
    key_id = key["keyId"]

    async def sign(message: str) -> None:
        wish = {"keyId": key_id, "scheme": "ed25519", "message": message}
        made = await driver("sign", client=client, **wish)
        verified(made)
        assert made["publicKey"] == key["publicKey"]

    refreshed, _ = await asyncio.gather(driver("refresh", client=client, keyId=key_id), sign("01"))
    assert (refreshed["number"], refreshed["from"], refreshed["dealers"]) == (1, 0, OLD)
    assert refreshed["key"]["parties"] == OLD
    assert proven(refreshed, gateways(stack)).key.facts.public_key.hex() == key["publicKey"]
    wish = {"keyId": key_id, "parties": NEW, "dealers": OLD, "firstEpoch": 4, "tries": 2}
    again = {"client": client, **wish, "requestId": "ts-http-4"}
    moved = await driver("reshare", **again)
    assert (moved["number"], moved["from"], moved["key"]["parties"]) == (4, 1, NEW)
    bundle = proven(moved, gateways(stack))
    # Of what it may lack, and the gateway leaves out, nothing is missing.
    assert json.loads(bundle.model_dump_json()) == moved["bundle"]
    assert moved["bundle"]["predecessor"] == refreshed["bundle"]["key"]
    assert (await driver("reshare", **again))["bundle"] == moved["bundle"]
    await sign("02")
    known = await driver("key", client=client, keyId=key_id)
    assert known["certified"] == moved["bundle"]["key"]
    assert known["parties"] == NEW


async def test_over_http_one_that_is_begun_is_watched_to_its_end(
    driver: Driver, stack: Deployment
) -> None:
    """Of an account's key, on the other curve, with another threshold."""
    client = await over_http(driver, stack)
    wish = {**KEY, "curve": "secp256k1", "schemes": ["ecdsa"], "userId": "resharer"}
    key = await driver("createKey", client=client, **wish)
    wish = {"keyId": key["keyId"], "threshold": 3, "requestId": "ts-http-begun"}
    begun = await driver("beginReshare", client=client, **wish)
    seen, made = await asyncio.gather(
        driver("events", client=client, sessionId=begun["sessionId"]),
        driver("epoch", requestId="ts-http-begun"),
    )
    # By the names that the gateway has for them.
    assert begun["parties"] == [f"server-{name}" for name in ALL]
    assert (seen[-1]["status"], seen[-1]["key"]) == ("completed", key["keyId"])
    looked = await driver("session", client=client, sessionId=begun["sessionId"])
    assert looked == seen[-1]
    facts = proven(made, gateways(stack)).key.facts
    assert (facts.threshold, facts.epoch) == (3, 1)
    assert facts.schemes == ["ecdsa"]
    sign = {"keyId": key["keyId"], "scheme": "ecdsa", "message": DIGEST, "derivationPath": PATH}
    verified(await driver("sign", client=client, **sign))
    accounts = await driver("accounts", client=client)
    own = [each["accountId"] for each in accounts if each["userId"] == "resharer"]
    assert own == [key["keyId"]]


async def test_over_http_what_cannot_be_is_refused(driver: Driver, stack: Deployment) -> None:
    client = await over_http(driver, stack)
    key_id = (await driver("createKey", client=client, **HELD))["keyId"]
    for call, wish, code in (
        ("reshare", {"keyId": key_id, "parties": [*NEW, "party-9"]}, "unknown_party"),
        ("reshare", {"keyId": key_id, "threshold": 3}, "invalid_request"),
        ("refresh", {"keyId": key_id, "firstEpoch": 100}, "invalid_request"),
        ("refresh", {"keyId": key_id, "dealers": NEW}, "unknown_party"),
        ("beginReshare", {"keyId": "nobodys"}, "unknown_key"),
    ):
        with pytest.raises(ToldError) as caught:
            await driver(call, client=client, **wish)
        assert (caught.value.told["code"], caught.value.told["retryable"]) == (code, False), wish
    stopped = stack.supervisor.pids["party-3.1"]
    os.kill(stopped, signal.SIGSTOP)
    try:
        wish = {"keyId": key_id, "parties": NEW, "requestId": "ts-http-off"}
        begun = await driver("beginReshare", client=client, **wish)
        await driver("cancel", client=client, sessionId=begun["sessionId"])
        with pytest.raises(ToldError) as caught:
            await driver("epoch", requestId="ts-http-off")
        assert caught.value.told["code"] == "cancelled"
    finally:
        os.kill(stopped, signal.SIGCONT)
    # Its number is used up, and the next tries take those behind it.
    with pytest.raises(ToldError) as caught:
        await driver("refresh", client=client, keyId=key_id, tries=1)
    assert "first_epoch must be later" in caught.value.told["message"]
    assert (await driver("refresh", client=client, keyId=key_id))["number"] == 2


@pytest.mark.timeout(300)
async def test_the_former_holders_delete_their_shares_and_say_so(
    driver: Driver, stack: Deployment
) -> None:
    client = await connect(driver, stack, "svcA")
    (made,) = (await driver("history", client=client, key=GONE))["successions"]

    async def told() -> bool:
        await asyncio.sleep(1)
        (succession,) = (await driver("history", client=client, key=GONE))["successions"]
        return not succession["stillToDelete"]

    await asyncio.sleep(SIGNS_ON_S + ENDS_S - 60)
    await until(told)
    (succession,) = (await driver("history", client=client, key=GONE))["successions"]
    assert succession == {**made, "retired": succession["retired"], "stillToDelete": []}
    async with Client.connect(ours(stack)) as python:
        history = await python.history(GONE)
        key_session = history.facts.session_id
    words = {
        each["partyId"]: Retirement.model_validate_json(json.dumps(each["signed"]))
        for each in succession["retired"]
    }
    assert words == history.successions[0].retired
    assert sorted(words) == OLD
    # By the session that made the key, its owner may ask for it, too.
    named = {"keySession": key_session.hex()}
    assert (await driver("history", client=client, key=named))["successions"] == [succession]
