"""`warren dead-letters` against a real broker, each test in a vhost of its own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, AbstractQueue
from typer.testing import CliRunner, Result

from contracts.signing import check_metadata, open_request, signature_of
from ops.cli.main import app
from ops.deadletters import desk, handling
from ops.deadletters.letter import Letter
from ops.deadletters.selection import Entry
from ops.showcase import current
from ops.stack import vhosts
from ops.stack.services import Services
from tests.contracts.samples import keygen_request, policies
from tests.ops.letter_samples import PAYLOAD, envelope, instruction, signed
from topology import apply_all
from topology.management import Management
from topology.model import Members
from workers.consumers.publisher import Publisher, dead_letter

pytestmark = pytest.mark.system

MEMBERS = Members(parties=("p1",), clients=("svcA",))
INBOX = "warren.inbox.p1"
DEAD = "warren.dead"
SIGNING = "mpc.signing_request"
PASSWORD = "hunter2"


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what the broker does in its own time; the test's own limit ends it."""
    while True:
        if await true():
            return
        await asyncio.sleep(0.02)


@dataclass
class Office:
    """A broker with its dead letters, and an operator's terminal."""

    url: str = field(repr=False)
    management_url: str = field(repr=False)
    connection: AbstractConnection

    @property
    def vhost(self) -> str:
        return unquote(urlsplit(self.url).path[1:])

    async def queue(self, name: str) -> AbstractQueue:
        return await (await self.connection.channel()).get_queue(name, ensure=False)

    async def depth(self, queue: str) -> int:
        async with self.connection.channel() as channel:
            asked = await channel.declare_queue(queue, passive=True)
            return asked.declaration_result.message_count or 0

    async def filled(self, queue: str, count: int) -> None:
        async def so_full() -> bool:
            return await self.depth(queue) == count

        await until(so_full)

    async def publish(self, exchange: str, key: str, body: bytes, **properties: Any) -> None:
        async with self.connection.channel(on_return_raises=True) as channel:
            message = aio_pika.Message(
                body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, **properties
            )
            where = await channel.get_exchange(exchange, ensure=False)
            await where.publish(message, key, mandatory=True)

    async def take(self, queue: str) -> AbstractIncomingMessage:
        message = await (await self.queue(queue)).get()
        await message.ack()
        return message

    async def reject(self, queue: str, count: int = 1) -> None:
        """Make dead letters of what waits there."""
        before = await self.depth(DEAD)
        asked = await self.queue(queue)
        for _ in range(count):
            await (await asked.get()).reject(requeue=False)
        await self.filled(DEAD, before + count)

    async def rejected(self, *bodies: bytes) -> None:
        """A dead letter of each, which died in the inbox of p1."""
        for number, body in enumerate(bodies):
            await self.publish(
                "warren.rounds", "p1", body, type="keygen/1", message_id=f"m{number}"
            )
        await self.reject(INBOX, len(bodies))

    async def refused(self, body: bytes, *, reason: str = "no", **changes: Any) -> None:
        """What `deliveries.settle` does with a message that a handler refuses."""
        given = {"headers": {"message_id": "m1"}, "routing_key": "p1", "source": INBOX, **changes}
        async with Publisher(self.url, name="test") as publisher:
            await publisher.publish(dead_letter(body=body, reason=reason, **given))

    async def run(self, *arguments: str, answer: str | None = None, url: str = "") -> Result:
        # The commands have event loops of their own.
        return await asyncio.to_thread(
            CliRunner().invoke,
            app,
            ["dead-letters", *arguments],
            input=answer,
            env={"WARREN_AMQP_URL": url or self.url},
        )

    async def told(self, *arguments: str, code: int = 0) -> Any:
        result = await self.run(*arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    async def listed(self, *arguments: str) -> list[dict[str, Any]]:
        letters: list[dict[str, Any]] = (await self.told("list", *arguments))["letters"]
        return letters


@pytest.fixture
async def office(services: Services, vhost: str) -> AsyncIterator[Office]:
    name = unquote(urlsplit(vhost).path[1:])
    await apply_all(services.management_url, members=MEMBERS, vhost=name)
    connection = await aio_pika.connect(vhost)
    async with connection:
        yield Office(vhost, services.management_url, connection)


###
### Looking
###


async def test_an_empty_queue_is_said_to_be_empty(office: Office) -> None:
    result = await office.run("list")
    assert (result.exit_code, result.stdout) == (0, "Nothing in warren.dead.\n")
    assert await office.told("list", "--queue", "unclaimed") == {
        "queue": "warren.unclaimed",
        "looked_at": 0,
        "not_looked_at": 0,
        "in_use_elsewhere": 0,
        "matching": 0,
        "letters": [],
    }
    for verb, done in (("replay", "replayed"), ("discard", "discarded")):
        told = await office.told(verb, "--all", "--yes")
        assert told == {done: [], "stayed": [], "missing": 0}


async def test_letters_are_listed_the_newest_first_with_all_that_is_known(office: Office) -> None:
    await office.rejected(envelope(), b"second")
    newest, oldest = await office.listed()
    assert (newest["position"], oldest["position"]) == (2, 1)
    assert newest == {
        "id": newest["id"],
        "position": 2,
        "died_at": newest["died_at"],
        "from": INBOX,
        "kind": "keygen/1",
        "bytes": 6,
        "reason": "a consumer rejected it without giving a reason",
        "message_id": "m1",
    }
    assert newest["died_at"].endswith("Z")
    shown = (await office.run("list")).stdout.splitlines()
    assert shown[0].split() == ["ID", "DIED", "(UTC)", "FROM", "KIND", "BYTES", "REASON"]
    assert shown[1].startswith(newest["id"])
    assert shown[2].startswith(oldest["id"])


async def test_looking_often_kills_nothing_and_changes_neither_ids_nor_order(
    office: Office,
) -> None:
    await office.rejected(*(f"{number}".encode() for number in range(70)))
    first = await office.told("list", "--limit", "100")
    assert len({letter["id"] for letter in first["letters"]}) == 70
    for _ in range(12):  # more than a work queue's delivery limit
        assert await office.told("list", "--limit", "100") == first
    assert await office.depth(DEAD) == 70


async def test_a_look_at_some_letters_does_not_keep_the_others_from_being_found(
    office: Office,
) -> None:
    await office.rejected(*(f"{number}".encode() for number in range(20)))
    letters = await office.listed()
    # What went back stands behind the rest now: the second look begins elsewhere.
    some = await office.listed("--look-at", "5")
    assert [letter["id"] for letter in some] == [letter["id"] for letter in letters[-5:]]
    told = await office.told("replay", "--all", "--yes", "--look-at", "5")
    assert (len(told["replayed"]), told["missing"]) == (5, 0)
    left = {letter["id"] for letter in await office.listed()}
    assert left == {letter["id"] for letter in letters} - {each["id"] for each in told["replayed"]}
    assert len(left) == 15


async def test_the_limits_leave_out_what_they_say_they_do(office: Office) -> None:
    await office.rejected(b"0", b"1", b"2", b"3", b"4")
    result = await office.run("list", "--limit", "2", "--look-at", "3")
    assert len(result.stdout.splitlines()) == 3
    assert "1 more are not shown" in result.stderr
    assert "2 more were not looked at" in result.stderr
    told = await office.told("list", "--limit", "2", "--look-at", "3")
    assert (told["looked_at"], told["not_looked_at"], told["matching"]) == (3, 2, 3)
    assert [letter["position"] for letter in told["letters"]] == [3, 2]


async def test_a_message_that_was_delivered_too_often_says_how_often(office: Office) -> None:
    await office.publish("warren.rounds", "p1", b"poison")
    inbox = await office.queue(INBOX)
    for _ in range(11):
        await (await inbox.get()).nack(requeue=True)
    await office.filled(DEAD, 1)
    (letter,) = await office.listed("--reason-contains", "Delivered 11 times")
    assert letter["from"] == INBOX


async def test_a_request_that_nobody_took_in_time_says_so(office: Office) -> None:
    await office.publish("warren.requests", SIGNING, b"{}", type="sign", expiration=0.05)
    await office.filled(DEAD, 1)
    (letter,) = await office.listed("--from", "warren.requests.*")
    assert letter["reason"] == (
        "its sender's deadline of 0.05 seconds passed before anybody took it"
    )


async def test_what_a_worker_refused_has_its_reason_and_its_old_kind(office: Office) -> None:
    await office.refused(envelope(), reason="the sender is not in our configuration")
    (letter,) = await office.listed("--kind", "keygen/*", "--reason-contains", "not in our")
    assert letter["from"] == INBOX
    assert letter["died_at"].endswith("Z")
    result = await office.run("list", "--kind", "presign/*")
    assert result.stdout == "None of the 1 letters in warren.dead is like that.\n"


async def test_a_letter_cannot_talk_to_the_terminal(office: Office) -> None:
    await office.refused(b'{"a": "\x1b]0;owned\x07"}', reason="bad \x1b[2Jbytes\nID  DIED")
    (letter,) = await office.listed()
    for arguments in (["list"], ["show", letter["id"]]):
        result = await office.run(*arguments)
        assert result.exit_code == 0
        assert not {"\x1b", "\x07"} & set(result.output)
        assert r"bad \x1b[2Jbytes\nID" in result.stdout


async def test_show_tells_all_about_an_instruction_but_its_join_token(office: Office) -> None:
    request = signed(keygen_request())
    await office.rejected(instruction(request))
    (letter,) = await office.listed()
    told = await office.told("show", letter["id"][:4])
    assert told["body"]["request"] == json.loads(request.body)
    assert told["replay_to"] == {
        "exchange": "warren.rounds",
        "routing_key": "p1",
        "queue": INBOX,
    }
    assert told["deaths"][0]["reason"] == "rejected"
    assert told["properties"]["message_id"] == "m0"
    result = await office.run("show", letter["id"])
    assert "treasury" in result.stdout
    assert "ab" * 32 not in result.stdout + json.dumps(told)


async def test_show_keeps_an_envelopes_payload_to_itself(office: Office) -> None:
    await office.rejected(envelope())
    (letter,) = await office.listed()
    result = await office.run("show", letter["id"])
    assert f'"payload_bytes": {len(PAYLOAD)}' in result.stdout
    for form in (PAYLOAD.decode(), PAYLOAD.hex(), base64.b64encode(PAYLOAD).decode()):
        assert form not in result.output


async def test_a_huge_body_is_not_shown_but_written_for_its_owner_only(
    office: Office, tmp_path: Path
) -> None:
    body = b'{"a": "' + b"x" * 8_000_000 + b'"}'
    await office.rejected(body)
    (letter,) = await office.listed()
    file = tmp_path / "body"
    result = await office.run("show", letter["id"], "--raw-to", str(file))
    assert "neither an envelope nor readable JSON" in result.stdout
    assert len(result.output) < 5000
    assert file.read_bytes() == body
    assert file.stat().st_mode & 0o777 == 0o600
    again = await office.told("show", letter["id"], "--raw-to", str(file), code=2)
    assert again["error"]["kind"] == "file"
    await office.told("replay", letter["id"])
    assert (await office.take(INBOX)).body == body


async def test_a_wrong_id_is_said_to_be_wrong_and_nothing_is_done(office: Office) -> None:
    await office.rejected(b"0", b"1")
    letters = await office.listed()
    for verb in (["show"], ["replay", letters[0]["id"]], ["discard", letters[0]["id"], "--yes"]):
        told = await office.told(*verb, "nonsense", code=1)
        assert told["error"]["kind"] == "not_found"
        assert "'nonsense'" in told["error"]["message"]
    assert await office.listed() == letters


async def test_an_ambiguous_id_is_said_to_be_so_and_nothing_is_done(office: Office) -> None:
    await office.rejected(*(f"{number}".encode() for number in range(17)))
    letters = await office.listed()
    firsts = [letter["id"][0] for letter in letters]
    shared = next(digit for digit in firsts if firsts.count(digit) > 1)
    for verb in (["show"], ["replay"], ["discard", "--yes"]):
        told = await office.told(*verb, shared, code=2)
        assert told["error"]["kind"] == "ambiguous"
    assert await office.listed() == letters


###
### Sending back
###


def own_headers(message: AbstractIncomingMessage) -> dict[str, Any]:
    """Without the broker's counter, which must have begun anew: at 0 in 3.10, at nothing in 4.x."""
    headers = dict(message.headers)
    assert headers.pop("x-delivery-count", 0) == 0
    return headers


async def releases_major(office: Office) -> int:
    """Of RabbitMQ."""
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{office.management_url}/api/overview")
    return int(answer.json()["rabbitmq_version"].partition(".")[0])


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


###
### Throwing away
###


async def test_a_discarded_letter_can_be_saved_before(office: Office, tmp_path: Path) -> None:
    body = envelope()
    await office.rejected(body, b"\xff\x00")
    file = tmp_path / "saved.jsonl"
    newest, oldest = await office.listed()
    for letter in (newest, oldest):
        told = await office.told("discard", letter["id"], "--save", str(file), "--yes")
        assert told == {"discarded": [letter], "stayed": [], "missing": 0}
    saved = [json.loads(line) for line in file.read_text().splitlines()]
    assert [base64.b64decode(each["body"]) for each in saved] == [b"\xff\x00", body]
    assert saved[1]["headers"]["x-death"][0]["queue"] == INBOX
    assert file.stat().st_mode & 0o777 == 0o600
    assert await office.depth(DEAD) == 0


async def test_what_cannot_be_saved_is_not_discarded(office: Office, tmp_path: Path) -> None:
    await office.rejected(b"0")
    (letter,) = await office.listed()
    for file in (tmp_path / "missing" / "file", Path("/dev/full")):
        told = await office.told("discard", letter["id"], "--save", str(file), "--yes", code=1)
        assert told["error"]["kind"] == "file"
        assert told["error"]["discarded"] == []
    assert await office.listed() == [letter]


async def test_a_discard_asks_and_shows_what_it_is_about(office: Office) -> None:
    await office.rejected(b"0", b"1")
    first, second = await office.listed()
    result = await office.run("discard", first["id"], answer="y\n")
    assert "Discard 1 letter for good?" in result.stderr
    assert first["id"] in result.stdout
    assert "1 of 1 discarded." in result.stdout
    assert await office.listed() == [second]


async def test_unclaimed_results_are_discarded_apart_from_dead_letters(office: Office) -> None:
    await office.rejected(b"0")
    await office.publish("warren.results", "mpc.mpc_keygen_result.svcB.k1", b"{}", type="keygen")
    await office.filled("warren.unclaimed", 1)
    told = await office.told("discard", "--all", "--yes", "--queue", "unclaimed")
    assert [letter["kind"] for letter in told["discarded"]] == ["keygen"]
    assert await office.depth("warren.unclaimed") == 0
    assert await office.depth(DEAD) == 1


###
### Others
###


async def test_what_another_operator_holds_is_counted_and_comes_back(office: Office) -> None:
    await office.rejected(b"0", b"1", b"2")
    letters = await office.listed()
    channel = await office.connection.channel()
    other = await channel.get_queue(DEAD, ensure=False)
    held = [await other.get(), await other.get()]
    assert len(held) == 2
    told = await office.told("list")
    assert (told["looked_at"], told["in_use_elsewhere"]) == (1, 2)
    assert "2 are in use elsewhere" in (await office.run("list")).stderr
    told = await office.told("replay", letters[2]["id"], code=1)
    assert told["error"]["in_use_elsewhere"] == 2
    await channel.close()
    await office.filled(DEAD, 3)
    assert {letter["id"] for letter in await office.listed()} == {each["id"] for each in letters}


async def test_a_letter_that_somebody_took_meanwhile_is_missed(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.rejected(b"0", b"1")
    look = desk.Desk.look
    looks: list[desk.Desk] = []

    @contextlib.asynccontextmanager
    async def late(
        self: desk.Desk, most: int | None = None
    ) -> AsyncIterator[AsyncIterator[desk.Held]]:
        looks.append(self)
        if len(looks) == 2:
            async with look(self, 1) as letters:
                async for held in letters:
                    await held.take_out()
        async with look(self, most) as letters:
            yield letters

    monkeypatch.setattr(desk.Desk, "look", late)
    told = await office.told("discard", "--all", "--yes", code=1)
    assert (len(told["discarded"]), told["missing"]) == (1, 1)


async def test_a_broker_that_is_away_is_said_to_be_and_the_password_is_not(
    office: Office,
) -> None:
    url = f"amqp://operator:{PASSWORD}@127.0.0.1:1/warren"
    for arguments in (["list"], ["show", "a"], ["replay", "a"], ["discard", "--all", "--yes"]):
        result = await office.run(*arguments, url=url)
        assert result.exit_code == 4
        assert "No connection to the broker at 127.0.0.1:1/warren" in result.stderr
        assert PASSWORD not in result.output


async def test_a_connection_that_breaks_during_a_look_is_told(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.rejected(b"0")
    put_back: Callable[..., Awaitable[None]] = desk.Desk._put_back

    async def cut(self: desk.Desk, *arguments: Any) -> None:
        await self._connection.close()
        await put_back(self, *arguments)

    monkeypatch.setattr(desk.Desk, "_put_back", cut)
    assert (await office.told("list", code=4))["error"]["kind"] == "unreachable"
    await office.filled(DEAD, 1)


async def test_a_wrong_address_is_a_matter_of_configuration(office: Office) -> None:
    parts = urlsplit(office.url)
    stranger = parts._replace(netloc=f"stranger:{PASSWORD}@{parts.hostname}:{parts.port}")
    for url, said in (
        (stranger.geturl(), 'refuses the login of user "stranger"'),
        (vhosts.address(office.url, "nowhere"), "does not open this vhost"),
        (f"http://u:{PASSWORD}@h/", "not like amqp://"),
        (f"amqp://u:{PASSWORD}@h:port/", "not like amqp://"),
    ):
        result = await office.run("list", url=url)
        assert result.exit_code == 2, result.output
        assert said in result.stderr
        assert PASSWORD not in result.output


async def test_a_missing_queue_comes_with_the_remedy(office: Office) -> None:
    async with office.connection.channel() as channel:
        await channel.queue_delete(DEAD)
    result = await office.run("list")
    assert result.exit_code == 2
    assert "warren topology apply" in result.stderr


async def test_without_an_address_the_stack_that_runs_here_is_meant(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current, "client_file", lambda: None)
    monkeypatch.delenv("WARREN_AMQP_URL", raising=False)
    result = await asyncio.to_thread(CliRunner().invoke, app, ["dead-letters", "list"])
    assert result.exit_code == 2
    assert "set WARREN_AMQP_URL" in result.stderr
    useless = tmp_path / "client.toml"
    useless.write_text("[client]\n")
    monkeypatch.setattr(current, "client_file", lambda: useless)
    result = await asyncio.to_thread(CliRunner().invoke, app, ["dead-letters", "list"])
    assert result.exit_code == 2
    assert str(useless) in result.stderr


async def test_an_interrupted_look_gives_everything_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.rejected(b"0", b"1", b"2")
    seen: list[Entry] = []

    def interrupted(letter: Letter) -> Entry:
        seen.append(entry := Entry.of(letter))
        if len(seen) == 2:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()  # as Ctrl-C does
        return entry

    monkeypatch.setattr(handling, "Entry", SimpleNamespace(of=interrupted))
    looking = asyncio.create_task(
        handling.survey(handling.Place(url=office.url, queue=DEAD, most=3))
    )
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert len(seen) == 2
    await office.filled(DEAD, 3)
