from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import addresses, bundles
from contracts.bundles import CONTENT_TYPE, MAX_BYTES, MAX_PARTS, Packing, Part, pack, unpack
from contracts.errors import UnauthenticatedError
from contracts.requests import QueryKeysRequest

from .samples import fields, sign_request

TEXTS = st.text(max_size=20)
PARTS = st.builds(
    Part,
    message_id=TEXTS,
    kind=TEXTS,
    content_type=TEXTS,
    headers=st.dictionaries(TEXTS, TEXTS, max_size=3),
    body=st.binary(max_size=50),
)


def part(body: bytes = b"body", **changes: Any) -> Part:
    fields: dict[str, Any] = {
        "message_id": "m-1",
        "kind": "sign/1",
        "content_type": "application/json",
        "headers": {"session_id": "ab"},
        "body": body,
    }
    return Part(**(fields | changes))


def encoded(head: Any, bodies: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return len(text).to_bytes(4) + text + bodies


def told(**changes: Any) -> dict[str, Any]:
    return {
        "message_id": "m-1",
        "type": "sign/1",
        "content_type": "application/json",
        "headers": {},
        "length": 4,
    } | changes


def head(*parts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"version": 1, "parts": list(parts)} | changes


@given(st.lists(PARTS, min_size=1, max_size=MAX_PARTS))
def test_parts_come_out_as_they_went_in(parts: list[Part]) -> None:
    assert list(unpack(pack(parts))) == parts


def test_the_wire_form_is_pinned() -> None:
    body = pack([part(b"\0one", headers={"a": "ä"}), part(b"", message_id="", kind="x")])
    written = (
        b'{"version":1,"parts":['
        b'{"message_id":"m-1","type":"sign/1","content_type":"application/json",'
        b'"headers":{"a":"\\u00e4"},"length":4},'
        b'{"message_id":"","type":"x","content_type":"application/json",'
        b'"headers":{"session_id":"ab"},"length":0}]}'
    )
    assert body == len(written).to_bytes(4) + written + b"\0one"


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_bundle(data: bytes) -> None:
    with pytest.raises(UnauthenticatedError, match="no bundle") as caught:
        unpack(data)
    assert caught.value.kind == "malformed"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "head"),
        (b"\0\0", "head"),
        ((100).to_bytes(4) + b"{}", "longer than the message"),
        (encoded(b"{"), "does not fit"),
        (encoded([]), "does not fit"),
        (encoded(head()), "parts"),
        (encoded(head(*[told(length=0)] * (MAX_PARTS + 1))), "parts"),
        (encoded(head(told(length=0), version=2)), "version"),
        (encoded({"parts": [told(length=0)]}), "version"),
        (encoded(head(told(length=0), more=1)), "more"),
        (encoded(head(told(length=0, more=1))), "more"),
        (encoded(head(told(length=0, headers={"a": 1}))), "headers"),
        (encoded(head(told(length=-1))), "length"),
        (encoded(head(told(length=True)), b"1"), "length"),
        (encoded(head(told(length=MAX_BYTES + 1))), "length"),
        (encoded(head(told(message_id="x" * 256, length=0))), "message_id"),
        (encoded(head(told(type=None, length=0))), "type"),
        (encoded(head(told()), b"123"), "not as long together"),
        (encoded(head(told()), b"12345"), "not as long together"),
        (encoded(head(told(), told()), b"1234567"), "not as long together"),
        (encoded(head(told(content_type=CONTENT_TYPE)), b"1234"), "a bundle in a bundle"),
        (
            encoded(b'{"version":1,"version":1,"parts":[' + json.dumps(told()).encode() + b"]}")
            + b"1234",
            "twice",
        ),
        (encoded(head(told(length=MAX_BYTES)), b"x" * MAX_BYTES), "at most"),
    ],
)
def test_what_is_no_bundle_is_refused_with_the_reason(body: bytes, why: str) -> None:
    with pytest.raises(UnauthenticatedError, match=f"no bundle: .*{why}") as caught:
        unpack(body)
    assert caught.value.kind == "malformed"


def test_a_reason_says_nothing_of_what_was_sent() -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        unpack(encoded(head(told(length="secret-0123"))))
    assert "secret" not in str(caught.value)


def test_a_bundle_takes_no_more_parts_than_may_come_out() -> None:
    packing = Packing()
    assert [packing.add(part()) for _ in range(MAX_PARTS + 1)] == [True] * MAX_PARTS + [False]
    assert len(unpack(packing.body())) == MAX_PARTS


@pytest.mark.parametrize("first", [[], [part(b"\0" * 1000, message_id="\u00e4")]])
def test_a_bundle_is_as_large_as_may_come_and_not_larger(first: list[Part]) -> None:
    most = MAX_BYTES - len(pack([*first, part(b"x" * 100_000)])) + 100_000
    body = pack([*first, part(b"x" * most)])
    assert len(body) == MAX_BYTES
    assert len(unpack(body)) == len(first) + 1
    with pytest.raises(ValueError, match="do not fit"):
        pack([*first, part(b"x" * (most + 1))])


def test_what_has_no_room_is_not_packed() -> None:
    for parts in [], [part(b"x" * MAX_BYTES)], [part()] * (MAX_PARTS + 1):
        with pytest.raises(ValueError, match="do not fit"):
            pack(parts)


def test_a_part_shows_nothing_of_its_body() -> None:
    assert "secret" not in repr(part(b"secret"))


###
### Who gets one
###


def test_only_signatures_for_who_asked_so_may_come_in_bundles() -> None:
    key = addresses.bundled_key("svcA")
    assert key == "mpc.mpc_signing_result.svcA.bundled"
    assert addresses.may_be_bundled(key)
    for other in (
        "mpc.mpc_signing_result.svcA.complete",
        "mpc.mpc_signing_result.bundled",
        "mpc.mpc_query_result.svcA.bundled",
        "mpc.mpc_keygen_result.svcA.bundled",
        "mpc.mpc_session_announced.svcA.bundled",
        "mpc.mpc_signing_result.svcA.bundled.more",
        "",
    ):
        assert not addresses.may_be_bundled(other)


def test_a_client_may_ask_for_signatures_in_bundles_and_for_nothing_else() -> None:
    signing = sign_request(client_id="svcA")
    own = addresses.bundled_key("svcA")
    assert addresses.misaddressed(signing.model_copy(update={"reply_to": own})) is None
    elses = addresses.bundled_key("other")
    legacy = {"client_id": None, "reply_to": "mpc.mpc_signing_result.bundled"}
    for wrong in (
        signing.model_copy(update={"reply_to": elses}),
        signing.model_copy(update=legacy),
        QueryKeysRequest(**fields("query_keys")).model_copy(update={"reply_to": own}),
    ):
        assert "reply_to must be" in str(addresses.misaddressed(wrong))


def test_the_schema_of_the_head_says_what_is_checked() -> None:
    schema = bundles.Head.model_json_schema()
    assert schema["properties"]["parts"]["maxItems"] == MAX_PARTS
