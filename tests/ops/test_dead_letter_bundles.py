"""Bundles among the dead letters: seen through, and sent back message by message."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.bundles import CONTENT_TYPE, Part, pack
from ops.deadletters import contents
from ops.deadletters.selection import Entry, Filter
from tests.ops.letter_office import DEAD, INBOX, Office
from tests.ops.letter_samples import envelope, letter, refused


def part(name: str, body: bytes = b"{}", **headers: str) -> Part:
    return Part(
        message_id=name,
        kind=f"kind-{name}",
        content_type="application/json",
        headers=headers,
        body=body,
    )


def bundle(*parts: Part) -> bytes:
    return pack(parts or (part("a"), part("b")))


def test_a_bundle_shows_its_messages_each_as_if_it_lay_there_alone() -> None:
    sealed = envelope(payload=b"secret-share")
    body = bundle(part("a", b'{"join_token": "secret-token"}'), part("b", sealed))
    told = contents.shown(body)
    assert told["form"] == "bundle"
    first, second = told["parts"]
    assert (first["message_id"], first["kind"], first["form"]) == ("a", "kind-a", "json")
    assert first["value"] == {"join_token": "not shown"}
    assert (second["message_id"], second["form"]) == ("b", "envelope")
    assert second == {
        "message_id": "b",
        "kind": "kind-b",
        "bytes": len(sealed),
        **contents.shown(sealed),
    }
    assert "secret" not in str(told)


def test_what_a_bundle_is_can_be_told_by_its_body() -> None:
    assert contents.kind_of(bundle(), report=True) == "bundle"
    assert contents.content_type_of(bundle()) == CONTENT_TYPE


def test_letters_are_found_by_the_kind_of_any_of_their_messages() -> None:
    entry = Entry.of(letter(body=bundle(), properties={"type": "bundle"}))
    assert entry.as_json()["parts"] == ["kind-a", "kind-b"]
    assert "parts" not in Entry.of(letter(body=b"{}")).as_json()
    for kind, passes in {"kind-b": True, "bundle": True, "kind-*": True, "kind-c": False}.items():
        assert Filter(kind=kind).passes(entry) is passes


def test_the_messages_of_a_bundle_are_what_they_were_before() -> None:
    body = bundle(part("a", b"one", session_id="ab"), part("b", b"two"))
    first, second = refused(body=body).one_by_one()
    assert (first.body, second.body) == (b"one", b"two")
    assert first.first_headers() == {"session_id": "ab"}
    assert second.first_headers() == {}
    assert first.first_properties() == {
        "message_id": "a",
        "type": "kind-a",
        "content_type": "application/json",
    }


def test_what_is_no_bundle_is_one_message() -> None:
    whole = letter(body=bundle()[:-1])
    assert whole.one_by_one() == (whole,)


@pytest.mark.system
async def test_a_dead_bundle_is_listed_with_its_messages_and_replayed_one_by_one(
    office: Office,
) -> None:
    body = bundle(part("a", b"one", session_id="ab"), part("b", b"two"))
    await office.publish("warren.rounds", "p1", body, type="bundle", content_type=CONTENT_TYPE)
    await office.reject(INBOX)
    (entry,) = await office.listed("--kind", "kind-b")
    assert (entry["kind"], entry["parts"]) == ("bundle", ["kind-a", "kind-b"])
    table = await office.run("list")
    assert "2 in one: kind-a, kind-b" in table.stdout
    shown: dict[str, Any] = await office.told("show", entry["id"])
    assert [each["message_id"] for each in shown["body"]["parts"]] == ["a", "b"]
    replayed = await office.run("replay", entry["id"])
    assert (replayed.exit_code, replayed.stdout) == (0, "1 of 1 replayed.\n")
    first, second = await office.take(INBOX), await office.take(INBOX)
    assert (first.body, first.type, first.message_id) == (b"one", "kind-a", "a")
    assert first.content_type == "application/json"
    assert (first.exchange, first.routing_key) == ("warren.rounds", "p1")
    assert first.headers["session_id"] == "ab"
    assert (second.body, second.type) == (b"two", "kind-b")
    assert await office.depth(DEAD) == 0
