"""What a bad message costs: size, header, signer, signature are asked in this order, and what fails
one of them is neither parsed nor asked anything that costs more."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any, cast

import pydantic_core
import pytest
from aio_pika.abc import AbstractIncomingMessage
from pydantic import TypeAdapter

from contracts import addresses, coordinators, strict_json
from contracts.client.correspondence import Correspondence
from contracts.encoding import pack
from contracts.envelope import COORDINATOR, MAX_ENVELOPE_BYTES, NO_SESSION, Envelope
from contracts.errors import UnauthenticatedError
from contracts.identity import Identity, PublicIdentity
from contracts.primitives import MAX_BODY_BYTES
from contracts.results import Result
from contracts.signing import SignedRequest
from tests.contracts.producers import settings
from tests.patience import until
from tests.workers.simulate import World
from workers.delivery.deliveries import Delivery, ElsewhereError
from workers.session.envelopes import MAX_INSTRUCTION_BYTES

STRANGER = Identity.generate()
LIKE_A_SIGNATURE = STRANGER.sign(b"tag", b"data")
HEADER = {"signature": base64.b64encode(LIKE_A_SIGNATURE).decode()}


class Asked(list[str]):
    """What was done with a message, in order."""

    _task: asyncio.Task[Any] | None = None

    def here(self) -> None:
        """What this test's task does counts; an earlier test's may still read messages."""
        self._task = asyncio.current_task()

    def note(self, what: str) -> None:
        with contextlib.suppress(RuntimeError):  # a thread without a loop
            if asyncio.current_task() is self._task:
                self.append(what)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked()

    def noted(what: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def note(*given: Any, **named: Any) -> Any:
            found.note(what)
            return inner(*given, **named)

        return note

    verify = noted("verify", PublicIdentity.verify)
    monkeypatch.setattr(PublicIdentity, "verify", verify)
    monkeypatch.setattr(pydantic_core, "from_json", noted("parse", pydantic_core.from_json))
    monkeypatch.setattr(TypeAdapter, "validate_json", noted("parse", TypeAdapter.validate_json))
    monkeypatch.setattr(json, "loads", noted("parse", json.loads))
    decode = noted("parse", json.JSONDecoder.decode)
    monkeypatch.setattr(type(strict_json._DECODER), "decode", decode)
    return found


###
### Requests, reports, inboxes
###


def by_header(largest: int, body: bytes) -> dict[str, tuple[bytes, dict[str, Any], list[str]]]:
    """Of messages whose signature is a header."""
    return {
        "too large, and else perfect": (body + bytes(largest), HEADER, []),
        "too large, and unsigned": (body + bytes(largest), {}, []),
        "no header": (body, {}, []),
        "a header that is no text": (body, {"signature": 7}, []),
        "a header that is not base64": (body, {"signature": "-"}, []),
        "a header without end": (body, {"signature": "A" * 100_000}, []),
        "a header that is no signature": (body, {"signature": "AAAA"}, []),
    }


def request_of(identity: Identity) -> bytes:
    return json.dumps({"signer": identity.public.to_base64(), "operation": "sign"}).encode()


REQUESTS = by_header(MAX_BODY_BYTES, b"{}") | {
    "no signer": (b'{"a": 1}', HEADER, []),
    "not JSON": (bytes(1000), HEADER, []),
    "an unknown signer": (request_of(STRANGER), HEADER, []),
}


@pytest.mark.parametrize("case", REQUESTS)
async def test_a_request(shire: World, asked: Asked, case: str) -> None:
    asked.here()
    body, headers, expected = REQUESTS[case]
    with pytest.raises(UnauthenticatedError) as refused:
        await shire.requests.handle(delivery(body, headers, kind="sign"))
    assert [*asked] == expected
    assert ("a request has at most" in str(refused.value)) == case.startswith("too large")


async def test_a_request_by_a_known_signer_whose_signature_is_wrong(
    shire: World, asked: Asked
) -> None:
    asked.here()
    with pytest.raises(UnauthenticatedError, match="wrong signature"):
        await shire.requests.handle(delivery(request_of(shire.client), HEADER, kind="sign"))
    assert [*asked] == ["verify"]


def sealed(sender: str, recipient: str, kind: str, round_: int, signature: bytes) -> bytes:
    claimed = Envelope(
        session_id=NO_SESSION,
        epoch=0,
        kind=kind,
        round=round_,
        sender=sender,
        recipient=recipient,
        payload=b"{}",
    )
    return pack((claimed.content(), signature))


Sealed = Callable[[str, str, bytes], bytes]

ENVELOPES: dict[str, tuple[Callable[[Sealed, str], bytes], list[str]]] = {
    "too large": (lambda seal, known: bytes(MAX_ENVELOPE_BYTES + 1), []),
    "no envelope": (lambda seal, known: b'{"json": "unsigned"}', []),
    "cut short": (lambda seal, known: seal(known, "", LIKE_A_SIGNATURE)[:-1], []),
    "an unknown sender": (lambda seal, known: seal("mallory", "", LIKE_A_SIGNATURE), []),
    "a wrong signature": (lambda seal, known: seal(known, "", LIKE_A_SIGNATURE), ["verify"]),
    "no signature": (lambda seal, known: seal(known, "", b""), ["verify"]),
}


@pytest.mark.parametrize("case", ENVELOPES)
async def test_a_report(shire: World, asked: Asked, case: str) -> None:
    asked.here()
    make, expected = ENVELOPES[case]

    def seal(sender: str, _: str, signature: bytes) -> bytes:
        return sealed(sender, COORDINATOR, "party_refused", 0, signature)

    # A stranger to this coordinator may be known to another.
    refusal = ElsewhereError if case == "an unknown sender" else UnauthenticatedError
    with pytest.raises(refusal):
        await shire.reports.handle(delivery(make(seal, "party-1"), {}, kind="party_refused"))
    assert [*asked] == expected


async def test_a_sign_of_life_of_a_stranger(shire: World, asked: Asked) -> None:
    asked.here()
    body = sealed("mallory", COORDINATOR, "party_alive", 0, LIKE_A_SIGNATURE)
    await shire.reports.handle(delivery(body, {}, kind="party_alive"))
    assert [*asked] == []


@pytest.mark.parametrize("case", ENVELOPES)
async def test_a_round_message(shire: World, asked: Asked, case: str) -> None:
    asked.here()
    make, expected = ENVELOPES[case]

    def seal(sender: str, _: str, signature: bytes) -> bytes:
        return sealed(sender, "party-1", "keygen", 1, signature)

    with pytest.raises(UnauthenticatedError):
        await shire.parties["party-1"].handle_keygen(
            delivery(make(seal, "party-2"), {}, kind="keygen/1")
        )
    assert [*asked] == expected


INSTRUCTIONS: dict[str, tuple[bytes, list[str]]] = {
    "too large": (bytes(MAX_INSTRUCTION_BYTES + 1), []),
    "no envelope": (b'{"json": "unsigned"}', []),
    "by a party": (sealed("party-2", "party-1", "session_created", 0, LIKE_A_SIGNATURE), []),
    "for another": (sealed(COORDINATOR, "party-2", "session_created", 0, LIKE_A_SIGNATURE), []),
    "another kind": (sealed(COORDINATOR, "party-1", "nonces_wanted", 0, LIKE_A_SIGNATURE), []),
    "a wrong signature": (
        sealed(COORDINATOR, "party-1", "session_created", 0, LIKE_A_SIGNATURE),
        ["verify"],
    ),
}


@pytest.mark.parametrize("case", INSTRUCTIONS)
async def test_an_instruction(shire: World, asked: Asked, case: str) -> None:
    asked.here()
    body, expected = INSTRUCTIONS[case]
    with pytest.raises(UnauthenticatedError):
        await shire.parties["party-1"].handle(delivery(body, {}, kind="session_created"))
    assert [*asked] == expected


@pytest.mark.parametrize("case", INSTRUCTIONS)
async def test_a_broadcast(shire: World, asked: Asked, case: str) -> None:
    asked.here()
    body, _ = INSTRUCTIONS[case]
    for hear in (shire.parties["party-1"].broadcast, shire.reports.broadcast):
        with pytest.raises(UnauthenticatedError):
            hear(body)
    assert [*asked] == []


def delivery(body: bytes, headers: dict[str, Any], *, kind: str) -> Delivery:
    return Delivery(
        queue=addresses.request_queue("sign"),
        kind=kind,
        body=body,
        headers=headers,
        routing_key="",
        message_id=None,
        attempts=0,
    )


###
### Results
###


class Incoming:
    """Attributes: ended: What was said of all of them."""

    redelivered = False
    content_type = "application/json"

    def __init__(
        self, tag: int, body: bytes, headers: dict[str, Any], ended: list[tuple[str, int]]
    ) -> None:
        self.delivery_tag = tag
        self.body = body
        self.headers = headers
        self.ended = ended

    async def ack(self, *, multiple: bool = False) -> None:
        self.ended.append(("ack up to" if multiple else "ack", self.delivery_tag))

    async def reject(self, *, requeue: bool) -> None:
        assert not requeue
        self.ended.append(("reject", self.delivery_tag))


async def never(_: Result, __: SignedRequest | None) -> None:
    raise AssertionError


RESULTS = {
    **by_header(coordinators.MAX_RESULT_BYTES, b'{"result": "sign"}'),
    "a wrong signature": (b'{"result": "sign"}', HEADER, ["verify"]),
}


@pytest.mark.parametrize("case", RESULTS)
async def test_a_result(asked: Asked, case: str, caplog: pytest.LogCaptureFixture) -> None:
    asked.here()
    body, headers, expected = RESULTS[case]
    correspondence = Correspondence(settings("amqp://nobody@127.0.0.1:1/"), never)
    ended: list[tuple[str, int]] = []
    for tag in range(1, 4):
        incoming = Incoming(tag, body, headers, ended)
        await correspondence._receive(cast("AbstractIncomingMessage", incoming))
    # One a second is a dead letter; the others are taken out in one word.
    await until(lambda: len(ended) == 2)
    assert ended == [("reject", 1), ("ack up to", 3)]
    assert [*asked] == 3 * expected
    assert sum(correspondence.disbelieved.values()) == 3
    assert ("a result has at most" in caplog.text) == case.startswith("too large")
