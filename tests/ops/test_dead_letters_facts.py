"""What letters say, where they came from, which ones are meant: no broker."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from contracts import addresses
from ops.deadletters import contents, reasons
from ops.deadletters.handling import as_saved
from ops.deadletters.letter import Letter
from ops.deadletters.origin import Route, UnknownOriginError, origin
from ops.deadletters.selection import (
    AmbiguousIdError,
    Entry,
    Filter,
    NoSuchLetterError,
    by_ids,
)
from tests.contracts.samples import keygen_request
from tests.ops.letter_samples import (
    DIED_AT,
    PAYLOAD,
    SESSION_ID,
    death,
    envelope,
    instruction,
    letter,
    noted,
    refused,
    signed,
)
from topology.files import declared
from topology.model import Members

###
### Reasons
###


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"reason": "rejected"}, "a consumer rejected it"),
        ({"reason": "rejected", "queue": "warren.results.svcA"}, "its client rejected it"),
        ({"reason": "rejected", "queue": "warren.legacy-results"}, "its client rejected it"),
        ({"reason": "expired", "queue": "warren.results.svcA"}, "nobody took it within 7 days"),
        ({"reason": "expired", "queue": "elsewhere"}, "nobody took it in time"),
        ({"reason": "expired", "original-expiration": "1500"}, "deadline of 1.5 seconds passed"),
        ({"reason": "expired", "original-expiration": "60000"}, "deadline of 1 minute passed"),
        ({"reason": "expired", "original-expiration": "soon"}, "deadline passed before"),
        ({"reason": "maxlen"}, "its queue was full"),
        ({"reason": "delivery_limit"}, "delivered 11 times and never finished"),
        ({"reason": "delivery_limit", "queue": "elsewhere"}, "delivered as often as its queue"),
        ({"reason": "rejected", "count": 3}, "(died 3 times)"),
        ({"reason": "something new"}, 'the broker says "something new"'),
    ],
)
def test_the_brokers_reasons_are_told_in_words(entry: dict[str, Any], said: str) -> None:
    assert said in reasons.in_words(letter(headers={"x-death": [death(**entry)]}))


def test_a_workers_reason_is_told_as_it_gave_it() -> None:
    assert reasons.in_words(refused()) == "the sender is not in our configuration"


def test_a_reason_that_came_with_a_request_is_not_taken_for_a_workers() -> None:
    forged = {**refused().headers, "x-death": [death()]}
    found = letter(headers=forged)
    assert "a consumer rejected it" in reasons.in_words(found)
    assert not found.refused
    # And it goes back with the message, of which it is a part.
    assert found.first_headers()["warren-reason"] == forged["warren-reason"]


def test_a_letter_without_any_history_says_so() -> None:
    assert "nobody says why" in reasons.in_words(letter(headers={}))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("mpc.mpc_signing_result.svcB.complete", "client svcB was never declared"),
        ("mpc.mpc_signing_result.complete", "none for producers without a client id"),
    ],
)
def test_an_unclaimed_result_names_who_did_not_take_it(key: str, said: str) -> None:
    assert said in reasons.in_words(letter(queue="warren.unclaimed", headers={}, routing_key=key))


###
### Identity
###


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"other"},
        {"properties": {"type": "keygen/1", "message_id": "m2"}},
        {"headers": {"x-death": [death(queue="warren.inbox.p2")]}},
        {"headers": {"x-death": [death(reason="expired")]}},
        {"headers": {"x-death": [death(count=2)]}},
        {"headers": {"x-death": [death(time=None)]}},
    ],
)
def test_letters_that_differ_have_different_ids(change: dict[str, Any]) -> None:
    assert letter(**change).digest() != letter().digest()


def test_looking_at_a_letter_does_not_change_its_id() -> None:
    seen = letter(position=9, headers={**letter().headers, "x-delivery-count": 4})
    assert seen.digest() == letter().digest()


def test_refusals_for_different_reasons_have_different_ids() -> None:
    other = {**refused().headers, "warren-reason": "another"}
    assert refused(headers=other).digest() != refused().digest()


@pytest.mark.parametrize(
    "entry", [{}, {"count": "many", "time": "noon", "routing-keys": "p1"}, {"queue": 7}]
)
def test_a_death_that_no_broker_wrote_is_read_all_the_same(entry: dict[str, Any]) -> None:
    strange = letter(headers={"x-death": [entry, "no table"]})
    assert len(strange.deaths) == 1
    assert Entry.of(strange).died_at is None
    with pytest.raises(UnknownOriginError):
        origin(strange)


###
### Bodies
###


def test_of_an_envelope_everything_is_shown_but_the_payload() -> None:
    shown = contents.shown(envelope())
    assert shown == {
        "form": "envelope",
        "session_id": SESSION_ID.hex(),
        "epoch": 0,
        "kind": "keygen",
        "round": 1,
        "sender": "p2",
        "recipient": "p1",
        "payload_bytes": len(PAYLOAD),
    }


def test_of_an_instruction_the_clients_request_is_shown() -> None:
    request = signed(keygen_request())
    shown = contents.shown(instruction(request))
    assert shown["request"] == json.loads(request.body)
    assert shown["value"]["instruction"] == "session_created"
    assert (shown["form"], shown["sender"]) == ("envelope", "@coordinator")


def test_of_what_callers_are_told_no_token_is_shown() -> None:
    token, request_id = "ab" * 32, "r1"
    tokens = {"join_tokens": {"p1": token, "p2": token}, "session_token": token}
    announcement = {"result": "session_announced", "request_id": request_id, **tokens}
    answer = {"result": "query_session", "request_id": request_id, "session": tokens}
    joining = {"operation": "join_session", "request_id": request_id, "join_token": token}
    for value in (announcement, answer, {**answer, "all": [tokens]}, joining):
        shown = contents.shown(json.dumps(value).encode())
        assert shown["value"]["request_id"] == request_id
        assert token not in json.dumps(shown)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"junk",
        b"[1]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'{"a": "' + b"x" * contents.READABLE_BYTES + b'"}',
    ],
)
def test_what_cannot_be_read_is_said_to_be_unreadable(body: bytes) -> None:
    assert contents.shown(body) == {"form": "unreadable"}
    assert contents.kind_of(body, report=False) == "unreadable"
    assert contents.content_type_of(body) == "application/octet-stream"


@pytest.mark.parametrize("request_", ["no base64", 7, "bm8ganNvbg=="])
def test_an_instruction_with_a_useless_request_is_shown_without_it(request_: object) -> None:
    body = json.dumps({"instruction": "session_created", "request": request_}).encode()
    assert "request" not in contents.shown(body)


@pytest.mark.parametrize(
    ("body", "queue", "kind", "content_type"),
    [
        (envelope(), "warren.inbox.p1", "keygen/1", "application/x-warren-envelope"),
        (
            envelope(kind="party_alive", round=0),
            "warren.reports",
            "party_alive",
            "application/x-warren-envelope",
        ),
        (b'{"operation": "sign"}', "warren.requests.signing", "sign", "application/json"),
        (
            b'{"instruction": "presign_batch"}',
            "warren.presigning.p1",
            "presign_batch",
            "application/json",
        ),
    ],
)
def test_a_workers_copy_gets_back_the_type_that_it_has_lost(
    body: bytes, queue: str, kind: str, content_type: str
) -> None:
    found = refused(body=body, headers={**refused().headers, "warren-queue": queue})
    assert found.kind == kind
    properties = found.first_properties()
    assert properties["type"] == kind
    assert properties["content_type"] == content_type
    assert properties["message_id"] == "m1"


def test_what_a_worker_noted_is_believed_before_the_body() -> None:
    found = noted()
    assert found.kind == "session_created"
    properties = found.first_properties()
    assert (properties["type"], properties["content_type"]) == (
        "session_created",
        "application/json",
    )


@pytest.mark.parametrize("nothing", ["warren-kind", "warren-content-type"])
def test_what_a_message_did_not_have_is_told_from_its_body(nothing: str) -> None:
    found = noted(**{nothing: ""})
    expected = {"warren-kind": "keygen/1", "warren-content-type": "application/x-warren-envelope"}
    properties = found.first_properties()
    names = {"warren-kind": "type", "warren-content-type": "content_type"}
    assert properties[names[nothing]] == expected[nothing]


def test_a_workers_copy_tells_when_it_was_refused() -> None:
    assert noted().died_at == DIED_AT
    assert Entry.of(noted()).died_at == "2026-03-01T12:30:15Z"
    elsewhere = noted(**{"warren-refused-at": "2026-03-01T14:30:15+02:00"})
    assert Entry.of(elsewhere).died_at == "2026-03-01T12:30:15Z"


@pytest.mark.parametrize("at", ["", "noon", "0001-01-01T00:00:00+14:00", "2026-03-01T12:30:15Z!"])
def test_a_time_that_is_none_is_unknown(at: str) -> None:
    assert noted(**{"warren-refused-at": at}).died_at is None


def test_a_message_that_is_refused_again_keeps_its_id() -> None:
    assert noted(**{"warren-refused-at": "2026-03-02T00:00:00+00:00"}).digest() == noted().digest()


def test_what_a_sender_wrote_as_if_a_worker_had_is_not_believed_of_the_brokers_letters() -> None:
    found = letter(headers={**noted().headers, "x-death": [death()]})
    assert (found.kind, found.died_at) == ("keygen/1", DIED_AT)
    later = noted(**{"warren-refused-at": "2027-03-01T12:30:15+00:00"}).headers
    assert letter(headers={**later, "x-death": [death()]}).died_at == DIED_AT
    assert origin(found).exchange == "warren.rounds"


###
### Origins
###


def test_a_letter_goes_where_the_broker_says_it_came_from() -> None:
    expected = Route(exchange="warren.rounds", routing_key="p1", queue="warren.inbox.p1")
    assert origin(letter()) == expected


@pytest.mark.parametrize(
    ("queue", "key", "exchange"),
    [
        ("warren.requests.signing", "mpc.signing_request", "warren.requests"),
        ("warren.presigning.p1", "p1", "warren.presigning"),
        ("warren.reports", "party_alive.p1", "warren.reports"),
        ("warren.inbox.p1", "p1", "warren.rounds"),
        ("warren.inbox.p1", "warren.inbox.p1", ""),
    ],
)
def test_a_workers_copy_goes_back_by_the_declared_topology(
    queue: str, key: str, exchange: str
) -> None:
    headers = {**refused().headers, "warren-queue": queue, "warren-routing-key": key}
    expected = Route(exchange=exchange, routing_key=key, queue=queue)
    assert origin(refused(headers=headers)) == expected


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        ("warren.sessions", "warren.sessions"),
        ("warren.rounds", "warren.rounds"),
        ("", "warren.rounds"),
        ("warren.requests", "warren.rounds"),  # from which nothing comes to an inbox
    ],
)
def test_a_workers_copy_goes_back_by_the_exchange_that_it_came_by(
    exchange: str, expected: str
) -> None:
    assert origin(noted(**{"warren-exchange": exchange})).exchange == expected


def test_every_queue_with_dead_letters_has_an_origin() -> None:
    topology = declared(Members(parties=("p1",), clients=("svcA",)))
    queues = {queue.name for queue in topology.queues}
    dying = queues - {addresses.DEAD_QUEUE, addresses.UNCLAIMED}
    assert dying
    for queue in dying:
        assert origin(refused(headers={**refused().headers, "warren-queue": queue})).exchange


@pytest.mark.parametrize(
    "found",
    [
        letter(headers={}),
        letter(headers={"x-death": [death(**{"routing-keys": []})]}),
        letter(headers={"x-death": [death(queue="elsewhere")]}),
        # What a client can make RabbitMQ 3.10 write: its request, sent to a party.
        letter(headers={"x-death": [death(queue="warren.requests.signing")]}),
        letter(headers={"x-death": [death(exchange="", **{"routing-keys": ["warren.reports"]})]}),
        letter(headers={"x-death": [death(exchange="warren.dead")]}),
        refused(headers={**refused().headers, "warren-queue": "elsewhere"}),
        letter(queue="warren.unclaimed", exchange="warren.unclaimed", headers={}),
    ],
)
def test_an_origin_that_nobody_vouches_for_is_unknown(found: Letter) -> None:
    with pytest.raises(UnknownOriginError):
        origin(found)


def test_an_unclaimed_result_goes_to_its_clients_queue() -> None:
    key = "mpc.mpc_signing_result.svcB.complete"
    found = letter(queue="warren.unclaimed", exchange="warren.results", routing_key=key, headers={})
    route = origin(found)
    assert route == Route(exchange="warren.results", routing_key=key, queue="warren.results.svcB")
    assert route.may_be_swallowed
    assert not origin(letter()).may_be_swallowed


def test_a_replayed_letter_carries_no_trace_of_its_death() -> None:
    headers = {
        **refused().headers,
        "x-delivery-count": 3,
        "x-acquired-count": 3,
        "x-first-death-queue": "q",
        "x-last-death-queue": "q",
        "signature": "kept",
    }
    kept = {"session_id": SESSION_ID.hex(), "signature": "kept"}
    assert refused(headers=headers).first_headers() == kept
    assert noted(signature="kept").first_headers() == kept
    assert "x-death" not in letter(headers={**headers, "x-death": [death()]}).first_headers()


def test_a_replayed_letter_takes_no_detour_that_its_sender_wished_for() -> None:
    headers = {**letter().headers, "CC": ["warren.inbox.p2"], "BCC": ["warren.inbox.p3"]}
    assert letter(headers=headers).first_headers() == {"session_id": SESSION_ID.hex()}


def test_a_saved_letter_is_json_whatever_its_headers_are() -> None:
    headers = {**letter().headers, "blob": b"\x01", "nested": {"when": death()["time"]}}
    saved = json.loads(json.dumps(as_saved(letter(headers=headers))))
    assert saved["headers"]["blob"] == "01"
    assert saved["headers"]["nested"]["when"] == "2026-03-01T12:30:15+00:00"
    assert saved["headers"]["x-death"][0]["time"] == "2026-03-01T12:30:15+00:00"


###
### Selection
###


def entry(digest: str, **changes: Any) -> Entry:
    return dataclasses.replace(Entry.of(letter()), digest=digest.ljust(64, "0"), **changes)


def test_an_id_or_its_beginning_means_one_letter() -> None:
    entries = [entry("aa1"), entry("ab2"), entry("b3")]
    assert by_ids(["aa", "b"], entries) == [entries[0], entries[2]]
    assert by_ids([entries[1].id], entries) == [entries[1]]
    assert by_ids([entries[1].digest], entries) == [entries[1]]


def test_identical_letters_are_meant_together() -> None:
    entries = [entry("aa", position=1), entry("b"), entry("aa", position=3)]
    assert [each.position for each in by_ids(["a"], entries)] == [1, 3]


def test_the_beginning_of_two_ids_is_ambiguous_and_both_are_named() -> None:
    with pytest.raises(AmbiguousIdError, match=r"2 letters begin with 'a': aa10+, ab20+"):
        by_ids(["b", "a"], [entry("aa1"), entry("ab2"), entry("b3")])
    close = "a" * 12
    with pytest.raises(AmbiguousIdError, match=f"{close}1"):
        by_ids([close], [entry(f"{close}1"), entry(f"{close}2")])


@pytest.mark.parametrize("bad", ["c", "", "A", "a*", "0" * 65])
def test_an_id_that_no_letter_has_is_refused(bad: str) -> None:
    with pytest.raises(NoSuchLetterError):
        by_ids([bad], [entry("aa1")])


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (Filter(), True),
        (Filter(source="warren.inbox.*"), True),
        (Filter(source="warren.inbox"), False),
        (Filter(kind="keygen/*"), True),
        (Filter(kind="presign/*"), False),
        (Filter(reason="REJECTED"), True),
        (Filter(reason="expired"), False),
        (Filter(source="warren.inbox.p1", kind="sign/1"), False),
    ],
)
def test_a_filter_takes_what_fits_all_of_it(wanted: Filter, passes: bool) -> None:
    assert wanted.passes(Entry.of(letter())) is passes
    assert bool(wanted) is (wanted != Filter())
