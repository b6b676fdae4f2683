"""Dead letters that are sent back to where they came from."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractIncomingMessage

from contracts.admission import check_metadata, open_request
from contracts.signing import signature_of
from ops.deadletters import desk
from tests.contracts.samples import keygen_request, policies
from tests.ops.letter_office import DEAD, INBOX, SIGNING, Office
from tests.ops.letter_samples import envelope, signed
from tests.patience import until
from topology import apply_all
from topology.management import Management
from topology.model import Members

pytestmark = pytest.mark.system


def own_headers(message: AbstractIncomingMessage) -> dict[str, Any]:
    """Without the broker's counter, which must have begun anew: at 0 in 3.10, at nothing in 4.x."""
    headers = dict(message.headers)
    assert headers.pop("x-delivery-count", 0) == 0
    return headers


async def releases_major(office: Office) -> int:
    """Of RabbitMQ."""
    async with httpx.AsyncClient(timeout=60) as http:
        answer = await http.get(f"{office.management_url}/api/overview")
    return int(answer.json()["rabbitmq_version"].partition(".")[0])


###
### What is sent
###


async def test_a_replayed_letter_is_what_it_was_before_it_died(office: Office) -> None:
    await office.publish(
        "warren.rounds",
        "p1",
        b"body",
        type="keygen/1",
        message_id="m1",
        content_type="application/x-warren-envelope",
        correlation_id="c1",
        headers={"session_id": "ab"},
        user_id=urlsplit(office.url).username,
    )
    await office.reject(INBOX)
    (letter,) = await office.listed()
    result = await office.run("replay", letter["id"])
    assert (result.exit_code, result.stdout) == (0, "1 of 1 replayed.\n")
    message = await office.take(INBOX)
    assert (message.body, message.type, message.message_id) == (b"body", "keygen/1", "m1")
    assert (message.exchange, message.routing_key) == ("warren.rounds", "p1")
    assert message.content_type == "application/x-warren-envelope"
    assert message.correlation_id == "c1"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert own_headers(message) == {"session_id": "ab"}
    assert await office.depth(DEAD) == 0


async def test_a_replayed_copy_is_what_a_worker_refused(office: Office) -> None:
    await office.refused(
        b"{}",
        headers={"message_id": "m1", "session_id": "ab"},
        kind="session_created",
        content_type="application/json",
        exchange="warren.sessions",
    )
    (letter,) = await office.listed()
    assert (letter["kind"], letter["from"]) == ("session_created", INBOX)
    assert letter["died_at"] is not None
    shown = await office.told("show", letter["id"])
    assert shown["replay_to"] == {
        "exchange": "warren.sessions",
        "routing_key": "p1",
        "queue": INBOX,
    }
    await office.told("replay", letter["id"])
    message = await office.take(INBOX)
    assert (message.body, message.type, message.message_id) == (b"{}", "session_created", "m1")
    assert (message.exchange, message.routing_key) == ("warren.sessions", "p1")
    assert message.content_type == "application/json"
    assert own_headers(message) == {"session_id": "ab"}


async def test_a_replayed_request_is_one_that_the_coordinator_takes(office: Office) -> None:
    request = signed(keygen_request())
    properties: dict[str, Any] = {
        "type": "keygen",
        "message_id": "r1",
        "headers": dict(request.headers()),
    }
    key = "mpc.keygen_request"
    await office.publish("warren.requests", key, request.body, **properties)
    await office.reject("warren.requests.keygen")
    await office.refused(
        request.body,
        headers={**request.headers(), "message_id": "r1"},
        routing_key=key,
        source="warren.requests.keygen",
    )
    assert len((await office.told("replay", "--all", "--yes"))["replayed"]) == 2
    for _ in range(2):
        message = await office.take("warren.requests.keygen")
        taken = open_request(message.body, signature_of(message.headers), policies())
        check_metadata(
            taken,
            headers=message.headers,
            routing_key=message.routing_key or "",
            message_id=message.message_id,
        )
        assert message.type == "keygen"


async def test_only_what_the_filters_leave_is_replayed(office: Office) -> None:
    await office.rejected(b"0")
    await office.refused(envelope(), reason="wrong signature")
    told = await office.told("replay", "--all", "--yes", "--reason-contains", "signature")
    assert [letter["reason"] for letter in told["replayed"]] == ["wrong signature"]
    assert [letter["kind"] for letter in await office.listed()] == ["keygen/1"]
    assert await office.depth(INBOX) == 1


async def test_identical_letters_share_an_id_and_go_together(office: Office) -> None:
    body = envelope()
    await office.refused(body)
    await office.refused(body)
    first, second = await office.listed()
    assert first["id"] == second["id"]
    assert len((await office.told("replay", first["id"]))["replayed"]) == 2
    assert await office.depth(INBOX) == 2


async def test_an_unclaimed_result_waits_until_its_client_has_a_queue(office: Office) -> None:
    key = "mpc.mpc_signing_result.svcB.complete"
    await office.publish("warren.results", key, b"{}", type="sign", message_id="r1")
    await office.filled("warren.unclaimed", 1)
    unclaimed = ("--queue", "unclaimed")
    (letter,) = await office.listed(*unclaimed)
    assert "client svcB was never declared" in letter["reason"]
    told = await office.told("replay", letter["id"], *unclaimed, code=1)
    assert told["stayed"][0]["why"] == (
        'queue "warren.results.svcB", for which it is, is not there'
    )
    assert await office.listed(*unclaimed) == [letter]
    members = Members(parties=("p1",), clients=("svcA", "svcB"))
    await apply_all(office.management_url, members=members, vhost=office.vhost)
    await office.told("replay", letter["id"], *unclaimed)
    message = await office.take("warren.results.svcB")
    assert (message.routing_key, message.message_id) == (key, "r1")
    assert await office.depth("warren.unclaimed") == 0


