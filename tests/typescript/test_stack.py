"""The TypeScript client against a real Warren, over both transports, while things go wrong."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from contracts import addresses, epochs
from contracts.client import Client, ClientSettings
from contracts.coordinators import result_headers
from contracts.identity import Identity
from contracts.keys import EpochBundle
from contracts.peers import Pinned, identities
from contracts.primitives import Curve, Scheme
from contracts.verification import check_signature
from ops.chaos.wires import Direction, Wire
from ops.stack.deployment import LEGACY, Deployment
from ops.stack.gateways import CLIENT as GATEWAY
from ops.stack.gateways import HOLDER
from tests.npm import Npm
from tests.patience import until
from tests.system.producers import Producer

from .driver import Driver, ToldError
from .test_static import readme_blocks

pytestmark = pytest.mark.xdist_group("typescript")

KEY = {"curve": "ed25519", "threshold": 2, "partyCount": 3}
MOVED = "ts-moved"
OLD, NEW = ["party-1", "party-2"], ["party-2", "party-3"]
DIGEST = hashlib.sha256(b"a transaction").hexdigest()
PATH = "m/44/60/0/0/7"


def config(stack: Deployment, name: str) -> str:
    return str(stack.clients[name])


async def connect(driver: Driver, stack: Deployment, name: str, **more: Any) -> str:
    await driver("connect", name=name, config=config(stack, name), **more)
    return name


async def over_http(driver: Driver, stack: Deployment) -> str:
    assert stack.gateways is not None
    settings = ClientSettings.load(stack.clients["svcA"])
    await driver(
        "connectHttp",
        name="http",
        url=stack.gateways.urls[0],
        apiKey=stack.gateways.api_key,
        owner={"clientId": GATEWAY, "tenant": HOLDER},
        parties={name: _first(each) for name, each in settings.parties.items()},
    )
    return "http"


def verified(made: dict[str, Any]) -> None:
    """By Python's own check."""
    check_signature(
        Scheme(made["scheme"]),
        bytes.fromhex(made["publicKey"]),
        bytes.fromhex(made["message"]),
        bytes.fromhex(made["signature"]),
    )


async def test_it_makes_keys_and_signs_in_every_scheme(driver: Driver, stack: Deployment) -> None:
    client = await connect(driver, stack, "svcA")
    edwards = await driver("createKey", client=client, keyId="ts-ed", **KEY)
    coins = await driver("createKey", client=client, keyId="ts-k1", **{**KEY, "curve": "secp256k1"})
    for wish in (
        {"keyId": "ts-ed", "scheme": "ed25519", "message": "00ff"},
        {"keyId": "ts-k1", "scheme": "secp256k1", "message": "00ff"},
        {"keyId": "ts-k1", "scheme": "bip340", "message": DIGEST},
        {"keyId": "ts-k1", "scheme": "bip340", "message": DIGEST, "taprootMerkleRoot": ""},
        {"keyId": "ts-k1", "scheme": "ecdsa", "message": DIGEST},
        {"keyId": "ts-k1", "scheme": "ecdsa", "message": DIGEST, "derivationPath": PATH},
    ):
        made = await driver("sign", client=client, **wish)
        verified(made)
        assert made["message"] == wish["message"]
    items = [{"message": DIGEST}, {"message": "00" * 32, "derivationPath": "m/1"}]
    several = await driver("signAll", client=client, keyId="ts-k1", items=items)
    assert [each["message"] for each in several] == [each["message"] for each in items]
    for each in several:
        verified(each)
    listed = await driver("keys", client=client)
    assert {"ts-ed", "ts-k1"} <= set(listed)
    async with Client.connect(ClientSettings.load(stack.clients["svcA"])) as python:
        (key,) = await python.keys("ts-ed")
        assert key.facts.public_key.hex() == edwards["publicKey"]
        (key,) = await python.keys("ts-k1")
        assert key.facts.public_key.hex() == coins["publicKey"]
    begun = await driver("begin", client=client, keyId="ts-ed", scheme="ed25519", message="01")
    seen = await driver("events", client=client, sessionId=begun["sessionId"])
    assert seen[-1]["status"] == "completed"
    assert seen[-1]["signatures"] == [await driver("result", requestId=begun["requestId"])]