async def test_what_dies_again_at_once_is_replayed_once(office: Office) -> None:
    await office.rejected(b"0", b"1", b"2", b"3", b"4")
    channel = await office.connection.channel()
    inbox = await channel.get_queue(INBOX, ensure=False)
    seen: list[bytes] = []

    async def reject(message: AbstractIncomingMessage) -> None:
        seen.append(message.body)
        await message.reject(requeue=False)

    await inbox.consume(reject)
    assert len((await office.told("replay", "--all", "--yes"))["replayed"]) == 5
    await office.filled(DEAD, 5)
    assert sorted(seen) == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_crash_between_publish_and_ack_leaves_the_letter_in_both_places(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.rejected(b"0", b"1")

    async def crash(_: desk.Held) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(desk.Held, "take_out", crash)
        told = await office.told("replay", "--all", "--yes", code=4)
    assert told["error"]["done"] == []
    assert (await office.depth(INBOX), await office.depth(DEAD)) == (1, 2)
    assert len((await office.told("replay", "--all", "--yes"))["replayed"]) == 2
    assert (await office.depth(INBOX), await office.depth(DEAD)) == (3, 0)


###
### What stays
###


async def test_a_letter_stays_when_its_queue_is_gone(office: Office) -> None:
    await office.rejected(b"0")
    (letter,) = await office.listed()
    async with office.connection.channel() as channel:
        await channel.queue_delete(INBOX)
    result = await office.run("replay", letter["id"])
    assert result.exit_code == 1
    assert "0 of 1 replayed." in result.stdout
    assert f"{letter['id']} stays: no queue takes it" in result.stderr
    assert await office.listed() == [letter]


async def test_a_letter_stays_when_its_exchange_is_gone_and_the_next_is_still_sent(
    office: Office,
) -> None:
    await office.rejected(b"0")
    await office.publish("warren.sessions", "p1", b"1")
    await office.reject(INBOX)
    async with office.connection.channel() as channel:
        await channel.exchange_delete("warren.rounds")
    told = await office.told("replay", "--all", "--yes", code=1)
    assert [letter["bytes"] for letter in told["replayed"]] == [1]
    assert told["stayed"][0]["why"] == 'exchange "warren.rounds" is not there'
    assert (await office.take(INBOX)).body == b"1"
    assert await office.depth(DEAD) == 1


async def test_a_letter_stays_when_its_queue_is_full(office: Office) -> None:
    await office.rejected(*(f"{number}".encode() for number in range(8)))
    async with Management(office.management_url) as management:
        policy = {
            "pattern": "^warren\\.inbox",
            "apply-to": "queues",
            "priority": 99,
            "definition": {"max-length": 1, "overflow": "reject-publish"},
        }
        await management.send("PUT", "policies/{}/{}", office.vhost, "small", body=policy)

        async def effective() -> bool:
            queue = await management.get("queues/{}/{}", office.vhost, INBOX)
            return bool(queue.get("policy") == "small")

        await until(effective)
    told = await office.told("replay", "--all", "--yes", code=1)
    assert told["stayed"]
    assert {letter["why"] for letter in told["stayed"]} == {f'queue "{INBOX}" is full'}
    assert len(told["stayed"]) + len(told["replayed"]) == 8
    assert await office.depth(DEAD) == len(told["stayed"])
    assert await office.depth(INBOX) == len(told["replayed"])


async def test_a_forged_origin_is_not_followed_unless_somebody_says_where_to(
    office: Office,
) -> None:
    forged = {"queue": "warren.requests.signing", "reason": "rejected", "count": 1}
    forged |= {"exchange": "warren.rounds", "routing-keys": ["p1"]}
    headers: Any = {"x-death": [forged], "CC": ["nowhere"]}
    await office.publish("warren.requests", SIGNING, b"{}", headers=headers)
    await office.reject("warren.requests.signing")
    if await releases_major(office) >= 4:  # it throws away what a client says of deaths
        (letter,) = await office.listed()
        shown = await office.told("show", letter["id"])
        assert shown["replay_to"]["queue"] == "warren.requests.signing"
        return
    told = await office.told("replay", "--all", "--yes", code=1)
    assert "give --to-queue" in told["stayed"][0]["why"]
    assert await office.depth(INBOX) == 0
    (letter,) = await office.listed()
    assert "unknown" in (await office.told("show", letter["id"]))["replay_to"]
    target = "warren.requests.control"
    told = await office.told("replay", letter["id"], "--to-queue", "nowhere", code=1)
    assert "no queue takes it" in told["stayed"][0]["why"]
    await office.told("replay", letter["id"], "--to-queue", target)
    assert own_headers(await office.take(target)) == {}
    assert await office.depth(DEAD) == 0


###
### What is asked before
###


async def test_a_no_to_the_question_leaves_everything_as_it_is(office: Office) -> None:
    await office.rejected(b"0", b"1")
    letters = await office.listed()
    for verb in ("replay", "discard"):
        for answer in ("n\n", ""):
            result = await office.run(verb, "--all", answer=answer)
            assert result.exit_code == 1
            assert letters[0]["id"] in result.output
        told = await office.told(verb, "--all", code=2)
        assert "--yes" in told["error"]["message"]
    assert await office.listed() == letters
    result = await office.run("replay", "--all", answer="y\n")
    assert "2 of 2 replayed." in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["discard", "--yes"],
        ["replay", "aa", "--all"],
        ["discard", "aa", "--kind", "x", "--yes"],
    ],
)
async def test_what_is_meant_must_be_said_in_one_way(office: Office, arguments: list[str]) -> None:
    assert (await office.told(*arguments, code=2))["error"]["kind"] == "usage"