async def test_a_key_gets_other_holders_and_signs_all_the_while(
    driver: Driver, stack: Deployment
) -> None:
    """Those of now sign after half a minute: the last test of this file sees them do."""
    client = await connect(driver, stack, "svcA")
    held = {**KEY, "partyCount": 2, "parties": OLD}
    key = await driver("createKey", client=client, keyId=MOVED, **held)
    async with Client.connect(ClientSettings.load(stack.clients["svcA"])) as python:
        await python.sign(MOVED, message=b"before", scheme=Scheme.ED25519)
        stranger = [*NEW, "party-9"]
        with pytest.raises(ToldError) as caught:
            await driver("reshare", client=client, keyId=MOVED, parties=stranger)
        assert (caught.value.told["code"], caught.value.told["retryable"]) == (
            "unknown_party",
            False,
        )
        wish = {"keyId": MOVED, "parties": NEW, "requestId": "ts-reshare"}
        made = await driver("reshare", client=client, **wish)
        assert (made["number"], made["from"], made["dealers"]) == (1, 0, OLD)
        assert (made["key"]["publicKey"], made["key"]["parties"]) == (key["publicKey"], NEW)
        # The same bundle convinces who was not there.
        bundle = EpochBundle.model_validate_json(json.dumps(made["bundle"]))
        settings = ClientSettings.load(stack.clients["svcA"])
        owners = (settings.identity.public,)
        known = bundle.predecessor.facts
        epochs.check(bundle, known, pinned=settings.parties, owners=owners)
        seen = await driver("events", client=client, requestId="ts-reshare")
        assert (seen[-1]["status"], seen[-1]["key"]) == ("completed", MOVED)
        signed = await driver("sign", client=client, keyId=MOVED, scheme="ed25519", message="01")
        verified(signed)
        assert signed["signers"] == OLD
        with pytest.raises(ToldError) as caught:
            await driver("refresh", client=client, keyId=MOVED, firstEpoch=1)
        assert caught.value.told["name"] == "TypeError"


async def test_the_readmes_ten_lines_make_a_key_and_sign(
    npm: Npm, built: Path, stack: Deployment
) -> None:
    (block, *_) = readme_blocks()
    assert len([line for line in block.splitlines() if line]) <= 10
    written = built.parent / "build" / "readme.ts"
    written.parent.mkdir(exist_ok=True)
    written.write_text(block)
    plain = written.with_suffix(".mjs")
    options = ("--target=node20", "--format=esm", f"--outfile={plain}")
    made = await asyncio.to_thread(npm, "exec", "--", "esbuild", str(written), *options)
    assert made.returncode == 0, made.stderr
    # Beside the package it is found by its own name, as it is by its users.
    program = ("node", str(plain), config(stack, "svcA"))
    ended = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(ended.communicate(), 60)
    assert ended.returncode == 0
    public_key, signature = (bytes.fromhex(line) for line in said.decode().split())
    check_signature(Scheme.ED25519, public_key, b"to whom it may concern", signature)


async def test_the_same_over_http(driver: Driver, stack: Deployment) -> None:
    client = await over_http(driver, stack)
    key = await driver("createKey", client=client, **KEY)
    wish = {"keyId": key["keyId"], "scheme": "ed25519", "message": "00ff"}
    verified(await driver("sign", client=client, **wish))
    account = await driver(
        "createKey", client=client, **{**KEY, "curve": "secp256k1"}, userId="alice"
    )
    child = {"keyId": account["keyId"], "scheme": "ecdsa", "message": DIGEST}
    made = await driver("sign", client=client, **child, derivationPath=PATH)
    verified(made)
    assert made["publicKey"] != account["publicKey"]
    listed = {each["accountId"]: each for each in await driver("accounts", client=client)}
    told = listed[account["keyId"]]
    assert (told["userId"], told["proven"]) == ("alice", True)
    begun = await driver("begin", client=client, **{**wish, "message": "02"})
    seen = await driver("events", client=client, sessionId=begun["sessionId"])
    assert seen[-1]["status"] == "completed"
    assert seen[-1]["signatures"] == [await driver("result", requestId=begun["requestId"])]
    with pytest.raises(ToldError) as caught:
        await driver("key", client=client, keyId="nobody")
    assert caught.value.told["code"] == "unknown_key"


async def test_two_clients_and_a_legacy_one_get_exactly_their_own(
    driver: Driver, stack: Deployment
) -> None:
    async def work(name: str) -> str:
        client = await connect(driver, stack, name)
        key = await driver("createKey", client=client, keyId="ts-same", **KEY)
        messages = [f"{name} {i}".encode().hex() for i in range(8)]
        wish = {"keyId": "ts-same", "scheme": "ed25519"}
        made = await driver("signMany", client=client, messages=messages, **wish)
        assert [each["message"] for each in made] == messages
        assert {each["publicKey"] for each in made} == {key["publicKey"]}
        await driver("close", client=client)
        return str(key["publicKey"])

    names = ("svcA", "svcB", LEGACY)
    assert len(set(await asyncio.gather(*map(work, names)))) == 3
    for name in names:
        async with Producer.connect(stack, name) as producer:
            await producer.nothing_more()


async def test_a_tenants_keys_are_its_own(driver: Driver, stack: Deployment) -> None:
    client = await connect(driver, stack, "svcA")
    await driver("actFor", client=client, name="alice", tenant="alice")
    await driver("createKey", client="alice", keyId="ts-tenant", **KEY)
    made = await driver("sign", client="alice", keyId="ts-tenant", scheme="ed25519", message="07")
    verified(made)
    with pytest.raises(ToldError) as caught:
        await driver("key", client=client, keyId="ts-tenant")
    assert caught.value.told["code"] == "unknown_key"


@pytest.mark.parametrize("direction", ["there", "back"])
async def test_a_connection_cut_before_and_after_the_broker_has_it_costs_nothing(
    driver: Driver, stack: Deployment, direction: Direction
) -> None:
    """What is published again is the same bytes, and runs once."""
    own = stack.amqp_urls["svcB"]
    key_id = f"ts-cut-{direction}"
    async with Wire(own) as wire:
        client = await connect(driver, stack, "svcB", amqpUrl=wire.url, askAgainMs=1000)
        await driver("createKey", client=client, keyId=key_id, **KEY)
        wish = {"keyId": key_id, "scheme": "ed25519"}
        messages = [i.to_bytes(2).hex() for i in range(12)]
        await wire.freeze(direction)
        signing = driver.begin("signMany", client=client, messages=messages, **wish)
        await asyncio.wait_for(wire.held.wait(), 20)
        await wire.cut()
        await wire.mend()
        made = await asyncio.wait_for(signing, 60)
        assert [each["message"] for each in made] == messages
        told = await driver("state", client=client)
        assert any("connection to the broker lost" in each for each in told["warnings"])
        password = own.split("@")[0].rpartition(":")[2]
        assert password not in told["shown"] + "".join(told["warnings"])
        await driver("close", client=client)


async def test_a_request_expires_and_another_is_cancelled(
    driver: Driver, stack: Deployment
) -> None:
    client = await connect(driver, stack, "svcA")
    await driver("createKey", client=client, keyId="ts-late", **KEY)
    wish = {"keyId": "ts-late", "scheme": "ed25519", "message": "07"}
    party = stack.supervisor.pids["party-2.1"]
    os.kill(party, signal.SIGSTOP)
    try:
        named = {"signers": ["party-1", "party-2"]}
        with pytest.raises(ToldError) as caught:
            await driver("sign", client=client, **wish, **named, timeoutMs=3000)
        assert caught.value.told["code"] in {"expired", "deadline"}
        assert caught.value.told["signatureMayExist"] is True
        waiting = driver.begin("sign", client=client, **wish, **named, requestId="ts-cancelled")
        await asyncio.sleep(0.3)
        settled = await driver("cancel", client=client, requestId="ts-cancelled")
        assert settled["final"] is False
        with pytest.raises(ToldError) as caught:
            await asyncio.wait_for(waiting, 30)
        assert caught.value.told["code"] == "cancelled"
    finally:
        os.kill(party, signal.SIGCONT)

    async def final() -> bool:
        # A signer that had committed its share says so for ever.
        again = await driver("cancel", client=client, requestId="ts-cancelled")
        return bool(again["final"]) or bool(again["alreadySigned"])

    await until(final)
    unsent = await driver("cancel", client=client, requestId="ts-unsent", keyId="ts-late")
    assert unsent["final"] is False  # nobody knows when it was issued


async def test_lies_duplicates_and_strangers_change_nothing(
    driver: Driver, stack: Deployment
) -> None:
    """On the client's own queue, signed by the coordinator's own key."""
    coordinator = Identity.from_base64((stack.directory / "coordinator.key").read_text().strip())
    client = await connect(driver, stack, "svcA", askAgainMs=1000)
    await driver("createKey", client=client, keyId="ts-lied", **KEY)
    asked = await driver(
        "prepare",
        client=client,
        operation="sign",
        wish={"key_id": "ts-lied", "scheme": "ed25519", "message": "0a"},
    )
    true = await driver("submit", client=client, requestId=asked["requestId"])
    assert hashlib.sha256(bytes.fromhex(asked["body"])).hexdigest() == true["request_digest"]
    spoilt = json.dumps({**true, "signature": "00" * 64}).encode()
    stopped = stack.supervisor.pids["coordinator.1"]
    os.kill(stopped, signal.SIGSTOP)
    try:
        again = driver.begin("submit", client=client, requestId=asked["requestId"])
        await asyncio.sleep(0.3)
        lying, strange = (result_headers(spoilt, by) for by in (coordinator, Identity.generate()))
        await put(stack, addresses.results_queue("svcA"), spoilt, lying, strange, {})
        await asyncio.sleep(0.3)
        assert not again.done()
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert await asyncio.wait_for(again, 30) == true
    told = await driver("state", client=client)
    assert told["disbelieved"] == {"wrong_signature": 1, "unsigned": 1}


async def put(stack: Deployment, queue: str, body: bytes, *headers: dict[str, str]) -> None:
    """Past every exchange, once with each of the headers."""
    async with await aio_pika.connect(stack.amqp_url) as connection:
        channel = await connection.channel()
        for each in headers:
            message = aio_pika.Message(body, headers=dict(each))
            await channel.default_exchange.publish(message, queue)


async def test_a_python_client_beside_it(driver: Driver, stack: Deployment) -> None:
    """Of one client id: the queue is shared, and nobody loses anything."""
    client = await connect(driver, stack, "svcB")
    await driver("createKey", client=client, keyId="ts-beside", **KEY)
    wish = {"keyId": "ts-beside", "scheme": "ed25519"}
    messages = [i.to_bytes(2).hex() for i in range(12)]
    async with Client.connect(ClientSettings.load(stack.clients["svcB"])) as python:
        signing = driver.begin("signMany", client=client, messages=messages, **wish)
        own = await asyncio.gather(
            *(
                python.sign("ts-beside", message=b"python %d" % i, scheme=Scheme.ED25519)
                for i in range(12)
            )
        )
        made = await asyncio.wait_for(signing, 60)
        key = await python.create_key(
            "ts-beside-too", curve=Curve.ED25519, threshold=2, party_count=3
        )
    assert [each["message"] for each in made] == messages
    assert [each.message for each in own] == [b"python %d" % i for i in range(12)]
    assert key.facts.key_id == "ts-beside-too"


async def test_the_new_holders_sign_once_it_is_their_turn(
    driver: Driver, stack: Deployment
) -> None:
    """A client that has not heard of them believes them, too."""
    async with Client.connect(ClientSettings.load(stack.clients["svcA"])) as python:
        (key,) = await python.keys(MOVED)
        assert key.facts.epoch == 1
    client = await connect(driver, stack, "svcA")

    async def by_the_new_ones() -> bool:
        made = await driver("sign", client=client, keyId=MOVED, scheme="ed25519", message="02")
        verified(made)
        return bool(made["signers"] == NEW)

    await until(by_the_new_ones)


def _first(pinned: Pinned) -> str:
    return next(iter(identities(pinned))).to_base64()
